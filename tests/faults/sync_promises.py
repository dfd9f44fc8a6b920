"""Judges a sync by its targets' disks and logs: P1, P5, P7, and that the report says what they show."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from aiohttp import web

from registry_push.embedded import Exchange
from registry_push.model import Digest

from .sync_world import Image, Shown, Tag, Wanted, World, shown_at

MANIFEST: Final = re.compile(r"/v2/(.+)/manifests/([^/?]+)\Z")
UPLOAD: Final = re.compile(r"/v2/(.+)/blobs/uploads/")


@dataclass(frozen=True, slots=True)
class Row:
    """One entry of a report, without hosts: `place` is the target's number, `source` is REPOSITORY[:TAG]."""

    entry: int
    source: str | None
    place: int | None
    tag: Tag
    action: str
    digest: Digest | None
    previous: Digest | None
    backup: str | None
    bytes: int
    sent: int
    mounted: int
    present: int
    referrers: int
    code: int | None

    @classmethod
    def of(cls, fields: Mapping[str, Any], source: str, targets: Sequence[str]) -> Row:
        """The entry `fields` of a report about registries at these hosts."""
        place, tag = None, ("", "")
        if fields["target"] is not None:
            host, _, path = fields["target"].partition("/")
            repository, _, name = path.partition(":")  # without a tag: a repository whose deletions failed
            place, tag = targets.index(host), (repository, name)
        blobs, error = fields["blobs"], fields["error"]
        return cls(
            fields["entry"],
            fields["source"].removeprefix("registry:").removeprefix(f"{source}/") if fields["source"] else None,
            place,
            tag,
            fields["action"],
            Digest.parse(fields["digest"]) if fields["digest"] else None,
            Digest.parse(fields["previous"]) if fields["previous"] else None,
            fields["backup"],
            fields["bytes"],
            blobs["sent"],
            blobs["mounted"],
            blobs["present"],
            fields["referrers"],
            error["exit_code"] if error is not None else None,
        )

    def explains(self, wanted: Wanted) -> bool:
        """Whether it is a failure to list, because of which nothing is said of `wanted`."""
        source = self.source or ""
        covers = source.endswith("/") or source in (wanted.source, wanted.source.rpartition(":")[0])
        return self.action == "failed" and self.place is None and self.entry == wanted.entry and covers

    def __str__(self) -> str:
        return f"{self.action} {self.source} → {self.place}/{':'.join(self.tag)} (was {_short(self.previous)})"


@dataclass(frozen=True, slots=True)
class Target:
    """One target: what it showed before a run and shows after it, and the log of the run."""

    before: Shown
    after: Shown
    log: Sequence[Exchange]


