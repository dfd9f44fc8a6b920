"""What regsync's `defaults` and the items of its `sync` have in common."""

from __future__ import annotations

from typing import Final, Self

from msgspec import Struct

from .converted import Notes
from .reading import Reader
from .yaml_tree import Table

_SCHEDULES: Final = "there are no schedules here: run sync by a timer or by cron"
_ALWAYS_ALL: Final = "images are copied with all of their content here"
# Keys of both, and what is to say about those that are not taken over.
_NOT_TAKEN: Final = {
    "interval": _SCHEDULES,
    "schedule": _SCHEDULES,
    "mediaTypes": "manifests of all types are copied",
    "hooks": "there are no hooks here: run what they run before or after sync",
    "referrerSource": "referrers are copied from the repository of their image",
    "referrerTarget": "referrers are copied into the repository of their image",
}
# The same of those that are true or false.
_SWITCHES: Final = {
    "fastCopy": "what is at the target already is looked up, not copied, without this too",
    "fastCheck": "what is at the target already is looked up, not copied, without this too",
    "forceRecursive": "content that a target lacks below a manifest is looked for with recheck = true in [defaults]",
    "includeExternal": _ALWAYS_ALL,
    "referrerSlow": "referrers that need it are looked up the slow way without this too",
}
SHARED: Final = frozenset(
    {
        *("backup", "ratelimit", "digestTags", "referrers", "referrerFilters"),
        *_NOT_TAKEN,
        *_SWITCHES,
    }
)


class Usual(Struct, frozen=True):
    """What holds for an item that does not say: which referrers are copied, and how many requests have to be left."""

    copies: bool
    digest_tags: bool
    kind: str | None
    least_left: int

    @classmethod
    def of(cls, table: Table, notes: Notes) -> Self:
        """Return what `defaults` says, with notes on what is not taken over."""
        note_others(table, "defaults.", notes)
        read = Reader(notes)
        return cls(
            bool(read.switch(table.get("referrers"), "defaults.referrers")),
            bool(read.switch(table.get("digestTags"), "defaults.digestTags")),
            filtered_kind(table, "defaults.", notes),
            least_left(table, "defaults.", notes),
        )

    @property
    def referrers(self) -> str:
        """As our plans say it."""
        if self.copies:
            return self.kind or "all"
        return "all" if self.digest_tags else "none"


def note_others(table: Table, before: str, notes: Notes) -> None:
    read = Reader(notes)
    for key, said in _NOT_TAKEN.items():
        if (found := table.get(key)) is not None:
            notes.add(found.line, f"{before}{key}", said)
    for key, said in _SWITCHES.items():
        found = table.get(key)
        if found is not None and read.switch(found, f"{before}{key}"):
            notes.add(found.line, f"{before}{key}", said)
    tags, referrers = table.get("digestTags"), table.get("referrers")
    with_tags = read.switch(tags, f"{before}digestTags")
    with_referrers = read.switch(referrers, f"{before}referrers")
    if tags is not None and with_tags and not with_referrers:
        notes.add(tags.line, f"{before}digestTags", 'referrers = "all" copies all kinds of referrers besides')
    if referrers is not None and with_referrers and not with_tags:
        notes.add(referrers.line, f"{before}referrers", "tags such as sha256-….sig are copied with them here")


def filtered_kind(table: Table, before: str, notes: Notes) -> str | None:
    """Return the only type of referrers that is wanted; None: all of them."""
    found = table.get("referrerFilters")
    key = f"{before}referrerFilters"
    read = Reader(notes)
    filters = read.tables(found, key)
    if found is None or not filters:
        return None
    kind = read.text(filters[0].get("artifactType"), key)
    if len(filters) == 1 and kind and "/" in kind and filters[0].get("annotations") is None:
        return kind
    notes.add(found.line, key, "referrers of all types are copied: a filter here is one artifact type")
    return None


def least_left(table: Table, before: str, notes: Notes) -> int:
    read = Reader(notes)
    limit = read.table(table.get("ratelimit"), f"{before}ratelimit")
    if limit is None:
        return 0
    if (retry := limit.get("retry")) is not None:
        said = "the registry's own words decide when requests go on"
        notes.add(retry.line, f"{before}ratelimit.retry", said)
    return max(read.whole(limit.get("min"), f"{before}ratelimit.min") or 0, 0)
