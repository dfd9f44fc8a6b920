"""A session that is broken for good: the upload goes on in a fresh one, and never sends what may be there already."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from registry_push.errors import TLSFailed, Unavailable
from registry_push.model import Descriptor, Digest
from registry_push.protocol.response import RegistryResponse
from registry_push.protocol.retry import Budget
from registry_push.protocol.upload.chunks import ChunkPlan
from registry_push.protocol.upload.parts import Parts
from registry_push.protocol.upload.requests import OllamaWay, UploadRecord, UploadRequest
from registry_push.protocol.upload.session import UploadSession
from registry_push.protocol.upload.states import State
from registry_push.protocol.upload.upload_state import UploadState
from tests.support.simulated import ENDPOINTS, Fault, OnCut, Run, SimulatedRegistry, asked, upload

pytestmark = pytest.mark.attack("S1")

CONTENT = bytes(range(256)) * 40  # 10,240 bytes: eleven chunks of 1,000
# How often a commit that may be under way is looked for in a minute.
LOOKS = 7
BROKEN = (
    Fault.BUSY,
    Fault.LOST_REQUEST,
    Fault.LOST_ANSWER,
    Fault.CUT,
    Fault.SESSION_GONE,
    Fault.REDIRECT,
    Fault.UNTRUSTED,
)


def breaks(registry: SimulatedRegistry, **methods: Fault) -> None:
    """Breaks the first session for these methods, for good."""
    registry.broken = lambda method, session: methods.get(method, Fault.NONE) if session == 0 else Fault.NONE


def begun(registry: SimulatedRegistry, chunks: int) -> UploadRecord | None:
    """What another process has left: a session with so many chunks."""
    return upload(registry, CONTENT, stop_after=chunks + 1).session.record


def is_done(run: Run, registry: SimulatedRegistry) -> bool:
    return run.session.state is State.DONE and list(registry.blobs.values()) == [CONTENT]


@pytest.mark.parametrize("how", BROKEN)
@pytest.mark.parametrize("chunks", [0, 3, 11])
@pytest.mark.parametrize("retries", [0, 1, 5])
def test_a_resumed_session_that_is_broken_for_good_makes_way_for_a_fresh_one(
    how: Fault, chunks: int, retries: int
) -> None:
    registry = SimulatedRegistry()
    record = begun(registry, chunks)
    breaks(registry, GET=how, PATCH=how, PUT=how, DELETE=how)
    run = upload(registry, CONTENT, resume=record, retries=retries)
    assert is_done(run, registry)
    assert run.methods.count("POST") == 1
    looks = LOOKS if chunks == 11 else 0  # all was sent: the blob may have been made of the session
    assert len(run.requests) <= 2 * (retries + 1) + 15 + looks, "patience is bounded"


def test_each_way_in_which_a_session_can_break_ends_well_while_the_registry_is_well() -> None:
    """All of them: what each method of the first session is answered with, at each point of the upload."""
    ways = (Fault.NONE, *BROKEN)
    for get, patch, put in product(ways, repeat=3):
        for chunks, retries, single in (
            (None, 1, False),
            (None, 0, True),
            (0, 0, False),
            (4, 1, False),
            (11, 2, False),
        ):
            registry = SimulatedRegistry()
            record = begun(registry, chunks) if chunks is not None else None
            breaks(registry, GET=get, PATCH=patch, PUT=put)
            run = upload(registry, CONTENT, resume=record, retries=retries, single=single)
            told = get, patch, put, chunks, retries, single, run.methods
            if Fault.REDIRECT in (patch, put) and run.session.failure is not None:
                assert run.session.failure.exit_code == 5 and run.session.record is None, told  # not gone on with
                continue
            assert is_done(run, registry), told


PASSING = [fault for fault in Fault if fault is not Fault.UNTRUSTED]
LASTING = st.dictionaries(
    st.tuples(st.sampled_from(["GET", "PATCH", "PUT"]), st.integers(0, 2)), st.sampled_from(Fault), max_size=6
)


class Watched(SimulatedRegistry):
    """Its POST is well, whatever else goes wrong; and it sees to it that nothing is sent that may be there already."""

    def __init__(self, on_cut: OnCut) -> None:
        super().__init__(on_cut)
        self.passing: Iterator[Fault] = iter(())
        self.in_doubt = False

    def answer(self, request: UploadRequest, body: bytes, blob: Descriptor) -> RegistryResponse | None:
        assert not (self.in_doubt and body), "it may be there: ask before it is sent again"
        self.faults = iter(() if request.method == "POST" else [next(self.passing, Fault.NONE)])
        answer = super().answer(request, body, blob)
        if request.closes:
            self.in_doubt = answer is None or answer.status in (503, 404)
        elif request.method == "HEAD" and answer is not None and answer.status in (200, 404):
            self.in_doubt = False
        return answer


@settings(max_examples=500)
@given(
    passing=st.lists(st.sampled_from(PASSING), max_size=40),
    lasting=LASTING,
    on_cut=st.sampled_from(OnCut),
    chunks=st.none() | st.integers(0, 11),
    retries=st.integers(0, 3),
    single=st.booleans(),
)
def test_while_the_registry_opens_sessions_none_fails_as_unavailable_without_a_fresh_one(
    passing: list[Fault],
    lasting: dict[tuple[str, int], Fault],
    on_cut: OnCut,
    chunks: int | None,
    retries: int,
    single: bool,
) -> None:
    registry = Watched(on_cut)
    record = begun(registry, chunks) if chunks is not None else None
    registry.passing, registry.in_doubt = iter(passing), False
    registry.broken = lambda method, session: lasting.get((method, -1 if session is None else session), Fault.NONE)
    run = upload(registry, CONTENT, resume=record, retries=retries, single=single and record is None)
    if run.error is not None or isinstance(run.session.failure, Unavailable):
        assert run.methods.count("POST") >= (1 if record else 2)
    assert run.session.state is not State.DONE or is_done(run, registry)


# ── what is kept ──────────────────────────────────────────────────────────────────────────────────


def dead(_method: str, _session: int | None) -> Fault:
    return Fault.LOST_REQUEST


def test_a_dead_line_leaves_the_session_to_be_gone_on_with() -> None:
    registry = SimulatedRegistry()
    record = begun(registry, 5)
    registry.broken = dead
    run = upload(registry, CONTENT, resume=record)
    assert isinstance(run.session.failure, Unavailable)
    assert (run.session.record, run.session.got_nowhere) == (record, False)
    assert run.methods == ["GET"] * 6 + ["POST"]
    registry.broken = lambda *_: Fault.NONE
    assert upload(registry, CONTENT, resume=record).sent == len(CONTENT) - 5000


def test_a_line_that_comes_back_with_the_fresh_session_costs_no_byte() -> None:
    registry = SimulatedRegistry()
    record = begun(registry, 5)
    registry.faults = iter([Fault.LOST_REQUEST] * 6)
    run = upload(registry, CONTENT, resume=record)
    assert is_done(run, registry)
    assert run.methods[:9] == ["GET"] * 6 + ["POST", "GET", "PATCH"]
    assert run.sent == len(CONTENT) - 5000
    assert [request.url for request in run.session.left_over] == [f"{ENDPOINTS.uploads}1"]


def test_the_old_session_is_kept_until_something_is_in_the_fresh_one() -> None:
    registry = SimulatedRegistry()
    record = begun(registry, 5)
    registry.broken = lambda method, session: Fault.NONE if method == "POST" or session is None else Fault.BUSY
    run = upload(registry, CONTENT, resume=record)
    assert isinstance(run.session.failure, Unavailable)
    assert (run.session.record, run.session.got_nowhere) == (record, True)
    assert [request.url for request in run.session.left_over] == [f"{ENDPOINTS.uploads}1"]
    breaks(registry, GET=Fault.BUSY)
    run = upload(registry, CONTENT, resume=record)
    kept = [each and (each.location, each.offset) for each in run.records]
    fresh = f"{ENDPOINTS.uploads}2"
    assert kept[7:10] == [(record and record.location, 5000), (fresh, 1000), (fresh, 2000)]


def test_a_commit_that_nobody_answers_is_looked_for_before_the_fresh_session_is_used() -> None:
    registry = SimulatedRegistry()
    breaks(registry, PUT=Fault.LOST_ANSWER, GET=Fault.BUSY)
    registry.faults = iter([Fault.NONE] * 4 + [Fault.BUSY])  # of the HEAD
    run = upload(registry, CONTENT, chunk=6000, retries=1)
    assert is_done(run, registry)
    assert run.methods == ["POST", "PATCH", "PATCH", "PUT", "HEAD", "POST", "HEAD"]
    assert run.sent == len(CONTENT)
    assert [request.method for request in run.session.left_over] == ["DELETE"]


def test_a_host_with_another_certificate_is_not_asked_again_and_again() -> None:
    registry = SimulatedRegistry()
    record = begun(registry, 5)
    breaks(registry, GET=Fault.UNTRUSTED)
    run = upload(registry, CONTENT, resume=record)
    assert is_done(run, registry)
    assert run.methods[:4] == ["GET", "POST", "GET", "PATCH"]
    registry = SimulatedRegistry(broken=lambda *_: Fault.UNTRUSTED)
    run = upload(registry, CONTENT, resume=record)
    assert isinstance(run.error, TLSFailed)
    assert run.methods == ["GET", "POST"]
    assert run.session.record == record


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405])
def test_a_lost_session_is_followed_by_another_where_a_mount_is_refused(status: int) -> None:
    """Harbor answers 401 to a mount from a project that is not there, after a lost session too."""
    blob = Descriptor("a/b", Digest.of(CONTENT), len(CONTENT))
    resume = UploadRecord(f"{ENDPOINTS.uploads}0", 5000)
    session = UploadSession(
        UploadState(
            blob, ENDPOINTS, ChunkPlan(len(CONTENT), 1000), budget=Budget(5), mount_from=["other/repo"], resume=resume
        )
    )
    for other in (503, 404):  # the mount before the session is continued, and the session
        request = asked(session)
        assert request is not None
        session.receive(RegistryResponse(other, request.url))
    offer = asked(session)
    assert offer is not None and offer.is_offer
    session.receive(RegistryResponse(status, offer.url))
    plain = asked(session)
    assert plain is not None and plain.method == "POST" and not plain.is_offer


# ── Ollama's dialect ──────────────────────────────────────────────────────────────────────────────


MB = 1_000_000


def at_ollama(
    *, size: int, direct: bool = False, resume: UploadRecord | None = None, retries: int = 2
) -> UploadSession:
    blob = Descriptor("a/b", Digest.of(b""), size)
    way, budget = OllamaWay(direct=direct, part=MB), Budget(retries, dice=lambda: 0.0)
    return UploadSession(UploadState(blob, ENDPOINTS, ChunkPlan(size, MB), budget=budget, ollama=way, resume=resume))


def asked_parts(session: UploadSession) -> Parts:
    parts = session.next_request()
    assert isinstance(parts, Parts)
    return parts


def opened(session: UploadSession, number: int, direct_url: str | None = None) -> None:
    """Answers the POST with the session of this number."""
    request = asked(session)
    assert request is not None and request.method == "POST"
    location = f"{ENDPOINTS.uploads}{number}"
    session.receive(RegistryResponse(202, request.url, upload_location=location, direct_url=direct_url))


def answer_parts(parts: Parts, status: int, *, until: int = 100) -> None:
    """Answers each question with `status`, until it is over or so many were asked."""
    while until and (question := parts.take()) is not None:
        until -= 1
        parts.asked(
            question.number, RegistryResponse(status, question.request.url, upload_location=question.request.url)
        )


def test_parts_that_are_always_refused_as_busy_begin_again_in_a_fresh_session() -> None:
    session = at_ollama(size=5 * MB)
    opened(session, 0)
    parts = asked_parts(session)
    answer_parts(parts, 202, until=2)
    answer_parts(parts, 503)
    session.receive(parts)
    before = session.record
    opened(session, 1)
    again = asked_parts(session)  # the old ones once more: the registry may have been ill just now
    assert (again.location, again.done) == (f"{ENDPOINTS.uploads}0", {0, 1})
    answer_parts(again, 503)
    session.receive(again)
    fresh = asked_parts(session)
    assert (fresh.location, fresh.done) == (f"{ENDPOINTS.uploads}1", set())
    assert session.record == before
    answer_parts(fresh, 202, until=1)
    assert session.record == fresh.record
    answer_parts(fresh, 202)
    session.receive(fresh)
    request = asked(session)
    assert request is not None and request.closes


def test_parts_that_go_on_in_the_old_session_after_all_leave_the_fresh_one() -> None:
    """Found by seed 236: a lost answer to the commit then sent everything again, in the fresh session."""
    session = at_ollama(size=2 * MB)
    opened(session, 0)
    parts = asked_parts(session)
    answer_parts(parts, 503)
    session.receive(parts)
    opened(session, 1)
    again = asked_parts(session)
    answer_parts(again, 202)
    session.receive(again)
    request = asked(session)
    assert request is not None and request.url.startswith(f"{ENDPOINTS.uploads}0")
    session.connection_lost("reset")
    for _ in range(LOOKS):
        request = asked(session)
        assert request is not None and request.method == "HEAD"
        session.receive(RegistryResponse(404, request.url))
    request = asked(session)
    assert request is not None and request.closes and request.url.startswith(f"{ENDPOINTS.uploads}0")


def test_parts_end_as_unavailable_after_the_fresh_session() -> None:
    session = at_ollama(size=5 * MB)
    opened(session, 0)
    for number in (0, 0, 1):
        parts = asked_parts(session)
        assert parts.location == f"{ENDPOINTS.uploads}{number}"
        answer_parts(parts, 503)
        session.receive(parts)
        if session.state is State.FRESH:
            opened(session, 1)
    assert isinstance(session.failure, Unavailable)


def test_a_commit_after_parts_that_never_works_begins_again_in_a_fresh_session() -> None:
    session = at_ollama(size=MB, retries=0)
    opened(session, 0)
    parts = asked_parts(session)
    answer_parts(parts, 202)
    session.receive(parts)
    request = asked(session)
    assert request is not None and request.closes
    session.receive(RegistryResponse(503, request.url))
    opened(session, 1)
    request = asked(session)
    assert request is not None and request.method == "HEAD"
    session.receive(RegistryResponse(404, request.url))
    assert asked_parts(session).location == f"{ENDPOINTS.uploads}1"


def test_a_direct_upload_that_never_gets_through_has_a_fresh_session_before_it_fails() -> None:
    session = at_ollama(size=MB, direct=True, retries=0)
    opened(session, 0, "https://s.example/0")
    for number in (1, None):
        request = asked(session)
        assert request is not None and request.is_anonymous
        session.receive(RegistryResponse(503, request.url))
        if number is not None:
            opened(session, number, "https://s.example/1")
    assert isinstance(session.failure, Unavailable)


@pytest.mark.parametrize("status", [307, 400, 403, 404, 405, 410])
def test_a_commit_left_by_another_process_that_is_refused_begins_again(status: int) -> None:
    resume = UploadRecord(f"{ENDPOINTS.uploads}0", MB, direct=True)
    session = at_ollama(size=MB, direct=True, resume=resume)
    request = asked(session)
    assert request is not None and request.closes
    session.receive(RegistryResponse(status, request.url))
    if status == 404:  # it may have been committed
        request = asked(session)
        assert request is not None and request.method == "HEAD"
        session.receive(RegistryResponse(404, request.url))
    opened(session, 1, "https://s.example/1")
    assert session.state is State.DIRECT
