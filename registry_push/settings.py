"""`Settings`: what a run is told, frozen. Defaults < configuration file < environment < flags."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from ipaddress import ip_network
from pathlib import Path
from types import MappingProxyType
from typing import Final, Literal

from . import __version__
from .errors import InvalidSettings, printable
from .patterns import LazyPattern

Dialect = Literal["auto", "oci", "ollama"]
# Who says something, and whose a login is: who runs this process, or who asks the service for a push.
Party = Literal["runner", "request"]
# Which files are hashed before they are committed: those that have changed since they were, all, none.
Verify = Literal["changed", "always", "never"]

# Eight uploads at once fill a 1 Gbit/s line at 50 ms and are what a small registry bears; Ollama uses 16 parts.
DEFAULT_JOBS: Final = 8
# Longer than a busy registry takes between two reads, shorter than anyone waits at a dead line.
DEFAULT_TIMEOUT: Final = 60.0
DEFAULT_RETRIES: Final = 5
# Seconds. Who has waited for so long in vain is told, rather than kept.
DEFAULT_RETRY_FOR: Final = 300.0
# Bytes. A chunk of one byte can't be told from none (distribution 2); 1 MiB costs twice the time already.
SMALLEST_CHUNK_SIZE: Final = 64 * 1024
LARGEST_CHUNK_SIZE: Final = 5 * 1024**4

_UNITS: Final = {
    "": 1,
    "b": 1,
    **{prefix + suffix: 1000**n for n, prefix in enumerate("kmgt", 1) for suffix in ("", "b")},
    **{prefix + "ib": 1024**n for n, prefix in enumerate("kmgt", 1)},
}
_NUMBER: Final = r"([0-9]{1,9}(?:\.[0-9]{1,6})?)"
_DURATION: Final = LazyPattern(
    rf"\s*+(?:{_NUMBER}|(?:{_NUMBER}d)?(?:{_NUMBER}h)?(?:{_NUMBER}m(?:in)?)?(?:{_NUMBER}s)?)\s*+\Z", re.IGNORECASE
)
_SECONDS: Final = (86_400.0, 3600.0, 60.0, 1.0)
_SIZE: Final = LazyPattern(r"\s*+([0-9]{1,12}(?:\.[0-9]{1,6})?)\s*+([A-Za-z]{0,3})\s*+\Z")


def home_folder(variable: str | None) -> Path | None:
    """The user's home: `variable` (what `$HOME` says), else by the system's user database; None if neither knows one.

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
    """The home of this process' user, as Python finds it; None if there is none."""
    try:
        return home_folder(str(Path.home()))
    except RuntimeError:
        return None


@dataclass(frozen=True, slots=True)
class Settings:
    """All that can be set. `environ` is what the face that was started read; nothing else reads the environment.

    `home` is None for a user without a home folder, such as a container's numeric user: nothing is looked for there.
    """

    home: Path | None = field(default_factory=usual_home)
    environ: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}), repr=False)

    models: Path | None = None
    key: Path | None = None

    plain_http: bool = False
    http_said_by: Party = "runner"  # whose word it is where http is spoken: by it, and only by it, logins go over http
    tls_verify: bool = True
    ca_file: Path | None = None
    cert: Path | None = None
    key_file: Path | None = None

    authfile: Path | None = None
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    allow_realms: tuple[str, ...] = ()
    allow_addresses: tuple[str, ...] = ()  # addresses and networks that registries may send us to, whatever they are

    state_dir: Path | None = None  # where uploads under way are noted; None: nowhere, none can be resumed

    dialect: Dialect = "auto"
    jobs: int = DEFAULT_JOBS
    chunk_size: int | None = None  # bytes; None: as the registry takes them
    one_put: bool = False  # no chunks: each blob goes whole, in one PUT
    timeout: float = DEFAULT_TIMEOUT  # seconds in which at least something must move
    retries: int = DEFAULT_RETRIES  # tries without progress
    retry_for: float = DEFAULT_RETRY_FOR  # seconds of trouble without progress
    verify: Verify = "changed"
    no_clobber: bool = False  # leave a tag that is there and names another manifest as it is
    recheck: bool = False  # ask for every blob, also where the manifest is at the target already
    bwlimit: int | None = None  # bytes a second of all bodies together; None and 0: no limit
    congestion: str = "auto"  # of TCP: "auto", "system" or a name the kernel knows
    user_agent: str = f"registry-push/{__version__}"
    debug: bool = False  # tell of each request and answer, secrets left out

    def __post_init__(self) -> None:
        _within("--jobs", self.jobs, 1, 256)
        _within("--timeout", self.timeout, 1, 24 * 3600)
        _within("--retries", self.retries, 0, 100)
        _within("--retry-for", self.retry_for, 0, 7 * 24 * 3600)
        if self.chunk_size is not None:
            _within("--chunk-size", self.chunk_size, SMALLEST_CHUNK_SIZE, LARGEST_CHUNK_SIZE)
            if self.one_put:
                raise InvalidSettings(
                    "--one-put sends no chunks, and --chunk-size says how long they are", hint="leave one of them out"
                )
        if self.bwlimit:
            _within("--bwlimit", self.bwlimit, 1024, 10**12)
        if (self.cert is None) != (self.key_file is None):
            raise InvalidSettings("a client certificate needs both --cert and --key-file")
        if self.username is not None and ":" in self.username:  # RFC 7617: Basic can't say it
            raise InvalidSettings("--username has a colon, which no login can have")
        if (self.username is None) != (self.password is None):
            raise InvalidSettings("a login needs both --username and --password-stdin")
        for network in self.allow_addresses:
            _check_network(network)
        if not self.user_agent.isprintable() or not self.user_agent.isascii():
            raise InvalidSettings("--user-agent has characters that no header can carry")


