"""Schedules of faults for `sync`, and what their judge finds out.

FAULT_FIRST and FAULT_SEEDS say which seeds are played, a tenth of those of pushes: each is a dozen copies.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from registry_push.embedded import Fault, On, Schedule, What
from registry_push.embedded.faults import NO_FAULTS
from registry_push.model import Digest
from registry_push.settings import DEFAULT_RETRIES

from .__main__ import Verb, play
from .clock import run
from .sync_promises import Row, SyncJudge, Target, check_totals
from .sync_scene import SyncScene
from .sync_world import MOST_DELETED, Shown, World, fill, shown_at
from .syncing import perform_sync
from .test_schedules import FIRST, KINDS, SEEDS

SIZES = (70_000, 3000, 2000)
CURRENT = ("moved/tag", "current")
_MANIFESTS = 13  # that are put at the first target, children, referrers and a backup among them
BACKUP = ("moved/tag", "current-old")


@pytest.mark.parametrize("seed", range(FIRST, FIRST + (SEEDS + 9) // 10))
def test_every_schedule_ends_as_documented(seed: int) -> None:
    play(seed, KINDS, Verb.SYNC)


@pytest.mark.parametrize(
    ("most", "codes"),
    [(None, [0, 0]), (MOST_DELETED, [0, 0]), (MOST_DELETED - 1, [5, 5])],
    ids=["without --delete", "--delete", "too many"],
)
def test_nothing_goes_wrong(tmp_path: Path, most: int | None, codes: list[int]) -> None:
    outcome = run(perform_sync(SyncScene(1, max_delete=most), tmp_path))
    assert list(outcome.codes) == codes
    assert outcome.actions.count("copied") == 9
    assert outcome.actions.count("deleted") == (MOST_DELETED if most == MOST_DELETED else 0)


def test_what_failed_is_done_by_the_next_run(tmp_path: Path) -> None:
    """Manifests are refused so often that one at least fails after its blobs were sent, in any order."""
    busy = Fault(What.ANSWER, On.MANIFEST, 3, _MANIFESTS * (DEFAULT_RETRIES + 1), status=503)
    outcome = run(perform_sync(SyncScene(1, schedules=(NO_FAULTS, Schedule((busy,)), NO_FAULTS)), tmp_path))
    assert outcome.codes[0] == 8
    assert outcome.codes[-1] == 0
    assert "failed" in outcome.actions


@pytest.mark.parametrize("at", [25, 50, 70])
def test_a_kill_costs_nothing_that_was_acknowledged(tmp_path: Path, at: int) -> None:
    scene = SyncScene(1, sizes=(65_536 * 6, 65_536 * 3, 70_000), jobs=2, kills=(at,))
    assert run(perform_sync(scene, tmp_path)).codes == (None, 0, 0)


def test_seeds_stand_for_the_same_and_for_everything() -> None:
    scenes = [SyncScene.of_seed(seed) for seed in range(200)]
    assert scenes == [SyncScene.of_seed(seed) for seed in range(200)]
    faults = [fault.what for scene in scenes for schedule in scene.schedules for fault in schedule.faults]
    assert {*faults} == {*What}
    assert {scene.max_delete for scene in scenes} == {None, 0, MOST_DELETED - 1, MOST_DELETED, 20}


# ── the judge ─────────────────────────────────────────────────────────────────────────────────────


class Judged:
    """A sync without faults that was done by hand, and what the judge says of a report about it."""

    def __init__(self, folder: Path) -> None:
        self.world = World.of_seed(1, SIZES)
        self.roots = folder / "before", folder / "second"
        for root, tags in zip(self.roots, self.world.before, strict=True):
            root.mkdir()
            fill(root, tags)
        self.before = [shown_at(root) for root in self.roots]
        first = {**self.world.before[0], BACKUP: self.world.before[0][CURRENT]}
        first |= {tag: each.image for tag, each in self.world.wanted[0].items() if not each.kept}
        second = self.world.before[1] | {tag: each.image for tag, each in self.world.wanted[1].items()}
        about = {"signed/one": self.world.about["signed/one"]}
        self.after: list[Shown] = []
        for name, tags, more in (("first after", first, about), ("second after", second, {})):
            (folder / name).mkdir()
            fill(folder / name, tags, more)
            self.after.append(shown_at(folder / name))
        self.rows = [self.row(place, tag) for place, wanted in enumerate(self.world.wanted) for tag in wanted]
        self.rows += [row(entry, source, None, ("", ""), "skipped") for entry, source in self.world.left_out]

    def row(self, place: int, tag: tuple[str, str]) -> Row:
        wanted, was = self.world.wanted[place][tag], self.before[place].tags.get(tag)
        digest, count = wanted.image.digest, len(wanted.blobs)
        action = "kept" if wanted.kept else "present" if was == digest else "copied"
        made = row(wanted.entry, wanted.source, place, tag, action, digest=digest, previous=was)
        if action != "copied":
            return made
        return replace(made, sent=count, backup=wanted.backup, referrers=len(wanted.about))

    def flaws(self, *, finished: bool = True, killed: bool = False) -> list[str]:
        judge = SyncJudge(self.world, self.roots, deletes=True)
        targets = [Target(*each, ()) for each in zip(self.before, self.after, strict=True)]
        judge.check_rows(self.rows, targets, finished=finished, killed=killed)
        return judge.flaws

    def change(self, which: tuple[str, str], changes: dict[str, Any]) -> None:
        self.rows = [replace(each, **changes) if (each.place, each.tag) == (0, which) else each for each in self.rows]

    def move(self, tag: tuple[str, str], digest: Digest | None) -> None:
        tags = {**self.after[0].tags, tag: digest}
        self.after[0] = replace(self.after[0], tags={key: value for key, value in tags.items() if value is not None})


def row(entry: int, source: str | None, place: int | None, tag: tuple[str, str], action: str, **more: Any) -> Row:
    rest: dict[str, Any] = {"digest": None, "previous": None, "backup": None, "code": None}
    counts = dict.fromkeys(("bytes", "sent", "mounted", "present", "referrers"), 0)
    return Row(entry, source, place, tag, action, **{**rest, **counts, **more})


def test_a_report_that_is_right_has_no_flaws(tmp_path: Path) -> None:
    assert Judged(tmp_path).flaws() == []


@pytest.mark.parametrize(
    ("tag", "changes", "words"),
    [
        (("set/many", "latest"), {"action": "present", "sent": 0}, "is .* now"),
        (("set/many", "latest"), {"action": "kept", "sent": 0}, "is .* now"),
        (("set/many", "latest"), {"digest": Digest("a" * 64)}, "is told as"),
        (("set/many", "latest"), {"sent": 1}, "blobs of 6 are counted"),
        (("signed/one", "v1"), {"referrers": 0}, "0 referrers are counted"),
        (CURRENT, {"previous": None}, "this is not said"),
        (CURRENT, {"backup": None}, "the backup is told as None"),
        (CURRENT, {"backup": "another"}, "the backup is told as another"),
        (("moved/tag", "fix1"), {"bytes": 1}, "something was sent"),
        (("moved/tag", "fix1"), {"tag": ("moved/tag", "other")}, "nobody wants this"),
    ],
)
def test_a_report_that_is_wrong_is_found_out(
    tmp_path: Path, tag: tuple[str, str], changes: dict[str, Any], words: str
) -> None:
    judged = Judged(tmp_path)
    judged.change(tag, changes)
    assert re.search(words, "\n".join(judged.flaws()))


@pytest.mark.parametrize(
    ("tag", "words"),
    [
        (("set/many", "latest"), "is nothing now"),
        (BACKUP, "the backup current-old is not"),
        (("moved/tag", "fix1"), "is nothing now"),
        (("mirror/alpha", "1.5"), "is nothing: untold"),
        (("mirror/alpha", "dev"), "is nothing: untold"),
    ],
)
def test_a_registry_that_shows_less_is_found_out(tmp_path: Path, tag: tuple[str, str], words: str) -> None:
    judged = Judged(tmp_path)
    judged.move(tag, None)
    assert re.search(words, "\n".join(judged.flaws()))


def test_what_is_left_out_of_a_report_is_found_out(tmp_path: Path) -> None:
    judged = Judged(tmp_path)
    judged.rows = [each for each in judged.rows if each.tag != ("mirror/beta", "1.0") and each.action != "skipped"]
    flaws = "\n".join(judged.flaws())
    assert re.search("(?s)untold.*nothing is said of ml/beta:1.0.*not skipped", flaws)
    assert judged.flaws(finished=False, killed=True) == []


def test_totals_are_sums() -> None:
    rows = [row(1, "a:b", 0, ("a", "b"), "copied", bytes=3, sent=1), row(1, "a:c", 0, ("a", "c"), "failed", bytes=4)]
    totals = {"copied": 1, "failed": 1, "bytes": 7, "blobs": {"sent": 1, "mounted": 0, "present": 0}, "referrers": 0}
    assert check_totals(rows, totals) == []
    assert check_totals(rows, totals | {"bytes": 3})


@pytest.mark.parametrize("ref", ["1.0", "dev", "by digest"])
def test_a_deletion_of_what_stays_is_found_out(tmp_path: Path, ref: str) -> None:
    judged = Judged(tmp_path)
    judge = SyncJudge(judged.world, judged.roots, deletes=True)
    dev = judged.world.before[0]["mirror/alpha", "dev"].digest
    judge.note_deleted(0, "mirror/alpha", str(dev) if ref == "by digest" else ref)
    assert judge.flaws
    judge.flaws.clear()
    judge.note_deleted(0, "mirror/alpha", "1.5")
    judge.note_deleted(0, "mirror/alpha", str(judged.before[0].tags["mirror/alpha", "1.5"]))
    assert judge.flaws == []


def test_a_manifest_before_its_blobs_is_found_out(tmp_path: Path) -> None:
    judged = Judged(tmp_path)
    judge = SyncJudge(judged.world, judged.roots, deletes=False)
    judge.note_put(0, "set/many", "latest")
    assert judge.flaws[0].startswith("P1")
    judge.note_put(0, "moved/tag", "fix1")
    assert judge.flaws[1].startswith("P5")
