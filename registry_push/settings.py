"""`Settings`: the settings of a run, frozen. Defaults < configuration file < environment < flags."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_network
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Literal, get_args

from .errors import InvalidSettings, printable
from .setting import Setting
from .text.hint import Setting as Flag
from .text.hint import step
from .text.patterns import LazyPattern
from .text.quantities import parse_duration, parse_rate, parse_size, spelt_duration, spelt_size
from .text.user_part import without_login
from .version import __version__

Dialect = Literal["auto", "oci", "ollama"]
# Who gave a setting or owns a login: the user who runs this process, or a client of the service.
Party = Literal["runner", "request"]
# Which files are hashed before they are committed: those that have changed since they were hashed, all, or none.
Verify = Literal["changed", "always", "never"]
Mount = Literal["auto", "never"]
PathText = str | os.PathLike[str]
Texts = str | Iterable[str]

# Eight uploads at once fill a 1 Gbit/s line at 50 ms and are what a small registry bears; Ollama uses 16 parts.
DEFAULT_JOBS: Final = 8
# Longer than a busy registry takes between two reads, shorter than anyone waits at a dead line.
DEFAULT_TIMEOUT: Final = 60.0
DEFAULT_RETRIES: Final = 5
# Seconds. After this time without progress, an error is better than more waiting.
DEFAULT_RETRY_FOR: Final = 300.0
# Bytes. A chunk of one byte can't be told from none (distribution 2); 1 MiB costs twice the time already.
SMALLEST_CHUNK_SIZE: Final = 64 * 1024
LARGEST_CHUNK_SIZE: Final = 5 * 1024**4

_WHOLE: Final = LazyPattern(r"\s*+[+-]?[0-9]{1,12}\s*+\Z")


def home_folder(variable: str | None) -> Path | None:
    """Return the user's home: `variable` (what `$HOME` says), else by the system's user database; None if neither knows
    one.

    As for docker and platformdirs, a variable that is empty or relative counts as unset.
    """
    if variable is not None and Path(variable).is_absolute():
        return Path(variable)
    try:
        import pwd
    except ImportError:  # Windows
        return None
    try:
        home = Path(pwd.getpwuid(os.getuid()).pw_dir)
    except KeyError:
        return None
    return home if home.is_absolute() else None


def usual_home() -> Path | None:
    """Return the home of this process' user, as Python finds it; None if there is none."""
    try:
        return home_folder(str(Path.home()))
    except RuntimeError:
        return None


def expanded(text: str, home: Path | None) -> Path:
    """Return the path that `text` spells, a `~` at its beginning expanded as shells do. Raises `InvalidSettings`."""
    if text == "~" or text.startswith(("~/", f"~{os.sep}")):
        if home is None:
            raise InvalidSettings(f"{printable(text)} can't be expanded: this user has no home folder", hint="set HOME")
        return home / text[2:]
    return Path(os.path.expanduser(text))  # noqa: PTH111  # of `~somebody`; a user that is not there is no error


def check_text(what: str, text: str, source: str) -> None:
    """Raise `InvalidSettings` if `text`, which `source` holds, is none: it has bytes that are no UTF-8, which Python
    keeps as halves of characters, or such halves that JSON has spelt."""
    try:
        text.encode()
    except UnicodeEncodeError:  # it holds the text, which may be secret
        raise InvalidSettings(f"the {what} from {source} is not UTF-8", hint=f"write the {what} in UTF-8") from None


def _wrong(name: str, value: object, wanted: str) -> InvalidSettings:
    shown = printable(repr(value), limit=60)
    return InvalidSettings(f"can't be {without_login(shown)}", hint=f"give {wanted}", setting=name)


def _check_range(name: str, value: float, least: float, most: float, spell: Callable[[float], str]) -> None:
    if not least <= value <= most:
        shown = spell(value) if not abs(value) >= 1e18 else "with so large a number"
        raise InvalidSettings(
            f"{shown} is out of range", hint=f"give a value from {spell(least)} to {spell(most)}", setting=name
        )


def as_whole(name: str, value: object) -> int:
    """Take a whole number, or text that spells one."""
    if isinstance(value, str) and _WHOLE.compiled.match(value):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise _wrong(name, value, "a whole number")
    return value


def as_size(name: str, value: object) -> int | None:
    """Take bytes, or text such as `64MiB`."""
    if isinstance(value, str):
        return parse_size(value, setting=name)
    if value is not None and (isinstance(value, bool) or not isinstance(value, int)):
        raise _wrong(name, value, "a whole number of bytes, or a size such as 64MiB")
    return value


