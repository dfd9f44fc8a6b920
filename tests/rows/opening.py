"""Rows of POST: a new upload, one whose session is lost, and one whose session was tried in vain.

Both tables have them, and do the same. What follows once a session is open is told for each.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from registry_push.errors import Denied, NotARegistry, Refused, RegistryPushError, Unauthorized, Unavailable
from registry_push.events import Placement
from registry_push.protocol.response import Kind
from registry_push.protocol.upload.requests import OllamaWay, UploadRecord
from registry_push.protocol.upload.states import State
from tests.support.simulated import ENDPOINTS

from .talk import CHUNK, FIRST, LEFT, SECOND, SIZE, Scenario, Talk, Told, takes, takes_at_ollama

_OTHER = "other/repository"
_REFUSALS: dict[int, type[RegistryPushError]] = {400: Refused, 401: Unauthorized, 403: Denied, 404: Refused}
_WAY = OllamaWay(part=CHUNK)
# One part of three is placed.
_PARTS = UploadRecord(LEFT, 0, part=CHUNK, done=(0,), first=1)

_LEFT = UploadRecord(LEFT, CHUNK, chunk=CHUNK)

At: TypeAlias = Callable[..., Talk]


def at(state: State, *, mounts: tuple[str, ...] = (), retries: int = 0) -> Talk:
    """An upload that is about to POST; GONE and FRESH with a session that another process has left."""
    if state is State.NEW:
        return Talk(mounts=mounts, retries=retries)
    is_lost = state is State.GONE  # which costs a try
    talk = Talk(mounts=mounts, retries=retries + 1 if is_lost else 0, resume=_LEFT)
    if mounts:  # which are tried before the session is continued
        talk.asks("POST", offers=True).is_told(503)
        return talk.asks("GET", LEFT).is_told(404) if is_lost else talk
    return talk.asks("GET", LEFT).is_told(404 if is_lost else 503)


def at_ollama(state: State, *, mounts: tuple[str, ...] = (), retries: int = 0) -> Talk:
    """The same at Ollama's registry, where what another process has left are parts."""
    if state is State.NEW:
        return Talk(mounts=mounts, retries=retries, ollama=_WAY)
    if state is State.GONE:  # which costs a try
        return Talk(mounts=mounts, retries=retries + 1, ollama=_WAY, resume=_PARTS).has_parts(LEFT, 404)
    return Talk(mounts=mounts, retries=0, ollama=_WAY, resume=_PARTS).has_parts(LEFT, 503)


def takes_in_both(state: State, kind: Kind, *arguments: object) -> Callable[[Scenario], Scenario]:
    """Tell that a scenario takes this row of either table, if it is called with `at` or `at_ollama`, and the state."""

    def told(scenario: Scenario) -> Scenario:
        takes(state, kind, at, state, *arguments)(scenario)
        return takes_at_ollama(state, kind, at_ollama, state, *arguments)(scenario)

    return told


# ── what both do ──────────────────────────────────────────────────────────────────────────────────


@takes_in_both(State.NEW, Kind.CREATED)
@takes_in_both(State.GONE, Kind.CREATED)
@takes_in_both(State.FRESH, Kind.CREATED)
def a_mount_that_was_asked_for_is_all_it_takes(at: At, state: State) -> None:
    talk = at(state, mounts=(_OTHER,)).asks("POST", offers=True).is_told(201)
    talk.is_done(Placement.MOUNTED)
    assert not talk.session.left_over


@takes_in_both(State.NEW, Kind.CREATED)
@takes_in_both(State.GONE, Kind.CREATED)
@takes_in_both(State.FRESH, Kind.CREATED)
def a_mount_that_nobody_asked_for_counts_if_the_blob_is_there(at: At, state: State) -> None:
    talk = at(state).asks("POST").is_told(201).asks("HEAD", ENDPOINTS.blob)
    assert talk.session.placement is None
    talk.is_told(200, length=SIZE)
    assert talk.session.state is State.DONE


@takes_in_both(State.FRESH, Kind.ACCEPTED)
def a_post_that_opens_no_session_says_nothing_better_than_why_the_old_one_failed(at: At, state: State) -> None:
    at(state).asks("POST").is_told(202).has_failed(Unavailable)


