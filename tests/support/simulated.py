"""A registry's upload endpoint without a network: what `UploadSession` says is done to bytes in memory.

It bends the specification where registries do, and breaks where it is told to.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import Enum
from itertools import count

from registry_push.errors import TLSFailed
from registry_push.model import Descriptor, Digest
from registry_push.protocol.diagnostics import Diagnosis
from registry_push.protocol.response import RegistryResponse
from registry_push.protocol.retry import Budget
from registry_push.protocol.upload.chunks import ChunkPlan
from registry_push.protocol.upload.parts import Parts
from registry_push.protocol.upload.requests import Endpoints, UploadRecord, UploadRequest
from registry_push.protocol.upload.session import UploadSession
from registry_push.protocol.upload.upload_state import UploadState

ORIGIN = "http://registry.test"
ENDPOINTS = Endpoints(f"{ORIGIN}/v2/a/b/blobs/x", f"{ORIGIN}/v2/a/b/blobs/uploads/")


class OnCut(Enum):
    """What is left of a session whose PATCH was cut."""

    KEEP = "every byte that came"
    ACKNOWLEDGED = "the chunks before"
    LOSE = "nothing, and the session is gone"


class Fault(Enum):
    """What goes wrong with one request."""

    NONE = "nothing"
    LOST_REQUEST = "it never arrives"
    LOST_ANSWER = "it is done, its answer is lost"
    CUT = "half of its body arrives"
    BUSY = "503"
    EXPIRED = "401"
    SESSION_GONE = "the registry has forgotten the session"
    REDIRECT = "307, to nowhere"
    UNTRUSTED = "its host has another certificate than it should"


@dataclass
class SimulatedRegistry:
    """One repository. `faults` says what happens to each request in turn, then nothing more goes wrong."""

    on_cut: OnCut = OnCut.KEEP
    faults: Iterator[Fault] = field(default_factory=lambda: iter(()))
    chunk_limit: int | None = None
    limit_status: int = 413
    patch_status: int = 202
    status_adds: int = 0  # Quay, Gitea: 1
    knows_status: bool = True
    range_of_patch: Callable[[int, int, int], int] = lambda _start, stop, _first: stop - 1
    # What is wrong with a request for good, besides what `faults` says; of a session, by its number.
    broken: Callable[[str, int | None], Fault] = lambda _method, _session: Fault.NONE
    blobs: dict[Digest, bytes] = field(default_factory=dict)
    sessions: dict[str, bytearray] = field(default_factory=dict)
    first_stop: int = 0
    received: list[tuple[int, int]] = field(default_factory=list)
    withheld: int = 0  # bytes of the last body that did not go out before the line broke
    _ids: Iterator[int] = field(default_factory=count)

    def answer(self, request: UploadRequest, body: bytes, blob: Descriptor) -> RegistryResponse | None:
        """The answer; None where the line broke. Raises `TLSFailed` for a host that is not trusted."""
        fault = next(self.faults, Fault.NONE)
        location, self.withheld = request.url.partition("?")[0], 0
        if fault is Fault.NONE:
            number = location.rpartition("/")[2]
            fault = self.broken(request.method, int(number) if number.isdigit() else None)
        match fault:
            case Fault.LOST_REQUEST:
                return None
            case Fault.BUSY:
                return RegistryResponse(503, request.url)
            case Fault.EXPIRED:
                return RegistryResponse(401, request.url)
            case Fault.REDIRECT:
                return RegistryResponse(307, request.url)
            case Fault.UNTRUSTED:
                raise TLSFailed("no trusted TLS connection")
            case Fault.SESSION_GONE:
                self.sessions.pop(location, None)
            case Fault.CUT if body:
                self.withheld = len(body) - len(body) // 2
                self._cut(location, body[: len(body) // 2])
                return None
        answer = self._handle(request, location, body, blob)
        return None if fault in (Fault.LOST_ANSWER, Fault.CUT) else answer

    def _cut(self, location: str, half: bytes) -> None:
        if location not in self.sessions:
            return
        match self.on_cut:
            case OnCut.KEEP:
                self.sessions[location] += half
            case OnCut.LOSE:
                del self.sessions[location]

    def _handle(self, request: UploadRequest, location: str, body: bytes, blob: Descriptor) -> RegistryResponse:
        url = request.url
        if request.method == "POST":
            session = f"{ORIGIN}/v2/a/b/blobs/uploads/{next(self._ids)}"
            self.sessions[session] = bytearray()
            return RegistryResponse(202, url, location=session)
        if request.method == "HEAD":
            there = self.blobs.get(blob.digest)
            return (
                RegistryResponse(404, url)
                if there is None
                else RegistryResponse(200, url, length=len(there), digest=blob.digest)
            )
        held = self.sessions.get(location)
        if request.method == "GET" and not self.knows_status:
            return RegistryResponse(405, url)
        if held is None:
            return RegistryResponse(404, url, diagnosis=Diagnosis(("BLOB_UPLOAD_UNKNOWN",), "upload unknown"))
        if request.method == "GET":
            return RegistryResponse(204, url, location=location, range_end=max(0, len(held) - 1 + self.status_adds))
        if self.chunk_limit is not None and len(body) > self.chunk_limit:
            return RegistryResponse(self.limit_status, url)
        if request.method == "PATCH":
            return self._patch(request, location, held, body)
        held += body
        if Digest.of(bytes(held)) != blob.digest:
            del self.sessions[location]
            return RegistryResponse(400, url, diagnosis=Diagnosis(("DIGEST_INVALID",), "digest invalid"))
        self.blobs[blob.digest] = bytes(self.sessions.pop(location))
        return RegistryResponse(201, url, digest=blob.digest)

    def _patch(self, request: UploadRequest, location: str, held: bytearray, body: bytes) -> RegistryResponse:
        start, _, last = request.headers["Content-Range"].partition("-")
        assert (int(start), int(last) + 1 - int(start)) == (request.span and request.span.start, len(body))
        if int(start) != len(held):
            return RegistryResponse(416, request.url, location=location, range_end=max(0, len(held) - 1))
        held += body
        self.received.append((int(start), len(held)))
        self.first_stop = self.first_stop or len(held)
        told = self.range_of_patch(int(start), len(held), self.first_stop)
        return RegistryResponse(self.patch_status, request.url, location=location, range_end=told)


def asked(session: UploadSession) -> UploadRequest | None:
    """The next request of an upload to a plain registry, which never is one of parts."""
    request = session.next_request()
    assert not isinstance(request, Parts)
    return request


def answered(session: UploadSession, *answers: RegistryResponse) -> UploadRequest | None:
    """The request after these answers."""
    for answer in answers:
        assert asked(session) is not None
        session.receive(answer)
    return asked(session)


def session_of(plan: ChunkPlan, *, resume: UploadRecord | None = None, retries: int = 5) -> UploadSession:
    """An upload by `plan`; a test answers its requests itself."""
    blob = Descriptor("a/b", Digest.of(b""), plan.size)
    return UploadSession(UploadState(blob, ENDPOINTS, plan, budget=Budget(retries, dice=lambda: 0.0), resume=resume))


@dataclass
class Run:
    """How an upload went: the session at its end, and what was sent."""

    session: UploadSession
    requests: list[UploadRequest]
    records: list[UploadRecord | None]
    error: TLSFailed | None = None  # that the session leaves to its driver

    @property
    def methods(self) -> list[str]:
        """The methods, in order."""
        return [request.method for request in self.requests]

    @property
    def sent(self) -> int:
        """Body bytes, whether they arrived or not."""
        return sum(request.span.length for request in self.requests if request.span)


def upload(
    registry: SimulatedRegistry,
    content: bytes,
    *,
    chunk: int = 1000,
    retries: int = 5,
    single: bool = False,
    resume: UploadRecord | None = None,
    stop_after: int = 10_000,
    plan: ChunkPlan | None = None,
) -> Run:
    """Drives an upload of `content` to its end, or for `stop_after` requests. A `plan` goes before the chunk's size."""
    blob = Descriptor("application/vnd.ollama.image.model", Digest.of(content), len(content))
    plan = plan or ChunkPlan(len(content), chunk, single=single or len(content) < 2)
    session = UploadSession(UploadState(blob, ENDPOINTS, plan, budget=Budget(retries, dice=lambda: 0.5), resume=resume))
    run = Run(session, [], [])
    while len(run.requests) < stop_after and (request := asked(session)) is not None:
        run.requests.append(request)
        body = content[request.span.start : request.span.stop] if request.span else b""
        try:
            answer = registry.answer(request, body, blob)
        except TLSFailed as error:
            if not session.unreachable(error):
                run.error = error
                break
            run.records.append(session.record)
            continue
        if answer is None:
            session.connection_lost("connection reset", sent=len(body) - registry.withheld)
        else:
            session.receive(answer)
        run.records.append(session.record)
    assert stop_after != 10_000 or len(run.requests) < stop_after, "the upload never ends"
    return run
