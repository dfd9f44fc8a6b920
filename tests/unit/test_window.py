"""How many bodies go at once follows the registry's answers."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from registry_push.protocol.aimd import AIMD


def test_it_begins_with_all_and_halves_when_turned_away() -> None:
    window = AIMD(8)
    sizes = []
    for _ in range(4):
        window.turned_away()
        sizes.append(window.size)
        window.went_well()
    assert sizes == [4, 2, 1, 1]  # one that went well at a size of one makes it two


def test_bodies_that_were_under_way_together_are_turned_away_as_one() -> None:
    window = AIMD(8)
    for _ in range(8):
        window.turned_away()
    assert window.size == 4


def test_it_grows_by_one_for_each_round_that_went_well() -> None:
    window = AIMD(8)
    window.turned_away()
    sizes = []
    for _ in range(4 + 5 + 6 + 7 + 8):
        window.went_well()
        sizes.append(window.size)
    assert [sizes.index(size) for size in (5, 6, 7, 8)] == [3, 8, 14, 21]


@given(st.integers(1, 64), st.lists(st.booleans(), max_size=300))
def test_it_stays_between_one_and_what_was_asked_for(most: int, answers: list[bool]) -> None:
    window = AIMD(most)
    for well in answers:
        if well:
            window.went_well()
        else:
            window.turned_away()
        assert 1 <= window.size <= most
