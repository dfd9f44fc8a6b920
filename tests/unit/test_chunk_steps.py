"""What real registries do to chunks, and what is done about it. One named quirk a test."""

from __future__ import annotations

import pytest

from registry_push.errors import Refused, RemoteMismatch
from registry_push.protocol.diagnostics import Diagnosis
from registry_push.protocol.response import RegistryResponse
from registry_push.protocol.upload.chunks import ChunkPlan, MiB
from registry_push.protocol.upload.requests import UploadRecord, UploadRequest
from registry_push.protocol.upload.session import UploadSession
from registry_push.protocol.upload.states import State
from tests.support.simulated import ENDPOINTS, Fault, OnCut, SimulatedRegistry, answered, asked, session_of, upload

CONTENT = bytes(range(256)) * 40  # 10,240 bytes
SIZE = len(CONTENT)


# ── several chunks are measured ───────────────────────────────────────────────────────────────────


def committed_in_chunks() -> UploadSession:
    session = session_of(ChunkPlan(SIZE, 6000))
    answers = [RegistryResponse(202, ENDPOINTS.uploads, location="/s")] * 3 + [
        RegistryResponse(201, f"{ENDPOINTS.uploads}s")
    ]
    request = answered(session, *answers)
    assert request is not None and request.method == "HEAD"
    assert session.record is None, "there is nothing to go on with"
    return session


def test_chunks_that_made_another_length_are_never_success() -> None:
    session = committed_in_chunks()
    session.receive(RegistryResponse(200, ENDPOINTS.blob, length=SIZE - 6000))
    assert isinstance(session.failure, RemoteMismatch)
    assert "--one-put" in (session.failure.hint or "")


@pytest.mark.parametrize(
    "answer", [RegistryResponse(200, ENDPOINTS.blob, length=SIZE), RegistryResponse(200, ENDPOINTS.blob, length=0)]
)
def test_chunks_that_made_the_length_are_success(answer: RegistryResponse) -> None:
    session = committed_in_chunks()
    session.receive(answer)
    assert session.is_done


@pytest.mark.parametrize("status", [202, 204, 307, 400, 401, 403, 404, 405, 413, 416, 501])
def test_a_commit_that_was_answered_stands_whatever_head_says(status: int) -> None:
    session = committed_in_chunks()
    session.receive(RegistryResponse(status, ENDPOINTS.blob))
    assert session.is_done


def test_a_busy_head_is_asked_again_and_the_commit_stands() -> None:
    session = committed_in_chunks()
    heads = 0
    while (request := asked(session)) is not None:
        heads += request.method == "HEAD"
        session.receive(RegistryResponse(503, ENDPOINTS.blob))
    assert session.is_done and heads == 6


def test_one_chunk_is_not_measured_and_the_rest_of_another_process_is() -> None:
    registry = SimulatedRegistry()
    assert upload(registry, CONTENT, chunk=SIZE).methods == ["POST", "PATCH", "PUT"]
    registry = SimulatedRegistry()
    record = upload(registry, CONTENT, chunk=9000, stop_after=2).session.record
    assert upload(registry, CONTENT, chunk=9000, resume=record).methods == ["GET", "PATCH", "PUT", "HEAD"]


# ── R2 ────────────────────────────────────────────────────────────────────────────────────────────


def r2(size: int) -> UploadSession:
    session = session_of(ChunkPlan.for_blob(size))
    asked(session)
    session.receive(RegistryResponse(202, ENDPOINTS.uploads, "/s", minimum_chunk=5 * MiB, maximum_chunk=100 * 10**6))
    return session


def took(session: UploadSession) -> None:
    request = asked(session)
    assert request is not None and request.span is not None
    session.receive(RegistryResponse(202, request.url, range_end=request.span.stop - 1))


def test_r2s_chunk_size_is_in_the_record_and_another_process_keeps_to_it() -> None:
    session = r2(200 * MiB)
    took(session)
    took(session)
    record = session.record
    assert record is not None and (record.chunk, record.is_equal) == (16 * MiB, True)
    again = session_of(ChunkPlan.for_blob(200 * MiB).paced(64 * MiB), resume=record)
    status = RegistryResponse(
        204, record.location, range_end=record.offset - 1, minimum_chunk=5 * MiB, maximum_chunk=10**8
    )
    request = answered(again, status)
    assert request is not None and request.span is not None
    assert (request.span.start, request.span.length) == (32 * MiB, 16 * MiB)


def test_r2s_limits_are_read_from_a_status_too() -> None:
    """A record of an earlier version has no chunk size; of a session that is empty any will do."""
    again = session_of(ChunkPlan.for_blob(200 * MiB).paced(MiB), resume=UploadRecord(f"{ENDPOINTS.uploads}s", 0))
    request = answered(again, RegistryResponse(204, ENDPOINTS.uploads, minimum_chunk=5 * MiB, maximum_chunk=10**8))
    assert request is not None and request.span is not None and request.span.length == 5 * MiB


