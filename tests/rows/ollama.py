"""Rows of Ollama's way: parts that each have an address of their own, or all of it to the storage."""

from __future__ import annotations

from registry_push.errors import Denied, NotARegistry, Refused, RemoteMismatch, Unauthorized, Unavailable
from registry_push.events import Placement
from registry_push.model import Digest
from registry_push.protocol.response import Kind
from registry_push.protocol.upload.opening_steps import MAX_RESTARTS
from registry_push.protocol.upload.requests import OllamaWay, UploadRecord
from registry_push.protocol.upload.states import Event, State
from tests.support.simulated import ENDPOINTS

from .talk import CHUNK, FIRST, LEFT, SECOND, SIZE, STORAGE, Talk, Told, takes, takes_at_ollama

_WAY = OllamaWay(part=CHUNK)
_DIRECT = OllamaWay(direct=True)
_WHOLE = (0, SIZE)


def direct(*, retries: int = 5) -> Talk:
    """All of the blob goes to the storage that the registry has named."""
    talk = Talk(ollama=_DIRECT, retries=retries).asks("POST").is_told(202, location=FIRST, direct_url=f"{STORAGE}/1")
    return talk.asks("PUT", f"{STORAGE}/1", span=_WHOLE)


# ── whole, to the storage ─────────────────────────────────────────────────────────────────────────


@takes_at_ollama(State.DIRECT, Kind.CREATED, 201)
@takes_at_ollama(State.DIRECT, Kind.ACCEPTED, 204)
@takes_at_ollama(State.DIRECT, Kind.NO_REGISTRY, 200)
def what_the_storage_has_is_committed_without_a_body(status: int) -> None:
    talk = direct().is_told(status, is_page=status == 200)
    assert talk.session.placement is None
    assert talk.session.record == UploadRecord(FIRST, SIZE, direct=True)
    talk.asks("PUT", FIRST).is_told(201).is_done()


@takes_at_ollama(State.DIRECT, Kind.INVALID, 400)
@takes_at_ollama(State.DIRECT, Kind.REFUSED, 403)
@takes_at_ollama(State.DIRECT, Kind.MISSING, 404)
@takes_at_ollama(State.DIRECT, Kind.BUSY, 503)
@takes_at_ollama(State.DIRECT, Kind.LOST, None)
def a_storage_that_takes_nothing_is_tried_by_a_new_address_each_time(told: Told) -> None:
    talk = direct(retries=1).is_told(told)
    assert talk.session.record is None, "less than all can't be gone on with"
    methods = talk.until_it_ends("PUT", told)
    assert methods == ["POST", "PUT"] * 3, "one more try, a fresh session, and one more try in that"
    talk.has_failed(Unavailable)
    assert talk.session.learned_whole is None, "nothing is learned of a registry's PATCH from a storage"


@takes_at_ollama(State.DIRECT, Kind.EXPIRED)
def a_storage_that_wants_a_login_is_tried_by_a_new_address_until_no_try_is_left() -> None:
    talk = direct(retries=1).is_told(401)
    assert talk.until_it_ends("PUT", 401) == ["POST", "PUT"]
    talk.has_failed(Unauthorized)
    assert talk.session.learned_whole is None


@takes_at_ollama(State.DIRECT, Event.UNREACHABLE)
def a_storage_that_can_not_be_reached_is_tried_by_one_fresh_address() -> None:
    talk = direct()
    assert talk.can_not_be_reached() and talk.session.state is State.FRESH
    talk.asks("POST", waits=False).is_told(202, location=SECOND, direct_url=f"{STORAGE}/2")
    talk.asks("PUT", f"{STORAGE}/2", span=_WHOLE)
    assert not talk.can_not_be_reached(), "there is no third"


@takes_at_ollama(State.FRESH, Kind.BUSY, 503)
@takes_at_ollama(State.FRESH, Kind.LOST, None)
def a_registry_that_names_no_fresh_address_is_unavailable(told: Told) -> None:
    talk = direct()
    assert talk.can_not_be_reached()
    talk.asks("POST").is_told(told).has_failed(Unavailable)


# ── in parts ──────────────────────────────────────────────────────────────────────────────────────


@takes_at_ollama(State.PARTS, Event.PARTS_PLACED)
def parts_that_are_placed_are_committed_without_a_body() -> None:
    talk = Talk(ollama=_WAY).opens().has_parts(FIRST, 202)
    assert talk.session.placement is None
    talk.asks("PUT", FIRST).is_told(201).is_done()


