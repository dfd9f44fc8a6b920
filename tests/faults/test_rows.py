"""The table of rows.py is whole, and every test that it names exists."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from .rows import ROWS

_ROOT = Path(__file__).parents[2]
_CLASSES = ("transport", "server", "session", "chunks", "auth", "disk", "process", "hostile", "secrets", "daemon")


def functions(file: Path) -> set[str]:
    """The names of the tests in a file, not imported."""
    tree = ast.parse(file.read_text())
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


def test_every_row_has_its_tests() -> None:
    assert tuple(ROWS) == _CLASSES
    assert all(ROWS.values())
    assert all(names for items in ROWS.values() for names in items.values())


@pytest.mark.parametrize("node", sorted({name for row in ROWS.values() for names in row.values() for name in names}))
def test_the_named_test_exists(node: str) -> None:
    file, _, name = node.partition("::")
    assert name in functions(_ROOT / file)
