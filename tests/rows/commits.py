"""Rows of the closing PUT, and of the HEADs that ask what became of it."""

from __future__ import annotations

from registry_push.errors import Denied, NotARegistry, Refused, RemoteMismatch, Unauthorized, Unavailable
from registry_push.events import Placement
from registry_push.model import Digest
from registry_push.protocol.response import Kind
from registry_push.protocol.upload.chunks import ChunkPlan, MiB, WholePut
from registry_push.protocol.upload.requests import UploadRecord
from registry_push.protocol.upload.states import State
from tests.support.simulated import ENDPOINTS

from .talk import CHUNK, FIRST, SECOND, SIZE, Talk, Told, takes

_WHOLE = (0, SIZE)


def committing(*, retries: int = 5) -> Talk:
    """All of the blob goes in the PUT."""
    return Talk(single=True, retries=retries).opens().asks("PUT", FIRST, span=_WHOLE)


def committing_chunks(plan: ChunkPlan | None = None) -> Talk:
    """All chunks are acknowledged, and the PUT has no body."""
    plan = plan or ChunkPlan(SIZE, CHUNK)
    talk = Talk(plan=plan).opens()
    while talk.session.offset < plan.size:
        begin = talk.session.offset
        talk.asks("PATCH", FIRST, span=(begin, min(begin + plan.chunk, plan.size))).is_told(202)
    return talk.asks("PUT", FIRST)


# ── PUT ───────────────────────────────────────────────────────────────────────────────────────────


@takes(State.COMMITTING, Kind.CREATED)
def a_commit_that_is_answered_201_is_done() -> None:
    committing().is_told(201).is_done()


@takes(State.COMMITTING, Kind.CREATED)
def a_commit_of_another_digest_is_never_success() -> None:
    committing().is_told(201, digest=Digest.of(b"other")).has_failed(RemoteMismatch)


@takes(State.COMMITTING, Kind.CREATED)
def a_commit_of_several_chunks_is_measured() -> None:
    committing_chunks().is_told(201).asks("HEAD", ENDPOINTS.blob, waits=False)


@takes(State.COMMITTING, Kind.ACCEPTED)
def a_commit_that_is_only_accepted_is_no_upload_before_head_says_so() -> None:
    talk = committing().is_told(202)
    assert talk.session.placement is None and not talk.session.is_done
    assert talk.session.record is not None, "another process can go on"
    talk.asks("HEAD", ENDPOINTS.blob, waits=False)
    assert talk.session.placement is None
    talk.is_told(200, length=SIZE).is_done()


@takes(State.COMMITTING, Kind.ACCEPTED)
def a_commit_that_is_only_accepted_may_still_be_under_way_when_its_session_is_gone() -> None:
    talk = committing().is_told(202).asks("HEAD").is_told(404).asks("GET", FIRST, waits=False).is_told(404)
    talk.asks("HEAD", ENDPOINTS.blob, waits=False).is_told(404)
    talk.asks("HEAD", ENDPOINTS.blob, waits=True).is_told(200, length=SIZE).is_done()


@takes(State.COMMITTING, Kind.MISSING)
def a_commit_whose_session_is_unknown_is_looked_for() -> None:
    talk = committing_chunks().is_told(404, "BLOB_UPLOAD_UNKNOWN")
    talk.asks("HEAD", ENDPOINTS.blob, waits=True).is_told(200, length=SIZE).is_done()


@takes(State.COMMITTING, Kind.MISSING)
def artifactory_5_knows_no_put_of_all_and_gets_chunks() -> None:
    talk = committing().is_told(404).asks("HEAD").is_told(404).asks("GET", FIRST).is_told(204)
    talk.asks("PATCH", FIRST, span=(0, CHUNK))
    assert talk.session.learned_whole is WholePut.NEVER


@takes(State.COMMITTING, Kind.REFUSED)
def a_commit_that_is_refused_fails_the_upload() -> None:
    committing().is_told(403, "DENIED").has_failed(Denied)
    committing_chunks().is_told(405).has_failed(Refused)


@takes(State.COMMITTING, Kind.REFUSED)
def a_put_of_all_that_is_refused_for_its_method_is_followed_by_chunks() -> None:
    talk = committing().is_told(405).opens("/second").asks("PATCH", span=(0, CHUNK))
    assert talk.session.learned_whole is WholePut.NEVER


@takes(State.COMMITTING, Kind.REFUSED)
def a_commit_follows_a_redirect_that_keeps_its_body() -> None:
    committing().is_told(307, location="https://elsewhere.test/s", sent=0).asks(
        "PUT", "https://elsewhere.test/s", span=_WHOLE
    )


@takes(State.COMMITTING, Kind.WRONG_OFFSET)
def a_commit_at_the_wrong_offset_asks_the_session_and_goes_on_there() -> None:
    talk = committing_chunks().is_told(416).asks("GET", FIRST, waits=False).is_told(204, end=2 * CHUNK)
    talk.asks("PATCH", FIRST, span=(2 * CHUNK, SIZE), waits=True)