@takes_in_both(State.NEW, Kind.ACCEPTED)
def a_page_where_a_session_should_be_is_no_registry(at: At, state: State) -> None:
    at(state).asks("POST").is_told(204).has_failed(NotARegistry)


@takes_in_both(State.NEW, Kind.MISSING, 404)
@takes_in_both(State.NEW, Kind.EXPIRED, 401)
@takes_in_both(State.NEW, Kind.INVALID, 400)
@takes_in_both(State.NEW, Kind.REFUSED, 403)
@takes_in_both(State.GONE, Kind.MISSING, 404)
@takes_in_both(State.GONE, Kind.EXPIRED, 401)
@takes_in_both(State.GONE, Kind.INVALID, 400)
@takes_in_both(State.GONE, Kind.REFUSED, 403)
@takes_in_both(State.FRESH, Kind.MISSING, 404)
@takes_in_both(State.FRESH, Kind.EXPIRED, 401)
@takes_in_both(State.FRESH, Kind.INVALID, 400)
@takes_in_both(State.FRESH, Kind.REFUSED, 403)
def a_refused_mount_costs_a_request_and_a_refused_session_the_upload(at: At, state: State, status: int) -> None:
    talk = at(state, mounts=(_OTHER,)).asks("POST", offers=True).is_told(status)
    talk.asks("POST", ENDPOINTS.uploads, waits=False).is_told(status)
    talk.has_failed(_REFUSALS[status])


@takes_in_both(State.NEW, Kind.BUSY, 503)
@takes_in_both(State.NEW, Kind.LOST, None)
@takes_in_both(State.GONE, Kind.BUSY, 503)
@takes_in_both(State.GONE, Kind.LOST, None)
def a_post_is_tried_again_with_its_mount_until_no_try_is_left(at: At, state: State, told: Told) -> None:
    talk = at(state, mounts=(_OTHER,), retries=1).asks("POST", offers=True, waits=False).is_told(told)
    talk.asks("POST", offers=True, waits=True).is_told(told).has_failed(Unavailable)


@takes_in_both(State.FRESH, Kind.BUSY, 503)
@takes_in_both(State.FRESH, Kind.LOST, None)
def a_registry_that_opens_no_fresh_session_is_unavailable_and_the_old_one_is_kept(
    at: At, state: State, told: Told
) -> None:
    talk = at(state).asks("POST", waits=False).is_told(told, location=FIRST)
    talk.has_failed(Unavailable)
    record = talk.session.record
    assert record is not None and (record.location, record.acknowledged(SIZE)) == (LEFT, CHUNK)


# ── chunks ────────────────────────────────────────────────────────────────────────────────────────


@takes(State.NEW, Kind.ACCEPTED, State.NEW)
@takes(State.GONE, Kind.ACCEPTED, State.GONE)
def a_session_that_is_opened_begins_at_the_first_byte(state: State) -> None:
    at(state).opens().asks("PATCH", FIRST, span=(0, CHUNK))


@takes(State.GONE, Kind.ACCEPTED)
def a_session_after_a_lost_one_may_have_a_fresh_one_after_it() -> None:
    at(State.GONE).opens(FIRST).asks("PATCH", FIRST, span=(0, CHUNK)).is_told(503).opens(SECOND).asks("GET", FIRST)


@takes(State.MOUNTING, Kind.CREATED)
def a_blob_that_is_elsewhere_by_now_is_mounted_and_the_session_that_was_left_is_deleted() -> None:
    talk = Talk(mounts=(_OTHER,), resume=_LEFT).asks("POST", offers=True)
    assert talk.session.record == _LEFT, "it is kept until something better is there"
    talk.is_told(201).is_done(Placement.MOUNTED)
    assert [(each.method, each.url) for each in talk.session.left_over] == [("DELETE", LEFT)]


@takes(State.MOUNTING, Kind.ACCEPTED)
def a_registry_that_mounts_nothing_continues_the_session_that_was_left_and_not_the_new_one() -> None:
    talk = Talk(mounts=(_OTHER, "third"), resume=_LEFT).asks("POST", offers=True).is_told(202, location=FIRST)
    talk.asks("GET", LEFT).is_told(204, end=CHUNK).asks("PATCH", LEFT, span=(CHUNK, 2 * CHUNK))
    assert [each.url for each in talk.session.left_over] == [FIRST]
    Talk(mounts=(_OTHER,), resume=_LEFT).asks("POST", offers=True).is_told(202).asks("GET", LEFT)


