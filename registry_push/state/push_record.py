"""`PushRecord`: a push that has begun, recorded so that another process can continue it. Pure."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Self

from msgspec import Struct

from ..errors import InvalidDigest, InvalidName, UsageError
from ..model import HTTPOrigin, ModelName, Reference
from ..settings import Settings
from .kept_options import Kept, is_path, kept_of, read_kept, with_kept

# A model has one target, and a tag for each `--tag`.
_MOST_REFERENCES: Final = 1000


class PushRecord(Struct, frozen=True):
    """`model` of the store at `store` on its way to `references`, the main one first; `options` are of `Settings`."""

    store: str
    model: str
    references: tuple[str, ...]
    options: Kept

    @classmethod
    def of(cls, store: Path, name: ModelName, references: Sequence[Reference], settings: Settings) -> Self:
        """Record that the model called `name` in the store at `store` goes to `references`."""
        texts = tuple(str(reference) for reference in references)
        return cls(str(store.absolute()), str(name), texts, kept_of(settings))

    @property
    def short(self) -> str:
        """The model's name as Ollama shows it."""
        try:
            return ModelName.parse(self.model).short
        except InvalidName:  # written by another version, or damaged
            return self.model

    @property
    def target(self) -> str:
        """The target, for messages."""
        return self.references[0]

    @property
    def origin(self) -> HTTPOrigin | None:
        """The target; None if it can't be parsed.

        For a host on this machine without a scheme this is http, even if TLS is configured for it: a login may be sent
        to this machine either way.
        """
        try:
            reference = Reference.parse(self.references[0])
            return reference.origin(plain_http=bool(dict(self.options).get("plain_http")))
        except (InvalidName, InvalidDigest, IndexError):
            return None

    @property
    def text(self) -> str:
        """The record as the journal stores it."""
        return json.dumps([self.store, self.model, self.references, dict(self.options)])

    @classmethod
    def read(cls, text: object) -> Self | None:
        """Return the record in `text`; None if it is none: another version or a damaged disk may have written it."""
        try:
            store, model, references, options = json.loads(str(text))
            if not (is_path(store) and type(references) is list and 0 < len(references) <= _MOST_REFERENCES):
                return None
            ModelName.parse(model)
            for reference in references:
                Reference.parse(reference)
            kept = read_kept(options)
            return cls(store, model, tuple(references), kept) if kept is not None else None
        except (ValueError, TypeError, AttributeError, RecursionError, UsageError):
            return None

    def settings(self, base: Settings) -> Settings:
        """Return `base` with the push's store and the way it reached its registry. Raises `InvalidSettings`."""
        return with_kept(base, self.options, models=Path(self.store))
