"""The benchmark itself: that all of it runs, and that its figures are what it measured. No speed is asserted."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from tests.bench.measure import Sample
from tests.bench.registries import Registry, found_registries
from tests.bench.source import CopyWrong
from tests.support.peers import require

from .__main__ import scenarios
from .content import Blob, small_tags, variants
from .runs import Bench, Result, Scenario, Synced
from .syncers import US, US_AGAIN, Syncer, Task, found_syncers
from .table import markdown

MIB = 1 << 20


def registry() -> Registry:
    require("docker-registry")
    (found,) = (each for each in found_registries(None) if each.name == "distribution 2.8")
    return found


@pytest.mark.real
def test_every_scenario_is_run_and_told(tmp_path: Path) -> None:
    require("skopeo")
    syncers = [each for each in found_syncers(None) if each.name == "skopeo"]
    bench = Bench(tmp_path, registry(), syncers, 1, lambda _: None)
    same, changed = (bench.measure(each)[0] for each in scenarios(2, 1, 2, 64_000))
    ((kept,), (moved,)) = (same.rounds, changed.rounds)
    assert kept.down < same.scenario.content.distinct, "manifests only"
    assert min(moved.down, moved.up) > changed.scenario.content.distinct, "the blobs, and what is around them"
    text = markdown([same, changed])
    assert "**same**: 2 repositories of 1 small tags, nothing changed → distribution 2.8." in text
    assert f"{moved.down:,} | {moved.up:,}" in text
    assert list(tmp_path.iterdir()) == [], "nothing is left behind"


@pytest.mark.real
def test_a_sync_that_leaves_a_tag_out_is_no_sample(tmp_path: Path) -> None:
    idle = Syncer("idle", lambda _: ["/bin/true"])
    scenario = Scenario("changed", "two variants", variants(2, 64_000), same=False)
    with pytest.raises(CopyWrong, match=r"HEAD /v2/bench/large000/manifests/latest is answered 404"):
        Bench(tmp_path, registry(), [idle], 1, lambda _: None).measure(scenario)


def test_the_same_number_is_the_same_blob() -> None:
    first, again, other = Blob(1, MIB + 5), Blob(1, MIB + 5), Blob(2, MIB + 5)
    pieces = list(first.pieces())
    assert [len(piece) for piece in pieces] == [MIB, 5]
    assert first.digest() == again.digest() != other.digest()


def test_distinct_blobs_are_of_the_size_that_was_asked_for() -> None:
    content = variants(40, 1 << 30)
    assert len(content.blobs) == 40 + 8 + 1, "each one's own, one for five, and one for all"
    assert 0 <= content.distinct - (1 << 30) < 20_000, "the license and the config come on top"
    # Without sharing, each of the 40 sends the large one that five have.
    assert content.named == pytest.approx((1 << 29) * (1 + 5), rel=0.01)


def test_small_tags_share_no_layer() -> None:
    content = small_tags(200, 10, 4096)
    assert len(content.repositories) == 200
    assert {len(tags) for tags in content.repositories.values()} == {10}
    assert len(content.blobs) == 2000


def result(scenario: Scenario, name: str, *walls: float, down: int = 10, up: int = 20) -> Result:
    rounds = [Synced(Sample(wall, wall / 2, 10**7), down, up) for wall in walls]
    return Result(scenario, "distribution 3", Syncer(name, lambda _: []), rounds)


def test_ratios_are_those_of_the_medians() -> None:
    scenario = Scenario("changed", "much", variants(5, 10 * MIB), same=False)
    distinct = scenario.content.distinct
    results = [
        result(scenario, US, 1.0, 9.0, 2.0, down=distinct, up=2 * distinct),
        result(scenario, US_AGAIN),
        result(scenario, "skopeo", 40.0, 40.0, 40.0),
        result(scenario, "regsync", 10.0, 10.0, 10.0),
    ]
    lines = markdown(results).splitlines()
    assert (
        f"| **{US}** | 2.00 (1.00) | 1.00 | 10 | {distinct:,} | {2 * distinct:,} | 1.0000, 2.0000 | 0.20 | 1.00 |"
        in lines
    )
    assert "| skopeo | 40.00 (40.00) | 20.00 | 10 | 10 | 20 | 0.0000, 0.0000 | 4.00 | 0.05 |" in lines
    assert not any(US_AGAIN in line for line in lines), "it was not run"


def test_our_plan_is_one_entry_for_the_whole_registry(tmp_path: Path) -> None:
    ours = found_syncers(None)[0]
    *_, verb, plan = ours.command(Task("127.0.0.1:1", "127.0.0.1:2", ["bench/a"], tmp_path))
    assert verb == "sync"
    assert tomllib.loads(Path(plan).read_text()) == {
        "sync": [{"source": "registry:127.0.0.1:1/", "target": "registry:127.0.0.1:2/"}]
    }