@dataclass
class SyncJudge:
    """The targets at `roots`, through any number of runs. `deletes`: tags may be deleted."""

    world: World
    roots: tuple[Path, Path]
    deletes: bool
    flaws: list[str] = field(default_factory=list)
    # The source's list of referrers was a page in this run: so answer registries without it, and captive portals.
    hides_referrers: bool = False
    _whole: dict[Path, tuple[int, int]] = field(default_factory=dict)  # files that were right, with time and size

    def hook(self, place: int) -> Any:
        """The hook of a target: sees each request before anything is done with it."""

        async def watch(request: web.Request) -> web.StreamResponse | None:
            found = MANIFEST.match(request.path)
            if found is not None and request.method == "PUT":
                self.note_put(place, found[1], found[2])
            if found is not None and request.method == "DELETE":
                self.note_deleted(place, found[1], found[2])
            return None

        return watch

    def note_put(self, place: int, repository: str, ref: str) -> None:
        """P1, and P5: nothing is put but what the plan names."""
        image = self._expected(place, repository, ref)
        if image is None:
            self.flaws.append(f"P5: a manifest was put as {repository}:{ref}, which the plan does not name")
            return
        files = [*image.blobs, *(child.digest for child in image.children)]
        missing = [digest.short for digest in files if not self._is_whole(place, repository, digest)]
        if missing:
            self.flaws.append(f"P1: the manifest {repository}:{ref} was put before {', '.join(missing)}")

    def _expected(self, place: int, repository: str, ref: str) -> Image | None:
        if ":" in ref:
            return self.world.images.get(Digest.parse(ref))
        wanted = self.world.wanted[place].get((repository, ref))
        if wanted is not None:
            return wanted.image if not wanted.kept else None
        return self._backups(place).get((repository, ref))

    def _backups(self, place: int) -> dict[Tag, Image]:
        return {
            (repository, wanted.backup): self.world.before[place][repository, tag]
            for (repository, tag), wanted in self.world.wanted[place].items()
            if wanted.backup is not None
        }

    def note_deleted(self, place: int, repository: str, ref: str) -> None:
        """Only tags that are meant are deleted, and only manifests that no other tag needs."""
        doomed = {tag for path, tag in self.world.doomed[place] if path == repository}
        if not self.deletes:
            self.flaws.append(f"P5: {repository}:{ref} was deleted without --delete")
        if ":" not in ref:
            if ref not in doomed:
                self.flaws.append(f"P5: the tag {repository}:{ref} was deleted")
            return
        tags = shown_tags(self.roots[place], repository)
        images = {tag: self.world.images[digest] for tag, digest in tags.items() if tag not in doomed}
        needed = {each.digest: tag for tag, image in images.items() for each in image.every()}
        if Digest.parse(ref) in needed:
            self.flaws.append(f"P5: {repository}@{ref} was deleted, which {needed[Digest.parse(ref)]} needs")

    def _is_whole(self, place: int, repository: str, digest: Digest) -> bool:
        file = self.roots[place] / quote(repository, safe="") / "blobs" / "sha256" / digest.hex
        if not file.is_file():
            return False
        known = file.stat().st_mtime_ns, file.stat().st_size
        if self._whole.get(file) != known and Digest.of(file.read_bytes()) == digest:
            self._whole[file] = known
        return self._whole.get(file) == known

    def check_targets(self, shown: Sequence[Shown]) -> None:
        """P5 and P7: nothing is other than its name, and all that a manifest names is there."""
        for place, each in enumerate(shown):
            for repository, digests in each.blobs.items():
                for digest in digests:
                    if not self._is_whole(place, repository, digest):
                        self.flaws.append(f"P7: {digest} in {repository} is something else")
            for repository, manifests in each.manifests.items():
                for digest in manifests:
                    image = self.world.images.get(digest)
                    if image is None:
                        self.flaws.append(f"P7: {repository} has a manifest of nobody's, {digest}")
                        continue
                    needed = (*image.blobs, digest, *(child.digest for child in image.children))
                    lacks = [one.short for one in needed if one not in each.blobs[repository]]
                    if lacks:
                        self.flaws.append(f"P5: {repository} shows {digest.short} without {', '.join(lacks)}")

    def check_rows(self, rows: Sequence[Row], targets: Sequence[Target], *, finished: bool, killed: bool) -> None:
        """The report says what the targets show. `finished`: every tag had its turn; `killed`: some end untold."""
        told: dict[tuple[int, Tag], Row] = {}
        for row in rows:
            if row.place is not None and row.tag[1]:
                if (row.place, row.tag) in told:
                    self.flaws.append(f"report: twice: {row}; {told[row.place, row.tag]}")
                told[row.place, row.tag] = row
        for row in told.values():
            self._check_row(row, targets[row.place or 0])
        for place, target in enumerate(targets):
            self._check_untold(place, target, told, killed=killed)
            if finished:
                for tag, wanted in self.world.wanted[place].items():
                    if (place, tag) not in told and not any(row.explains(wanted) for row in rows):
                        self.flaws.append(f"report: nothing is said of {wanted.source} → {place}/{':'.join(tag)}")
        self._check_skipped(rows, finished=finished)

    def _check_row(self, row: Row, target: Target) -> None:
        was, now = target.before.tags.get(row.tag), target.after.tags.get(row.tag)
        wanted = self.world.wanted[row.place or 0].get(row.tag)
        is_doomed = row.tag in self.world.doomed[row.place or 0]
        digest = wanted.image.digest if wanted is not None else None
        if wanted is None and not is_doomed:
            self.flaws.append(f"report: nobody wants this: {row}")
        wrong = []
        if row.digest not in (None, digest):
            wrong.append(f"it is {_short(digest)} at the source, and is told as {_short(row.digest)}")
        if row.previous not in (None, was):
            wrong.append(f"it was {_short(was)} before")
        allowed: dict[str, tuple[object, ...]] = {
            "copied": (digest,),
            "present": (digest,) if was == digest else (),
            "kept": (was,) if wanted is not None and wanted.kept and was is not None else (),
            "deleted": (None,) if is_doomed and was is not None and self.deletes else (),
            "left": (was,) if is_doomed else (),
            "failed": (was, digest) if wanted is not None else (was, None),
        }
        if now not in allowed.get(row.action, ()):
            wrong.append(f"it was {_short(was)}, and is {_short(now)} now")
        if row.action in ("copied", "present") and wanted is not None:
            wrong += self._wrong_in(row, wanted, target, was)
        elif row.action == "failed" and wanted is not None and wanted.backup is not None:
            wrong += _wrong_backup(row, wanted.backup, target, was)
        elif row.action in ("kept", "deleted", "left") and (row.bytes or row.sent or row.mounted or row.present):
            wrong.append("something was sent for it")
        self.flaws += [f"report: {row}: {each}" for each in wrong]

    def _wrong_in(self, row: Row, wanted: Wanted, target: Target, was: Digest | None) -> list[str]:
        repository, wrong = row.tag[0], []
        shown = target.after.manifests.get(repository, frozenset())
        missing = [each.digest.short for each in (*wanted.image.every(), *wanted.about) if each.digest not in shown]
        hidden = {each.digest.short for each in wanted.about} if self.hides_referrers else set()
        if hidden and set(missing) == hidden:
            return []
        if missing:
            wrong.append(f"{', '.join(missing)} are not there")
        if row.digest is None or (row.action == "copied" and row.previous != was):
            wrong.append(f"it was {_short(was)} before, and this is not said")
        count = row.sent + row.mounted + row.present
        if row.action == "present" and (row.bytes or row.sent or row.mounted or row.referrers):
            wrong.append("something was sent for it")
        if row.action == "copied" and count != len(wanted.blobs):
            wrong.append(f"{count} blobs of {len(wanted.blobs)} are counted")
        new = sum(each.digest not in target.before.manifests.get(repository, ()) for each in wanted.about)
        # What the target can't say that it has counts as new, and is put again.
        most = len(wanted.about) if any("/referrers/" in each.target and each.fault for each in target.log) else new
        if row.action == "copied" and not new <= row.referrers <= most:
            wrong.append(f"{row.referrers} referrers are counted, and {new} are new")
        replaces = row.action == "copied" and was not in (None, wanted.image.digest) and wanted.backup is not None
        if replaces != (row.backup is not None) or row.backup not in (None, wanted.backup):
            wrong.append(f"the backup is told as {row.backup}")
        if row.backup is not None and target.after.tags.get((repository, row.backup)) != was:
            wrong.append(f"the backup {row.backup} is not {_short(was)}")
        return wrong

    def _check_untold(self, place: int, target: Target, told: Mapping[tuple[int, Tag], Row], *, killed: bool) -> None:
        """What nothing is said of is as it was, but for what a kill left untold; a backup is what the tag was."""
        backups = {tag: image.digest for tag, image in self._backups(place).items()}
        for tag in {*target.before.tags, *target.after.tags}:
            if (place, tag) in told:
                continue
            was, now = target.before.tags.get(tag), target.after.tags.get(tag)
            allowed = [was]
            if tag in backups:
                allowed.append(backups[tag])
            elif killed and (wanted := self.world.wanted[place].get(tag)) is not None and not wanted.kept:
                allowed.append(wanted.image.digest)
            elif killed and self.deletes and tag in self.world.doomed[place]:
                allowed.append(None)
            if now not in allowed:
                self.flaws.append(f"report: {place}/{':'.join(tag)} was {_short(was)}, is {_short(now)}: untold")
        for tag, wanted in self.world.wanted[place].items():
            if wanted.backup is None or target.after.tags.get(tag) != wanted.image.digest:
                continue
            if target.after.tags.get((tag[0], wanted.backup)) != backups[tag[0], wanted.backup]:
                self.flaws.append(f"P5: {':'.join(tag)} was moved, and {wanted.backup} is not what it was")

    def _check_skipped(self, rows: Sequence[Row], *, finished: bool) -> None:
        skipped = Counter((row.entry, row.source) for row in rows if row.action == "skipped")
        odd = {each for each, count in skipped.items() if each not in self.world.left_out or count > 1}
        failed = {row.entry for row in rows if row.action == "failed" and row.place is None}
        if finished:
            odd |= {each for each in self.world.left_out if each not in skipped and each[0] not in failed}
        self.flaws += [f"report: {source} of entry {entry} is not skipped once" for entry, source in odd]

    def check_counts(
        self, rows: Sequence[Row], targets: Sequence[Target], done: Mapping[str, int], *, finished: bool
    ) -> None:
        """Bytes and blobs are those of the logs and disks. `done`: blobs that were told as placed, by repository."""
        for place, target in enumerate(targets):
            for repository in {row.tag[0] for row in rows if row.place == place}:
                here = [row for row in rows if row.place == place and row.tag[0] == repository]
                wrong = _wrong_counts(here, repository, target, self.world.contents, finished=finished)
                self.flaws += [f"report: {place}/{repository}: {each}" for each in wrong]
        for repository, count in done.items():
            placed = sum(row.sent + row.mounted for row in rows if row.tag[0] == repository)
            if placed < count:
                self.flaws.append(f"report: {placed} blobs of {repository} are told, and {count} were placed")


