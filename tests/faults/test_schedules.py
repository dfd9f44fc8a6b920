"""Seeded faults: whatever goes wrong, a push ends with a documented code, and P1–P7 hold (guides/reliability.md).

FAULT_SEEDS says how many seeds, FAULT_FIRST the first one, FAULT_KINDS which faults (`old`, `new` or `all`).
`python -m tests.faults` plays a night's worth.
"""

from __future__ import annotations

import os

import pytest

from registry_push.embedded import Kinds

from .__main__ import play

FIRST = int(os.environ.get("FAULT_FIRST", "0"))
SEEDS = int(os.environ.get("FAULT_SEEDS", "60"))
KINDS = Kinds(os.environ.get("FAULT_KINDS", "all"))


@pytest.mark.parametrize("seed", range(FIRST, FIRST + SEEDS))
def test_every_schedule_ends_as_documented(seed: int) -> None:
    play(seed, KINDS)