@takes_at_ollama(State.PARTS, Event.PARTS_LOST)
def parts_whose_session_is_lost_begin_anew_a_bounded_number_of_times() -> None:
    talk = Talk(ollama=_WAY, retries=50)
    for number in range(MAX_RESTARTS + 1):
        session = f"{ENDPOINTS.uploads}{number}"
        talk.opens(session).has_parts(session, 202, 404)
        assert talk.session.record is None
    talk.has_failed(Unavailable)
    assert talk.session.learned_whole is None


@takes_at_ollama(State.PARTS, Event.PARTS_GIVEN_UP)
def parts_without_a_try_left_have_one_fresh_session() -> None:
    talk = Talk(ollama=_WAY, retries=0).opens(FIRST).has_parts(FIRST, 202, 503)
    talk.opens(SECOND).has_parts(FIRST, 503).has_parts(SECOND, 503)
    talk.has_failed(Unavailable)


@takes_at_ollama(State.PARTS, Event.PARTS_GIVEN_UP)
def parts_that_are_to_wait_for_longer_than_anyone_does_are_given_up_at_once() -> None:
    talk = Talk(ollama=_WAY, seconds=10.0).opens().has_parts(FIRST, 202, 429, retry_after=60.0)
    talk.has_failed(Unavailable)
    assert talk.session.record is not None, "and kept for another process"


@takes_at_ollama(State.PARTS, Event.PARTS_REFUSED)
def a_part_that_is_denied_fails_the_upload() -> None:
    Talk(ollama=_WAY).opens().has_parts(FIRST, 202, 403).has_failed(Denied)


@takes_at_ollama(State.PARTS, Event.UNREACHABLE)
def parts_whose_session_can_not_be_reached_go_to_a_fresh_one_after_a_last_try() -> None:
    talk = Talk(ollama=_WAY).opens(FIRST)
    assert talk.session.next_request() is not None and talk.can_not_be_reached()
    record = talk.session.record
    assert record is not None and record.location == FIRST
    talk.opens(SECOND)
    assert talk.session.next_request() is not None and talk.can_not_be_reached()
    talk.has_parts(SECOND, 202).asks("PUT", SECOND)


# ── the commit ────────────────────────────────────────────────────────────────────────────────────


def committing(*, retries: int = 5) -> Talk:
    """All parts are placed, and the PUT has no body."""
    return Talk(ollama=_WAY, retries=retries).opens(FIRST).has_parts(FIRST, 202).asks("PUT", FIRST)


def left_by_another() -> Talk:
    """The PUT after all of the blob was brought to the storage by another process."""
    return Talk(ollama=_DIRECT, resume=UploadRecord(LEFT, SIZE, direct=True)).asks("PUT", LEFT)


@takes_at_ollama(State.COMMITTING, Kind.CREATED)
def a_commit_of_parts_that_is_answered_201_is_done_without_being_measured() -> None:
    committing().is_told(201).is_done()
    committing().is_told(201, digest=Digest.of(b"other")).has_failed(RemoteMismatch)


@takes_at_ollama(State.COMMITTING, Kind.ACCEPTED)
def a_commit_of_parts_that_is_only_accepted_is_no_upload_before_head_says_so() -> None:
    talk = committing().is_told(202)
    assert talk.session.placement is None and talk.session.record is not None
    talk.asks("HEAD", ENDPOINTS.blob, waits=False).is_told(404)
    talk.asks("HEAD", ENDPOINTS.blob, waits=True).is_told(200, length=SIZE).is_done()


@takes_at_ollama(State.COMMITTING, Kind.MISSING, 404)
@takes_at_ollama(State.COMMITTING, Kind.WRONG_OFFSET, 416)
def a_commit_of_parts_in_a_session_that_is_unknown_begins_anew_when_the_blob_is_not_there(status: int) -> None:
    talk = committing().is_told(status).asks("HEAD", ENDPOINTS.blob, waits=True)
    talk.is_told(404).opens(SECOND).has_parts(SECOND, 202, count=3).asks("PUT", SECOND)
    committing().is_told(status).asks("HEAD", ENDPOINTS.blob).is_told(200, length=SIZE).is_done()


@takes_at_ollama(State.COMMITTING, Kind.REFUSED)
def a_commit_of_parts_follows_a_redirect_or_fails() -> None:
    committing().is_told(307, location="https://elsewhere.test/s").asks("PUT", "https://elsewhere.test/s")
    committing().is_told(403).has_failed(Denied)


@takes_at_ollama(State.COMMITTING, Kind.INVALID)
def parts_that_were_put_together_wrongly_are_sent_again_in_another_session() -> None:
    committing().is_told(400, "DIGEST_INVALID").opens(SECOND).has_parts(SECOND, 202, count=3)
    committing().is_told(400, "NAME_INVALID").has_failed(Refused)


