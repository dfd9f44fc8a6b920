"""regsync's YAML: logins and settings of registries, defaults, and a list of what to sync."""

from __future__ import annotations

from typing import Final

from .converted import Converted, Notes, Unconvertible, unusable
from .plan_writer import Plan, Value
from .reading import Reader, parse_root
from .regsync_entries import FALLBACK_BACKUP, Entries
from .regsync_hosts import host_settings
from .regsync_usual import SHARED, Usual
from .templates import backup_tag
from .yaml_tree import Table

_WHAT: Final = "plan of regsync"
_KNOWN: Final = frozenset({"version", "creds", "defaults", "sync"})
# Keys of `defaults` alone, and what is to say about those that are not taken over.
_NOT_TAKEN: Final = {
    "cacheCount": "there is no such cache here: what has not changed costs two small requests or none",
    "cacheTime": "there is no such cache here: what has not changed costs two small requests or none",
    "blobLimit": "there is no such limit here: manifests are bounded, blobs pass through",
    "userAgent": "--user-agent sets it",
}
_KNOWN_OF_DEFAULTS: Final = frozenset({"parallel", "skipDockerConfig", *_NOT_TAKEN, *SHARED})


def converted_regsync(text: str, name: str) -> Converted:
    """Return regsync's plan in `text`, which the file `name` holds, as a plan of `sync`.

    Raises `UsageError` for what is no such plan.
    """
    root = parse_root(text, name, _WHAT)
    notes = Notes()
    read = Reader(notes)
    if not _KNOWN & set(root.pairs):
        hint = "it has a list sync:, each of its items with source, target and type"
        if any(isinstance(pair.node, Table) and "images" in pair.node.pairs for _, pair in root.items()):
            hint = "it may be one of skopeo sync: convert it with --from-skopeo"
        raise unusable(name, root.line, f"this is no {_WHAT}", hint)
    version = root.get("version")
    if version is not None and read.text(version, "version") not in ("0", "1"):
        raise unusable(name, version.line, "only version 1 of regsync's plans is known", "write version: 1")
    read.note_unknown(root, _KNOWN, "", "regsync")
    hosts: dict[str, dict[str, Value]] = {}
    for table in read.tables(root.get("creds"), "creds"):
        host_settings(table, hosts, notes)
    defaults = _Defaults(read.table(root.get("defaults"), "defaults") or Table(1, {}, 1), notes)
    entries = Entries(defaults.usual, notes)
    for table in read.tables(root.get("sync"), "sync"):
        entries.take(table)
    if not entries.found:
        notes.add(root.line, "sync", "it has nothing to sync, and a plan without entries can't be run")
    values = defaults.values | ({"ratelimit-min": entries.least_left} if entries.least_left > 0 else {})
    return Converted(Plan(name, values, tuple(entries.found), hosts).text(), notes.found)


class _Defaults:
    """What `defaults` says: `values` for the plan's own, and `usual` for what is not said by an entry."""

    def __init__(self, table: Table, notes: Notes) -> None:
        read = Reader(notes)
        read.note_unknown(table, _KNOWN_OF_DEFAULTS, "defaults.", "regsync")
        self.usual = Usual.of(table, notes)
        self.values: dict[str, Value] = {"referrers": self.usual.referrers}
        if (parallel := table.get("parallel")) is not None:
            count = read.whole(parallel, "defaults.parallel")
            if count is not None and count > 0:
                self.values["jobs"] = min(count, 64)
                notes.add(parallel.line, "defaults.parallel", "it counts images, and jobs counts uploads")
        skips = table.get("skipDockerConfig")
        if read.switch(skips, "defaults.skipDockerConfig") and skips is not None:
            said = "to read no logins of docker, name a file of logins by authfile in [host.…]"
            notes.add(skips.line, "defaults.skipDockerConfig", said)
        for key, said in _NOT_TAKEN.items():
            if (found := table.get(key)) is not None:
                notes.add(found.line, f"defaults.{key}", said)
        self._backup(table, notes, read)

    def _backup(self, table: Table, notes: Notes, read: Reader) -> None:
        found = table.get("backup")
        template = read.text(found, "defaults.backup")
        if found is None or not template:
            return
        try:
            self.values["backup"] = backup_tag(template)
        except Unconvertible as error:
            self.values["backup"] = FALLBACK_BACKUP
            notes.add(found.line, "defaults.backup", f"{error}; {FALLBACK_BACKUP} is written instead")
