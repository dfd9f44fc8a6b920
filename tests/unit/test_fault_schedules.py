"""Schedules of faults: the same for the same seed, told in words, and of every kind."""

from __future__ import annotations

from registry_push.embedded import Fault, Kinds, On, Schedule, What

_SEEDS = range(300)
_NEW = {What.BROKEN, What.PORTAL, What.DRIP, What.ECHO}


def test_a_seed_always_gives_the_same_schedule() -> None:
    assert [Schedule.of_seed(seed) for seed in _SEEDS] == [Schedule.of_seed(seed) for seed in _SEEDS]
    assert len({Schedule.of_seed(seed).faults for seed in _SEEDS}) > len(_SEEDS) * 0.95


def test_every_kind_of_fault_comes_up_where_it_has_a_meaning() -> None:
    everywhere = {fault.what for seed in _SEEDS for fault in Schedule.of_seed(seed, signed=True).faults}
    assert everywhere == set(What) - _NEW
    plain = {fault for seed in _SEEDS for fault in Schedule.of_seed(seed).faults}
    assert not {What.EXPIRE, What.UNAUTHORIZED} & {fault.what for fault in plain}
    assert On.STORAGE not in {fault.on for fault in plain}
    ollama = {fault for seed in _SEEDS for fault in Schedule.of_seed(seed, ollama=True).faults}
    assert On.STORAGE in {fault.on for fault in ollama}
    assert not {What.OFFSET, What.RANGE} & {fault.what for fault in ollama}


def test_a_seed_keeps_its_old_faults_whatever_is_added() -> None:
    for seed in _SEEDS:
        old = Schedule.of_seed(seed).faults
        every = Schedule.of_seed(seed, kinds=Kinds.ALL).faults
        assert tuple(fault for fault in every if fault.what not in _NEW) == old
        assert {fault.what for fault in Schedule.of_seed(seed, kinds=Kinds.NEW).faults} <= _NEW
    both = [Schedule.of_seed(seed, kinds=Kinds.ALL).faults for seed in _SEEDS]
    assert {fault.what for faults in both for fault in faults} == set(What) - {What.EXPIRE, What.UNAUTHORIZED}
    assert 0.4 < sum(any(fault.what in _NEW for fault in faults) for faults in both) / len(both) < 0.6


def test_a_schedule_is_told_in_words() -> None:
    faults = Fault(What.CUT, On.PATCH, 3, at=17), Fault(What.ANSWER, On.ANY, 1, 2, status=429, retry_after="soon")
    assert str(Schedule(faults, seed=5)).splitlines() == [
        "schedule of seed 5:",
        "  PATCH, number 3, 1 time(s): the line is cut in its body (at byte 17)",
        "  any request, number 1, 2 time(s): it is answered before its body is read (429, Retry-After: soon)",
    ]