@takes_at_ollama(State.COMMITTING, Kind.EXPIRED)
def a_commit_of_parts_is_sent_again_with_a_new_token_until_no_try_is_left() -> None:
    talk = committing(retries=1).is_told(401).asks("PUT", FIRST, waits=False)
    talk.is_told(401).has_failed(Unauthorized)


@takes_at_ollama(State.COMMITTING, Kind.BUSY, 503)
@takes_at_ollama(State.COMMITTING, Kind.LOST, None)
def a_commit_of_parts_without_an_answer_is_looked_for_and_sent_again_without_its_parts(told: Told) -> None:
    talk = committing().is_told(told).asks("HEAD", ENDPOINTS.blob, waits=True)
    assert talk.session.placement is None
    while talk.session.state is State.CONFIRMING:
        talk.is_told(404)
        if talk.session.state is State.CONFIRMING:
            talk.asks("HEAD", ENDPOINTS.blob, waits=True)
    talk.asks("PUT", FIRST)
    committing().is_told(told).asks("HEAD").is_told(200, length=SIZE).is_done()


@takes_at_ollama(State.COMMITTING, Kind.BUSY, 503)
@takes_at_ollama(State.COMMITTING, Kind.LOST, None)
def a_commit_of_parts_that_never_works_has_a_fresh_session_after_a_last_look(told: Told) -> None:
    talk = committing(retries=0).is_told(told).opens(SECOND).asks("HEAD", ENDPOINTS.blob)
    while talk.session.state is State.CONFIRMING:
        talk.is_told(404)
        if talk.session.state is State.CONFIRMING:
            talk.asks("HEAD")
    talk.has_parts(SECOND, 202, count=3).asks("PUT", SECOND)


@takes_at_ollama(State.COMMITTING, Event.UNREACHABLE)
def a_commit_of_parts_that_can_not_be_reached_goes_to_a_fresh_session() -> None:
    talk = committing()
    assert talk.can_not_be_reached() and talk.session.state is State.FRESH
    talk.opens(SECOND).has_parts(FIRST, 202, count=0).asks("PUT", FIRST, waits=False)  # once more
    assert talk.can_not_be_reached()
    talk.has_parts(SECOND, 202, count=3)


@takes_at_ollama(State.COMMITTING, Kind.REFUSED, 405)
@takes_at_ollama(State.COMMITTING, Kind.INVALID, 400)
def a_commit_that_another_process_left_and_that_is_refused_begins_anew(status: int) -> None:
    talk = left_by_another().is_told(status)
    talk.asks("POST").is_told(202, location=FIRST, direct_url=f"{STORAGE}/1").asks("PUT", f"{STORAGE}/1", span=_WHOLE)


@takes_at_ollama(State.COMMITTING, Kind.INVALID)
def a_commit_of_parts_that_is_refused_in_the_words_of_ecr_teaches_nothing_of_chunks() -> None:
    assert not left_by_another().is_told(400, "BLOB_UPLOAD_INVALID").session.plan.last_in_put


# ── HEAD: is it there? ────────────────────────────────────────────────────────────────────────────


def confirming(*, retries: int = 5) -> Talk:
    """The answer to the PUT was lost, and the blob is asked for."""
    return committing(retries=retries).is_told(None).asks("HEAD", ENDPOINTS.blob)


@takes_at_ollama(State.CONFIRMING, Kind.ACCEPTED)
def a_blob_of_parts_that_is_there_is_done_if_it_has_its_length() -> None:
    confirming().is_told(200, length=SIZE).is_done()
    confirming().is_told(200).is_done()
    confirming().is_told(200, length=SIZE - 1).has_failed(RemoteMismatch)
    Talk(ollama=_WAY).asks("POST").is_told(201).asks("HEAD").is_told(200, length=SIZE).is_done(Placement.PRESENT)


@takes_at_ollama(State.CONFIRMING, Kind.ACCEPTED, 202)
@takes_at_ollama(State.CONFIRMING, Kind.CREATED, 201)
def only_200_says_that_a_blob_of_parts_is_there(status: int) -> None:
    confirming().is_told(status).has_failed(NotARegistry)


@takes_at_ollama(State.CONFIRMING, Kind.MISSING)
def a_blob_of_parts_that_does_not_appear_is_committed_again_after_as_long_as_a_commit_may_take() -> None:
    talk, looks = confirming(), 0
    while talk.session.state is State.CONFIRMING:
        talk.is_told(404)
        looks += 1
        if talk.session.state is State.CONFIRMING:
            talk.asks("HEAD", waits=True)
    assert 3 < looks < 20
    talk.asks("PUT", FIRST, waits=True).is_told(201).is_done()