def _check_network(text: str) -> None:
    try:
        ip_network(text.strip().strip("[]"), strict=False)
    except ValueError as error:
        shown = printable(repr(text), limit=60)
        raise InvalidSettings(
            f"--allow-address {shown} is no address and no network",
            hint="write an address such as 10.1.2.3, or a network such as 10.0.0.0/8",
        ) from error


def parse_size(text: str) -> int:
    """Bytes in `64MiB`, `100MB`, `5g` or `1048576` (k, M, G, T are powers of 1000, with `i` of 1024).

    Raises `InvalidSettings`.
    """
    found = _SIZE.compiled.match(text)
    unit = _UNITS.get(found[2].lower()) if found else None
    if found is None or unit is None:
        shown = printable(repr(text), limit=60)
        raise InvalidSettings(f"{shown} is not a size", hint="write a number with B, kB, MB, GB, KiB, MiB or GiB")
    return int(Decimal(found[1]) * unit)


def parse_rate(text: str) -> int:
    """Bytes a second in `20MB`, `20M`, `20MiB/s` or `off`, which is 0: no limit. Raises `InvalidSettings`."""
    bare = text.strip().lower()
    if bare in ("0", "off", "none"):
        return 0
    try:
        return parse_size(bare.removesuffix("/s").removesuffix("ps"))
    except InvalidSettings:
        shown = printable(repr(text), limit=60)
        raise InvalidSettings(f"{shown} is not a rate", hint="write bytes a second: 20MB, 20MiB/s, or off") from None


def parse_duration(text: str) -> float:
    """Seconds in `90`, `90s`, `5m`, `1h30m` or `1d`. Raises `InvalidSettings`."""
    found = _DURATION.compiled.match(text)
    if found is None or not any(found.groups()):
        shown = printable(repr(text), limit=60)
        raise InvalidSettings(
            f"{shown} is not a duration", hint="write seconds, or a number with s, m, h or d: 90s, 5m"
        )
    bare, *parts = found.groups()
    if bare is not None:
        return float(bare)
    return sum(float(part) * seconds for part, seconds in zip(parts, _SECONDS, strict=True) if part)


def check_text(what: str, text: str, source: str) -> None:
    """Raises `InvalidSettings` if `text`, which `source` holds, is none: it has bytes that are no UTF-8, which Python
    keeps as halves of characters, or such halves that JSON has spelt."""
    try:
        text.encode()
    except UnicodeEncodeError:  # it holds the text, which may be secret
        raise InvalidSettings(f"the {what} from {source} is not UTF-8", hint=f"write the {what} in UTF-8") from None


def _within(flag: str, value: float, least: float, most: float) -> None:
    if not least <= value <= most:
        shown = f"{value:g}" if abs(value) < 1e18 else "with so large a number"
        raise InvalidSettings(f"{flag} {shown} is out of range", hint=f"give {flag} from {least:g} to {most:g}")
