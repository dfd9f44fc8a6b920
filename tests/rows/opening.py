"""Rows of POST: a new upload, one whose session is lost, and one whose session was tried in vain."""

from __future__ import annotations

from registry_push.errors import Denied, NotARegistry, Refused, RegistryPushError, Unauthorized, Unavailable
from registry_push.events import Placement
from registry_push.protocol.response import Kind
from registry_push.protocol.upload.requests import UploadRecord
from registry_push.protocol.upload.states import State
from tests.support.simulated import ENDPOINTS

from .talk import CHUNK, FIRST, LEFT, SECOND, SIZE, Talk, Told, takes

_OTHER = "other/repository"
_REFUSALS: dict[int, type[RegistryPushError]] = {400: Refused, 401: Unauthorized, 403: Denied, 404: Refused}


def at(state: State, *, mounts: tuple[str, ...] = (), retries: int = 0) -> Talk:
    """An upload that is about to POST; GONE and FRESH with a session that another process has left."""
    if state is State.NEW:
        return Talk(mounts=mounts, retries=retries)
    record = UploadRecord(LEFT, CHUNK, chunk=CHUNK)
    if state is State.GONE:  # which costs a try
        return Talk(mounts=mounts, retries=retries + 1, resume=record).asks("GET", LEFT).is_told(404)
    return Talk(mounts=mounts, retries=0, resume=record).asks("GET", LEFT).is_told(503)


@takes(State.NEW, Kind.CREATED, State.NEW)
@takes(State.GONE, Kind.CREATED, State.GONE)
@takes(State.FRESH, Kind.CREATED, State.FRESH)
def a_mount_that_was_asked_for_is_all_it_takes(state: State) -> None:
    at(state, mounts=(_OTHER,)).asks("POST", offers=True).is_told(201).is_done(Placement.MOUNTED)


@takes(State.NEW, Kind.CREATED, State.NEW)
@takes(State.GONE, Kind.CREATED, State.GONE)
@takes(State.FRESH, Kind.CREATED, State.FRESH)
def a_mount_that_nobody_asked_for_counts_if_the_blob_is_there(state: State) -> None:
    talk = at(state).asks("POST").is_told(201).asks("HEAD", ENDPOINTS.blob)
    assert talk.session.placement is None
    talk.is_told(200, length=SIZE)
    assert talk.session.state is State.DONE


@takes(State.NEW, Kind.ACCEPTED)
def a_session_that_is_opened_gets_the_first_chunk() -> None:
    at(State.NEW).opens().asks("PATCH", FIRST, span=(0, CHUNK))


@takes(State.GONE, Kind.ACCEPTED)
def a_session_after_a_lost_one_begins_at_the_first_byte() -> None:
    at(State.GONE).opens().asks("PATCH", FIRST, span=(0, CHUNK))


@takes(State.FRESH, Kind.ACCEPTED)
def before_a_fresh_session_is_used_the_old_one_is_asked_once_more() -> None:
    talk = at(State.FRESH).opens().asks("GET", LEFT).is_told(204, end=CHUNK)
    talk.asks("PATCH", LEFT, span=(CHUNK, 2 * CHUNK))
    talk = at(State.FRESH).opens().asks("GET", LEFT).is_told(404)
    talk.asks("PATCH", FIRST, span=(0, CHUNK))


@takes(State.FRESH, Kind.ACCEPTED)
def a_post_that_opens_no_session_says_nothing_better_than_why_the_old_one_failed() -> None:
    at(State.FRESH).asks("POST").is_told(202).has_failed(Unavailable)


@takes(State.NEW, Kind.ACCEPTED)
def a_page_where_a_session_should_be_is_no_registry() -> None:
    at(State.NEW).asks("POST").is_told(204).has_failed(NotARegistry)


@takes(State.NEW, Kind.MISSING, State.NEW, 404)
@takes(State.NEW, Kind.EXPIRED, State.NEW, 401)
@takes(State.NEW, Kind.INVALID, State.NEW, 400)
@takes(State.NEW, Kind.REFUSED, State.NEW, 403)
@takes(State.GONE, Kind.MISSING, State.GONE, 404)
@takes(State.GONE, Kind.EXPIRED, State.GONE, 401)
@takes(State.GONE, Kind.INVALID, State.GONE, 400)
@takes(State.GONE, Kind.REFUSED, State.GONE, 403)
@takes(State.FRESH, Kind.MISSING, State.FRESH, 404)
@takes(State.FRESH, Kind.EXPIRED, State.FRESH, 401)
@takes(State.FRESH, Kind.INVALID, State.FRESH, 400)
@takes(State.FRESH, Kind.REFUSED, State.FRESH, 403)
def a_refused_mount_costs_a_request_and_a_refused_session_the_upload(state: State, status: int) -> None:
    talk = at(state, mounts=(_OTHER,)).asks("POST", offers=True).is_told(status)
    talk.asks("POST", ENDPOINTS.uploads, waits=False).is_told(status)
    talk.has_failed(_REFUSALS[status])


@takes(State.NEW, Kind.BUSY, State.NEW, 503)
@takes(State.NEW, Kind.LOST, State.NEW, None)
@takes(State.GONE, Kind.BUSY, State.GONE, 503)
@takes(State.GONE, Kind.LOST, State.GONE, None)
def a_post_is_tried_again_with_its_mount_until_no_try_is_left(state: State, told: Told) -> None:
    talk = at(state, mounts=(_OTHER,), retries=1).asks("POST", offers=True, waits=False).is_told(told)
    talk.asks("POST", offers=True, waits=True).is_told(told).has_failed(Unavailable)


@takes(State.FRESH, Kind.BUSY, 503)
@takes(State.FRESH, Kind.LOST, None)
def a_registry_that_opens_no_fresh_session_is_unavailable_and_the_old_one_is_kept(told: Told) -> None:
    talk = at(State.FRESH).asks("POST", waits=False).is_told(told, location=FIRST)
    talk.has_failed(Unavailable)
    record = talk.session.record
    assert record is not None and (record.location, record.offset) == (LEFT, CHUNK)


@takes(State.FRESH, Kind.ACCEPTED)
def there_is_one_fresh_session() -> None:
    talk = at(State.FRESH).opens(SECOND).asks("GET", LEFT).is_told(503)
    talk.asks("PATCH", SECOND, span=(0, CHUNK)).is_told(503).has_failed(Unavailable)
