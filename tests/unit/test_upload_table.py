"""The upload's table: every row is taken, every row is needed, and a step that leads elsewhere is noticed."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import cast
from unittest.mock import patch

import pytest

from registry_push.protocol.response import Kind
from registry_push.protocol.upload import table
from registry_push.protocol.upload.commit_steps import CommitSteps
from registry_push.protocol.upload.session import UploadSession
from registry_push.protocol.upload.states import Event, State
from registry_push.protocol.upload.table import ROWS, Key, NotInTable, Row
from tests.rows.mutants import EQUIVALENT, Mutant, deletions, swaps
from tests.rows.scenarios import SCENARIOS
from tests.rows.talk import FIRST, Taking, Talk


@pytest.mark.parametrize("taking", SCENARIOS, ids=lambda taking: str(taking.name))
def test_each_row_does_for_the_user_what_its_scenario_says(taking: Taking) -> None:
    taking.run()


def test_each_row_has_a_scenario() -> None:
    assert {taking.key for taking in SCENARIOS} == set(ROWS)


def test_no_row_can_be_deleted_unnoticed() -> None:
    assert [str(mutant) for mutant in deletions() if mutant.survives(SCENARIOS)] == []


def test_no_row_can_have_the_step_of_another_unnoticed() -> None:
    assert [str(mutant) for mutant in swaps() if mutant.survives(SCENARIOS)] == []


def test_a_row_that_has_no_scenario_would_be_named() -> None:
    key = (State.COMMITTING, Kind.ACCEPTED)
    others = [taking for taking in SCENARIOS if taking.key != key and "only_accepted" not in taking.name]
    assert Mutant(key, CommitSteps.confirm_later).survives(others)


@pytest.mark.parametrize("key", EQUIVALENT)
def test_a_row_that_is_excused_does_the_same_with_the_other_step(key: tuple[State, Kind, str]) -> None:
    state, kind, name = key
    assert Mutant((state, kind), getattr(CommitSteps, name)).survives(SCENARIOS)


def test_a_step_that_leads_where_its_row_does_not_say_is_a_bug_of_ours() -> None:
    key = (State.NEW, Kind.ACCEPTED)
    rows = cast(MutableMapping[Key, Row], table.ROWS)
    with (
        patch.dict(rows, {key: Row(ROWS[key].step, frozenset({State.DONE}))}),
        pytest.raises(NotInTable, match="ACCEPTED in NEW led to OPEN: opened"),
    ):
        Talk().asks("POST").is_told(202, location=FIRST)


def test_every_state_with_a_request_has_rows_and_every_other_is_an_end() -> None:
    assert {state for state, _ in ROWS} == set(State) - {State.DONE, State.FAILED}
    assert {what for _, what in ROWS} == {*Kind, *Event}


def test_every_state_is_reached_from_the_first_or_from_a_record_and_leads_to_both_ends() -> None:
    leads = {state: {to for (here, _), row in ROWS.items() if here is state for to in row.to} for state in State}
    for state in set(State) - {State.DONE, State.FAILED}:
        reached, new = {state}, {state}
        while new := {to for each in new for to in leads[each]} - reached:
            reached |= new
        assert {State.DONE, State.FAILED} <= reached, state
    assert set().union(*leads.values()) == set(State)


def test_the_table_names_the_steps_that_an_upload_takes() -> None:
    """No class below the one that a row names has a step of the same name, which the table would pass over."""
    for row in ROWS.values():
        assert getattr(UploadSession, row.step.__name__) is row.step
