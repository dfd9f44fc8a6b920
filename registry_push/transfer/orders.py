"""`Order`: a push that was begun, told so that another process can go on with it. Pure."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, Self

from msgspec import Struct

from ..errors import InvalidDigest, InvalidName
from ..model import HTTPOrigin, ModelName, Reference
from ..settings import Settings
from .plan import PlannedModel

# What decides how a registry is reached and what is sent to it. No login: passwords are nothing to keep.
_PATHS: Final = ("key", "ca_file", "cert", "key_file", "authfile")
_LISTS: Final = ("allow_realms", "allow_addresses")
_WORDS: Final = ("plain_http", "tls_verify", "dialect", "chunk_size")


class Order(Struct, frozen=True):
    """`model` of the store at `store` on its way to `references`, the main one first; `options` are of `Settings`."""

    store: str
    model: str
    references: tuple[str, ...]
    options: tuple[tuple[str, Any], ...]

    @classmethod
    def of(cls, store: Path, model: PlannedModel, settings: Settings) -> Self:
        """The order to push `model`."""
        options = {name: getattr(settings, name) for name in _WORDS}
        options |= {name: str(path.absolute()) for name in _PATHS if (path := getattr(settings, name)) is not None}
        options |= {name: list(getattr(settings, name)) for name in _LISTS}
        usual = Settings(home=settings.home)
        told = {name: value for name, value in options.items() if value != _plain(getattr(usual, name))}
        references = tuple(str(reference) for reference in model.references)
        return cls(str(store.absolute()), str(model.name), references, tuple(sorted(told.items())))

    @property
    def short(self) -> str:
        """The model's name as Ollama shows it."""
        try:
            return ModelName.parse(self.model).short
        except InvalidName:  # by another version, or a damaged disk
            return self.model

    @property
    def origin(self) -> HTTPOrigin | None:
        """Where it goes; None if that can't be read."""
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
            known = {name: value for name, value in options.items() if name in (*_WORDS, *_PATHS, *_LISTS)}
            return cls(str(store), str(model), tuple(map(str, references)), tuple(sorted(known.items())))
        except (ValueError, TypeError, AttributeError):
            return None

    def settings(self, base: Settings) -> Settings:
        """`base` as the order was given: its store, and how its registry is reached. Raises `InvalidSettings`."""
        told: dict[str, Any] = {name: Path(value) if name in _PATHS else value for name, value in self.options}
        told |= {name: tuple(told[name]) for name in _LISTS if name in told}
        return replace(base, models=Path(self.store), **told)


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
