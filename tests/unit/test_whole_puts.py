"""Registries that take no PATCH, no PUT of all, or one PUT rather than many PATCHes."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from registry_push.errors import Refused
from registry_push.model import Descriptor
from registry_push.protocol.diagnostics import Diagnosis
from registry_push.protocol.response import RegistryResponse
from registry_push.protocol.upload.chunks import ChunkPlan, MiB, WholePut
from registry_push.protocol.upload.requests import UploadRequest
from registry_push.protocol.upload.states import State
from tests.support.simulated import ENDPOINTS, Fault, OnCut, Run, SimulatedRegistry, answered, asked, session_of, upload

CONTENT = bytes(range(256)) * 40  # 10,240 bytes
SIZE = len(CONTENT)
LOST = Diagnosis(("BLOB_UPLOAD_UNKNOWN",), "upload unknown")


class Fronted(SimulatedRegistry):
    """With something in front that answers some requests itself."""

    front: Callable[[UploadRequest], RegistryResponse | None] = staticmethod(lambda _: None)

    def answer(self, request: UploadRequest, body: bytes, blob: Descriptor) -> RegistryResponse | None:
        found = self.front(request)
        return found if found is not None else super().answer(request, body, blob)


def refusing(method: str, status: int, *codes: str) -> Fronted:
    """A registry behind what refuses bodies by this method."""
    registry = Fronted()
    diagnosis = Diagnosis(codes, "no")
    registry.front = lambda request: (
        RegistryResponse(status, request.url, diagnosis=diagnosis)
        if request.method == method and request.span
        else None
    )
    return registry


def is_done(run: Run, registry: SimulatedRegistry) -> bool:
    return run.session.state is State.DONE and list(registry.blobs.values()) == [CONTENT]


# ── no PATCH, or no PUT of all ────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("status", [400, 403, 404, 405, 411, 501])
@pytest.mark.parametrize("retries", [1, 5])
def test_a_firewall_that_refuses_patch_gets_one_put(status: int, retries: int) -> None:
    registry = refusing("PATCH", status)
    run = upload(registry, CONTENT, retries=retries)
    assert is_done(run, registry)
    assert run.session.learned_whole is WholePut.ONLY
    assert run.methods.count("PATCH") <= 2


@pytest.mark.parametrize(("status", "code"), [(405, "UNSUPPORTED"), (403, "UNSUPPORTED"), (501, "UNKNOWN")])
def test_a_registry_whose_words_are_that_patch_is_unsupported_gets_one_put(status: int, code: str) -> None:
    registry = refusing("PATCH", status, code)
    assert is_done(upload(registry, CONTENT), registry)


def test_a_registry_whose_words_are_that_we_may_not_is_believed() -> None:
    run = upload(refusing("PATCH", 403, "DENIED"), CONTENT)
    assert run.session.failure is not None and run.session.failure.exit_code == 4
    assert "PUT" not in run.methods


def test_a_patch_refused_after_bytes_were_acknowledged_is_a_refusal() -> None:
    registry = Fronted()
    left = iter([None, None, None])
    registry.front = lambda request: RegistryResponse(405, request.url) if next(left, request) is request else None
    run = upload(registry, CONTENT)
    assert isinstance(run.session.failure, Refused)


def test_a_session_that_is_lost_once_is_no_registry_without_patch() -> None:
    """distribution 2 says BLOB_UPLOAD_UNKNOWN; a 404 without a word may be either, so it has to come twice."""
    for diagnosis in (LOST, Diagnosis((), "")):
        registry = Fronted()
        answers = iter([None, RegistryResponse(404, ENDPOINTS.uploads, diagnosis=diagnosis)])
        registry.front = lambda _, answers=answers: next(answers, None)  # type: ignore[misc]  # bound now
        run = upload(registry, CONTENT)
        assert is_done(run, registry)
        assert run.session.learned_whole is None and run.methods.count("PATCH") == 12


@pytest.mark.parametrize("status", [404, 405, 411, 415, 501])
@pytest.mark.parametrize("single", [True, False])
def test_old_artifactory_knows_no_put_of_all_and_gets_chunks(single: bool, status: int) -> None:
    """404 is its answer; the others are those of firewalls."""
    registry = refusing("PUT", status)
    run = upload(registry, CONTENT, single=single)
    assert is_done(run, registry)
    assert run.session.learned_whole is (WholePut.NEVER if single else None)
    assert sum(request.method == "PUT" and request.span is not None for request in run.requests) == int(single)


def test_another_form_is_no_further_try() -> None:
    for method, single in (("PUT", True), ("PATCH", False)):
        registry = refusing(method, 405)
        assert is_done(upload(registry, CONTENT, single=single, retries=0), registry)


@pytest.mark.parametrize("status", [400, 403, 404, 405])
def test_what_an_earlier_upload_has_learned_of_puts_may_not_be_true_any_more(status: int) -> None:
    registry = refusing("PATCH", status)
    run = upload(registry, CONTENT, plan=ChunkPlan(SIZE, 1000, whole=WholePut.NEVER))
    assert is_done(run, registry)
    assert run.session.learned_whole is WholePut.ONLY


def test_a_put_of_all_that_is_denied_is_a_refusal() -> None:
    run = upload(refusing("PUT", 403, "DENIED"), CONTENT, single=True)
    assert run.session.failure is not None and run.session.failure.exit_code == 4
    assert "PATCH" not in run.methods


def test_a_session_that_is_lost_before_its_put_is_no_registry_without_puts() -> None:
    registry = Fronted()
    answers = iter([None, RegistryResponse(404, ENDPOINTS.uploads, diagnosis=LOST)])
    registry.front = lambda _: next(answers, None)
    run = upload(registry, CONTENT, single=True)
    assert is_done(run, registry)
    assert run.session.learned_whole is None and "PATCH" not in run.methods


@pytest.mark.parametrize("single", [True, False])
@pytest.mark.parametrize("put", [404, 405, 413])
@pytest.mark.parametrize("patch", [404, 405])
def test_neither_patch_nor_put_ends_soon(single: bool, put: int, patch: int) -> None:
    registry = Fronted()
    registry.front = lambda request: (
        RegistryResponse(put if request.method == "PUT" else patch, request.url) if request.span else None
    )
    content = b"x" * (9 * MiB)
    run = upload(registry, content, chunk=4 * MiB, single=single)
    assert run.session.failure is not None
    # Where the last one is not found, it may be the session that is lost.
    is_lost = patch == 404 and (single or put != 405)
    assert run.session.failure.exit_code == (6 if is_lost else 5)
    assert str(put) in run.session.failure.message or str(patch) in run.session.failure.message
    whole = [request for request in run.requests if request.span and request.span.length == len(content)]
    assert len(whole) == 1


def test_one_put_that_was_learned_and_is_too_large_is_unlearned() -> None:
    content = b"x" * (9 * MiB)
    registry = SimulatedRegistry(chunk_limit=5 * MiB)
    run = upload(registry, content, plan=ChunkPlan.for_blob(len(content), whole=WholePut.ONLY))
    assert run.session.is_done
    assert run.session.learned_whole is WholePut.SMALL


# ── GHCR ──────────────────────────────────────────────────────────────────────────────────────────


def ghcr(size: int) -> ChunkPlan:
    return ChunkPlan.for_blob(size, limit=4 * MiB, whole=WholePut.FIRST)


def test_ghcr_gets_chunks_on_a_line_that_keeps_breaking() -> None:
    content = b"g" * (10 * MiB)
    once = [Fault.NONE, Fault.CUT, Fault.NONE, Fault.NONE]
    for cuts, expected in (
        (once, ["POST", "PUT", "HEAD", "GET", "PUT"]),
        (once + once[1:], ["POST", *["PUT", "HEAD", "GET"] * 2, "PATCH", "PATCH", "PATCH", "PUT", "HEAD"]),
    ):
        registry = SimulatedRegistry(OnCut.ACKNOWLEDGED, faults=iter(cuts))
        run = upload(registry, content, plan=ghcr(len(content)))
        assert run.session.state is State.DONE
        assert run.methods == expected
        assert run.session.learned_whole is None, "it was the line"


def test_ghcr_that_loses_its_sessions_with_each_cut_gets_chunks_too() -> None:
    content = b"g" * (10 * MiB)
    cuts = [Fault.NONE, Fault.CUT, *[Fault.NONE] * 4, Fault.CUT]
    registry = SimulatedRegistry(OnCut.LOSE, faults=iter(cuts))
    run = upload(registry, content, plan=ghcr(len(content)))
    assert run.session.state is State.DONE
    assert run.methods[-6:] == ["POST", "PATCH", "PATCH", "PATCH", "PUT", "HEAD"]


def test_one_put_that_was_kept_in_part_and_is_lost_afterwards_begins_again() -> None:
    """PATCH was refused before: a PUT that is not found is no proof that none is taken, if some of it was kept."""
    registry = refusing("PATCH", 405)
    registry.faults = iter([Fault.NONE, Fault.CUT])
    refuse, lost = registry.front, iter([True])
    registry.front = lambda request: (
        RegistryResponse(404, request.url)
        if request.closes and request.span and request.span.start and next(lost, False)
        else refuse(request)
    )
    run = upload(registry, CONTENT)
    assert is_done(run, registry)


def test_ghcrs_silence_after_all_of_a_put_is_no_cut() -> None:
    session = session_of(ghcr(SIZE))
    asked(session)
    session.receive(RegistryResponse(202, ENDPOINTS.uploads, location="/s"))
    for _ in range(2):
        asked(session)
        session.connection_lost("reset", sent=SIZE)
        request = answered(session, RegistryResponse(404, ENDPOINTS.blob), RegistryResponse(204, ENDPOINTS.uploads))
        assert request is not None and request.closes
        assert session.plan.single
