"""A session that failed and works again while a fresh one is open: it is gone on with, even if its status is behind."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from registry_push.model import Descriptor
from registry_push.protocol.response import RegistryResponse
from registry_push.protocol.upload.requests import UploadRequest
from tests.support.simulated import ENDPOINTS, Fault, SimulatedRegistry, upload
from tests.unit.test_broken_sessions import CONTENT, begun, is_done

pytestmark = pytest.mark.attack("S1")


class Behind(SimulatedRegistry):
    """Its first status is `status` bytes behind, and the first chunk sent after that is refused `refusals` times, each
    time with an end that is two bytes behind."""

    def __init__(self, status: int, refusals: int) -> None:
        super().__init__()
        self.status, self.refusals, self.is_ill = status, refusals, False

    def answer(self, request: UploadRequest, body: bytes, blob: Descriptor) -> RegistryResponse | None:
        held = len(self.sessions.get(request.url, b""))
        if request.method == "PATCH" and request.span and request.span.start == held and self.refusals and self.is_ill:
            self.refusals -= 1
            return RegistryResponse(416, request.url, range_end=held - 3)
        answer = super().answer(request, body, blob)
        if request.method == "GET" and answer is not None and answer.range_end is not None:
            answer, self.status = replace(answer, range_end=answer.range_end - self.status), 0
        return answer


@pytest.mark.parametrize("retries", [2, 5])
@pytest.mark.parametrize(("status", "refusals"), [(10, 0), (10, 1), (0, 1), (900, 0)])
def test_a_session_that_works_again_with_a_status_a_little_behind_is_not_left_for_the_fresh_one(
    status: int, refusals: int, retries: int
) -> None:
    """Found by seed 461: the status was 1,000 bytes too low, and all was sent again in the fresh session."""
    registry = Behind(status, refusals)
    record = begun(registry, 5)
    registry.is_ill, registry.faults = True, iter([Fault.LOST_REQUEST] * (retries + 1))
    run = upload(registry, CONTENT, resume=record, retries=retries)
    assert is_done(run, registry)
    assert [start for start, _ in registry.received[5:]] == [*range(5000, len(CONTENT), 1000)]
    assert [request.url for request in run.session.left_over] == [f"{ENDPOINTS.uploads}1"]


class Swinging(SimulatedRegistry):
    """Its first session goes back to 3,000 bytes with each status, and takes nothing from 4,000 on."""

    def answer(self, request: UploadRequest, body: bytes, blob: Descriptor) -> RegistryResponse | None:
        held = self.sessions.get(request.url, bytearray()) if request.url == f"{ENDPOINTS.uploads}0" else bytearray()
        if request.method == "GET":
            del held[3000:]
        elif request.method == "PATCH" and len(held) >= 4000:
            return RegistryResponse(416, request.url, range_end=len(held) - 1)
        return super().answer(request, body, blob)


def test_a_session_that_works_but_never_gets_on_is_left_for_the_fresh_one_at_last() -> None:
    record = begun(SimulatedRegistry(), 5)
    registry = Swinging(faults=iter([Fault.LOST_REQUEST] * 6))
    registry.sessions[f"{ENDPOINTS.uploads}{next(registry._ids)}"] = bytearray(CONTENT[:5000])
    run = upload(registry, CONTENT, resume=record)
    assert is_done(run, registry)
    assert run.methods.count("POST") == 1
    assert len(run.requests) < 50, "patience is bounded"


class Forgetful(SimulatedRegistry):
    """Its first status says that it has nothing, and the next one what it has; it refuses what it has already."""

    asked = 0

    def answer(self, request: UploadRequest, body: bytes, blob: Descriptor) -> RegistryResponse | None:
        held = len(self.sessions.get(request.url, b""))
        if request.method == "PATCH" and request.span and request.span.start < held:
            return RegistryResponse(416, request.url, range_end=held - 1)
        answer = super().answer(request, body, blob)
        if request.method == "GET" and answer is not None:
            self.asked += 1
            return replace(answer, range_end=0) if self.asked == 1 else answer
        return answer


def test_what_was_acknowledged_to_another_process_is_believed_when_the_status_says_so_again() -> None:
    """Found by seed 756: a session of 262,144 bytes was left for a fresh one after one status that said 0."""
    registry = Forgetful()
    record = begun(registry, 5)
    run = upload(registry, CONTENT, resume=record)
    assert is_done(run, registry)
    assert run.methods.count("POST") == 0
