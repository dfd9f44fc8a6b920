"""`CopyRecord`: a copy or a pull that has begun, recorded so that another process can continue it. Pure."""

from __future__ import annotations

import json
from collections.abc import Sequence
from os.path import abspath
from pathlib import Path
from typing import Any, Final, Self

from msgspec import Struct

from ..errors import InvalidDigest, UsageError
from ..model import HTTPOrigin
from ..model.mapping import CopyTarget, parse_copy_target
from ..model.place import Below, Exactly, SourcePlace, parse_source, spelt
from ..settings import Settings
from ..text.several import several
from .copy_details import CopyDetails
from .kept_options import LONGEST, Kept, is_path, kept_of, read_kept, with_kept

_VERBS: Final = ("copy", "pull", "export", "import")
_PLAIN: Final = CopyDetails()
# Places of one command, and tags that it sets.
_MOST: Final = 1000


class CopyRecord(Struct, frozen=True):
    """What is copied where: all places as users write them, with absolute paths. `options` are fields of `Settings`.

    `store` is the local store, also if it is neither end. `referrers` is None if the user gave none.
    """

    verb: str
    store: str
    sources: tuple[str, ...]
    target: str
    tags: tuple[str, ...]
    referrers: str | None
    options: Kept
    details: CopyDetails = _PLAIN

    @classmethod
    def of(
        cls,
        verb: str,
        store: Path,
        sources: Sequence[SourcePlace],
        target: CopyTarget,
        settings: Settings,
        *,
        tags: Sequence[str],
        referrers: str | None,
        details: CopyDetails = _PLAIN,
    ) -> Self:
        """Record that all of `sources` goes to `target`."""
        places, options = tuple(spelt(place, abspath) for place in sources), kept_of(settings)
        to = spelt(target, abspath)
        return cls(verb, str(store.absolute()), places, to, tuple(tags), referrers, options, details)

    @property
    def short(self) -> str:
        """What is copied, for messages."""
        return several(self.sources)

    @property
    def origin(self) -> HTTPOrigin | None:
        """The registry that is written to; None if it is none."""
        is_plain = bool(dict(self.options).get("plain_http"))
        match parse_copy_target(self.target):
            case Exactly(reference):
                return reference.origin(plain_http=is_plain)
            case Below() as below:
                return below.origin(plain_http=is_plain)
            case _:
                return None

    @property
    def text(self) -> str:
        """The record as the journal stores it."""
        fields = [self.store, self.sources, self.target, self.tags, self.referrers, dict(self.options)]
        return json.dumps({self.verb: [*fields, *([self.details.fields] if self.details != _PLAIN else [])]})

    @classmethod
    def read(cls, text: object) -> Self | None:
        """Return the record in `text`; None if it is none: another version or a damaged disk may have written it."""
        try:
            [(verb, (store, sources, target, tags, referrers, options, *more))] = json.loads(str(text)).items()
            if verb not in _VERBS or not is_path(store) or not _are_texts(sources, 1) or not _are_texts(tags, 0):
                return None
            if not (referrers is None or _are_texts([referrers], 1)):
                return None
            for source in sources:
                parse_source(source)
            parse_copy_target(target)
            kept, details = read_kept(options), CopyDetails.read(more[0] if more else {})
            if kept is None or details is None or len(more) > 1:
                return None
            return cls(verb, store, tuple(sources), target, tuple(tags), referrers, kept, details)
        except (ValueError, TypeError, AttributeError, RecursionError, UsageError, InvalidDigest):
            return None

    def settings(self, base: Settings) -> Settings:
        """Return `base` with the command's store and the way it reached registries. Raises `InvalidSettings`."""
        return with_kept(base, self.options, models=Path(self.store))


def _are_texts(value: Any, least: int) -> bool:
    return (
        type(value) is list
        and least <= len(value) <= _MOST
        and all(isinstance(each, str) and each.isprintable() and 0 < len(each) <= LONGEST for each in value)
    )
