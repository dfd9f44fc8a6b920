"""Every registry of the table: pushes end well, and cost at most a chunk while its ways are learned."""

from __future__ import annotations

from pathlib import Path

import pytest

from registry_push.registry.kinds import KINDS

from .rows import NOT_PLAYED, ROWS, Row
from .run import tried


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
async def test_pushes_to_every_registry_end_well(row: Row, tmp_path: Path) -> None:
    assert (await tried(row, tmp_path)).faults == []


def test_every_registry_is_played_or_it_is_said_why_not() -> None:
    assert {row.kind for row in ROWS} | {*NOT_PLAYED} == {kind.name for kind in KINDS}
