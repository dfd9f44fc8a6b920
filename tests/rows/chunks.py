"""Rows of PATCH, and of the GET that asks how far a session has come."""

from __future__ import annotations

from registry_push.errors import Denied, Refused, Unauthorized, Unavailable
from registry_push.protocol.response import Kind
from registry_push.protocol.upload.chunks import ChunkPlan, MiB, WholePut
from registry_push.protocol.upload.requests import UploadRecord
from registry_push.protocol.upload.states import Event, State
from tests.support.simulated import ENDPOINTS

from .talk import CHUNK, FIRST, LEFT, SECOND, SIZE, THIRD, Talk, Told, takes

_ECR_CHUNK = 5 * MiB


def begun(*, retries: int = 5) -> Talk:
    """One chunk has been acknowledged, and the second is under way."""
    talk = Talk(retries=retries).opens().asks("PATCH", FIRST, span=(0, CHUNK)).is_told(202, end=CHUNK)
    return talk.asks("PATCH", FIRST, span=(CHUNK, 2 * CHUNK))


def uncertain(*, retries: int = 5) -> Talk:
    """The first chunk may have arrived, and the session is asked."""
    talk = Talk(retries=retries).opens().asks("PATCH", FIRST, span=(0, CHUNK)).is_told(503)
    return talk.asks("GET", FIRST)


# ── PATCH ─────────────────────────────────────────────────────────────────────────────────────────


@takes(State.OPEN, Kind.ACCEPTED)
def an_acknowledged_chunk_is_followed_by_the_next_and_the_last_by_the_commit() -> None:
    talk = Talk().opens().asks("PATCH", FIRST, span=(0, CHUNK)).is_told(202)
    assert talk.session.record == UploadRecord(FIRST, CHUNK, chunk=CHUNK)
    talk.asks("PATCH", FIRST, span=(CHUNK, 2 * CHUNK)).is_told(202, location=SECOND)
    talk.asks("PATCH", SECOND, span=(2 * CHUNK, SIZE)).is_told(204).asks("PUT", SECOND)


@takes(State.OPEN, Kind.ACCEPTED)
def a_chunk_of_which_the_registry_tells_another_end_is_asked_for() -> None:
    begun().is_told(202, end=CHUNK + MiB).asks("GET", FIRST, waits=True).is_told(204, end=CHUNK + MiB).asks(
        "PATCH", FIRST, span=(CHUNK + MiB, 2 * CHUNK + MiB)
    )


@takes(State.OPEN, Kind.CREATED)
@takes(State.OPEN, Event.LAST_CHUNK)
def ecr_gets_chunks_of_five_mib_and_the_last_one_with_the_commit() -> None:
    talk = Talk(plan=ChunkPlan(12 * MiB, CHUNK)).opens().asks("PATCH", FIRST, span=(0, CHUNK)).is_told(201)
    talk.asks("PATCH", FIRST, span=(CHUNK, CHUNK + _ECR_CHUNK)).is_told(201)
    talk.asks("PUT", FIRST, span=(CHUNK + _ECR_CHUNK, 12 * MiB))
    assert talk.session.plan.last_in_put, "which is remembered of the host"


@takes(State.OPEN, Kind.MISSING)
def a_session_that_is_lost_begins_anew_at_the_first_byte() -> None:
    talk = begun().is_told(404)
    assert talk.session.record is None, "nothing is left to resume"
    talk.opens(SECOND).asks("PATCH", SECOND, span=(0, CHUNK))


@takes(State.OPEN, Kind.MISSING)
def a_first_chunk_that_is_never_found_goes_whole_in_the_put() -> None:
    talk = Talk().opens().asks("PATCH", FIRST, span=(0, CHUNK)).is_told(404)
    talk.opens(SECOND).asks("PATCH", SECOND, span=(0, CHUNK)).is_told(404)
    talk.opens(THIRD).asks("PUT", THIRD, span=(0, SIZE))


