"""Which settings a record stores, so that a registry is reached again in the same way.

Logins are not among them: passwords are not stored.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, cast, get_args

from ..protocol.addresses import parse_networks
from ..settings import (
    HOST_FIELDS,
    LARGEST_CHUNK_SIZE,
    LARGEST_RATELIMIT_MIN,
    SMALLEST_CHUNK_SIZE,
    Dialect,
    Mount,
    Settings,
)

# By the names of `Settings`; pairs, so that records can be compared.
Kept = tuple[tuple[str, Any], ...]

_PATHS: Final = ("key", "ca_file", "cert", "key_file", "authfile")
_LISTS: Final = ("allow_realms", "allow_addresses")
_WORDS: Final = (
    *("plain_http", "tls_verify", "system_certs", "dialect", "chunk_size", "one_put", "no_clobber", "recheck", "mount"),
    "ratelimit_min",
)
_MOST_REALMS: Final = 1000
_MOST_HOSTS: Final = 1000
# Characters; Linux takes paths of 4096 bytes.
LONGEST: Final = 4096


def kept_of(settings: Settings) -> Kept:
    """Return the part of `settings` that a record stores: what differs from the defaults."""
    options = {name: getattr(settings, name) for name in _WORDS}
    options |= {name: str(path.absolute()) for name in _PATHS if (path := getattr(settings, name)) is not None}
    options |= {name: list(getattr(settings, name)) for name in _LISTS}
    usual = Settings(home=settings.home)
    told = {name: value for name, value in options.items() if value != _plain(getattr(usual, name))}
    if settings.hosts:
        told["hosts"] = {
            host: {name: _as_json(value) for name, value in fields.items()} for host, fields in settings.hosts.items()
        }
    return tuple(sorted(told.items()))


def read_kept(options: Mapping[str, Any]) -> Kept | None:
    """Return the options of a record that was read; None if we can't have written them.

    Unknown ones are left out.
    """
    known = {name: value for name, value in options.items() if name in _OPTIONS}
    if not all(_OPTIONS[name](value) for name, value in known.items()):
        return None
    return tuple(sorted(known.items())) if _goes_together(known) else None


def with_kept(base: Settings, kept: Kept, *, models: Path, lacks_files: bool = False) -> Settings:
    """Return `base` with the store and the options of a record. Raises `InvalidSettings`.

    A table of a host in `base` counts only if the record has none: there, flags may have won over it. If the record
    `lacks_files`, which are gone since, the table in `base` says the rest.
    """
    told = {name: _as_setting(name, value) for name, value in kept if name != "hosts"}
    tables = _kept_hosts(kept)
    if lacks_files:
        tables = {host: {**base.hosts.get(host, {}), **fields} for host, fields in tables.items()}
    return replace(base, models=models, hosts={**base.hosts, **tables}, **told)


def without_files(kept: Kept, is_gone: Callable[[str], bool]) -> Kept:
    """Return the options without the files that are gone; half of a client certificate goes with the other."""
    return tuple(
        (name, {host: _present(fields, is_gone) for host, fields in value.items()} if name == "hosts" else value)
        for name, value in _present(dict(kept), is_gone).items()
    )


def _present(fields: Mapping[str, Any], is_gone: Callable[[str], bool]) -> dict[str, Any]:
    gone = {name for name in _PATHS if name in fields and is_gone(fields[name])}
    if gone & {"cert", "key_file"}:
        gone |= {"cert", "key_file"}
    return {name: value for name, value in fields.items() if name not in gone}


def _kept_hosts(kept: Kept) -> dict[str, dict[str, Any]]:
    tables: Mapping[str, Mapping[str, Any]] = dict(kept).get("hosts", {})
    return {host: {name: _as_setting(name, value) for name, value in fields.items()} for host, fields in tables.items()}


def _as_setting(name: str, value: Any) -> Any:
    if name in _PATHS:
        return Path(value)
    return tuple(value) if name in _LISTS else value


def _as_json(value: object) -> object:
    return str(value.absolute()) if isinstance(value, Path) else _plain(value)


def is_path(value: object) -> bool:
    """Return whether it is an absolute path."""
    return isinstance(value, str) and 0 < len(value) <= LONGEST and "\0" not in value and Path(value).is_absolute()


def _are_realms(value: object) -> bool:
    return (
        type(value) is list
        and len(value) <= _MOST_REALMS
        and all(isinstance(realm, str) and realm.isprintable() and 0 < len(realm) <= LONGEST for realm in value)
    )


def _are_networks(value: object) -> bool:
    if not _are_realms(value):
        return False
    try:
        return bool(parse_networks(cast(list[str], value)))
    except ValueError:
        return False


def _goes_together(fields: Mapping[str, Any]) -> bool:
    is_whole = ("cert" in fields) == ("key_file" in fields)
    return is_whole and not (fields.get("chunk_size") is not None and fields.get("one_put"))


def _are_hosts(value: object) -> bool:
    return (
        isinstance(value, dict)
        and len(value) <= _MOST_HOSTS
        and all(isinstance(fields, dict) and fields.keys() <= {*HOST_FIELDS} for fields in value.values())
        and all(_goes_together(fields) for fields in value.values())
        and all(_OPTIONS[name](each) for fields in value.values() for name, each in fields.items())
    )


# The values that each option of a record may have: those that `Settings` takes.
_OPTIONS: Final[Mapping[str, Callable[[object], bool]]] = {
    "plain_http": lambda value: type(value) is bool,
    "tls_verify": lambda value: type(value) is bool,
    "system_certs": lambda value: type(value) is bool,
    "dialect": lambda value: value in get_args(Dialect),
    "chunk_size": lambda value: type(value) is int and SMALLEST_CHUNK_SIZE <= value <= LARGEST_CHUNK_SIZE,
    "one_put": lambda value: type(value) is bool,
    "no_clobber": lambda value: type(value) is bool,
    "recheck": lambda value: type(value) is bool,
    "mount": lambda value: value in get_args(Mount),
    "ratelimit_min": lambda value: type(value) is int and 0 <= value <= LARGEST_RATELIMIT_MIN,
    "allow_realms": _are_realms,
    "allow_addresses": _are_networks,
    "hosts": _are_hosts,
    **dict.fromkeys(_PATHS, is_path),
}


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
