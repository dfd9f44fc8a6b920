"""The items of regsync's `sync`, as entries of a plan."""

from __future__ import annotations

from functools import partial
from typing import Final

from .converted import Notes, Unconvertible
from .globs import Filter
from .images import Image, parse_host, parse_image
from .plan_writer import Entry
from .reading import Reader
from .regsync_filters import Filters, UnconvertibleAt, at_pair
from .regsync_usual import SHARED, Usual, filtered_kind, least_left, note_others
from .templates import backup_tag, expanded
from .yaml_tree import Table

FALLBACK_BACKUP: Final = "{tag}-before-{date}"
_PLATFORMS: Final = "all platforms are copied: to leave some out would change the digest"
_KNOWN: Final = SHARED | {"source", "target", "type", "tags", "tagSets", "repos", "platform", "platforms"}


class Entries:
    """The entries that the items become."""

    def __init__(self, usual: Usual, notes: Notes) -> None:
        self.found: list[Entry] = []
        self.least_left = usual.least_left
        self._usual = usual
        self._notes = notes
        self._read = Reader(notes)
        self._filters = Filters(notes)

    def take(self, table: Table) -> None:
        """Convert one item."""
        self._read.note_unknown(table, _KNOWN, "sync.", "regsync")
        note_others(table, "sync.", self._notes)
        for key in ("platform", "platforms"):
            if (platform := table.get(key)) is not None:
                self._notes.add(platform.line, f"sync.{key}", _PLATFORMS)
        self._note_limit(table)
        backup, referrers = self._backup(table), self._referrers(table)
        source, target = "registry:SOURCE", "registry:TARGET"
        left_out, filters = None, [(Filter(), Filter())]
        try:
            source, target = self._places(table)
            filters = self._filters.of(table)
        except UnconvertibleAt as error:
            line = table.line if error.line is None else error.line
            self._notes.add(line, f"sync.{error.key}", f"not converted, but left as a comment: {error}")
            left_out = f"line {line}, {error.key} not converted: {error}"
        many = len(filters) > 1
        for at, (models, tags) in enumerate(filters):
            said = (f"line {table.line}, in {len(filters)} entries that add up",) if many and not at else ()
            self.found.append(Entry(source, target, models, tags, backup, referrers, said, left_out))

    def _note_limit(self, table: Table) -> None:
        limit = self._read.table(table.get("ratelimit"), "sync.ratelimit")
        least = least_left(table, "sync.", self._notes)
        found = limit.get("min") if limit is not None else None
        if found is not None and least != self._usual.least_left:
            said = "ratelimit-min is one for the whole plan, the highest of all"
            self._notes.add(found.line, "sync.ratelimit.min", said)
        self.least_left = max(self.least_left, least)

    def _backup(self, table: Table) -> str | None:
        found = table.get("backup")
        template = self._read.text(found, "sync.backup")
        if found is None or not template:
            return None
        try:
            return backup_tag(template)
        except Unconvertible as error:
            self._notes.add(found.line, "sync.backup", f"{error}; {FALLBACK_BACKUP} is written instead")
            return FALLBACK_BACKUP

    def _referrers(self, table: Table) -> str | None:
        """Return which referrers are copied, if that is not usual."""
        copies = self._read.switch(table.get("referrers"), "sync.referrers")
        with_tags = self._read.switch(table.get("digestTags"), "sync.digestTags")
        kind = filtered_kind(table, "sync.", self._notes) if table.get("referrerFilters") else self._usual.kind
        own = Usual(
            self._usual.copies if copies is None else copies,
            self._usual.digest_tags if with_tags is None else with_tags,
            kind,
            0,
        )
        return own.referrers if own.referrers != self._usual.referrers else None

    def _places(self, table: Table) -> tuple[str, str]:
        """Return source and target as our plans write them."""
        kind = (self._read.text(table.get("type"), "sync.type") or "").strip()
        if kind not in ("image", "repository", "registry"):
            raise UnconvertibleAt("type", table.get("type"), "it has to be image, repository or registry")
        given = self._texts(table, kind)
        if kind == "registry":
            return self._whole_registry(table, *given)
        source = at_pair("source", table.get("source"), lambda: parse_image(given[0]))
        target = at_pair("target", table.get("target"), lambda: parse_image(given[1]))
        return self._image(table, source, target) if kind == "image" else self._repository(table, source, target)

    def _texts(self, table: Table, kind: str) -> tuple[str, str]:
        """Return source and target with their templates filled in, in regsync's order."""
        fields = {".Sync.Type": kind}
        for key in ("source", "target"):
            fields[f".Sync.{key.title()}"] = self._read.text(table.get(key), f"sync.{key}") or ""
        for key in ("source", "target"):
            name = f".Sync.{key.title()}"
            if not fields[name]:
                raise UnconvertibleAt(key, table.get(key), f"it has no {key}")
            fields[name] = at_pair(key, table.get(key), partial(expanded, fields[name], fields)).strip()
        return fields[".Sync.Source"], fields[".Sync.Target"]

    def _whole_registry(self, table: Table, source: str, target: str) -> tuple[str, str]:
        host = at_pair("source", table.get("source"), lambda: parse_host(source))
        # With a name below it, to be checked as a place.
        name = "any" if "/" in target.rstrip("/") else "any/any"
        below = at_pair("target", table.get("target"), lambda: parse_image(f"{target.rstrip('/')}/{name}"))
        if below.is_layout:
            raise UnconvertibleAt("target", table.get("target"), "a whole registry goes into another one")
        return f"registry:{host}/", below.place().removesuffix(name)

    def _image(self, table: Table, source: Image, target: Image) -> tuple[str, str]:
        for key in ("tags", "tagSets", "repos"):
            if (found := table.get(key)) is not None:
                self._notes.add(found.line, f"sync.{key}", "regsync has no use for it at type: image")
        if target.digest is not None:
            raise UnconvertibleAt("target", table.get("target"), "a target is a tag, and no digest")
        new_tag = target.tag or "latest"
        if source.digest is None:
            tag = source.tag or "latest"
            is_kept = tag == new_tag and not source.is_layout and not target.is_layout
            return source.place(tag=tag), target.place(tag=None if is_kept else new_tag)
        if len(source.digest) != 71 or not source.digest.startswith("sha256:"):
            raise UnconvertibleAt("source", table.get("source"), "only sha256 digests are known here")
        if source.is_layout:
            raise UnconvertibleAt("source", table.get("source"), "of a layout, one image is named by its tag here")
        return f"{source.place()}@{source.digest.lower()}", target.place(tag=new_tag)

    def _repository(self, table: Table, source: Image, target: Image) -> tuple[str, str]:
        for key, image in (("source", source), ("target", target)):
            pair = table.get(key)
            if (image.tag or image.digest) and pair is not None:
                self._notes.add(
                    pair.line, f"sync.{key}", "a repository has no tag and no digest; what it has is left out"
                )
        if source.is_layout:
            raise UnconvertibleAt(
                "source", table.get("source"), "of a layout, images are named one by one: type: image"
            )
        found = table.get("target")
        if target.is_layout and found is not None:
            said = "in a layout images are called HOST/REPOSITORY:TAG here, not by their tags alone"
            self._notes.add(found.line, "sync.target", said)
        return source.place(), target.place()
