"""Rows of Ollama's way: parts that each have an address of their own, or all of it to the storage."""

from __future__ import annotations

from registry_push.errors import Denied, Unauthorized, Unavailable
from registry_push.protocol.response import Kind
from registry_push.protocol.upload.opening_steps import MAX_RESTARTS
from registry_push.protocol.upload.requests import OllamaWay, UploadRecord
from registry_push.protocol.upload.states import Event, State
from tests.support.simulated import ENDPOINTS

from .talk import CHUNK, FIRST, SECOND, SIZE, STORAGE, Talk, Told, takes

_WAY = OllamaWay(part=CHUNK)
_DIRECT = OllamaWay(direct=True)
_WHOLE = (0, SIZE)


def direct(*, retries: int = 5) -> Talk:
    """All of the blob goes to the storage that the registry has named."""
    talk = Talk(ollama=_DIRECT, retries=retries).asks("POST").is_told(202, location=FIRST, direct_url=f"{STORAGE}/1")
    return talk.asks("PUT", f"{STORAGE}/1", span=_WHOLE)


# ── whole, to the storage ─────────────────────────────────────────────────────────────────────────


@takes(State.DIRECT, Kind.CREATED, 201)
@takes(State.DIRECT, Kind.ACCEPTED, 204)
@takes(State.DIRECT, Kind.NO_REGISTRY, 200)
def what_the_storage_has_is_committed_without_a_body(status: int) -> None:
    talk = direct().is_told(status, is_page=status == 200)
    assert talk.session.placement is None
    assert talk.session.record == UploadRecord(FIRST, SIZE, direct=True)
    talk.asks("PUT", FIRST).is_told(201).is_done()


@takes(State.DIRECT, Kind.INVALID, 400)
@takes(State.DIRECT, Kind.REFUSED, 403)
@takes(State.DIRECT, Kind.MISSING, 404)
@takes(State.DIRECT, Kind.BUSY, 503)
@takes(State.DIRECT, Kind.LOST, None)
def a_storage_that_takes_nothing_is_tried_by_a_new_address_each_time(told: Told) -> None:
    talk = direct(retries=1).is_told(told)
    assert talk.session.record is None, "less than all can't be gone on with"
    methods = talk.until_it_ends("PUT", told)
    assert methods == ["POST", "PUT"] * 3, "one more try, a fresh session, and one more try in that"
    talk.has_failed(Unavailable)
    assert talk.session.learned_whole is None, "nothing is learned of a registry's PATCH from a storage"


@takes(State.DIRECT, Kind.EXPIRED)
def a_storage_that_wants_a_login_is_tried_by_a_new_address_until_no_try_is_left() -> None:
    talk = direct(retries=1).is_told(401)
    assert talk.until_it_ends("PUT", 401) == ["POST", "PUT"]
    talk.has_failed(Unauthorized)
    assert talk.session.learned_whole is None


@takes(State.DIRECT, Event.UNREACHABLE)
def a_storage_that_can_not_be_reached_is_tried_by_one_fresh_address() -> None:
    talk = direct()
    assert talk.can_not_be_reached() and talk.session.state is State.FRESH
    talk.asks("POST", waits=False).is_told(202, location=SECOND, direct_url=f"{STORAGE}/2")
    talk.asks("PUT", f"{STORAGE}/2", span=_WHOLE)
    assert not talk.can_not_be_reached(), "there is no third"


# ── in parts ──────────────────────────────────────────────────────────────────────────────────────


@takes(State.PARTS, Event.PARTS_PLACED)
def parts_that_are_placed_are_committed_without_a_body() -> None:
    talk = Talk(ollama=_WAY).opens().has_parts(FIRST, 202)
    assert talk.session.placement is None
    talk.asks("PUT", FIRST).is_told(201).is_done()


@takes(State.PARTS, Event.PARTS_LOST)
def parts_whose_session_is_lost_begin_anew_a_bounded_number_of_times() -> None:
    talk = Talk(ollama=_WAY, retries=50)
    for number in range(MAX_RESTARTS + 1):
        session = f"{ENDPOINTS.uploads}{number}"
        talk.opens(session).has_parts(session, 202, 404)
        assert talk.session.record is None
    talk.has_failed(Unavailable)
    assert talk.session.learned_whole is None


@takes(State.PARTS, Event.PARTS_GIVEN_UP)
def parts_without_a_try_left_have_one_fresh_session() -> None:
    talk = Talk(ollama=_WAY, retries=0).opens(FIRST).has_parts(FIRST, 202, 503)
    talk.opens(SECOND).has_parts(FIRST, 503).has_parts(SECOND, 503)
    talk.has_failed(Unavailable)


@takes(State.PARTS, Event.PARTS_GIVEN_UP)
def parts_that_are_to_wait_for_longer_than_anyone_does_are_given_up_at_once() -> None:
    talk = Talk(ollama=_WAY, seconds=10.0).opens().has_parts(FIRST, 202, 429, retry_after=60.0)
    talk.has_failed(Unavailable)
    assert talk.session.record is not None, "and kept for another process"


@takes(State.PARTS, Event.PARTS_REFUSED)
def a_part_that_is_denied_fails_the_upload() -> None:
    Talk(ollama=_WAY).opens().has_parts(FIRST, 202, 403).has_failed(Denied)


@takes(State.PARTS, Event.UNREACHABLE)
def parts_whose_session_can_not_be_reached_go_to_a_fresh_one_after_a_last_try() -> None:
    talk = Talk(ollama=_WAY).opens(FIRST)
    assert talk.session.next_request() is not None and talk.can_not_be_reached()
    record = talk.session.record
    assert record is not None and record.location == FIRST
    talk.opens(SECOND)
    assert talk.session.next_request() is not None and talk.can_not_be_reached()
    talk.has_parts(SECOND, 202).asks("PUT", SECOND)


# ── the commit ────────────────────────────────────────────────────────────────────────────────────


@takes(State.COMMITTING, Kind.MISSING)
def a_commit_of_parts_in_a_session_that_is_unknown_begins_anew_when_the_blob_is_not_there() -> None:
    talk = Talk(ollama=_WAY).opens(FIRST).has_parts(FIRST, 202).asks("PUT", FIRST).is_told(404)
    talk.asks("HEAD", ENDPOINTS.blob).is_told(404).opens(SECOND).has_parts(SECOND, 202).asks("PUT", SECOND)


@takes(State.COMMITTING, Kind.BUSY)
def a_commit_of_parts_that_the_registry_was_too_busy_for_is_sent_again_without_its_parts() -> None:
    talk = Talk(ollama=_WAY).opens(FIRST).has_parts(FIRST, 202).asks("PUT", FIRST).is_told(503)
    talk.asks("HEAD", ENDPOINTS.blob, waits=True).is_told(404).asks("PUT", FIRST)


@takes(State.NEW, Kind.ACCEPTED)
def a_registry_that_shows_itself_as_ollamas_gets_parts() -> None:
    talk = Talk().asks("POST")
    talk.shows_itself_as_ollamas(FIRST).has_parts(FIRST, 202).asks("PUT", FIRST).is_told(201).is_done()
