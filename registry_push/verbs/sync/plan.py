"""`SyncPlan`: what is copied where, again and again, as a plan says it."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Any, Final, Literal

from msgspec import Struct, field

from ...model.mapping import CopyTarget
from ...model.place import SourcePlace
from ...model.renaming import Renaming
from ...model.tag_filter import TagFilter

# What is done with a tag that is at the target and names another manifest: it is moved, left alone, or an error.
OnExists = Literal["update", "keep", "error"]

_ALL_TAGS: Final = TagFilter()
_NO_RENAMING: Final = Renaming()


class Backup(Struct, frozen=True):
    """The tag under which a manifest stays at the target before its tag is moved."""

    template: str

    def tag(self, tag: str, date: str, time: str) -> str:
        """Return the tag for what was `tag` on that `date` at that `time`."""
        return self.template.replace("{tag}", tag).replace("{date}", date).replace("{time}", time)

    def may_be(self, tag: str) -> bool:
        """Return whether `tag` may be a backup: one that a run has made is never deleted."""
        glob = self.template
        for each in ("{tag}", "{date}", "{time}"):
            glob = glob.replace(each, "*")
        return fnmatchcase(tag, glob) or fnmatchcase(tag, f"{glob}-[0-9]*")  # numbered, if there are several


class Entry(Struct, frozen=True):
    """One `[[sync]]` of a plan. `where` is its file and line, `source_text` how its source is written.

    `models` are globs on the names of models or repositories; those with a `!` before them leave out.
    """

    number: int
    where: str
    source: SourcePlace
    source_text: str
    targets: tuple[CopyTarget, ...]
    models: tuple[str, ...] = ()
    tags: TagFilter = _ALL_TAGS
    renaming: Renaming = _NO_RENAMING
    on_exists: OnExists = "update"
    backup: Backup | None = None
    referrers: str | None = None


class SyncPlan(Struct, frozen=True):
    """The entries of the plan at `path`; `settings`, and those of single hosts, as fields of `Settings`."""

    path: str
    entries: tuple[Entry, ...]
    settings: dict[str, Any] = field(default_factory=dict)
    hosts: dict[str, dict[str, Any]] = field(default_factory=dict)