def as_rate(name: str, value: object) -> int | None:
    """Take bytes a second, or text such as `20MB/s` or `off`."""
    return parse_rate(value, setting=name) if isinstance(value, str) else as_size(name, value)


def as_seconds(name: str, value: object) -> float:
    """Take seconds, or text such as `5m`."""
    if isinstance(value, str):
        return parse_duration(value, setting=name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _wrong(name, value, "seconds, or a duration such as 90s or 5m")
    return value


def _number(number: float) -> str:
    return f"{number:g}"


def spelt_rate(number: float) -> str:
    """Return bytes a second as people write them: `20 MB/s`."""
    return f"{spelt_size(number)}/s"


def as_path(name: str, value: object) -> Path | None:
    """Take a path; in text, `~` is expanded."""
    if value is None:
        return None
    text = os.fspath(value) if isinstance(value, str | os.PathLike) else None
    if not isinstance(text, str) or not text or "\0" in text or not _is_encodable(text):
        raise _wrong(name, value, "a path")
    if isinstance(value, Path):
        return value
    try:
        return expanded(text, usual_home())
    except InvalidSettings as error:
        raise InvalidSettings(error.message, hint=error.hint, setting=name) from error


def _is_encodable(path: str) -> bool:
    """Return whether a file can have this name: half of a character, as JSON can spell it, is in none."""
    try:
        os.fsencode(path)
    except UnicodeEncodeError:
        return False
    return True


def as_switch(name: str, value: object) -> bool:
    """Take a truth value."""
    if not isinstance(value, bool):
        raise _wrong(name, value, "true or false")
    return value


def one_of(choices: Any) -> Callable[[str, Any], Any]:
    """Take one of the words of a `Literal`."""
    words = get_args(choices)

    def convert(name: str, value: Any) -> Any:
        if not isinstance(value, str) or value not in words:
            raise _wrong(name, value, f"one of {', '.join(words)}")
        return value

    return convert


def as_text(name: str, value: object) -> str:
    """Take text of characters that can be printed."""
    if not isinstance(value, str) or not value or not value.isprintable():
        raise _wrong(name, value, "text of printable characters")
    return value


def as_header(name: str, value: object) -> str:
    """Take text that a header can carry."""
    if not isinstance(value, str):
        raise _wrong(name, value, "text")
    if not value.isprintable() or not value.isascii():
        raise InvalidSettings("has characters that no header can carry", setting=name)
    return value


def as_username(name: str, value: object) -> str | None:
    """Take a user name."""
    if value is not None and not isinstance(value, str):
        raise _wrong(name, value, "text")
    if value is not None and ":" in value:  # RFC 7617: Basic can't say it
        raise InvalidSettings("has a colon, which no login can have", setting=name)
    return value


def as_secret(name: str, value: object) -> str | None:
    """Take text that no message may repeat."""
    if value is not None and not isinstance(value, str):
        raise InvalidSettings("can't be anything but text", setting=name)
    return value


def as_texts(name: str, value: object) -> tuple[str, ...]:
    """Take several texts, or one."""
    if isinstance(value, bytes | Mapping) or not isinstance(value, Iterable):
        raise _wrong(name, value, "a list of texts")
    texts = (value,) if isinstance(value, str) else tuple(value)
    if not all(isinstance(text, str) and text for text in texts):
        raise _wrong(name, value, "a list of texts")
    return texts


def as_networks(name: str, value: object) -> tuple[str, ...]:
    """Take addresses and networks."""
    networks = as_texts(name, value)
    for network in networks:
        try:
            ip_network(network.strip().strip("[]"), strict=False)
        except ValueError as error:
            raise InvalidSettings(
                f"{printable(repr(network), limit=60)} is no address and no network",
                hint="write an address such as 10.1.2.3, or a network such as 10.0.0.0/8",
                setting=name,
            ) from error
    return networks


def as_environ(name: str, value: object) -> Mapping[str, str]:
    """Take an environment."""
    if not isinstance(value, Mapping) or not all(isinstance(text, str) for pair in value.items() for text in pair):
        raise InvalidSettings("can't be anything but a mapping of texts", hint="give os.environ, or {}", setting=name)
    return value


@dataclass(frozen=True)
class Settings:
    """All that can be set, each value checked and converted as it is given; see `Setting`.

    `environ` is what the face that was started read; nothing else reads the environment. `home` is None for a user
    without a home folder, such as a container's numeric user: nothing is looked for there. Raises `InvalidSettings`.
    """

    home: Setting[PathText | None, Path | None] = Setting(as_path, usual_home)
    environ: Setting[Mapping[str, str], Mapping[str, str]] = field(
        default=Setting(as_environ, lambda: MappingProxyType({})), repr=False
    )

    models: Setting[PathText | None, Path | None] = Setting(as_path)
    key: Setting[PathText | None, Path | None] = Setting(as_path)

    plain_http: Setting[bool, bool] = Setting(as_switch, lambda: False)
    # Whose word it is where http is spoken: by it, and only by it, logins go over http.
    http_said_by: Setting[Party, Party] = Setting(one_of(Party), lambda: "runner")
    tls_verify: Setting[bool, bool] = Setting(as_switch, lambda: True)
    ca_file: Setting[PathText | None, Path | None] = Setting(as_path)
    cert: Setting[PathText | None, Path | None] = Setting(as_path)
    key_file: Setting[PathText | None, Path | None] = Setting(as_path)

    authfile: Setting[PathText | None, Path | None] = Setting(as_path)
    username: Setting[str | None, str | None] = Setting(as_username)
    password: Setting[str | None, str | None] = field(default=Setting(as_secret), repr=False)
    allow_realms: Setting[Texts, tuple[str, ...]] = Setting(as_texts, lambda: ())
    # Addresses and networks that registries may send us to, whatever they are.
    allow_addresses: Setting[Texts, tuple[str, ...]] = Setting(as_networks, lambda: ())

    # Where uploads under way are noted; None: nowhere, none can be resumed.
    state_dir: Setting[PathText | None, Path | None] = Setting(as_path)

    dialect: Setting[Dialect, Dialect] = Setting(one_of(Dialect), lambda: "auto")
    jobs: Setting[int | str, int] = Setting(as_whole, lambda: DEFAULT_JOBS)
    # Bytes; None: as the registry takes them.
    chunk_size: Setting[int | str | None, int | None] = Setting(as_size)
    one_put: Setting[bool, bool] = Setting(as_switch, lambda: False)  # no chunks: each blob goes whole, in one PUT
    # Seconds in which at least something must move.
    timeout: Setting[float | str, float] = Setting(as_seconds, lambda: DEFAULT_TIMEOUT)
    retries: Setting[int | str, int] = Setting(as_whole, lambda: DEFAULT_RETRIES)  # tries without progress
    # Seconds of trouble without progress.
    retry_for: Setting[float | str, float] = Setting(as_seconds, lambda: DEFAULT_RETRY_FOR)
    verify: Setting[Verify, Verify] = Setting(one_of(Verify), lambda: "changed")
    # Leave a tag that is there and names another manifest as it is.
    no_clobber: Setting[bool, bool] = Setting(as_switch, lambda: False)
    # Ask for every blob, also where the manifest is at the target already.
    recheck: Setting[bool, bool] = Setting(as_switch, lambda: False)
    mount: Setting[Mount, Mount] = Setting(one_of(Mount), lambda: "auto")  # whether to ask for blobs to be mounted
    # Bytes a second of all bodies together; None and 0: no limit.
    bwlimit: Setting[int | str | None, int | None] = Setting(as_rate)
    congestion: Setting[str, str] = Setting(as_text, lambda: "auto")  # of TCP: "auto", "system" or a kernel's name
    user_agent: Setting[str, str] = Setting(as_header, lambda: f"registry-push/{__version__}")
    debug: Setting[bool, bool] = Setting(as_switch, lambda: False)  # tell of each request and answer, secrets left out

    def __post_init__(self) -> None:
        _check_range("jobs", self.jobs, 1, 256, _number)
        _check_range("timeout", self.timeout, 1, 24 * 3600, spelt_duration)
        _check_range("retries", self.retries, 0, 100, _number)
        _check_range("retry_for", self.retry_for, 0, 7 * 24 * 3600, spelt_duration)
        if self.chunk_size is not None:
            _check_range("chunk_size", self.chunk_size, SMALLEST_CHUNK_SIZE, LARGEST_CHUNK_SIZE, spelt_size)
            if self.one_put:
                raise InvalidSettings(
                    "says how long chunks are, and --one-put sends none",
                    hint="leave one of them out",
                    setting="chunk_size",
                )
        if self.bwlimit:
            _check_range("bwlimit", self.bwlimit, 1024, 10**12, spelt_rate)
        for one, other in (("cert", "key_file"), ("key_file", "cert")):
            if getattr(self, one) is not None and getattr(self, other) is None:
                raise InvalidSettings(
                    "is half of a client certificate",
                    hint=step("give ", Flag(other), " too: a client certificate needs both its file and its key"),
                    setting=one,
                )
        if (self.username is None) != (self.password is None):
            raise InvalidSettings("a login needs both a user name and a password (username and password)")
