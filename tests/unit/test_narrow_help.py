"""Help in a narrow terminal: lines that fit, so that the terminal breaks none inside a word."""

from __future__ import annotations

import re

import pytest
from click.testing import CliRunner

from registry_push.cli.main import group

COMMANDS = ["", "push", "copy", "resume", "serve", "key", "key create", "help"]


@pytest.mark.parametrize("columns", [38, 44, 50, 61])
@pytest.mark.parametrize("command", COMMANDS)
def test_every_line_fits_and_no_name_is_cut(command: str, columns: int) -> None:
    result = CliRunner().invoke(
        group, [*command.split(), "--help"], prog_name="registry-push", color=False, env={"COLUMNS": str(columns)}
    )
    assert result.exit_code == 0
    # Lines to be copied are not broken, however long they are.
    prose = [line for line in result.output.splitlines() if not line.lstrip().startswith("registry-push ")]
    assert [line for line in prose if len(line) > columns] == []
    wide = CliRunner().invoke(group, [*command.split(), "--help"], color=False, env={"COLUMNS": "120"})
    names = set(re.findall(r"REGISTRY_PUSH_[A-Z_]+", wide.output))
    assert names <= set(re.findall(r"REGISTRY_PUSH_[A-Z_]+", result.output)), "a name is in one piece"
