"""How often and how soon to try again."""

from __future__ import annotations

import time
from collections.abc import Iterator
from email.utils import formatdate

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from registry_push.errors import InvalidSettings, Unavailable
from registry_push.model import Descriptor, Digest
from registry_push.pauses import GROWTH
from registry_push.protocol.response import RegistryResponse
from registry_push.protocol.retry import CAP_SECONDS, RETRY_AFTER_CAP_SECONDS, Budget, parse_retry_after
from registry_push.protocol.upload.chunks import ChunkPlan
from registry_push.protocol.upload.session import UploadSession
from registry_push.protocol.upload.upload_state import UploadState
from registry_push.settings import DEFAULT_RETRIES, DEFAULT_RETRY_FOR
from registry_push.text.quantities import parse_duration
from tests.support.simulated import ENDPOINTS, asked

_CONTENT = bytes(10_000)
_NOW = 784_111_777.0  # Sun, 06 Nov 1994 08:49:37 GMT, the example of RFC 9110, 5.6.7


@pytest.fixture(params=["UTC", "America/New_York", "Asia/Kolkata"])
def zone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A local time zone; what a server means is never in it."""
    monkeypatch.setenv("TZ", request.param)
    time.tzset()
    yield request.param
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("0", 0), ("1", 1), (" 120 ", 120), ("300", 300), ("301", 300), ("86400", 300), ("9" * 400, 300), ("007", 7)],
)
def test_seconds_are_honoured_and_capped(value: str, seconds: float) -> None:
    assert parse_retry_after(value, now=_NOW) == seconds


def test_a_date_is_the_time_until_then(zone: str) -> None:
    assert parse_retry_after("Sun, 06 Nov 1994 08:49:37 GMT", now=_NOW - 10) == 10


@pytest.mark.parametrize(
    "value", ["Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994", "Sun, 06 Nov 1994 08:49:37 -0000"]
)
def test_the_obsolete_forms_of_a_date_are_utc_as_well(value: str, zone: str) -> None:
    # asctime's form names no zone; RFC 9110, 5.6.7, has recipients accept it, as UTC.
    assert parse_retry_after(value, now=_NOW - 10) == 10


@pytest.mark.parametrize("value", ["Sun, 06 Nov 1994 08:49:37 GMT", "Thu, 01 Jan 1970 00:00:00 GMT"])
def test_the_past_is_now(value: str) -> None:
    assert parse_retry_after(value, now=_NOW + 1) == 0


def test_a_date_far_away_is_capped() -> None:
    assert parse_retry_after(formatdate(_NOW + 10**8, usegmt=True), now=_NOW) == RETRY_AFTER_CAP_SECONDS


@pytest.mark.parametrize(
    "value", [None, "", " ", "-1", "1.5", "1e3", "soon", "٣", "Sun, 99 Nov 1994 08:49:37 GMT", "0x10", "∞"]
)
def test_what_can_not_be_read_is_no_wish(value: str | None) -> None:
    assert parse_retry_after(value, now=_NOW) is None


@given(st.text(max_size=60), st.floats(0, 4e9))
@example("Mon, 01 Jan 0001 00:00:00 -0000", 0.0)
@example("Fri, 31 Dec 9999 23:59:59 -2359", 0.0)
def test_any_value_is_a_pause_within_the_cap_or_none(value: str, now: float) -> None:
    seconds = parse_retry_after(value, now=now)
    assert seconds is None or 0 <= seconds <= RETRY_AFTER_CAP_SECONDS


def test_pauses_double_up_to_the_cap() -> None:
    budget = Budget(8, dice=lambda: 1.0)
    assert [budget.spend() for _ in range(9)] == [1, 2, 4, 8, 16, 30, 30, 30, None]


@pytest.mark.parametrize("rolled", [0.0, 0.25, 1.0])
def test_a_pause_has_a_floor(rolled: float) -> None:
    """With all of it left to chance, three tries could be over within a second."""
    budget = Budget(8, dice=lambda: rolled)
    pauses = [budget.spend() for _ in range(8)]
    assert pauses == [ceiling * (3 + rolled) / 4 for ceiling in (1, 2, 4, 8, 16, 30, 30, 30)]


@pytest.mark.parametrize("is_cut", [True, False])
def test_the_usual_tries_outlast_a_registry_that_restarts_for_a_minute(is_cut: bool) -> None:
    """With a body cut at its beginning, or without."""
    budget = Budget(DEFAULT_RETRIES, seconds=DEFAULT_RETRY_FOR, growth=GROWTH, clock=Ticks(), dice=lambda: 0.0)
    if is_cut:
        budget.moved()
    assert sum(pause for _ in range(DEFAULT_RETRIES) if (pause := budget.spend())) > 60


def test_after_cuts_pauses_grow_less_than_while_nobody_is_there() -> None:
    budget, pauses = Budget(5, growth=GROWTH, dice=lambda: 1.0), []
    for _ in range(5):
        budget.moved()
        pauses.append(budget.spend())
    assert pauses == [1, 2, 4, 8, 16]


class Ticks:
    """A clock for a budget, which a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_retry_for_bounds_the_time_in_pauses_and_in_vain_requests() -> None:
    clock = Ticks()
    budget = Budget(100, seconds=60, clock=clock, dice=lambda: 1.0)
    pauses = []
    while (pause := budget.spend()) is not None:
        pauses.append(pause)
        clock.now += pause + 10  # until its time is out
    assert pauses == [1, 2, 4, 8, 16]  # and 50 s for requests
    budget.restore()
    assert budget.spend() == 1


