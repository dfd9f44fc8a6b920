"""`Settings`: the settings of a run, frozen. Defaults < configuration file < environment < flags."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Final, Literal

from .conversions import (
    as_environ,
    as_header,
    as_hosts,
    as_networks,
    as_path,
    as_rate,
    as_seconds,
    as_secret,
    as_size,
    as_switch,
    as_text,
    as_texts,
    as_username,
    as_whole,
    as_whole_or_none,
    one_of,
    wrong,
)
from .errors import InvalidSettings
from .homes import usual_home
from .model.reference import DOCKER_HUB
from .setting import Setting
from .text.hint import Setting as Flag
from .text.hint import step
from .text.quantities import spelt_duration, spelt_size
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
# Reads of manifests: more than any registry allows in a window.
LARGEST_RATELIMIT_MIN: Final = 10**9

# What can differ from one registry to the next.
HOST_FIELDS: Final = (
    *(
        "plain_http",
        "tls_verify",
        "system_certs",
        "ca_file",
        "cert",
        "key_file",
        "authfile",
        "key",
        "allow_realms",
        "dialect",
    ),
    *("chunk_size", "one_put", "ratelimit_min"),
)


def check_text(what: str, text: str, source: str) -> None:
    """Raise `InvalidSettings` if `text`, which `source` holds, is none: it has bytes that are no UTF-8, which Python
    keeps as halves of characters, or such halves that JSON has spelt."""
    try:
        text.encode()
    except UnicodeEncodeError:  # it holds the text, which may be secret
        raise InvalidSettings(f"the {what} from {source} is not UTF-8", hint=f"write the {what} in UTF-8") from None


def with_ports(host: str) -> tuple[str, ...]:
    """Return `host[:port]`, and the same with https's port added or left out."""
    name, colon, port = host.rpartition(":")
    if colon and port == "443":
        return host, name
    return (host,) if colon and port.isdigit() else (host, f"{host}:443")


def _check_range(name: str, value: float, least: float, most: float, spell: Callable[[float], str]) -> None:
    if not least <= value <= most:
        shown = spell(value) if not abs(value) >= 1e18 else "with so large a number"
        raise InvalidSettings(
            f"{shown} is out of range", hint=f"give a value from {spell(least)} to {spell(most)}", setting=name
        )


def _number(number: float) -> str:
    return f"{number:g}"


def spelt_rate(number: float) -> str:
    """Return bytes a second as people write them: `20 MB/s`."""
    return f"{spelt_size(number)}/s"


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
    # Whether to trust what the system's own store does (macOS, Windows), by the extra `truststore`.
    system_certs: Setting[bool, bool] = Setting(as_switch, lambda: False)
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
    # Reads of manifests that are left unused where the registry says how many it allows; None: its limit is met.
    ratelimit_min: Setting[int | str | None, int | None] = Setting(as_whole_or_none)
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
    hosts: Setting[Mapping[str, Mapping[str, object]], Mapping[str, Mapping[str, object]]] = Setting(as_hosts, dict)
    debug: Setting[bool, bool] = Setting(as_switch, lambda: False)  # tell of each request and answer, secrets left out

    def __post_init__(self) -> None:
        _check_range("jobs", self.jobs, 1, 256, _number)
        _check_range("timeout", self.timeout, 1, 24 * 3600, spelt_duration)
        _check_range("retries", self.retries, 0, 100, _number)
        _check_range("retry_for", self.retry_for, 0, 7 * 24 * 3600, spelt_duration)
        if self.ratelimit_min is not None:
            _check_range("ratelimit_min", self.ratelimit_min, 0, LARGEST_RATELIMIT_MIN, _number)
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
        for host, fields in self.hosts.items():
            if not fields.keys() <= {*HOST_FIELDS}:
                raise wrong("hosts", host, f"for each host some of {', '.join(HOST_FIELDS)}")
            try:
                self.at(host)
            except InvalidSettings as error:
                raise error.at(host) from error

    def at(self, host: str) -> Settings:
        """Return the settings for the registry at `host[:port]`; its default port may be left out.

        A table for one of Docker Hub's names counts for all of them.
        """
        host = host.lower()
        names = (host, *sorted(DOCKER_HUB)) if host in DOCKER_HUB else with_ports(host)
        found = next((self.hosts[each] for each in names if each in self.hosts), None)
        if found is None:
            return self
        usual: dict[str, object] = {"hosts": {}}
        if "chunk_size" in found:  # of these two, the registry's own goes before the other one for all
            usual["one_put"] = False
        if found.get("one_put"):
            usual["chunk_size"] = None
        return replace(self, **{**usual, **found})  # type: ignore[arg-type]
