"""The upload machine against a simulated registry: what it says, and that it always ends well or with an error."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from registry_push.errors import Denied, Refused, RemoteMismatch, Unauthorized, Unavailable
from registry_push.events import Placement
from registry_push.model import Descriptor, Digest
from registry_push.protocol.response import RegistryResponse
from registry_push.protocol.retry import Budget
from registry_push.protocol.upload.chunks import SMALLEST_CHUNK, ChunkPlan, MiB
from registry_push.protocol.upload.opening_steps import MAX_RESTARTS
from registry_push.protocol.upload.requests import UploadRequest
from registry_push.protocol.upload.session import UploadSession
from registry_push.protocol.upload.states import State
from registry_push.protocol.upload.upload_state import UploadState
from tests.support.simulated import ENDPOINTS, Fault, OnCut, Run, SimulatedRegistry, asked, upload

CONTENT = bytes(range(256)) * 40  # 10,240 bytes: eleven chunks of 1,000


def committed(registry: SimulatedRegistry, run: Run) -> bool:
    return run.session.state is State.DONE and list(registry.blobs.values()) == [CONTENT]


def test_a_large_blob_takes_a_post_its_chunks_a_closing_put_without_a_body_and_a_look_at_its_length() -> None:
    registry = SimulatedRegistry()
    run = upload(registry, CONTENT, chunk=5000)
    assert run.methods == ["POST", "PATCH", "PATCH", "PATCH", "PUT", "HEAD"]
    assert run.requests[-2].span is None
    assert run.requests[-2].url.endswith(f"?digest=sha256%3A{Digest.of(CONTENT).hex}")
    assert committed(registry, run)


def test_a_small_blob_takes_two_requests() -> None:
    registry = SimulatedRegistry()
    run = upload(registry, CONTENT, single=True)
    assert run.methods == ["POST", "PUT"]
    assert committed(registry, run)


@pytest.mark.parametrize("size", [0, 1, 2, 1000, 1001, 1002, 2001])
def test_no_size_makes_a_one_byte_patch(size: int) -> None:
    registry = SimulatedRegistry()
    run = upload(registry, b"x" * size)
    assert run.session.state is State.DONE
    assert all(request.span is None or request.method == "PUT" or request.span.length > 1 for request in run.requests)


def test_the_record_moves_only_on_acknowledged_offsets() -> None:
    registry = SimulatedRegistry(faults=iter([Fault.NONE, Fault.NONE, Fault.LOST_REQUEST]))
    run = upload(registry, CONTENT, stop_after=3)
    assert [record and record.offset for record in run.records] == [0, 1000, 1000]


def test_an_upload_goes_on_in_another_process_from_what_the_server_confirms() -> None:
    registry = SimulatedRegistry()
    record = upload(registry, CONTENT, stop_after=4).session.record
    run = upload(registry, CONTENT, resume=record)
    assert run.methods[:2] == ["GET", "PATCH"]
    assert run.sent == len(CONTENT) - 3000
    assert committed(registry, run)


def test_a_lost_answer_to_the_commit_asks_head_before_anything_is_done_twice() -> None:
    faults = [Fault.NONE] * 4 + [Fault.LOST_ANSWER]
    registry = SimulatedRegistry(faults=iter(faults))
    run = upload(registry, CONTENT, chunk=5000)
    assert run.methods[-2:] == ["PUT", "HEAD"]
    assert run.sent == len(CONTENT)
    assert committed(registry, run)


def test_a_cut_patch_at_distribution_3_sends_only_what_did_not_arrive() -> None:
    registry = SimulatedRegistry(OnCut.KEEP, faults=iter([Fault.NONE, Fault.CUT]))
    run = upload(registry, CONTENT, chunk=6000)
    assert run.methods == ["POST", "PATCH", "GET", "PATCH", "PATCH", "PUT", "HEAD"]
    assert registry.received[0][0] == 3000
    assert committed(registry, run)


def test_a_cut_patch_at_distribution_2_starts_again_from_zero() -> None:
    registry = SimulatedRegistry(OnCut.LOSE, faults=iter([Fault.NONE, Fault.NONE, Fault.CUT]))
    run = upload(registry, CONTENT, chunk=6000)
    assert run.methods == ["POST", "PATCH", "PATCH", "GET", "POST", "PATCH", "PATCH", "PUT", "HEAD"]
    assert run.session.restarts == 1
    assert committed(registry, run)


def test_a_401_on_a_body_asks_the_offset_without_a_pause() -> None:
    registry = SimulatedRegistry(faults=iter([Fault.NONE, Fault.EXPIRED]))
    run = upload(registry, CONTENT, chunk=6000)
    assert run.methods == ["POST", "PATCH", "GET", "PATCH", "PATCH", "PUT", "HEAD"]
    assert all(request.after == 0 for request in run.requests)


def test_a_registry_that_always_says_401_to_a_body_ends_with_unauthorized() -> None:
    registry = SimulatedRegistry(faults=iter([Fault.NONE] + [Fault.EXPIRED] * 1000))
    assert isinstance(upload(registry, CONTENT).session.failure, Unauthorized)


def test_cloudflare_413_halves_the_chunk_and_the_plan_remembers_it() -> None:
    content = b"z" * (8 * MiB)
    registry = SimulatedRegistry(chunk_limit=3 * MiB)
    run = upload(registry, content, chunk=8 * MiB)
    assert run.session.state is State.DONE
    assert run.session.plan.limit == 2 * MiB
    assert run.sent == (8 + 4) * MiB + len(content)


def test_ghcr_416_with_an_unmoved_offset_is_about_size() -> None:
    content = b"z" * (9 * MiB)
    registry = SimulatedRegistry(chunk_limit=4 * MiB, limit_status=416)
    run = upload(registry, content, chunk=9 * MiB)
    assert run.session.state is State.DONE
    assert run.session.plan.chunk == 9 * MiB // 4


@pytest.mark.parametrize("at", [0, 3])
def test_a_416_that_passes_costs_one_more_try_and_no_acknowledged_byte(at: int) -> None:
    """Refused for its offset once, which is right by the status (found by seeds 15 and 23)."""
    registry = SimulatedRegistry()
    refused = iter([*[False] * at, True])
    patch = registry._patch
    registry._patch = lambda request, *rest: (  # type: ignore[method-assign]
        RegistryResponse(416, request.url) if next(refused, False) else patch(request, *rest)
    )
    run = upload(registry, CONTENT)
    assert committed(registry, run)
    assert run.methods.count("POST") == 1
    assert run.sent == len(CONTENT) + 1000


def test_one_byte_that_the_registry_took_and_does_not_tell_of_is_left_to_its_session() -> None:
    """distribution reads no byte and one byte alike, `0-0`: a chunk refused twice there needs a new session."""
    registry = SimulatedRegistry()
    record = upload(registry, CONTENT, stop_after=1).session.record
    assert record is not None
    registry.sessions[record.location] += CONTENT[:1]
    run = upload(registry, CONTENT, resume=record)
    assert committed(registry, run)
    assert run.methods.count("POST") == 1


def test_quay_after_a_kill_is_believed_where_it_refuses() -> None:
    """Its status has one byte too many, also of a chunk whose answer nobody saw; its 416 has the end right."""
    registry = SimulatedRegistry(status_adds=1, range_of_patch=lambda _start, stop, _first: stop)
    record = upload(registry, CONTENT, stop_after=3).session.record
    assert record is not None
    registry.sessions[record.location] += CONTENT[2000:3000]
    run = upload(registry, CONTENT, resume=record)
    assert committed(registry, run)
    assert "POST" not in run.methods


def test_a_login_that_ran_out_leaves_the_upload_to_be_gone_on_with() -> None:
    registry = SimulatedRegistry(faults=iter([Fault.NONE] * 4 + [Fault.EXPIRED] * 40))
    first = upload(registry, CONTENT)
    assert isinstance(first.session.failure, Unauthorized)
    registry.faults = iter(())
    run = upload(registry, CONTENT, resume=first.session.record)
    assert committed(registry, run)
    assert run.sent == len(CONTENT) - 3000


def test_a_refused_single_put_becomes_chunks() -> None:
    content = b"z" * (4 * MiB)
    registry = SimulatedRegistry(chunk_limit=2 * MiB)
    run = upload(registry, content, chunk=64 * MiB, single=True)
    assert run.session.state is State.DONE
    assert run.methods == ["POST", "PUT", "GET", "PATCH", "PATCH", "PUT", "HEAD"]


def test_413_at_the_smallest_chunk_is_a_refusal() -> None:
    registry = SimulatedRegistry(chunk_limit=1000)
    run = upload(registry, b"z" * (4 * SMALLEST_CHUNK), chunk=2 * SMALLEST_CHUNK)
    assert isinstance(run.session.failure, Refused)


def test_a_minimum_chunk_is_honoured_and_a_maximum_too() -> None:
    blob = Descriptor("a/b", Digest.of(CONTENT), 100 * MiB)
    for limits, expected in (((40, None), 40), ((None, 3), 3), ((40, 50), 40), ((60, 50), 60), ((None, None), 10)):
        minimum, maximum = (limit and limit * MiB for limit in limits)
        session = UploadSession(UploadState(blob, ENDPOINTS, ChunkPlan(blob.size, 10 * MiB), budget=Budget(0)))
        asked(session)
        session.receive(RegistryResponse(202, ENDPOINTS.uploads, "/s", minimum_chunk=minimum, maximum_chunk=maximum))
        request = asked(session)
        assert request is not None and request.span is not None
        assert request.span.length == expected * MiB


QUIRKS = {
    "distribution 2 and 3": SimulatedRegistry(),
    "Quay, Gitea: one too many": SimulatedRegistry(range_of_patch=lambda _start, stop, _first: stop, status_adds=1),
    "Aliyun: relative to the chunk": SimulatedRegistry(range_of_patch=lambda start, stop, _first: stop - start - 1),
    "Artifactory: 204": SimulatedRegistry(patch_status=204),
}


@pytest.mark.parametrize("registry", QUIRKS.values(), ids=QUIRKS.keys())
def test_a_quirk_costs_no_request_and_no_byte(registry: SimulatedRegistry) -> None:
    run = upload(registry, CONTENT)
    assert committed(registry, run)
    assert run.methods == ["POST", *["PATCH"] * 11, "PUT", "HEAD"]
    assert run.sent == len(CONTENT)


def test_a_range_that_fits_nothing_is_settled_by_the_status() -> None:
    registry = SimulatedRegistry(range_of_patch=lambda start, stop, _first: start + (stop - start) // 3)
    run = upload(registry, CONTENT, chunk=5000)
    assert committed(registry, run)
    assert run.methods[:3] == ["POST", "PATCH", "GET"]


def test_a_registry_without_status_starts_again() -> None:
    registry = SimulatedRegistry(knows_status=False, faults=iter([Fault.NONE, Fault.CUT]))
    run = upload(registry, CONTENT, chunk=6000)
    assert run.methods == ["POST", "PATCH", "GET", "POST", "PATCH", "PATCH", "PUT", "HEAD"]
    assert committed(registry, run)


def test_a_session_that_is_always_lost_ends_with_code_6() -> None:
    registry = SimulatedRegistry(faults=iter([Fault.NONE, Fault.NONE, Fault.SESSION_GONE, Fault.NONE] * 100))
    run = upload(registry, CONTENT, retries=100)
    assert isinstance(run.session.failure, Unavailable)
    assert run.methods.count("POST") == MAX_RESTARTS + 1
    assert run.session.record is None


def test_trouble_without_progress_ends_with_code_6_after_the_budget() -> None:
    registry = SimulatedRegistry(faults=iter([Fault.NONE] + [Fault.BUSY] * 100))
    run = upload(registry, CONTENT, retries=3)
    assert isinstance(run.session.failure, Unavailable)
    assert run.methods == ["POST", "PATCH", "GET", "GET", "GET", "POST"]
    assert run.session.failure.exit_code == 6


def test_progress_restores_the_budget() -> None:
    faults = [Fault.NONE] + [Fault.BUSY, Fault.NONE, Fault.NONE] * 11
    run = upload(registry := SimulatedRegistry(faults=iter(faults)), CONTENT, retries=1)
    assert committed(registry, run)


def test_retry_after_is_waited_for() -> None:
    blob = Descriptor("a/b", Digest.of(CONTENT), len(CONTENT))
    session = UploadSession(UploadState(blob, ENDPOINTS, ChunkPlan(len(CONTENT)), budget=Budget(5, dice=lambda: 0.0)))
    asked(session)
    session.receive(RegistryResponse(429, ENDPOINTS.uploads, retry_after=17.0))
    request = asked(session)
    assert request is not None and request.after == 17.0


def mounting(*answers: RegistryResponse) -> UploadSession:
    blob, plan = Descriptor("a/b", Digest.of(CONTENT), len(CONTENT)), ChunkPlan(len(CONTENT), 1000)
    session = UploadSession(UploadState(blob, ENDPOINTS, plan, budget=Budget(5), mount_from=["other/repo"]))
    for answer in answers:
        assert asked(session) is not None
        session.receive(answer)
    return session


def test_a_mount_is_asked_for_in_the_post() -> None:
    request = asked(mounting())
    assert request is not None and request.is_offer
    assert request.url == f"{ENDPOINTS.uploads}?mount=sha256%3A{Digest.of(CONTENT).hex}&from=other/repo"


def test_a_mount_needs_rights_at_the_other_repository_and_names_the_targets_last() -> None:
    """GitLab counts only the last of several scopes."""
    blob = Descriptor("a/b", Digest.of(CONTENT), len(CONTENT))
    endpoints = replace(ENDPOINTS, repository="a/b")
    session = UploadSession(
        UploadState(blob, endpoints, ChunkPlan(len(CONTENT), 1000), budget=Budget(5), mount_from=["other/repo", "a/b"])
    )
    request = asked(session)
    assert request is not None
    assert session.scopes(request) == ("repository:other/repo:pull", "repository:a/b:pull,push")
    session.receive(RegistryResponse(202, ENDPOINTS.uploads, location="/s"))
    request = asked(session)
    assert request is not None
    assert session.scopes(request) == ("repository:a/b:pull,push",)


def test_201_to_a_mount_is_all_it_takes() -> None:
    session = mounting(RegistryResponse(201, ENDPOINTS.uploads))
    assert asked(session) is None
    assert session.placement is Placement.MOUNTED


def test_202_to_a_mount_is_an_ordinary_session() -> None:
    request = asked(mounting(RegistryResponse(202, ENDPOINTS.uploads, location="/s")))
    assert request is not None and request.method == "PATCH"


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405])
def test_a_refused_mount_posts_again_without_it(status: int) -> None:
    """Harbor answers 401 to a mount from a project that is not there."""
    request = asked(mounting(RegistryResponse(status, ENDPOINTS.uploads)))
    assert request is not None and request.url == ENDPOINTS.uploads and not request.is_offer


def test_201_to_a_plain_post_counts_if_the_blob_is_there() -> None:
    session = mounting(RegistryResponse(403, ENDPOINTS.uploads), RegistryResponse(201, ENDPOINTS.uploads))
    request = session.next_request()
    assert isinstance(request, UploadRequest) and request.method == "HEAD"
    session.receive(RegistryResponse(200, ENDPOINTS.blob))
    assert session.placement is Placement.PRESENT


def closing_answer(answer: RegistryResponse) -> UploadSession:
    blob, plan = Descriptor("a/b", Digest.of(CONTENT), len(CONTENT)), ChunkPlan(len(CONTENT), single=True)
    session = UploadSession(UploadState(blob, ENDPOINTS, plan, budget=Budget(5)))
    for each in (RegistryResponse(202, ENDPOINTS.uploads, location="/s"), answer):
        asked(session)
        session.receive(each)
    return session


def test_201_with_another_digest_is_never_success() -> None:
    session = closing_answer(RegistryResponse(201, "http://registry.test/s", digest=Digest.of(b"other")))
    assert isinstance(session.failure, RemoteMismatch)


def test_head_with_another_size_is_never_success() -> None:
    session = closing_answer(RegistryResponse(503, "http://registry.test/s"))
    request = asked(session)
    assert request is not None and request.method == "HEAD"
    session.receive(RegistryResponse(200, ENDPOINTS.blob, length=5))
    assert isinstance(session.failure, RemoteMismatch)


@pytest.mark.parametrize(("status", "error"), [(403, Denied), (409, Refused), (422, Refused), (307, Refused)])
def test_a_refusal_for_good_is_named(status: int, error: type[Exception]) -> None:
    session = closing_answer(RegistryResponse(status, "http://registry.test/s"))
    assert type(session.failure) is error


def test_a_failed_session_can_be_cancelled_and_a_finished_one_not() -> None:
    failed = closing_answer(RegistryResponse(403, "http://registry.test/s"))
    assert failed.cancel_request is not None and failed.cancel_request.method == "DELETE"
    done = closing_answer(RegistryResponse(201, "http://registry.test/s"))
    assert done.cancel_request is None


def test_a_wrong_digest_at_the_registry_starts_again_in_a_new_session() -> None:
    """distribution 2 appends after a gap: what it then holds has another digest."""
    registry = SimulatedRegistry()
    record = upload(registry, CONTENT, stop_after=3).session.record
    assert record is not None
    registry.sessions[record.location][0] ^= 255
    run = upload(registry, CONTENT, resume=record)
    assert run.methods.count("POST") == 1
    assert committed(registry, run)


FAULTS = st.lists(st.sampled_from([fault for fault in Fault if fault is not Fault.UNTRUSTED]), max_size=40)


@settings(max_examples=400)
@given(
    faults=FAULTS,
    on_cut=st.sampled_from(OnCut),
    quirk=st.sampled_from(["plain", "ecr", "quay", "aliyun", "no status"]),
    size=st.integers(0, 12_000),
    chunk=st.integers(3, 15_000),
    retries=st.integers(0, 6),
)
def test_whatever_happens_it_ends_and_nothing_wrong_is_committed(
    faults: list[Fault], on_cut: OnCut, quirk: str, size: int, chunk: int, retries: int
) -> None:
    content = bytes(n % 251 for n in range(size))
    registry = SimulatedRegistry(on_cut, faults=iter(faults))
    match quirk:
        case "ecr":
            registry.patch_status, registry.range_of_patch = 201, lambda _start, _stop, first: first - 1
        case "quay":
            registry.range_of_patch, registry.status_adds = lambda _start, stop, _first: stop, 1
        case "aliyun":
            registry.range_of_patch = lambda start, stop, _first: stop - start - 1
        case "no status":
            registry.knows_status = False
    run = upload(registry, content, chunk=chunk, retries=retries)
    assert run.session.state in (State.DONE, State.FAILED)
    assert all(blob == content for blob in registry.blobs.values())
    if run.session.state is State.DONE:
        assert registry.blobs == {Digest.of(content): content}
    else:
        assert run.session.failure is not None and run.session.failure.exit_code in (4, 5, 6)


@settings(max_examples=200)
@given(faults=st.lists(st.sampled_from([Fault.NONE, Fault.LOST_REQUEST, Fault.BUSY, Fault.EXPIRED]), max_size=30))
def test_acknowledged_bytes_are_never_sent_again_while_the_registry_keeps_them(faults: list[Fault]) -> None:
    registry = SimulatedRegistry(OnCut.KEEP, faults=iter(faults))
    upload(registry, CONTENT, chunk=700, retries=40)  # as many as faults: a spent budget counts as a denial
    assert all(earlier[1] == later[0] for earlier, later in zip(registry.received, registry.received[1:], strict=False))