@takes(State.COMMITTING, Kind.WRONG_OFFSET)
def a_commit_at_the_wrong_offset_may_be_the_second_and_the_first_has_ended_the_session() -> None:
    talk = committing_chunks().is_told(416).asks("GET", FIRST).is_told(404)
    talk.asks("HEAD", ENDPOINTS.blob).is_told(200, length=SIZE).is_done()


@takes(State.COMMITTING, Kind.TOO_LARGE)
def a_commit_that_is_too_large_becomes_chunks_of_half_its_length() -> None:
    talk = Talk(plan=ChunkPlan(SIZE, SIZE, single=True), retries=0).opens().asks("PUT", FIRST, span=_WHOLE)
    talk.is_told(413).asks("GET", FIRST, waits=False).is_told(204).asks("PATCH", FIRST, span=(0, SIZE // 2))


@takes(State.COMMITTING, Kind.TOO_LARGE)
def a_commit_of_a_mib_that_is_too_large_fails_the_upload() -> None:
    Talk(plan=ChunkPlan(MiB, MiB, single=True)).opens().asks("PUT", span=(0, MiB)).is_told(413).has_failed(Refused)


@takes(State.COMMITTING, Kind.INVALID)
def chunks_that_were_put_together_wrongly_are_sent_again_in_another_session() -> None:
    talk = committing_chunks().is_told(400, "DIGEST_INVALID")
    talk.opens(SECOND).asks("PATCH", SECOND, span=(0, CHUNK))


@takes(State.COMMITTING, Kind.INVALID)
def a_commit_that_is_invalid_for_another_reason_fails_the_upload() -> None:
    committing().is_told(400, "NAME_INVALID").has_failed(Refused)


@takes(State.COMMITTING, Kind.INVALID)
def ecr_takes_the_last_chunk_in_the_put_and_the_second_session_knows() -> None:
    committing_chunks(ChunkPlan(SIZE, 5 * MiB)).is_told(400, "BLOB_UPLOAD_INVALID").opens(SECOND).asks(
        "PATCH", SECOND, span=(0, 5 * MiB)
    ).is_told(202).asks("PUT", SECOND, span=(5 * MiB, SIZE))


@takes(State.COMMITTING, Kind.EXPIRED)
def a_commit_is_sent_again_with_a_new_token_until_no_try_is_left() -> None:
    talk = committing(retries=1).is_told(401).asks("PUT", FIRST, span=_WHOLE, waits=False)
    talk.is_told(401).has_failed(Unauthorized)


@takes(State.COMMITTING, Kind.BUSY, 503)
@takes(State.COMMITTING, Kind.LOST, None)
def what_came_of_a_commit_without_an_answer_is_asked_before_it_is_sent_again(told: Told) -> None:
    talk = committing().is_told(told).asks("HEAD", ENDPOINTS.blob, waits=True)
    assert talk.session.placement is None
    talk.is_told(404).asks("GET", FIRST, waits=False).is_told(204)
    talk.asks("PUT", FIRST, span=_WHOLE)  # nothing of it arrived


@takes(State.COMMITTING, Kind.BUSY, 503)
@takes(State.COMMITTING, Kind.LOST, None)
def a_commit_that_is_there_after_all_is_done(told: Told) -> None:
    committing().is_told(told).asks("HEAD").is_told(200, length=SIZE).is_done()


@takes(State.COMMITTING, Kind.BUSY, 503)
@takes(State.COMMITTING, Kind.LOST, None)
def a_commit_that_never_works_has_a_fresh_session_after_a_last_look(told: Told) -> None:
    talk = committing(retries=0).is_told(told, sent=0).opens(SECOND).asks("HEAD", ENDPOINTS.blob).is_told(404)
    talk.asks("GET", FIRST).is_told(404).asks("PUT", SECOND, span=_WHOLE)


# ── HEAD: is it there? ────────────────────────────────────────────────────────────────────────────


def confirming(*, retries: int = 5) -> Talk:
    """The answer to the PUT was lost, and the blob is asked for."""
    return committing(retries=retries).is_told(None, sent=SIZE).asks("HEAD", ENDPOINTS.blob)


@takes(State.CONFIRMING, Kind.ACCEPTED)
def a_blob_that_is_there_is_done_if_it_has_its_length() -> None:
    confirming().is_told(200, length=SIZE).is_done()
    confirming().is_told(200).is_done()
    confirming().is_told(200, length=SIZE - 1).has_failed(RemoteMismatch)


@takes(State.CONFIRMING, Kind.ACCEPTED)
def a_blob_that_was_there_before_is_not_called_uploaded() -> None:
    Talk().asks("POST").is_told(201).asks("HEAD").is_told(200, length=SIZE).is_done(Placement.PRESENT)


@takes(State.CONFIRMING, Kind.ACCEPTED, 202)
@takes(State.CONFIRMING, Kind.CREATED, 201)
def only_200_says_that_a_blob_is_there(status: int) -> None:
    confirming().is_told(status).has_failed(NotARegistry)


@takes(State.CONFIRMING, Kind.MISSING)
def a_blob_that_is_not_there_has_its_session_asked_and_is_sent_again_as_before() -> None:
    talk = confirming().is_told(404).asks("GET", FIRST, waits=False).is_told(204)
    talk.asks("PUT", FIRST, span=_WHOLE)


@takes(State.CONFIRMING, Kind.MISSING)
def a_blob_that_does_not_appear_is_begun_anew_when_its_session_is_gone() -> None:
    talk = confirming().is_told(404).asks("GET", FIRST).is_told(404)
    looks = 0
    while talk.session.state is State.CONFIRMING:
        talk.asks("HEAD").is_told(404)
        looks += 1
    assert 3 < looks < 20, "as long as a commit may take"
    talk.opens(SECOND).asks("PUT", SECOND, span=_WHOLE)


@takes(State.CONFIRMING, Kind.EXPIRED, 401)
@takes(State.CONFIRMING, Kind.BUSY, 503)
@takes(State.CONFIRMING, Kind.LOST, None)
def trouble_with_the_question_forgets_nothing_of_the_commit(told: Told) -> None:
    talk = confirming().is_told(404).asks("GET", FIRST).is_told(204, end=SIZE).asks("HEAD").is_told(told)
    talk.asks("HEAD", ENDPOINTS.blob).is_told(404)
    talk.asks("HEAD", ENDPOINTS.blob, waits=True).is_told(200, length=SIZE).is_done()
    assert talk.session.learned_whole is None


@takes(State.CONFIRMING, Kind.EXPIRED)
def the_blob_is_asked_for_with_a_new_token_until_no_try_is_left() -> None:
    confirming(retries=2).is_told(401).asks("HEAD", waits=False).is_told(401).has_failed(Unauthorized)


@takes(State.CONFIRMING, Kind.BUSY, 503)
@takes(State.CONFIRMING, Kind.LOST, None)
def the_blob_is_asked_for_once_more_when_a_fresh_session_shows_that_the_registry_is_well(told: Told) -> None:
    talk = committing(retries=2).is_told(503).asks("HEAD").is_told(told).asks("HEAD", waits=True).is_told(told)
    talk.opens(SECOND).asks("HEAD", ENDPOINTS.blob).is_told(200, length=SIZE).is_done()
    assert [request.url for request in talk.session.left_over] == [SECOND]


@takes(State.CONFIRMING, Kind.BUSY, 503)
@takes(State.CONFIRMING, Kind.LOST, None)
def a_blob_that_nobody_can_be_asked_for_leaves_what_another_process_needs(told: Told) -> None:
    talk = committing_chunks().is_told(503).asks("HEAD")
    while talk.session.state is State.CONFIRMING:
        talk.is_told(told)
        if talk.session.state is State.CONFIRMING:
            talk.asks("HEAD")
    talk.asks("POST").is_told(503).has_failed(Unavailable)
    assert talk.session.record == UploadRecord(FIRST, SIZE, chunk=CHUNK)


# ── HEAD: is it whole? ────────────────────────────────────────────────────────────────────────────


def measuring() -> Talk:
    """Several chunks were committed, and the blob's length is asked for."""
    return committing_chunks().is_told(201).asks("HEAD", ENDPOINTS.blob)


@takes(State.MEASURING, Kind.ACCEPTED)
def a_blob_of_chunks_has_to_have_its_length() -> None:
    measuring().is_told(200, length=SIZE).is_done()
    measuring().is_told(200, length=SIZE - CHUNK).has_failed(RemoteMismatch)


@takes(State.MEASURING, Kind.ACCEPTED, 202)
@takes(State.MEASURING, Kind.CREATED, 201)
@takes(State.MEASURING, Kind.MISSING, 404)
@takes(State.MEASURING, Kind.WRONG_OFFSET, 416)
@takes(State.MEASURING, Kind.TOO_LARGE, 413)
@takes(State.MEASURING, Kind.EXPIRED, 401)
@takes(State.MEASURING, Kind.INVALID, 400)
@takes(State.MEASURING, Kind.REFUSED, 403)
@takes(State.MEASURING, Kind.NO_REGISTRY, 200)
def a_commit_that_was_answered_stands_whatever_else_head_says(status: int) -> None:
    measuring().is_told(status, is_page=status == 200, length=5).is_done()


@takes(State.MEASURING, Kind.BUSY, 503)
@takes(State.MEASURING, Kind.LOST, None)
def the_length_is_asked_for_again_and_the_commit_stands_when_no_try_is_left(told: Told) -> None:
    talk = measuring()
    for _ in range(5):
        talk.is_told(told).asks("HEAD", ENDPOINTS.blob, waits=True)
    talk.is_told(told).is_done()


@takes(State.MEASURING, Kind.BUSY, 503)
@takes(State.MEASURING, Kind.LOST, None)
def the_length_counts_when_it_is_told_at_last(told: Told) -> None:
    measuring().is_told(told).asks("HEAD").is_told(200, length=SIZE - CHUNK).has_failed(RemoteMismatch)