def test_a_line_that_breaks_every_hour_costs_tries_and_no_patience() -> None:
    clock = Ticks()
    budget = Budget(5, seconds=60, clock=clock, dice=lambda: 1.0)
    for _ in range(5):
        clock.now += 3600
        budget.moved()
        assert budget.spend() is not None
    assert budget.spend() is None


def test_a_pause_that_is_longer_than_the_time_left_is_not_begun() -> None:
    """What comes sooner than it was asked to is turned away for certain."""
    budget = Budget(5, seconds=300, clock=Ticks(), dice=lambda: 0.0)
    assert budget.spend(300) == 300
    assert budget.spend(300) is None
    assert Budget(5, seconds=10, clock=Ticks()).spend(11) is None


@pytest.mark.parametrize(
    ("retries", "spent", "enough"), [(0, 0, True), (1, 0, False), (2, 2, True), (9, 4, False), (9, 5, True)]
)
def test_few_tries_in_which_the_time_ran_out_are_not_enough(retries: int, spent: int, enough: bool) -> None:
    budget = Budget(retries)
    for _ in range(spent):
        budget.spend()
    assert budget.has_tried == enough


def test_no_time_is_no_try() -> None:
    assert Budget(5, seconds=0).spend() is None


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("0", 0), ("90s", 90), ("5m", 300), ("5min", 300), ("1h30m", 5400), ("1.5H", 5400), ("1d", 86_400)],
)
def test_durations_are_written_as_people_do(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", " ", "m", "-1", "5x", "1m30", "5s5m", "1e3", "inf", "nan", "٣"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(InvalidSettings, match="is not a duration"):
        parse_duration(text)


def test_a_budget_of_nothing_allows_nothing() -> None:
    assert Budget(0).spend() is None
    assert Budget(0).spend(5) is None


def test_progress_restores_all_tries_and_the_short_pause() -> None:
    budget = Budget(2, dice=lambda: 1.0)
    assert [budget.spend(), budget.spend(), budget.spend()] == [1, 2, None]
    budget.restore()
    assert [budget.spend(), budget.spend(), budget.spend()] == [1, 2, None]


def test_the_pause_is_never_shorter_than_the_server_asked() -> None:
    assert Budget(1, dice=lambda: 0.0).spend(10) == 10
    assert Budget(1, dice=lambda: 1.0).spend(10) == 11
    assert Budget(1, dice=lambda: 0.0).spend(0) == 0.75
    assert Budget(1, dice=lambda: 0.0).spend(10**9) == RETRY_AFTER_CAP_SECONDS


@given(st.integers(0, 100), st.floats(0, 1), st.none() | st.floats(0, 1e12))
def test_a_budget_gives_as_many_pauses_as_tries(retries: int, rolled: float, asked: float | None) -> None:
    budget = Budget(retries, dice=lambda: rolled)
    pauses = [budget.spend(asked) for _ in range(retries + 2)]
    assert pauses[retries:] == [None, None]
    assert all(p is not None and 0 <= p <= CAP_SECONDS + RETRY_AFTER_CAP_SECONDS for p in pauses[:retries])


@pytest.mark.parametrize("others", [True, False])
def test_turned_away_while_others_are_let_in_costs_no_try(others: bool) -> None:
    blob = Descriptor("a/b", Digest.of(_CONTENT), len(_CONTENT))
    session = UploadSession(UploadState(blob, ENDPOINTS, ChunkPlan(len(_CONTENT)), budget=Budget(1)))
    asked(session)
    session.receive(RegistryResponse(202, ENDPOINTS.uploads, location="/s"))
    bodies = 0
    while bodies < 3 and (request := asked(session)) is not None:
        if request.span is None:  # how far it is
            session.receive(RegistryResponse(204, ENDPOINTS.uploads, range_end=0))
            continue
        bodies += 1
        if others:
            session.others_got_through()
        session.receive(RegistryResponse(429, ENDPOINTS.uploads))
    assert (bodies, type(session.failure)) == ((3, type(None)) if others else (2, Unavailable))
