"""A small `python -m tests.cancellation` for pulls and copies, with fixed seeds, and what its judge would find out."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.peers import require

from .attempts import Stop
from .copies import Case, Run, Way, run, source_of
from .kills import HEADS, Model
from .registries import Running
from .targets import Layout, Store

MB, MiB = 1_000_000, 1 << 20
# A chunk is more than the layout's bound for what is worth keeping can lose of a blob.
# At this rate the kernel fills `UNREAD` only for a process that gets no turn for 0.4 s.
SIZE, CHUNK, RATE = 48 * MB, 8 * MiB, 20 * MB
# What the kernel holds for a process that is too busy to read: the line has carried it. On an idle machine 0.5 MB.
UNREAD = 8 * MiB


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return Model.make(tmp_path_factory.mktemp("kills") / "models", SIZE)


@pytest.fixture(scope="module")
def source(model: Model, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    require("docker-registry")
    with source_of(model, tmp_path_factory.mktemp("source")) as registry:
        yield registry


@pytest.mark.real
@pytest.mark.parametrize("stop", Stop)
@pytest.mark.parametrize("way", Way)
async def test_a_stopped_copy_ends_well(model: Model, source: Running, tmp_path: Path, way: Way, stop: Stop) -> None:
    seed = 7
    print(f"python -m tests.cancellation --only {way.word}:{stop.word} --seed {seed} --runs 1 "
          f"--size {SIZE} --chunk-size {CHUNK} --rate {RATE} --own-chunks 0")  # fmt: skip
    done = await run(Case(way, stop, seed, RATE, CHUNK), model, source, tmp_path)
    assert done.well, done.line
    assert done.kills, "the seed is one at which it is killed"
    if done.case.bounded:
        assert done.kept_for_each or done.most <= done.bound + done.kills * UNREAD, done.line


@pytest.mark.parametrize("end", ["received", "sent"])
def test_a_byte_over_the_bound_is_told_at_either_end(end: str) -> None:
    done = Run(Case(Way.KEPT, Stop.KILL, 1, RATE, CHUNK), SIZE, CHUNK, kills=2, starts=3)
    most = SIZE + 2 * CHUNK + 3 * HEADS
    setattr(done, end, most)
    assert done.kept
    setattr(done, end, most + 1)
    assert "1 bytes over the bound" in done.line


def test_what_a_store_shows_is_held_against_ollamas_rules(model: Model, tmp_path: Path) -> None:
    root = tmp_path / "models"
    shutil.copytree(model.store, root)
    store = Store(root)
    assert store.is_shown and store.wrong(model) == store.lacking(model) == []
    blobs = {blob.digest.hex: root / "blobs" / blob.digest.path_name for blob in model.manifest.blobs}
    gone, bad, *_ = blobs
    blobs[gone].unlink()
    content = blobs[bad].read_bytes()
    blobs[bad].write_bytes(bytes([content[0] ^ 1]) + content[1:])
    (root / "blobs" / f"sha256-{gone}-partial-0").touch()
    (root / "manifests" / "stray").touch()
    (root / "stray").mkdir()
    assert sorted(store.wrong(model)) == sorted(
        [
            f"a manifest shows without sha256:{gone}",
            f"{bad} has other content",
            f"sha256-{gone}-partial-0 is foreign in blobs/",
            "stray is foreign in manifests/",
            "stray is foreign in the store",
        ]
    )


def test_what_a_layout_shows_is_all_there(model: Model, tmp_path: Path) -> None:
    layout, blobs = Layout(tmp_path), tmp_path / "blobs/sha256"
    blobs.mkdir(parents=True)
    for blob in model.manifest.blobs:
        shutil.copy(model.file(blob.digest.hex), blobs / blob.digest.hex)
    (blobs / model.manifest.digest.hex).write_bytes(model.manifest.raw)
    (tmp_path / "index.json").write_text(json.dumps({"manifests": [{"digest": str(model.manifest.digest)}]}))
    assert layout.is_shown and layout.wrong(model) == layout.lacking(model) == []
    gone = model.manifest.blobs[0].digest
    (blobs / gone.hex).unlink()
    assert layout.wrong(model) == [f"a manifest shows without {gone}"]
    (blobs / model.manifest.digest.hex).unlink()
    assert layout.wrong(model) == [f"{model.manifest.digest} is not there"]
