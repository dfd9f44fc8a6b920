"""Every reader of foreign bytes, with the same few hundred inputs in each run, and with those that were once found."""

from __future__ import annotations

import gc
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from .found import AWAITED, FOUND, KNOWN, Found
from .mutation import changed, havoc, inputs
from .rows import TARGETS
from .target import Bench, Failure, Target, pure, raw

EXAMPLES = 25
NEIGHBOURS = 4
# Ten times what is allowed: the machine may have other things to do, and what stalls takes seconds.
MOST_SECONDS = 1.0


def tried(target: Target, folder: Path) -> list[Failure]:
    """What fails of a fixed number of inputs, always the same ones."""
    failures: dict[str, Failure] = {}
    with Bench(target, folder, most_seconds=MOST_SECONDS) as bench:

        @settings(
            max_examples=EXAMPLES,
            derandomize=True,
            database=None,
            deadline=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(inputs(target))
        def run(data: bytes) -> None:
            for each in (data, *havoc(data, target, NEIGHBOURS)):
                if (failure := bench.examine(each)) is not None:
                    failures.setdefault(failure.signature, failure)

        for seed in target.seeds:
            assert bench.examine(seed) is None, f"a seed fails: {seed!r}"
        run()
    return list(failures.values())


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_any_bytes_are_a_value_or_a_typed_error(target: Target, tmp_path: Path) -> None:
    unknown = [failure for failure in tried(target, tmp_path / "target") if not failure.signature.startswith(KNOWN)]
    assert unknown == []


@pytest.mark.parametrize(
    "found",
    [
        pytest.param(found, id=found.what, marks=[pytest.mark.xfail(strict=True)] if found.what in AWAITED else [])
        for found in FOUND
    ],
)
def test_what_was_found_stays_mended(found: Found, tmp_path: Path) -> None:
    target = next(target for target in TARGETS if target.name == found.target)
    with Bench(target, tmp_path / "target", most_seconds=MOST_SECONDS) as bench:
        assert bench.examine(found.data[: target.most]) is None


# ── the harness itself ────────────────────────────────────────────────────────────────────────────


def _stalls(_: bytes) -> None:
    sum(range(12_000_000))


def _swallows(data: bytes) -> int:
    return len(b"a" * 300_000_000 + data)  # far above the bound: what others give back meanwhile is taken off


def _raises(data: bytes) -> None:
    if b"x" in data:
        raise IndexError(data)


@pytest.mark.parametrize(("call", "kind"), [(_stalls, "slow"), (_swallows, "large"), (_raises, "error"), (len, None)])
def test_what_a_target_must_not_do_is_seen(call: object, kind: str | None, tmp_path: Path) -> None:
    target = Target("a target", (b"xyz",), raw(call))  # type: ignore[arg-type]
    # Only what is to be slow may be found so, however busy the machine is.
    with Bench(target, tmp_path / "target", most_seconds=0.1 if kind == "slow" else 60.0) as bench:
        held = b"a" * 300_000_000  # What another test held is not this input's.
        del held
        gc.collect()  # what other tests left would be collected, and given back, while this input is tried
        failure = bench.examine(b"a long input with x in it")
        assert (failure.kind if failure else None) == kind
        if kind == "error":
            assert failure is not None and bench.shortened(failure).data == b"x"


def test_the_names_of_targets_are_one_word_and_their_seeds_are_read(tmp_path: Path) -> None:
    assert len({target.name for target in TARGETS}) == len(TARGETS)
    assert all(" " not in target.name and target.seeds for target in TARGETS)
    read: list[str] = []
    with Bench(Target("a target", (b"x",), pure(read.append)), tmp_path) as bench:
        bench.examine(b"\xff")
    assert read == ["\udcff"]


def test_changes_keep_to_the_length_and_are_the_same_each_time() -> None:
    target = Target("a target", (b"0123456789", b"other"), raw(len), most=100)
    first, second = list(havoc(b"0123456789", target, 500)), list(havoc(b"0123456789", target, 500))
    assert first == second and len(set(first)) > 250
    assert max(map(len, first)) == 100 and all(len(data) <= 100 for data in first)
    assert changed(b"abc", [("set", 1 << 15, 0, b"XY")], (b"",), 10) == b"abXY"
    assert changed(b"abc", [("delete", 0, 0, b"")], (b"",), 10) == b"bc"
    assert changed(b"abc", [("cut", 1 << 15, 0, b"")], (b"",), 10) == b"ab"