@takes(State.OPEN, Kind.WRONG_OFFSET)
def a_chunk_at_the_wrong_offset_is_asked_for_at_once() -> None:
    begun().is_told(416, end=CHUNK + MiB).asks("GET", FIRST, waits=False).is_told(204, end=CHUNK + MiB).asks(
        "PATCH", FIRST, span=(CHUNK + MiB, 2 * CHUNK + MiB)
    )


@takes(State.OPEN, Kind.WRONG_OFFSET)
def ghcr_refuses_a_chunk_that_is_too_long_by_its_offset() -> None:
    talk = begun(retries=0).is_told(416, end=CHUNK).asks("GET", FIRST).is_told(204, end=CHUNK)
    talk.asks("PATCH", FIRST, span=(CHUNK, CHUNK + CHUNK // 2))


@takes(State.OPEN, Kind.WRONG_OFFSET)
def no_blob_is_looked_for_if_a_chunk_loses_its_session() -> None:
    begun().is_told(416).asks("GET", FIRST).is_told(404).opens(SECOND)


@takes(State.OPEN, Kind.TOO_LARGE)
def a_chunk_that_is_too_large_is_halved_and_the_limit_is_learned() -> None:
    talk = begun(retries=0).is_told(413).asks("GET", FIRST, waits=False).is_told(204, end=CHUNK)
    talk.asks("PATCH", FIRST, span=(CHUNK, CHUNK + CHUNK // 2)).is_told(202)
    assert talk.session.learned_limit(None) == CHUNK // 2


@takes(State.OPEN, Kind.TOO_LARGE)
def a_limit_below_a_mib_is_a_refusal() -> None:
    Talk(plan=ChunkPlan(SIZE, MiB)).opens().asks("PATCH", span=(0, MiB)).is_told(413).has_failed(Refused)


@takes(State.OPEN, Kind.INVALID)
def a_chunk_that_is_invalid_is_asked_for_after_a_pause() -> None:
    begun().is_told(400).asks("GET", FIRST, waits=True).is_told(204, end=CHUNK).asks(
        "PATCH", FIRST, span=(CHUNK, 2 * CHUNK)
    )


@takes(State.OPEN, Kind.INVALID)
def first_chunks_that_are_always_invalid_go_whole_in_the_put() -> None:
    talk = Talk().opens().asks("PATCH", span=(0, CHUNK)).is_told(400).asks("GET", FIRST).is_told(204)
    talk.asks("PATCH", FIRST, span=(0, CHUNK)).is_told(400).asks("PUT", FIRST, span=(0, SIZE), waits=False)


@takes(State.OPEN, Kind.REFUSED)
def a_registry_without_patch_gets_all_in_the_put() -> None:
    talk = Talk().opens().asks("PATCH", span=(0, CHUNK)).is_told(405).asks("PUT", FIRST, span=(0, SIZE), waits=False)
    assert talk.session.learned_whole is WholePut.ONLY


@takes(State.OPEN, Kind.REFUSED)
def a_chunk_that_is_denied_fails_the_upload() -> None:
    begun().is_told(403, "DENIED").has_failed(Denied)


@takes(State.OPEN, Kind.REFUSED)
def a_chunk_follows_a_redirect_that_keeps_its_body() -> None:
    begun().is_told(307, location="https://elsewhere.test/s", sent=0).asks(
        "PATCH", "https://elsewhere.test/s", span=(CHUNK, 2 * CHUNK)
    )


@takes(State.OPEN, Kind.EXPIRED, 401, False)
@takes(State.OPEN, Kind.BUSY, 503, True)
@takes(State.OPEN, Kind.LOST, None, True)
def a_chunk_in_trouble_is_asked_for_and_sent_again_from_where_the_registry_is(told: Told, waits: bool) -> None:
    begun().is_told(told).asks("GET", FIRST, waits=waits).is_told(204, end=CHUNK + MiB).asks(
        "PATCH", FIRST, span=(CHUNK + MiB, 2 * CHUNK + MiB)
    )


@takes(State.OPEN, Kind.BUSY, 503)
@takes(State.OPEN, Kind.LOST, None)
def chunks_that_never_get_through_have_a_fresh_session_before_the_upload_fails(told: Told) -> None:
    talk = Talk(retries=1).opens().asks("PATCH", FIRST, span=(0, CHUNK)).is_told(told).asks("GET", FIRST).is_told(204)
    talk.asks("PATCH", FIRST, span=(0, CHUNK)).is_told(told).opens(SECOND)
    methods = talk.until_it_ends("PATCH", told)
    assert methods.count("POST") == 0 and methods.count("PATCH") <= 2
    talk.has_failed(Unavailable)


@takes(State.OPEN, Kind.BUSY, 503)
@takes(State.OPEN, Kind.LOST, None)
def a_session_that_was_refused_once_has_its_tries_although_another_is_open(told: Told) -> None:
    talk = Talk(resume=UploadRecord(LEFT, CHUNK, chunk=CHUNK)).asks("GET", LEFT).is_told(204, end=CHUNK)
    talk.asks("PATCH", LEFT, span=(CHUNK, 2 * CHUNK)).is_told(403).opens(SECOND)
    talk.asks("GET", LEFT).is_told(204, end=CHUNK).asks("PATCH", LEFT, span=(CHUNK, 2 * CHUNK)).is_told(told)
    talk.asks("GET", LEFT, waits=True).is_told(204, end=2 * CHUNK).asks("PATCH", LEFT, span=(2 * CHUNK, SIZE))
    talk.is_told(202).asks("PUT", LEFT).is_told(201)
    assert [each.url for each in talk.session.left_over] == [SECOND]


@takes(State.OPEN, Kind.EXPIRED)
def a_token_that_is_never_good_enough_for_a_chunk_ends_as_unauthorized() -> None:
    talk = Talk(retries=1).opens().asks("PATCH", FIRST, span=(0, CHUNK)).is_told(401).asks("GET", FIRST).is_told(204)
    talk.asks("PATCH", FIRST, span=(0, CHUNK)).is_told(401).has_failed(Unauthorized)


# ── GET ───────────────────────────────────────────────────────────────────────────────────────────


@takes(State.UNCERTAIN, Kind.ACCEPTED, 204)
@takes(State.UNCERTAIN, Kind.CREATED, 201)
def the_upload_goes_on_from_where_the_session_says(status: int) -> None:
    record = UploadRecord(LEFT, CHUNK, chunk=CHUNK)
    talk = Talk(resume=record).asks("GET", LEFT).is_told(status, end=7 * MiB)
    talk.asks("PATCH", LEFT, span=(7 * MiB, SIZE), waits=False)


@takes(State.UNCERTAIN, Kind.ACCEPTED, 204)
@takes(State.UNCERTAIN, Kind.CREATED, 201)
def a_session_with_all_bytes_may_still_become_the_blob(status: int) -> None:
    talk = Talk(single=True).opens().asks("PUT", FIRST, span=(0, SIZE)).is_told(504)
    talk.asks("HEAD").is_told(404).asks("GET", FIRST).is_told(status, end=SIZE)
    talk.asks("HEAD", ENDPOINTS.blob, waits=True).is_told(200, length=SIZE).is_done()


@takes(State.UNCERTAIN, Kind.MISSING, 404)
@takes(State.UNCERTAIN, Kind.WRONG_OFFSET, 416)
@takes(State.UNCERTAIN, Kind.INVALID, 400)
@takes(State.UNCERTAIN, Kind.REFUSED, 405)
def without_a_status_the_upload_begins_anew_in_chunks_as_before(status: int) -> None:
    talk = uncertain().is_told(status)
    assert talk.session.record is None
    talk.opens(SECOND).asks("PATCH", SECOND, span=(0, CHUNK)).is_told(503)
    talk.asks("GET", SECOND).is_told(status).opens(THIRD).asks("PATCH", THIRD, span=(0, CHUNK))


@takes(State.UNCERTAIN, Kind.MISSING, 404)
@takes(State.UNCERTAIN, Kind.WRONG_OFFSET, 416)
@takes(State.UNCERTAIN, Kind.INVALID, 400)
@takes(State.UNCERTAIN, Kind.REFUSED, 405)
def a_session_that_a_commit_may_have_ended_is_not_begun_anew_before_the_blob_is_looked_for(status: int) -> None:
    talk = Talk(single=True).opens().asks("PUT", FIRST, span=(0, SIZE)).is_told(504)
    talk.asks("HEAD").is_told(404).asks("GET", FIRST).is_told(status)
    talk.asks("HEAD", ENDPOINTS.blob).is_told(200, length=SIZE).is_done()


@takes(State.UNCERTAIN, Kind.EXPIRED)
def the_status_is_asked_for_again_with_a_new_token_until_no_try_is_left() -> None:
    talk = uncertain(retries=2).is_told(401).asks("GET", FIRST, waits=False)
    talk.is_told(401).has_failed(Unauthorized)


@takes(State.UNCERTAIN, Kind.BUSY, 503)
@takes(State.UNCERTAIN, Kind.LOST, None)
def the_status_is_asked_for_again_after_a_pause_until_a_fresh_session_is_tried(told: Told) -> None:
    talk = uncertain(retries=2).is_told(told).asks("GET", FIRST, waits=True).is_told(told)
    talk.opens(SECOND).asks("GET", FIRST)  # the old one once more


@takes(State.OPEN, Kind.EXPIRED, State.OPEN, 401)
@takes(State.OPEN, Kind.BUSY, State.OPEN, 503)
@takes(State.OPEN, Kind.LOST, State.OPEN, None)
@takes(State.UNCERTAIN, Kind.EXPIRED, State.UNCERTAIN, 401)
@takes(State.UNCERTAIN, Kind.BUSY, State.UNCERTAIN, 503)
@takes(State.UNCERTAIN, Kind.LOST, State.UNCERTAIN, None)
def an_old_session_that_fails_once_more_is_left_for_the_fresh_one_that_is_open(state: State, told: Told) -> None:
    talk = Talk(resume=UploadRecord(LEFT, CHUNK, chunk=CHUNK), retries=0).asks("GET", LEFT).is_told(503)
    talk.opens(FIRST).asks("GET", LEFT)
    if state is State.OPEN:
        talk.is_told(204, end=CHUNK).asks("PATCH", LEFT, span=(CHUNK, 2 * CHUNK))
    talk.is_told(told).asks("PATCH", FIRST, span=(0, CHUNK))


@takes(State.UNCERTAIN, Kind.LOST)
def a_question_that_is_lost_with_the_body_before_it_costs_no_try_of_its_own() -> None:
    talk = Talk(retries=1).opens().asks("PATCH", FIRST, span=(0, CHUNK)).is_told(None)
    talk.asks("GET", FIRST, waits=True).is_told(None).asks("GET", FIRST, waits=False).is_told(204)
    talk.asks("PATCH", FIRST, span=(0, CHUNK))


# ── a session that can't be reached ───────────────────────────────────────────────────────────────


@takes(State.OPEN, Event.UNREACHABLE, State.OPEN)
@takes(State.UNCERTAIN, Event.UNREACHABLE, State.UNCERTAIN)
@takes(State.COMMITTING, Event.UNREACHABLE, State.COMMITTING)
def a_session_that_can_not_be_reached_is_left_for_a_fresh_one_and_kept_until_that_has_bytes(state: State) -> None:
    talk = begun()
    if state is State.UNCERTAIN:
        talk.is_told(503).asks("GET", FIRST)
    elif state is State.COMMITTING:
        talk.is_told(202).asks("PATCH", span=(2 * CHUNK, SIZE)).is_told(202).asks("PUT", FIRST)
    record = talk.session.record
    assert talk.can_not_be_reached() and talk.session.state is State.FRESH
    talk.opens(SECOND).asks("GET", FIRST, waits=False)  # once more, now that the registry is known to be well
    assert talk.can_not_be_reached() and talk.session.record == record
    talk.asks("PATCH", SECOND, span=(0, CHUNK))
    assert not talk.can_not_be_reached(), "there is no third session"