def _wrong_backup(row: Row, backup: str, target: Target, was: Digest | None) -> list[str]:
    """A failure says of a backup that it was made, if it was, and its client could know."""
    if row.backup is not None and (row.backup != backup or target.after.tags.get((row.tag[0], backup)) != was):
        return [f"the backup is told as {row.backup}, and is not {_short(was)}"]
    puts = [each for each in target.log if each.method == "PUT" and each.target.endswith(f"/manifests/{backup}")]
    if row.backup is None and any(each.status == 201 and each.fault is None for each in puts):
        return [f"{backup} was made, and this is not said"]
    return []


def _wrong_counts(
    rows: Sequence[Row], repository: str, target: Target, contents: Mapping[Digest, object], *, finished: bool
) -> list[str]:
    """Of a repository of which a tag has failed, or was left undone, more may have come than its client knows."""
    uploads = [each for each in target.log if repository_of(each) == repository and UPLOAD.match(each.target)]
    is_calm = all(200 <= each.status < 300 and each.fault is None for each in uploads)
    is_well = finished and all(row.action != "failed" for row in rows)
    came, told = sum(each.received for each in uploads), sum(row.bytes for row in rows)
    wrong = []
    if (is_calm and told > came) or (is_well and told < came):
        wrong.append(f"{told} bytes are told as sent, and {came} came")
    new = target.after.blobs.get(repository, frozenset()) - target.before.blobs.get(repository, frozenset())
    count, placed = len(new & contents.keys()), sum(row.sent + row.mounted for row in rows)
    if placed > count or (is_well and placed < count):
        wrong.append(f"{placed} blobs are told as sent or mounted, and {count} are new")
    mounts = sum("mount=" in each.target and each.status == 201 for each in uploads)
    if is_calm and is_well and sum(row.mounted for row in rows) != mounts:
        wrong.append(f"{sum(row.mounted for row in rows)} blobs are told as mounted, and {mounts} were")
    return wrong


def check_totals(rows: Iterable[Row], totals: Mapping[str, Any]) -> list[str]:
    """The totals are the sums of the entries. Returns the flaws."""
    every = list(rows)
    actions = Counter(row.action for row in every)
    sums: dict[str, object] = {name: actions[name] for name in totals if name not in ("bytes", "blobs", "referrers")}
    sums["bytes"] = sum(row.bytes for row in every)
    sums["blobs"] = {name: sum(getattr(row, name) for row in every) for name in ("sent", "mounted", "present")}
    sums["referrers"] = sum(row.referrers for row in every)
    return [f"report: the totals are {totals}, and the sums {sums}"] if sums != dict(totals) else []


def shown_tags(root: Path, repository: str) -> dict[str, Digest]:
    """The tags of one repository at the registry in `root`."""
    return {tag: digest for (path, tag), digest in shown_at(root).tags.items() if path == repository}


def repository_of(exchange: Exchange) -> str:
    """The repository that a request is about; "" if it is about none."""
    found = re.match(r"/v2/(.+?)/(?:blobs|manifests|tags|referrers)/", exchange.target)
    return found[1] if found else ""


def _short(digest: Digest | None) -> str:
    return digest.short if digest is not None else "nothing"