@pytest.mark.parametrize("status", [413, 416])
def test_r2s_chunks_never_shrink_in_the_middle(status: int) -> None:
    session = r2(200 * MiB)
    took(session)
    for _ in range(10):
        request = asked(session)
        assert request is not None
        if request.method == "POST":
            break
        assert request.span is None or request.span.length == 16 * MiB
        session.receive(RegistryResponse(status if request.span else 204, request.url, range_end=16 * MiB - 1))
    else:
        pytest.fail("it begins anew: R2 joins no chunks of two sizes")


# ── Quay, Gitea ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("on_cut", [OnCut.KEEP, OnCut.ACKNOWLEDGED])
@pytest.mark.parametrize("told_with_416", [1, None])
@pytest.mark.parametrize("between", range(9))
def test_a_status_that_is_one_too_high_costs_no_acknowledged_byte_and_no_limit(
    on_cut: OnCut, told_with_416: int | None, between: int
) -> None:
    content = b"q" * (9 * MiB)
    faults = [Fault.NONE, Fault.NONE, Fault.CUT, *[Fault.NONE] * between, Fault.CUT]
    registry = SimulatedRegistry(on_cut, faults=iter(faults), status_adds=1)
    patch = registry._patch

    def refused(request: UploadRequest, location: str, held: bytearray, body: bytes) -> RegistryResponse:
        answer = patch(request, location, held, body)
        told = None if told_with_416 is None else len(held) - 1 + told_with_416
        return RegistryResponse(416, request.url, range_end=told) if answer.status == 416 else answer

    registry._patch = refused  # type: ignore[method-assign]
    run = upload(registry, content, chunk=2 * MiB)
    assert run.session.state is State.DONE
    assert run.methods.count("POST") == 1
    assert run.session.plan.limit is None and run.session.learned_limit(None) is None
    assert sum(stop - start for start, stop in registry.received) <= len(content)


def test_a_limit_that_a_416_means_inside_a_cut_chunk_is_still_found() -> None:
    content = b"z" * (9 * MiB)
    registry = SimulatedRegistry(
        OnCut.KEEP, faults=iter([Fault.NONE, Fault.CUT]), chunk_limit=4 * MiB, limit_status=416
    )
    run = upload(registry, content, chunk=6 * MiB)
    assert run.session.state is State.DONE
    assert run.session.learned_limit(None) == 3 * MiB


def test_a_limit_that_nothing_got_through_under_is_not_learned() -> None:
    registry = SimulatedRegistry(chunk_limit=1000)
    run = upload(registry, b"z" * (8 * MiB), chunk=4 * MiB)
    assert isinstance(run.session.failure, Refused)
    assert run.session.learned_limit(None) is None
    assert run.session.learned_limit(2 * MiB) is None, "and what was learned before did not help"


# ── ECR ───────────────────────────────────────────────────────────────────────────────────────────


def at_ecr(size: int, *, resume: UploadRecord | None = None) -> UploadSession:
    return session_of(ChunkPlan.for_blob(size, chunk=8 * MiB).at_ecr(), resume=resume)


def ecr_record(*, chunks: int) -> UploadRecord:
    return UploadRecord(f"{ENDPOINTS.uploads}s", chunks * 8 * MiB, chunk=8 * MiB)


STUCK = 8 * MiB - 1


@pytest.mark.parametrize("range_end", [STUCK, None])
def test_ecrs_status_is_no_offset(range_end: int | None) -> None:
    request = answered(
        at_ecr(48 * MiB, resume=ecr_record(chunks=3)), RegistryResponse(204, ENDPOINTS.uploads, range_end=range_end)
    )
    assert request is not None and request.span is not None and request.span.start == 24 * MiB


@pytest.mark.parametrize(
    ("words", "start"),
    [
        ("the next byte is 27262976", 26 * MiB),
        (f"the first byte {24 * MiB} does not follow the last, it has 27262976", 26 * MiB),
        ("invalid", 24 * MiB),
        ("expected one of 27262976 and 27262977", 24 * MiB),
        ("upload a27262976-1", 24 * MiB),
    ],
)
def test_ecrs_words_name_the_true_offset(words: str, start: int) -> None:
    status = RegistryResponse(204, ENDPOINTS.uploads, range_end=STUCK)
    refused = RegistryResponse(416, ENDPOINTS.uploads, range_end=STUCK, diagnosis=Diagnosis(("RANGE_INVALID",), words))
    request = answered(at_ecr(48 * MiB, resume=ecr_record(chunks=3)), status, refused, status)
    assert request is not None and request.span is not None and request.span.start == start


