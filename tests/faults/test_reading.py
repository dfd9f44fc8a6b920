"""Schedules of faults for `copy` and `pull`, some of them by name, and what their judge finds out.

FAULT_FIRST and FAULT_SEEDS say which seeds are played, half as many as of pushes: each plays a copy or a pull.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from registry_push.embedded import EmbeddedRegistry
from registry_push.model import Digest, Manifest
from registry_push.settings import DEFAULT_RETRIES

from .__main__ import Verb, play
from .clock import run
from .ledger import Broken
from .promises import Judge
from .reading import CopyUser, PullUser, ReadingScene, perform_copy, perform_pull, source_of
from .reading_promises import check_requests, check_resumed, held_in
from .sources import Asked, On, SourceFault, SourceFaults, What, faults_of_seed
from .stage import REPOSITORY, Scene, Source, options_of, settings_of
from .test_schedules import FIRST, SEEDS

SIZES = (400_000,)
BLOB = Digest("a" * 64)


@pytest.mark.parametrize("seed", range(FIRST, FIRST + (SEEDS + 1) // 2))
def test_every_schedule_ends_as_documented(seed: int) -> None:
    play(seed, verb=(Verb.COPY, Verb.PULL)[seed % 2])


def played(tmp_path: Path, *faults: SourceFault, redirects: bool = False, target: Scene | None = None) -> list[object]:
    """The codes of all runs, after these faults."""
    scene = ReadingScene(1, faults, redirects, target=target, sizes=SIZES)
    return list(run((perform_pull if target is None else perform_copy)(scene, tmp_path)).codes)


TARGETS = pytest.mark.parametrize("target", [None, Scene(1)], ids=["pull", "copy"])


@TARGETS
@pytest.mark.parametrize("what", [What.CUT, What.TORN, What.STALL, What.BUSY, What.LOST, What.WHOLE, What.UNSIZED])
def test_what_passes_is_got_over_in_the_same_run(tmp_path: Path, what: What, target: Scene | None) -> None:
    fault = SourceFault(what, On.CONTENT, 1, DEFAULT_RETRIES - 1, 100_000)
    assert played(tmp_path, fault, target=target) == [0]


@TARGETS
def test_an_address_that_has_run_out_is_asked_for_anew(tmp_path: Path, target: Scene | None) -> None:
    cut = SourceFault(What.CUT, On.CONTENT, 1, at=100_000)
    expired = SourceFault(What.EXPIRED, On.CONTENT, 2, 2)
    assert played(tmp_path, cut, expired, redirects=True, target=target) == [0]


@TARGETS
def test_a_403_of_the_registry_itself_is_4(tmp_path: Path, target: Scene | None) -> None:
    assert played(tmp_path, SourceFault(What.EXPIRED, On.CONTENT), target=target) == [4, 0]


@TARGETS
@pytest.mark.parametrize("seconds", ["7", "300"])
def test_a_source_is_asked_again_when_it_wants_to_be(tmp_path: Path, target: Scene | None, seconds: str) -> None:
    assert played(tmp_path, SourceFault(What.BUSY, On.CONTENT, retry_after=seconds), target=target) == [0]


@TARGETS
@pytest.mark.parametrize(("what", "code"), [(What.MISSING, 3), (What.CORRUPT, 7), (What.SHORT, 7), (What.LONG, 7)])
def test_what_is_wrong_has_its_code_and_is_never_committed(
    tmp_path: Path, target: Scene | None, what: What, code: int
) -> None:
    assert played(tmp_path, SourceFault(what, On.CONTENT), target=target) == [code, 0]


@TARGETS
def test_another_part_than_was_asked_for_is_7(tmp_path: Path, target: Scene | None) -> None:
    cut = SourceFault(What.CUT, On.CONTENT, 1, at=100_000)
    # Four small blobs come between, of which no part is asked for.
    codes = played(tmp_path, cut, SourceFault(What.OTHER_PART, On.CONTENT, 2, 5), target=target)
    assert (codes[0], codes[-1]) == (7, 0)


@TARGETS
def test_a_redirect_that_never_ends_is_5(tmp_path: Path, target: Scene | None) -> None:
    loop = SourceFault(What.LOOP, On.REDIRECT, 1, 1000)
    scene = ReadingScene(1, (loop,), redirects=True, target=target, sizes=SIZES)
    with pytest.raises(Broken, match="it never ended: \\[5, 5, 5"):
        run((perform_pull if target is None else perform_copy)(scene, tmp_path))


@TARGETS
@pytest.mark.parametrize("beside", [0, 1], ids=["one byte", "the next"])
def test_a_manifest_that_is_not_what_head_said_is_7(tmp_path: Path, target: Scene | None, beside: int) -> None:
    """At every other byte the answer itself says which digest it should have."""
    at = Source.write(tmp_path / "same", SIZES, seed=1).manifest.index(b"image.template") + beside
    assert played(tmp_path, SourceFault(What.CORRUPT, On.MANIFEST, at=at), target=target) == [7, 0]


@TARGETS
def test_a_source_that_is_gone_is_tried_as_often_as_anything_and_no_more(tmp_path: Path, target: Scene | None) -> None:
    """The upload does not begin anew what the download has given up: its tries would multiply."""

    async def asked() -> tuple[int | None, dict[Digest, int]]:
        gone = SourceFault(What.BUSY, On.CONTENT, 1, 1000)
        scene = ReadingScene(1, (gone,), target=target, sizes=SIZES)
        async with source_of(scene, tmp_path) as (registry, faults, stored):
            if target is None:
                settings = settings_of(Scene(), tmp_path)
                code = await PullUser(registry.host, settings, Manifest.parse(stored.manifest)).pull()
            else:
                judge = Judge(tmp_path / "target", REPOSITORY, stored.manifest, 65_536, stored.contents)
                async with EmbeddedRegistry(tmp_path / "target", options_of(target, judge)) as there:
                    user = CopyUser(stored, there, judge, settings_of(target, tmp_path))
                    user.source_host = registry.host
                    code = await user.push()
        digests = [each.digest for each in faults.asked]
        return code, {digest: digests.count(digest) for digest in digests}

    code, counts = run(asked())
    assert code == 6
    assert max(counts.values()) == DEFAULT_RETRIES + 1


def test_a_wrong_answer_of_the_source_costs_nothing_that_the_target_has(tmp_path: Path) -> None:
    async def received() -> tuple[list[int | None], int]:
        cut = SourceFault(What.CUT, On.CONTENT, 1, at=200_000)
        scene = ReadingScene(1, (cut, SourceFault(What.OTHER_PART, On.CONTENT, 2, 5)), target=Scene(1), sizes=SIZES)
        async with source_of(scene, tmp_path) as (registry, _, stored):
            judge = Judge(tmp_path / "target", REPOSITORY, stored.manifest, 65_536, stored.contents)
            async with EmbeddedRegistry(tmp_path / "target", options_of(Scene(1), judge)) as there:
                user = CopyUser(stored, there, judge, settings_of(Scene(1), tmp_path))
                user.source_host = registry.host
                codes = [await user.push()]
                while codes[-1] == 7:
                    codes.append(await user.push())
                return codes, sum(each.received for each in there.log)

    codes, sent = run(received())
    assert (codes[0], codes[-1]) == (7, 0)
    assert sent < SIZES[0] + 65_536 + 2000


@pytest.mark.parametrize("direct", [False, True], ids=["in parts", "whole"])
def test_ollamas_registry_is_copied_to_with_each_blob_read_once(tmp_path: Path, direct: bool) -> None:
    async def asked() -> list[Digest]:
        target = Scene(1, ollama=True, direct=direct)
        scene = ReadingScene(1, target=target, sizes=(400_000, 200_000))
        async with source_of(scene, tmp_path) as (registry, faults, stored):
            judge = Judge(tmp_path / "target", REPOSITORY, stored.manifest, 65_536, stored.contents)
            async with EmbeddedRegistry(tmp_path / "target", options_of(target, judge)) as there:
                user = CopyUser(stored, there, judge, settings_of(target, tmp_path))
                user.source_host = registry.host
                assert await user.push() == 0
        return [each.digest for each in faults.asked]

    digests = run(asked())
    assert len(digests) == len(set(digests)) == 5


def test_seeds_stand_for_the_same_and_for_everything() -> None:
    seeds = range(300)
    for of in (ReadingScene.copy_of_seed, ReadingScene.pull_of_seed):
        assert [of(seed) for seed in seeds] == [of(seed) for seed in seeds]
    every = {fault.what for seed in seeds for fault in faults_of_seed(seed, redirects=True)}
    assert every == set(What)


# ── the judge ─────────────────────────────────────────────────────────────────────────────────────


def source(*asked: Asked) -> SourceFaults:
    return SourceFaults((), {BLOB: bytes(100)}, b"", "", False, False, asked=list(asked))


@pytest.mark.parametrize(
    "asked",
    [
        [Asked(0, BLOB, 0, 40, 0.0, What.CUT), Asked(0, BLOB, 40, 100, 1.0)],
        [Asked(0, BLOB, 0, 40, 0.0, What.TORN, exact=False), Asked(0, BLOB, 20, 100, 1.0)],
        [Asked(0, BLOB, 0, 0, 0.0, What.BUSY, wait=7.0), Asked(0, BLOB, 0, 100, 7.0)],
        [Asked(0, BLOB, 0, 0, 0.0, What.CORRUPT), Asked(0, BLOB, 0, 100, 1.0)],
    ],
)
def test_what_may_be_asked_for(asked: list[Asked]) -> None:
    check_resumed(source(*asked), {})


@pytest.mark.parametrize(
    ("asked", "held", "words"),
    [
        ([Asked(0, BLOB, 0, 100, 0.0), Asked(0, BLOB, 0, 100, 1.0)], 0, "after it had come to its end"),
        ([Asked(0, BLOB, 0, 40, 0.0, What.CUT), Asked(0, BLOB, 39, 100, 1.0)], 0, "after 0 to 40 had come"),
        ([Asked(0, BLOB, 0, 40, 0.0, What.TORN, exact=False), Asked(0, BLOB, 41, 100, 1.0)], 0, "after 0 to 40"),
        ([Asked(0, BLOB, 0, 0, 0.0, What.BUSY, wait=7.0), Asked(0, BLOB, 0, 100, 6.9)], 0, "though 7 s"),
        ([Asked(0, BLOB, 0, 100, 0.0)], 30, "but 30 bytes of it were here"),
    ],
)
def test_what_may_not_be_asked_for(asked: list[Asked], held: int, words: str) -> None:
    with pytest.raises(Broken, match=words):
        check_resumed(source(*asked), {BLOB: held})


def test_requests_that_nothing_explains_are_told() -> None:
    faults = source()
    faults.requests = [(0, "GET x")] * 17
    check_requests(faults, 1, others=0)
    with pytest.raises(Broken, match="18 requests"):
        faults.requests.append((0, "GET x"))
        check_requests(faults, 1, others=0)


def test_partial_content_is_seen(tmp_path: Path) -> None:
    folder = tmp_path / ".registry-push"
    folder.mkdir()
    (folder / f"{BLOB.path_name}.partial").write_bytes(b"xyz")
    assert held_in(tmp_path) == {BLOB: 3}
