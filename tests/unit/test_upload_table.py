"""The upload's two tables: every row is taken, every row is needed, and a step that leads elsewhere is noticed."""

from __future__ import annotations

import ast
from collections.abc import Iterator, MutableMapping
from pathlib import Path
from typing import Any, Final, cast
from unittest.mock import patch

import pytest

import registry_push.registry
from registry_push.protocol.response import Kind
from registry_push.protocol.upload import oci_table
from registry_push.protocol.upload.machine import Key, NotInTable, Row
from registry_push.protocol.upload.oci import OCIMachine
from registry_push.protocol.upload.oci_steps import OCISteps
from registry_push.protocol.upload.ollama import OllamaMachine
from registry_push.protocol.upload.states import Event, State
from tests.rows.mutants import EQUIVALENT, Mutant, deletions, swaps
from tests.rows.scenarios import SCENARIOS
from tests.rows.talk import FIRST, Table, Taking, Talk

_MACHINES: Final = {Table.OCI: OCIMachine, Table.OLLAMA: OllamaMachine}
# What only one of the two machines knows, and where each of them ends.
_OCIS: Final = {State.MOUNTING, State.OPEN, State.UNCERTAIN, State.MEASURING}
_OLLAMAS: Final = {State.PARTS, State.DIRECT}
_ENDS: Final = {
    Table.OCI: {State.DONE, State.FAILED, State.HANDED_OVER},
    Table.OLLAMA: {State.DONE, State.FAILED},
}
_STATES: Final = {Table.OCI: set(State) - _OLLAMAS, Table.OLLAMA: set(State) - _OCIS}


@pytest.mark.parametrize("taking", SCENARIOS, ids=lambda taking: str(taking.name))
def test_each_row_does_for_the_user_what_its_scenario_says(taking: Taking) -> None:
    taking.run()


@pytest.mark.parametrize("table", Table)
def test_each_row_has_a_scenario(table: Table) -> None:
    assert {taking.key for taking in SCENARIOS if taking.table is table} == set(table.rows)


def test_no_row_can_be_deleted_unnoticed() -> None:
    assert [str(mutant) for mutant in deletions() if mutant.survives(SCENARIOS)] == []


def test_no_row_can_have_the_step_of_another_unnoticed() -> None:
    assert [str(mutant) for mutant in swaps() if mutant.survives(SCENARIOS)] == []


def test_a_row_that_has_no_scenario_would_be_named() -> None:
    key = (State.COMMITTING, Kind.ACCEPTED)
    others = [taking for taking in SCENARIOS if taking.key != key and "only_accepted" not in taking.name]
    assert Mutant(Table.OCI, key, OCISteps.confirm_later).survives(others)


@pytest.mark.parametrize("key", EQUIVALENT)
def test_a_row_that_is_excused_does_the_same_with_the_other_step(key: tuple[Table, State, Kind | Event, str]) -> None:
    table, state, what, name = key
    assert Mutant(table, (state, what), getattr(_MACHINES[table], name)).survives(SCENARIOS)


def test_a_step_that_leads_where_its_row_does_not_say_is_a_bug_of_ours() -> None:
    key = (State.NEW, Kind.ACCEPTED)
    rows = cast(MutableMapping[Key, Row[Any]], oci_table.ROWS)
    with (
        patch.dict(rows, {key: Row(oci_table.ROWS[key].step, frozenset({State.DONE}))}),
        pytest.raises(NotInTable, match="ACCEPTED in NEW led to OPEN: opened"),
    ):
        Talk().asks("POST").is_told(202, location=FIRST)


@pytest.mark.parametrize("table", Table)
def test_every_state_with_a_request_has_rows_and_every_other_is_an_end(table: Table) -> None:
    assert {state for state, _ in table.rows} == _STATES[table] - _ENDS[table]


def test_everything_that_can_happen_is_in_a_row() -> None:
    assert {what for table in Table for _, what in table.rows} == {*Kind, *Event}


@pytest.mark.parametrize("table", Table)
def test_every_state_is_reached_from_the_first_or_from_a_record_and_leads_to_all_ends(table: Table) -> None:
    """MEASURING is after a commit, from which nothing leads to Ollama's machine."""
    leads = {state: {to for (here, _), row in table.rows.items() if here is state for to in row.to} for state in State}
    for state in _STATES[table] - _ENDS[table]:
        reached, new = {state}, {state}
        while new := {to for each in new for to in leads[each]} - reached:
            reached |= new
        ends = _ENDS[table] - ({State.HANDED_OVER} if state is State.MEASURING else set())
        assert ends <= reached <= _STATES[table], state
    assert set().union(*leads.values()) == _STATES[table] - ({State.HANDED_OVER} - _ENDS[table])


@pytest.mark.parametrize("table", Table)
def test_a_table_names_the_steps_that_its_machine_takes(table: Table) -> None:
    """No class below the one that a row names has a step of the same name, which the table would pass over."""
    for row in table.rows.values():
        name = row.step.__name__
        assert getattr(_MACHINES[table], name) is row.step, name


def test_the_driver_sets_nothing_on_what_it_drives() -> None:
    """It says what happened, by calls: only so does a table decide what that means."""
    folder = Path(registry_push.registry.__file__).parent
    found = [
        f"{file.name}:{target.lineno} sets {ast.unparse(target)}"
        for file in sorted(folder.glob("*.py"))
        for target in _assigned(ast.parse(file.read_text()))
        if ast.unparse(target.value).rpartition(".")[2].lstrip("_") in ("session", "parts")
    ]
    assert found == []


def _assigned(tree: ast.Module) -> Iterator[ast.Attribute]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store))
