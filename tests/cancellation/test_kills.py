"""The bounded version of `python -m tests.cancellation`: one run of each row, and what would be found out."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.support.peers import require

from .attempts import Stop
from .kills import HEADS, Case, Model, Run, run, wrong_blobs
from .registries import Kind, Running

MB = 1_000_000
SIZE, CHUNK, RATE = 24 * MB, 1 << 20, 80 * MB


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return Model.make(tmp_path_factory.mktemp("kills") / "models", SIZE)


ROWS = [
    pytest.param(kind, stop, marks=[pytest.mark.real] if kind is Kind.DOCKER else [], id=f"{kind.word}:{stop.word}")
    for kind in Kind
    for stop in Stop
    if stop is not Stop.TWICE or kind is Kind.DOCKER  # a second Ctrl-C is a kill that closes its files
]


@pytest.mark.parametrize(("kind", "stop"), ROWS)
async def test_a_stopped_push_ends_well(model: Model, tmp_path: Path, kind: Kind, stop: Stop) -> None:
    if kind is Kind.DOCKER:
        require("docker-registry")
    seed = random.SystemRandom().randrange(1_000_000)
    print(f"python -m tests.cancellation --only {kind.word}:{stop.word} --seed {seed} --runs 1 "
          f"--size {SIZE} --chunk-size {CHUNK} --rate {RATE} --own-chunks 0")  # fmt: skip
    done = await run(Case(kind, stop, seed, RATE, CHUNK), model, tmp_path)
    print(done.line)
    assert done.well, done.line
    if not stop.cuts:
        assert done.kept, done.line
    elif kind.keeps_sessions:
        assert done.kept_for_each, done.line


def of(sent: int, *, kind: Kind = Kind.ACKNOWLEDGED, kills: int = 1, cut: int = 3) -> Run:
    done = Run(Case(kind, Stop.KILL, 1, RATE, CHUNK), SIZE, CHUNK)
    done.sent, done.kills, done.starts, done.cut = sent, kills, kills + 1, cut
    return done


def test_a_byte_over_the_bound_is_told() -> None:
    most = SIZE + 2 * CHUNK + 3 * HEADS
    assert of(most, kills=2).kept
    assert not of(most + 1, kills=2).kept
    assert "1 bytes over the bound" in of(most + 1, kills=2).line


def test_what_is_committed_is_held_against_the_source(model: Model, tmp_path: Path) -> None:
    folder = tmp_path / "one/blobs/sha256"
    folder.mkdir(parents=True)
    registry = Running("", tmp_path, "*/blobs/sha256/*")
    good, bad, *_ = (blob.digest.hex for blob in model.manifest.blobs if blob.size > MB)
    content = bytearray(model.file(bad).read_bytes())
    (folder / good).write_bytes(model.file(good).read_bytes())
    (folder / bad).write_bytes(content)
    assert wrong_blobs(registry, model) == []
    content[-1] ^= 1
    (folder / bad).write_bytes(content)
    (folder / ("0" * 64)).write_bytes(b"")
    assert sorted(wrong_blobs(registry, model)) == sorted(
        [f"{bad} has other bytes than the source's", f"{'0' * 64} is none of the model's"]
    )


def test_points_come_from_the_seed() -> None:
    points = [Case(Kind.KEEP, Stop.KILL, seed, RATE, CHUNK).points(SIZE) for seed in range(50)]
    assert points == [Case(Kind.KEEP, Stop.KILL, seed, RATE, CHUNK).points(SIZE) for seed in range(50)]
    assert {len(each) for each in points} == {1, 2, 3}
    assert min(map(min, points)) < SIZE / 10 and max(map(max, points)) > SIZE * 0.9
