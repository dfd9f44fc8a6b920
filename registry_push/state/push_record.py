"""`PushRecord`: a push that was begun, told so that another process can go on with it. Pure."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, Self, cast, get_args

from msgspec import Struct

from ..errors import InvalidDigest, InvalidName, UsageError
from ..model import HTTPOrigin, ModelName, Reference
from ..protocol.addresses import parse_networks
from ..settings import LARGEST_CHUNK_SIZE, SMALLEST_CHUNK_SIZE, Dialect, Settings

# What decides how a registry is reached and what is sent to it. No login: passwords are nothing to keep.
_PATHS: Final = ("key", "ca_file", "cert", "key_file", "authfile")
_LISTS: Final = ("allow_realms", "allow_addresses")
_WORDS: Final = ("plain_http", "tls_verify", "dialect", "chunk_size", "one_put", "no_clobber")
# A model has one target, and a tag for each `--tag`.
_MOST_REFERENCES: Final = 1000
_MOST_REALMS: Final = 1000
# Characters; Linux takes paths of 4096 bytes.
_LONGEST: Final = 4096


class PushRecord(Struct, frozen=True):
    """`model` of the store at `store` on its way to `references`, the main one first; `options` are of `Settings`."""

    store: str
    model: str
    references: tuple[str, ...]
    options: tuple[tuple[str, Any], ...]

    @classmethod
    def of(cls, store: Path, name: ModelName, references: Sequence[Reference], settings: Settings) -> Self:
        """Record that the model called `name` in the store at `store` goes to `references`."""
        options = {name: getattr(settings, name) for name in _WORDS}
        options |= {name: str(path.absolute()) for name in _PATHS if (path := getattr(settings, name)) is not None}
        options |= {name: list(getattr(settings, name)) for name in _LISTS}
        usual = Settings(home=settings.home)
        told = {name: value for name, value in options.items() if value != _plain(getattr(usual, name))}
        texts = tuple(str(reference) for reference in references)
        return cls(str(store.absolute()), str(name), texts, tuple(sorted(told.items())))

    @property
    def short(self) -> str:
        """The model's name as Ollama shows it."""
        try:
            return ModelName.parse(self.model).short
        except InvalidName:  # by another version, or a damaged disk
            return self.model

    @property
    def origin(self) -> HTTPOrigin | None:
        """Where it goes; None if that can't be read.

        For a host on this machine without a scheme this is http, even if something speaks of TLS there: a login may be
        sent to it either way.
        """
        try:
            reference = Reference.parse(self.references[0])
            return reference.origin(plain_http=bool(dict(self.options).get("plain_http")))
        except (InvalidName, InvalidDigest, IndexError):
            return None

    @property
    def text(self) -> str:
        """The order as the journal keeps it."""
        return json.dumps([self.store, self.model, self.references, dict(self.options)])

    @classmethod
    def read(cls, text: object) -> Self | None:
        """The order in `text`; None for what is none, as another version or a damaged disk may leave it."""
        try:
            store, model, references, options = json.loads(str(text))
            if not (_is_path(store) and type(references) is list and 0 < len(references) <= _MOST_REFERENCES):
                return None
            known = {name: value for name, value in options.items() if name in _OPTIONS}
            if not all(_OPTIONS[name](value) for name, value in known.items()) or ("cert" in known) != (
                "key_file" in known
            ):
                return None
            ModelName.parse(model)
            for reference in references:
                Reference.parse(reference)
            return cls(store, model, tuple(references), tuple(sorted(known.items())))
        except (ValueError, TypeError, AttributeError, RecursionError, UsageError):
            return None

    def settings(self, base: Settings) -> Settings:
        """`base` as the order was given: its store, and how its registry is reached. Raises `InvalidSettings`."""
        told: dict[str, Any] = {name: Path(value) if name in _PATHS else value for name, value in self.options}
        told |= {name: tuple(told[name]) for name in _LISTS if name in told}
        return replace(base, models=Path(self.store), **told)


def _is_path(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= _LONGEST and "\0" not in value and Path(value).is_absolute()


def _are_realms(value: object) -> bool:
    return (
        type(value) is list
        and len(value) <= _MOST_REALMS
        and all(isinstance(realm, str) and realm.isprintable() and 0 < len(realm) <= _LONGEST for realm in value)
    )


def _are_networks(value: object) -> bool:
    if not _are_realms(value):
        return False
    try:
        return bool(parse_networks(cast(list[str], value)))
    except ValueError:
        return False


# What each option of an order may be; the same that `Settings` takes.
_OPTIONS: Final[Mapping[str, Callable[[object], bool]]] = {
    "plain_http": lambda value: type(value) is bool,
    "tls_verify": lambda value: type(value) is bool,
    "dialect": lambda value: value in get_args(Dialect),
    "chunk_size": lambda value: type(value) is int and SMALLEST_CHUNK_SIZE <= value <= LARGEST_CHUNK_SIZE,
    "one_put": lambda value: type(value) is bool,
    "no_clobber": lambda value: type(value) is bool,
    "allow_realms": _are_realms,
    "allow_addresses": _are_networks,
    **dict.fromkeys(_PATHS, _is_path),
}


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
