"""A commit that outlasts whoever waits for it: nothing is sent twice while it may be under way."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from registry_push.model import Descriptor, Digest
from registry_push.protocol.response import RegistryResponse
from registry_push.protocol.retry import Budget
from registry_push.protocol.upload.chunks import ChunkPlan
from registry_push.protocol.upload.requests import UploadRecord, UploadRequest
from registry_push.protocol.upload.session import UploadSession
from registry_push.protocol.upload.states import State
from registry_push.protocol.upload.upload_state import UploadState
from tests.support.simulated import ENDPOINTS, Fault, Run, SimulatedRegistry, asked, upload

CONTENT = bytes(range(256)) * 40
GATEWAYS = (502, 504, 408, 520, 524)


@dataclass
class Slow(SimulatedRegistry):
    """The closing PUT is answered `status`, or not at all; the blob appears `seconds` later.

    `hides`: the session is 404 from then on; else it says that it has all bytes.
    """

    status: int | None = 504
    seconds: float = 8.0
    hides: bool = True
    now: float = 0.0
    closings: int = 0
    _due: list[tuple[float, bytes]] = field(default_factory=list)

    def answer(self, request: UploadRequest, body: bytes, blob: Descriptor) -> RegistryResponse | None:
        self.now += request.after
        for due, content in self._due:
            if due <= self.now:
                self.blobs[blob.digest] = content
                self.sessions.clear()
        self._due = [each for each in self._due if each[0] > self.now]
        if not request.closes:
            return super().answer(request, body, blob)
        self.closings += 1
        location = request.url.partition("?")[0]
        self._due.append((self.now + self.seconds, bytes(self.sessions[location]) + body))
        self.sessions[location] += body
        if self.hides:
            del self.sessions[location]
        return RegistryResponse(self.status, request.url) if self.status is not None else None


def is_well(registry: Slow, run: Run) -> bool:
    """Whether all was sent, and closed, once."""
    is_done = run.session.state is State.DONE and registry.blobs == {Digest.of(CONTENT): CONTENT}
    return is_done and run.sent == len(CONTENT) and registry.closings == 1 and run.methods.count("POST") == 1


@pytest.mark.parametrize("hides", [True, False])
@pytest.mark.parametrize("single", [True, False])
@pytest.mark.parametrize("status", [*GATEWAYS, 202, None])
def test_a_commit_that_outlasts_the_gateway_is_waited_for(status: int | None, single: bool, hides: bool) -> None:
    registry = Slow(status=status, hides=hides)
    run = upload(registry, CONTENT, chunk=6000, single=single)
    assert is_well(registry, run)
    assert "may still be storing the blob" in run.session.trouble


@pytest.mark.parametrize("status", [500, 503])
def test_a_commit_whose_session_is_gone_is_waited_for_whoever_said_no(status: int) -> None:
    registry = Slow(status=status)
    assert is_well(registry, upload(registry, CONTENT, chunk=6000))


@pytest.mark.parametrize("retries", [0, 1, 5])
def test_a_late_commit_costs_one_try_however_often_it_is_looked_for(retries: int) -> None:
    registry = Slow(seconds=55.0)
    run = upload(registry, CONTENT, chunk=6000, retries=retries)
    assert is_well(registry, run) == (retries > 0)


def test_the_patience_is_by_size() -> None:
    """50 MB a second, and a minute at least."""
    for size, least in ((10**6, 60), (10**10, 200), (10**11, 2000)):
        blob = Descriptor("a/b", Digest.of(b""), size)
        session = UploadSession(UploadState(blob, ENDPOINTS, ChunkPlan(size, single=True), budget=Budget(1)))
        waited = 0.0
        for _ in range(1000):
            request = asked(session)
            assert request is not None
            if request.method == "POST" and waited:
                break
            waited += request.after
            status = {"POST": 202, "PUT": 504}.get(request.method, 404)
            session.receive(RegistryResponse(status, request.url, location="/s"))
        assert least <= waited <= least + 2


def test_when_the_patience_is_over_all_is_sent_again() -> None:
    registry = Slow(seconds=1e9)
    upload(registry, CONTENT, chunk=6000, stop_after=20)
    assert registry.now > 60


def test_a_commit_is_looked_for_before_any_new_session() -> None:
    """Between HEAD and the session's status it may have ended, which is why the session is gone."""
    registry = SimulatedRegistry(faults=iter([*[Fault.NONE] * 3, Fault.SESSION_GONE]))
    run = upload(registry, CONTENT, chunk=6000)
    assert run.methods[:8] == ["POST", "PATCH", "PATCH", "PUT", "HEAD", "GET", "HEAD", "POST"]


def test_what_was_torn_off_is_not_waited_for() -> None:
    """Of less than its Content-Length no registry makes a blob."""
    blob = Descriptor("a/b", Digest.of(CONTENT), len(CONTENT))
    session = UploadSession(UploadState(blob, ENDPOINTS, ChunkPlan(len(CONTENT), single=True), budget=Budget(5)))
    asked(session)
    session.receive(RegistryResponse(202, ENDPOINTS.uploads, location="/s"))
    asked(session)
    session.connection_lost("reset", sent=5000)
    methods = []
    for status in (404, 404, 404):
        request = asked(session)
        assert request is not None
        methods.append(request.method)
        session.receive(RegistryResponse(status, request.url))
    request = asked(session)
    assert (methods, request and request.method) == (["HEAD", "GET", "HEAD"], "POST")


@pytest.mark.parametrize("status", [500, 503, 429])
def test_a_registrys_own_no_is_not_waited_for_while_the_session_is_open(status: int) -> None:
    registry = SimulatedRegistry()
    refused = iter([True])
    handle = registry._handle
    registry._handle = lambda request, *rest: (  # type: ignore[method-assign]
        RegistryResponse(status, request.url) if request.closes and next(refused, False) else handle(request, *rest)
    )
    run = upload(registry, CONTENT, chunk=6000)
    assert run.methods == ["POST", "PATCH", "PATCH", "PUT", "HEAD", "GET", "PUT", "HEAD"]
    assert run.session.state is State.DONE


def test_a_commit_request_that_was_lost_is_sent_again_after_the_patience() -> None:
    """From here a request that never arrived looks like one whose commit takes long."""
    registry = SimulatedRegistry(faults=iter([Fault.NONE] * 3 + [Fault.LOST_REQUEST]))
    run = upload(registry, CONTENT, chunk=6000)
    assert [*dict.fromkeys(run.methods[3:])] == ["PUT", "HEAD", "GET"]
    assert (run.methods[-2:], run.sent, run.session.state) == (["PUT", "HEAD"], len(CONTENT), State.DONE)


def test_a_commit_that_another_process_may_have_sent_is_looked_for() -> None:
    """It was stopped while it waited, and the registry has taken the session away meanwhile."""
    registry = Slow()
    first = upload(registry, CONTENT, chunk=6000, stop_after=6)
    assert first.methods[-3:] == ["PUT", "HEAD", "GET"]
    record = first.session.record
    assert record == UploadRecord(f"{ENDPOINTS.uploads}0", len(CONTENT), chunk=6000)
    run = upload(registry, CONTENT, chunk=6000, resume=record)
    assert (run.session.state, run.sent, {*run.methods}) == (State.DONE, 0, {"GET", "HEAD"})