@takes_at_ollama(State.CONFIRMING, Kind.MISSING)
def a_blob_that_is_not_there_after_a_mount_that_nobody_asked_for_is_at_no_registry() -> None:
    Talk(ollama=_WAY).asks("POST").is_told(201).asks("HEAD").is_told(404).has_failed(NotARegistry)


@takes_at_ollama(State.CONFIRMING, Kind.EXPIRED, 401, False)
@takes_at_ollama(State.CONFIRMING, Kind.BUSY, 503, True)
@takes_at_ollama(State.CONFIRMING, Kind.LOST, None, False)
def trouble_with_the_question_forgets_nothing_of_a_commit_of_parts(told: Told, waits: bool) -> None:
    talk = confirming().is_told(404).asks("HEAD", waits=True).is_told(told).asks("HEAD", ENDPOINTS.blob, waits=waits)
    talk.is_told(404).asks("HEAD", waits=True).is_told(200, length=SIZE).is_done()


@takes_at_ollama(State.CONFIRMING, Kind.EXPIRED)
def a_blob_of_parts_is_asked_for_with_a_new_token_until_no_try_is_left() -> None:
    confirming(retries=2).is_told(401).asks("HEAD", waits=False).is_told(401).has_failed(Unauthorized)


@takes_at_ollama(State.CONFIRMING, Kind.BUSY, 503)
@takes_at_ollama(State.CONFIRMING, Kind.LOST, None)
def a_blob_of_parts_is_asked_for_once_more_when_a_fresh_session_shows_that_the_registry_is_well(told: Told) -> None:
    talk = committing(retries=2).is_told(503).asks("HEAD").is_told(told).asks("HEAD", waits=True).is_told(told)
    talk.opens(SECOND).asks("HEAD", ENDPOINTS.blob).is_told(200, length=SIZE).is_done()


# ── from OCI's machine to Ollama's ────────────────────────────────────────────────────────────────


@takes(State.NEW, Kind.ACCEPTED)
@takes_at_ollama(State.HANDED_OVER, Kind.ACCEPTED)
def a_registry_that_shows_itself_as_ollamas_gets_parts() -> None:
    talk = Talk().asks("POST")
    talk.shows_itself_as_ollamas(FIRST).has_parts(FIRST, 202).asks("PUT", FIRST).is_told(201).is_done()
    assert talk.session.is_at_ollama, "which is remembered of the host"


@takes(State.GONE, Kind.ACCEPTED)
@takes_at_ollama(State.HANDED_OVER, Kind.ACCEPTED)
def a_registry_that_shows_itself_as_ollamas_after_a_lost_session_gets_parts() -> None:
    talk = Talk(resume=UploadRecord(LEFT, CHUNK, chunk=CHUNK)).asks("GET", LEFT).is_told(404).asks("POST")
    talk.shows_itself_as_ollamas(FIRST).has_parts(FIRST, 202).asks("PUT", FIRST)


@takes(State.UNCERTAIN, Kind.BUSY)
@takes_at_ollama(State.HANDED_OVER, Kind.ACCEPTED)
def a_fresh_session_that_is_ollamas_gets_parts_and_the_old_one_is_kept_until_it_has_bytes() -> None:
    record = UploadRecord(LEFT, CHUNK, chunk=CHUNK)
    talk = Talk(resume=record, retries=0).asks("GET", LEFT).is_told(503).asks("POST")
    talk.shows_itself_as_ollamas(FIRST).asks("GET", LEFT).is_told(503)
    assert talk.session.record == record
    talk.has_parts(FIRST, 202).asks("PUT", FIRST)
    assert talk.session.record.location == FIRST


@takes(State.UNCERTAIN, Event.UNREACHABLE)
@takes_at_ollama(State.HANDED_OVER, Kind.ACCEPTED)
def a_record_of_chunks_that_is_of_no_use_at_ollamas_registry_is_followed_by_parts() -> None:
    talk = Talk(ollama=_WAY, resume=UploadRecord(LEFT, CHUNK, chunk=CHUNK)).asks("GET", LEFT)
    assert talk.can_not_be_reached()
    talk.opens(FIRST).asks("GET", LEFT)
    assert talk.can_not_be_reached()
    talk.has_parts(FIRST, 202, count=3).asks("PUT", FIRST)


@takes_at_ollama(State.HANDED_OVER, Kind.ACCEPTED)
def a_session_of_ollamas_registry_with_an_address_at_its_storage_gets_all_there() -> None:
    talk = Talk().asks("POST").shows_itself_as_ollamas(FIRST, direct_url=f"{STORAGE}/1")
    talk.asks("PUT", f"{STORAGE}/1", span=_WHOLE).is_told(201).asks("PUT", FIRST)