def test_ecrs_answer_that_was_lost_may_have_been_a_yes() -> None:
    session = at_ecr(48 * MiB)
    asked(session)
    session.receive(RegistryResponse(202, ENDPOINTS.uploads, location="/s"))
    for _ in range(2):
        asked(session)
        session.receive(RegistryResponse(201, ENDPOINTS.uploads, range_end=STUCK))
    asked(session)
    session.connection_lost("reset", sent=8 * MiB)
    status = RegistryResponse(204, ENDPOINTS.uploads, range_end=STUCK)
    request = answered(session, status, RegistryResponse(416, ENDPOINTS.uploads, range_end=STUCK), status)
    assert request is not None and request.span is not None and request.span.start == 24 * MiB
    assert session.learned_limit(None) is None


def test_ecr_where_nothing_helps_begins_again() -> None:
    session = at_ecr(48 * MiB, resume=ecr_record(chunks=3))
    for _ in range(8):
        request = asked(session)
        assert request is not None
        if request.method == "POST":
            break
        session.receive(RegistryResponse(416 if request.span else 204, request.url, range_end=STUCK))
    else:
        pytest.fail("it never begins again")
    assert session.restarts == 1


def test_ecr_that_refuses_an_empty_put_gets_the_last_part_in_it() -> None:
    refused = RegistryResponse(400, ENDPOINTS.uploads, diagnosis=Diagnosis(("BLOB_UPLOAD_INVALID",), "no"))
    session = session_of(ChunkPlan(16 * MiB, 8 * MiB))
    accepted = RegistryResponse(202, ENDPOINTS.uploads, location="/s")
    request = answered(session, accepted, accepted, accepted, refused, accepted, accepted)
    assert request is not None and request.closes and request.span is not None
    assert request.headers["Content-Range"] == f"{8 * MiB}-{16 * MiB - 1}"


def test_ecr_takes_no_more_than_4200_parts_and_none_under_5_mib() -> None:
    for size in (10 * MiB, 10**9, 52 * 10**9, 10**12):
        plan = ChunkPlan.for_blob(size, chunk=MiB, limit=MiB).at_ecr()
        assert plan.chunk >= 5 * MiB and size / plan.chunk <= 4_200
        assert plan.paced(MiB).chunk >= 5 * MiB
        assert plan.shared(8).chunk >= 5 * MiB
        assert plan.limit is None


# ── redirects ─────────────────────────────────────────────────────────────────────────────────────

ELSEWHERE = "https://store.example/x"


@pytest.mark.parametrize("single", [True, False])
@pytest.mark.parametrize(("size", "sent", "follows"), [(SIZE, SIZE, True), (9 * MiB, 10, True), (9 * MiB, None, False)])
def test_a_body_goes_again_after_an_early_answer_or_if_it_is_small(
    single: bool, size: int, sent: int | None, follows: bool
) -> None:
    session = session_of(ChunkPlan(size, size, single=single))
    asked(session)
    session.receive(RegistryResponse(202, ENDPOINTS.uploads, location="/s"))
    first = asked(session)
    assert first is not None
    session.receive(RegistryResponse(307, first.url, location=ELSEWHERE), sent=sent)
    again = asked(session)
    if not follows:
        assert isinstance(session.failure, Refused) and ELSEWHERE in session.failure.message
        return
    assert again is not None and (again.url, again.method, again.span) == (ELSEWHERE, first.method, first.span)
    assert ("Expect" in again.headers) == (size > MiB)


def test_where_a_question_was_sent_on_a_long_body_waits_to_be_asked_for() -> None:
    session = session_of(ChunkPlan(9 * MiB, 9 * MiB))
    asked(session)
    session.receive(RegistryResponse(202, ENDPOINTS.uploads.rstrip("/"), location="/s"))
    request = asked(session)
    assert request is not None and request.headers["Expect"] == "100-continue"


def test_after_one_chunk_another_process_believes_ecrs_words() -> None:
    """The end of the first chunk is the offset then, or ECR's word for any: found by a push that was killed."""
    record = UploadRecord(f"{ENDPOINTS.uploads}s", 8 * MiB, chunk=8 * MiB)
    status = RegistryResponse(204, ENDPOINTS.uploads, range_end=STUCK)
    words = Diagnosis(("RANGE_INVALID",), f"the next byte is {16 * MiB}")
    refused = RegistryResponse(416, ENDPOINTS.uploads, range_end=STUCK, diagnosis=words)
    session = session_of(ChunkPlan(48 * MiB, 8 * MiB), resume=record)
    request = answered(session, status, refused, status)
    assert request is not None and request.span is not None and request.span.start == 16 * MiB
