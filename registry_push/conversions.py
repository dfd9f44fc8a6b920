"""Conversions of values to those that `Settings` holds. Each takes a field's name and a value; raises
`InvalidSettings`."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from ipaddress import ip_network
from pathlib import Path
from typing import Any, Final, get_args

from .errors import InvalidSettings, printable
from .homes import expanded, usual_home
from .text.patterns import LazyPattern
from .text.quantities import parse_duration, parse_rate, parse_size
from .text.user_part import without_login

_WHOLE: Final = LazyPattern(r"\s*+[+-]?[0-9]{1,12}\s*+\Z")


def wrong(name: str, value: object, wanted: str) -> InvalidSettings:
    """Return the error for a `value` that is not what is `wanted`."""
    shown = printable(repr(value), limit=60)
    return InvalidSettings(f"can't be {without_login(shown)}", hint=f"give {wanted}", setting=name)


def as_whole(name: str, value: object) -> int:
    """Take a whole number, or text that spells one."""
    if isinstance(value, str) and _WHOLE.compiled.match(value):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise wrong(name, value, "a whole number")
    return value


def as_whole_or_none(name: str, value: object) -> int | None:
    """As `as_whole`, for what need not be set."""
    return None if value is None else as_whole(name, value)


def as_size(name: str, value: object) -> int | None:
    """Take bytes, or text such as `64MiB`."""
    if isinstance(value, str):
        return parse_size(value, setting=name)
    if value is not None and (isinstance(value, bool) or not isinstance(value, int)):
        raise wrong(name, value, "a whole number of bytes, or a size such as 64MiB")
    return value


def as_rate(name: str, value: object) -> int | None:
    """Take bytes a second, or text such as `20MB/s` or `off`."""
    return parse_rate(value, setting=name) if isinstance(value, str) else as_size(name, value)


def as_seconds(name: str, value: object) -> float:
    """Take seconds, or text such as `5m`."""
    if isinstance(value, str):
        return parse_duration(value, setting=name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise wrong(name, value, "seconds, or a duration such as 90s or 5m")
    return value


def as_path(name: str, value: object) -> Path | None:
    """Take a path; in text, `~` is expanded."""
    if value is None:
        return None
    text = os.fspath(value) if isinstance(value, str | os.PathLike) else None
    if not isinstance(text, str) or not text or "\0" in text or not _is_encodable(text):
        raise wrong(name, value, "a path")
    if isinstance(value, Path):
        return value
    try:
        return expanded(text, usual_home())
    except InvalidSettings as error:
        raise InvalidSettings(error.message, hint=error.next_step, setting=name) from error


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
        raise wrong(name, value, "true or false")
    return value


def one_of(choices: Any) -> Callable[[str, Any], Any]:
    """Take one of the words of a `Literal`."""
    words = get_args(choices)

    def convert(name: str, value: Any) -> Any:
        if not isinstance(value, str) or value not in words:
            raise wrong(name, value, f"one of {', '.join(words)}")
        return value

    return convert


def as_text(name: str, value: object) -> str:
    """Take text of characters that can be printed."""
    if not isinstance(value, str) or not value or not value.isprintable():
        raise wrong(name, value, "text of printable characters")
    return value


def as_header(name: str, value: object) -> str:
    """Take text that a header can carry."""
    if not isinstance(value, str):
        raise wrong(name, value, "text")
    if not value.isprintable() or not value.isascii():
        raise InvalidSettings("has characters that no header can carry", setting=name)
    return value


def as_username(name: str, value: object) -> str | None:
    """Take a user name."""
    if value is not None and not isinstance(value, str):
        raise wrong(name, value, "text")
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
        raise wrong(name, value, "a list of texts")
    texts = (value,) if isinstance(value, str) else tuple(value)
    if not all(isinstance(text, str) and text for text in texts):
        raise wrong(name, value, "a list of texts")
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


def as_hosts(name: str, value: object) -> Mapping[str, Mapping[str, object]]:
    """Take settings that differ at some registries: for `host[:port]`, values by their names."""
    if not isinstance(value, Mapping) or not all(isinstance(fields, Mapping) for fields in value.values()):
        raise wrong(name, value, "a mapping of hosts to settings")
    return {str(host).lower(): fields for host, fields in value.items()}


def as_environ(name: str, value: object) -> Mapping[str, str]:
    """Take an environment."""
    if not isinstance(value, Mapping) or not all(isinstance(text, str) for pair in value.items() for text in pair):
        raise InvalidSettings("can't be anything but a mapping of texts", hint="give os.environ, or {}", setting=name)
    return value
