"""A small `python -m tests.cancellation` for exports, imports and repairs, and a kill before every step of some."""

from __future__ import annotations

import shutil
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.peers import require

from .air_gap import Case, Run, Stock, Way, flip, run
from .attempts import Stop
from .carried import Exported, MendedArchive
from .dying import Point
from .kills import HEADS, Model

MB = 1_000_000
SIZE = 24 * MB
STOPS = (Stop.KILL, Stop.INT)


@pytest.fixture(scope="module")
def stock(tmp_path_factory: pytest.TempPathFactory) -> Stock:
    folder = tmp_path_factory.mktemp("kills")
    found = Stock(Model.make(folder / "models", SIZE), folder / "stock")
    found.make()
    return found


@pytest.fixture
def tiny(tmp_path: Path) -> Stock:
    """One that is quickly written, so that all time goes to what comes after."""
    found = Stock(Model.make(tmp_path / "models", MB), tmp_path / "stock")
    found.make()
    return found


@pytest.mark.real
@pytest.mark.parametrize("stop", STOPS)
@pytest.mark.parametrize("way", Way)
async def test_what_is_stopped_ends_well(stock: Stock, tmp_path: Path, way: Way, stop: Stop) -> None:
    if way is Way.UPLOAD:
        require("docker-registry")
    seed = 3
    print(f"python -m tests.cancellation --only {way.word}:{stop.word} --seed {seed} --runs 1 --size {SIZE}")
    done = await run(Case(way, stop, seed), stock, tmp_path / "run")
    assert done.well, done.line
    assert done.kills, "the seed is one at which it is killed"
    assert done.kept or not done.case.bounded, done.line


@pytest.mark.parametrize(("way", "last"), [(Way.SPLIT, 14), (Way.IMPORT, 7)])
async def test_a_kill_before_any_of_the_last_steps_leaves_nothing_half(
    tiny: Stock, tmp_path: Path, way: Way, last: int
) -> None:
    steps = (await tiny.whole(way))[0].steps
    kills = 0  # several blobs are imported at once, and how they meet may spare a step
    for step in range(steps - last, steps):
        point = Point(step, True, signal.SIGKILL)
        done = await run(Case(way, Stop.KILL, 0, (point,)), tiny, tmp_path / str(step))
        assert done.well, done.line
        kills += done.kills
    assert kills


def test_an_export_that_shows_too_early_is_told(stock: Stock, tmp_path: Path) -> None:
    like = stock.volumes[0].parent
    exported = Exported(tmp_path / "to", like, "model.v001.tar")
    shutil.copytree(like, exported.folder)
    assert exported.wrong() == exported.lacking() == []
    (exported.folder / "model.v002.tar").unlink()
    assert exported.wrong() == ["model.v002.tar is not there beside model.v001.tar"]
    (exported.folder / "model.v001.tar").unlink()
    assert exported.wrong() == [] and exported.place is None
    flip(exported.folder / "model.v003.tar", 5000)
    (exported.folder / "stray").touch()
    assert exported.wrong() == ["stray is foreign", "model.v003.tar has other bytes"]


def test_an_archive_that_a_repair_breaks_is_told(stock: Stock, tmp_path: Path) -> None:
    path = tmp_path / "model.tar"
    shutil.copy(stock.archive, path)
    mended = MendedArchive(path, stock.archive, ())
    assert mended.wrong() == mended.lacking() == []
    flip(path, SIZE // 2)
    assert [each.partition(" ")[2] for each in mended.wrong()] == ["was whole before"]
    assert mended.lacking()


def test_a_byte_over_the_bound_is_told() -> None:
    done = Run(Case(Way.SPLIT, Stop.KILL, 1), SIZE, MB, kills=2, starts=3, ended=True)
    done.written = SIZE + 2 * MB + 3 * HEADS
    assert done.kept and done.well
    assert f"{2 * MB + 3 * HEADS + 1} bytes written again" in replace(done, written=done.written + 1).line