@takes(State.MOUNTING, Kind.MISSING, 404)
@takes(State.MOUNTING, Kind.EXPIRED, 401)
@takes(State.MOUNTING, Kind.INVALID, 400)
@takes(State.MOUNTING, Kind.REFUSED, 403)
@takes(State.MOUNTING, Kind.TOO_LARGE, 413)
@takes(State.MOUNTING, Kind.WRONG_OFFSET, 416)
def each_mount_is_tried_before_a_session_that_was_left_is_continued(status: int) -> None:
    talk = Talk(mounts=(_OTHER, "third"), resume=_LEFT).asks("POST", offers=True).is_told(status)
    talk.asks("POST", offers=True, waits=False).is_told(status).asks("GET", LEFT, waits=False)
    talk.is_told(204, end=CHUNK).asks("PATCH", LEFT, span=(CHUNK, 2 * CHUNK))


@takes(State.MOUNTING, Kind.NO_REGISTRY, 200)
def a_page_instead_of_a_mount_is_no_reason_to_give_up_the_session_that_was_left(status: int) -> None:
    talk = Talk(mounts=(_OTHER, "third"), resume=_LEFT).asks("POST", offers=True).is_told(status, is_page=True)
    talk.asks("POST", offers=True, waits=False).is_told(status, is_page=True)
    talk.asks("GET", LEFT, waits=False).is_told(204, end=CHUNK).asks("PATCH", LEFT, span=(CHUNK, 2 * CHUNK))


@takes(State.MOUNTING, Kind.BUSY, 503)
@takes(State.MOUNTING, Kind.LOST, None)
def a_mount_in_trouble_is_left_for_when_the_session_turns_out_to_be_lost(told: Told) -> None:
    talk = Talk(mounts=(_OTHER,), resume=_LEFT).asks("POST", offers=True).is_told(told).asks("GET", LEFT, waits=True)
    talk.is_told(404).asks("POST", offers=True).is_told(201).is_done(Placement.MOUNTED)
    assert not talk.session.left_over
    whole = UploadRecord(LEFT, SIZE, chunk=CHUNK)  # which another process may have committed
    Talk(mounts=(_OTHER,), resume=whole).asks("POST", offers=True).is_told(told).asks("GET", LEFT, waits=True)


@takes(State.FRESH, Kind.ACCEPTED)
def before_a_fresh_session_is_used_the_old_one_is_asked_once_more() -> None:
    talk = at(State.FRESH).opens().asks("GET", LEFT).is_told(204, end=CHUNK)
    talk.asks("PATCH", LEFT, span=(CHUNK, 2 * CHUNK))
    talk = at(State.FRESH).opens().asks("GET", LEFT).is_told(404)
    talk.asks("PATCH", FIRST, span=(0, CHUNK))


@takes(State.FRESH, Kind.ACCEPTED)
def there_is_one_fresh_session() -> None:
    talk = at(State.FRESH).opens(SECOND).asks("GET", LEFT).is_told(503)
    talk.asks("PATCH", SECOND, span=(0, CHUNK)).is_told(503).has_failed(Unavailable)


# ── parts ─────────────────────────────────────────────────────────────────────────────────────────


@takes_at_ollama(State.NEW, Kind.ACCEPTED, State.NEW)
@takes_at_ollama(State.GONE, Kind.ACCEPTED, State.GONE)
def a_session_that_is_opened_at_ollamas_registry_begins_with_the_first_part(state: State) -> None:
    at_ollama(state).opens().has_parts(FIRST, 202, count=3).asks("PUT", FIRST)


@takes_at_ollama(State.FRESH, Kind.ACCEPTED)
def before_a_fresh_session_is_used_the_parts_of_the_old_one_are_tried_once_more() -> None:
    at_ollama(State.FRESH).opens().has_parts(LEFT, 202, count=2).asks("PUT", LEFT)
    at_ollama(State.FRESH).opens().has_parts(LEFT, 404).has_parts(FIRST, 202, count=3).asks("PUT", FIRST)


@takes_at_ollama(State.FRESH, Kind.ACCEPTED)
def there_is_one_fresh_session_for_parts() -> None:
    at_ollama(State.FRESH).opens(SECOND).has_parts(LEFT, 503).has_parts(SECOND, 503).has_failed(Unavailable)
