"""How many requests of a kind go at once to a registry that turns some away, and when."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry_push.protocol.rate_window import RateWindow, Turn
from registry_push.protocol.retry import Budget


class Clock:
    """Seconds."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


def window_of(clock: Clock, *, seconds: float = 300.0) -> RateWindow:
    budget = Budget(1_000_000, seconds=seconds, growth=4.0, clock=clock, dice=lambda: 0.0)
    return RateWindow(budget, dice=lambda: 0.0)


def begun(window: RateWindow, most: int = 100) -> list[int]:
    """The tickets of as many requests as may begin, at most `most`."""
    tickets: list[int] = []
    while window.admits and len(tickets) < most:
        tickets.append(window.begin())
    return tickets


def wait(window: RateWindow, clock: Clock) -> float:
    """Lets the pause pass, and returns its seconds."""
    assert window.held_until is not None
    seconds, clock.now = window.held_until - clock.now, window.held_until
    window.resume(window.held_until)
    return seconds


def test_any_number_goes_at_once_while_none_is_turned_away() -> None:
    window = window_of(Clock())
    for ticket in begun(window):
        window.answered(ticket)
    assert len(begun(window)) == 100


def test_a_burst_of_refusals_makes_one_pause_and_halves_the_window_once() -> None:
    clock = Clock()
    window = window_of(clock)
    turns = [window.turned_away(ticket, clock.now, 60.0) for ticket in begun(window, 16)]
    assert turns == [Turn.PAUSE, *[Turn.WAIT] * 15]
    assert window.size == 8
    assert begun(window) == []
    assert wait(window, clock) == 60


def test_one_request_goes_alone_after_a_pause_and_its_answer_opens_the_window() -> None:
    clock = Clock()
    window = window_of(clock)
    for ticket in begun(window, 16):
        window.turned_away(ticket, clock.now, 60.0)
    wait(window, clock)
    (alone,) = begun(window)
    window.answered(alone)
    assert len(begun(window)) == 8


def test_the_window_grows_by_one_when_as_many_as_it_admits_were_answered() -> None:
    clock = Clock()
    window = window_of(clock)
    for ticket in begun(window, 4):
        window.turned_away(ticket, clock.now, None)
    wait(window, clock)
    sizes = []
    for _ in range(4):
        for ticket in begun(window):
            window.answered(ticket)
        sizes.append(window.size)
    assert sizes == [2, 3, 4, 5]  # the first round is the one that goes alone


def test_a_window_that_has_grown_wide_is_none() -> None:
    clock = Clock()
    window = window_of(clock)
    window.turned_away(begun(window, 1)[0], clock.now, None)
    wait(window, clock)
    for _ in range(70):
        for ticket in begun(window):
            window.answered(ticket)
    assert window.size is None


def test_without_a_word_of_the_registry_pauses_grow_and_refusals_of_the_one_alone_halve_nothing() -> None:
    clock = Clock()
    window = window_of(clock)
    for ticket in begun(window, 16):
        window.turned_away(ticket, clock.now, None)
    pauses = [wait(window, clock)]
    for _ in range(4):
        (alone,) = begun(window)
        assert window.turned_away(alone, clock.now, None) is Turn.PAUSE
        pauses.append(wait(window, clock))
    assert pauses == [0.75, 3.0, 12.0, 22.5, 22.5]
    assert window.size == 8


def test_an_answer_makes_pauses_short_again() -> None:
    clock = Clock()
    window = window_of(clock)
    for _ in range(50):  # far more than there is time for without
        (ticket,) = begun(window, 1)
        window.turned_away(ticket, clock.now, None)
        assert wait(window, clock) == 0.75
        window.answered(begun(window)[0])


def test_an_answer_to_what_was_sent_before_the_pause_ends_nothing() -> None:
    clock = Clock()
    window = window_of(clock)
    first, second = begun(window, 2)
    window.turned_away(first, clock.now, 60.0)
    window.answered(second)
    assert not window.admits
    wait(window, clock)
    assert len(begun(window)) == 1


def test_a_longer_pause_that_another_of_the_burst_is_told_counts() -> None:
    clock = Clock()
    window = window_of(clock)
    first, second, third = begun(window, 3)
    window.turned_away(first, clock.now, 60.0)
    window.turned_away(second, clock.now, 90.0)
    window.turned_away(third, clock.now, 10.0)
    assert wait(window, clock) == 90


@pytest.mark.parametrize("retry_after", [60.0, None])
def test_it_gives_up_when_nothing_was_answered_for_too_long(retry_after: float | None) -> None:
    clock = Clock()
    window = window_of(clock, seconds=200.0)
    began = clock.now
    while True:
        (ticket,) = begun(window, 1)
        turn = window.turned_away(ticket, clock.now, retry_after)
        if turn is Turn.GIVE_UP:
            break
        wait(window, clock)
    assert 140 <= clock.now - began <= 230
    assert window.is_given_up(clock.now)
    assert begun(window) == []  # those that waited need not ask
    clock.now += 300
    assert not window.is_given_up(clock.now)
    assert len(begun(window)) == 1


def test_an_overloaded_registry_gets_less_at_once_and_is_left_alone_only_if_it_says_so() -> None:
    clock = Clock()
    window = window_of(clock)
    for ticket in begun(window, 16):
        window.overloaded(ticket, clock.now, None)
    assert (window.size, len(begun(window))) == (8, 8)
    window.overloaded(1, clock.now, 5.0)
    assert begun(window) == []
    assert wait(window, clock) == 5


def test_a_broken_request_frees_its_place_and_shows_nothing() -> None:
    clock = Clock()
    window = window_of(clock)
    window.turned_away(begun(window, 1)[0], clock.now, None)
    wait(window, clock)
    begun(window)
    window.end()
    assert len(begun(window)) == 1


@given(st.lists(st.sampled_from(("begin", "answered", "turned away", "asked to wait", "overloaded", "broken", "wait"))))
def test_places_are_counted_whatever_happens(happens: list[str]) -> None:
    clock = Clock()
    window, tickets = window_of(clock), list[int]()
    for what in happens:
        clock.now += 0.1
        if what == "begin" and window.admits:
            tickets.append(window.begin())
        elif what == "wait" and window.held_until is not None:
            wait(window, clock)
        elif tickets and what not in ("begin", "wait"):
            ticket = tickets.pop(0)
            match what:
                case "answered":
                    window.answered(ticket)
                case "turned away":
                    window.turned_away(ticket, clock.now, None)
                case "asked to wait":
                    window.turned_away(ticket, clock.now, 60.0)
                case "overloaded":
                    window.overloaded(ticket, clock.now, None)
                case _:
                    window.end()
        assert window.under_way == len(tickets)
        assert window.size is None or window.size >= 1
    for _ in tickets:
        window.end()
    if window.held_until is not None:
        wait(window, clock)
    clock.now += 1000
    assert window.is_given_up(clock.now) or window.admits
