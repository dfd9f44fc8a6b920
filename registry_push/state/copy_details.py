"""`CopyDetails`: the options of a filtered copy, an export or an import that is recorded, to be continued. Pure."""

from __future__ import annotations

from typing import Any, Final, Self

from msgspec import Struct
from msgspec.structs import asdict

from ..model.descriptor import MAX_SIZE
from ..model.tag_filter import TagFilter
from .kept_options import is_path

_FLAGS: Final = ("verify_medium", "partial", "check")
# Inventories and archives of one export.
_MOST: Final = 1000


class CopyDetails(Struct, frozen=True):
    """As `verbs.copy.copy`, `verbs.export.export` and `verbs.importing.import_models` take them.

    `since` are absolute paths.
    """

    since: tuple[str, ...] = ()
    split: int | None = None
    verify_medium: bool = False
    partial: bool = False
    check: bool = True
    tag_filter: TagFilter | None = None

    @property
    def fields(self) -> dict[str, Any]:
        """Those that are not the default, as JSON has them."""
        given, usual = asdict(self), asdict(CopyDetails())
        return {name: _as_json(value) for name, value in given.items() if value != usual[name]}

    @classmethod
    def read(cls, fields: Any) -> Self | None:
        """Return the details in decoded JSON; None if they are none."""
        if not isinstance(fields, dict) or not fields.keys() <= {"since", "split", "tag_filter", *_FLAGS}:
            return None
        since, split = fields.get("since", []), fields.get("split")
        if type(since) is not list or len(since) > _MOST or not all(map(is_path, since)):
            return None
        if not (split is None or (type(split) is int and 0 < split <= MAX_SIZE)):
            return None
        if not all(type(fields[name]) is bool for name in _FLAGS if name in fields):
            return None
        tag_filter = TagFilter.read(fields["tag_filter"]) if "tag_filter" in fields else None
        if "tag_filter" in fields and tag_filter is None:
            return None
        return cls(**{**fields, "since": tuple(since), "tag_filter": tag_filter})


def _as_json(value: Any) -> Any:
    if isinstance(value, TagFilter):
        return value.fields
    return list(value) if isinstance(value, tuple) else value
