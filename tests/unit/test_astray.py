"""A `Location` that leads away from the registry: exit 5, where it led, and which headers of a proxy to check."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from multidict import CIMultiDict

from registry_push.embedded.sample import write_sample_store
from registry_push.errors import Denied, ProtocolViolation, RegistryPushError, TLSFailed, Unavailable
from registry_push.model import Descriptor, Digest
from registry_push.protocol.location import resolve
from registry_push.protocol.response import RegistryResponse
from registry_push.protocol.retry import Budget
from registry_push.protocol.upload.chunks import ChunkPlan
from registry_push.protocol.upload.parts import Parts
from registry_push.protocol.upload.requests import Endpoints, UploadRequest
from registry_push.protocol.upload.session import UploadSession
from registry_push.protocol.upload.states import State
from registry_push.protocol.upload.upload_state import UploadState
from registry_push.settings import Settings
from registry_push.transfer.report import Report
from registry_push.verbs.push import push
from tests.support.scripted import Says, Scripted, Seen
from tests.support.tls import self_signed

SIZE = 100_000
BLOB = Descriptor("application/octet-stream", Digest.of(b"x"), SIZE)
ENDPOINTS = Endpoints(f"https://r.test/v2/a/blobs/{BLOB.digest}", "https://r.test/v2/a/blobs/uploads/", "a")
INNER = "https://registry:5000/v2/a/blobs/uploads/1?_state=x"
PREFIX = "https://r.test/uploads/1"

Reply = Callable[[UploadRequest], "tuple[int, int] | int | TLSFailed"]  # a status, or (0, bytes sent), or no TLS


def _upload(location: str, reply: Reply, *, retries: int = 5, single: bool = False) -> tuple[UploadSession, list[str]]:
    """Run an upload whose POSTs are answered with `location`, HEAD with 404, and all else by `reply`."""
    session = UploadSession(UploadState(BLOB, ENDPOINTS, ChunkPlan(SIZE, SIZE, single=single), budget=Budget(retries)))
    methods: list[str] = []
    while (request := session.next_request()) is not None:
        assert not isinstance(request, Parts)
        methods.append(request.method)
        assert len(methods) < 100
        if request.method == "POST":
            session.receive(_answer(202, request.url, Location=location))
            continue
        said = 404 if request.method == "HEAD" else reply(request)
        if isinstance(said, TLSFailed):
            if not session.unreachable(said):
                raise said
        elif isinstance(said, tuple):
            session.connection_lost("the host registry is not known", sent=said[1])
        else:
            session.receive(_answer(said, request.url))
    return session, methods


def _answer(status: int, url: str, **headers: str) -> RegistryResponse:
    return RegistryResponse.read(status, url, CIMultiDict(headers), now=0)


@pytest.mark.parametrize("location", [INNER, PREFIX, "https://other.test/v2/a/blobs/uploads/1"])
@pytest.mark.parametrize("said", [(0, 0), 404])
@pytest.mark.parametrize("single", [False, True])
@pytest.mark.parametrize("retries", [0, 1, 5])
def test_a_location_that_leads_nowhere_is_5_and_says_where_it_led(
    location: str, said: tuple[int, int] | int, single: bool, retries: int
) -> None:
    session, methods = _upload(location, lambda _: said, single=single, retries=retries)
    assert isinstance(session.failure, ProtocolViolation)
    assert session.failure.exit_code == 5
    where = "https://r.test/uploads/1" if location == PREFIX else location.partition("/v2")[0]
    assert f"sends the upload to {where} (its Location)" in session.failure.message
    assert "times" not in session.failure.message
    for word in ("X-Forwarded-Proto", "X-Forwarded-Host", "http.host", "relativeurls"):
        assert word in str(session.failure.hint)
    assert methods.count("POST") <= 2, "another session leads to the same place"
    assert session.record is None


@pytest.mark.parametrize("status", [401, 403])
def test_another_origin_that_wants_a_login_is_no_place_for_an_upload(status: int) -> None:
    session, _ = _upload(INNER, lambda _: status)
    assert isinstance(session.failure, ProtocolViolation)
    assert "HTTP 40" in session.failure.message


def test_another_origin_whose_certificate_is_not_trusted_is_none_either() -> None:
    session, methods = _upload(INNER, lambda _: TLSFailed("no trusted TLS connection to registry:5000"))
    assert isinstance(session.failure, ProtocolViolation)
    assert "no trusted TLS connection" in session.failure.message and methods == ["POST", "PATCH"]


@pytest.mark.parametrize(
    ("location", "said", "error"),
    [
        ("https://r.test/v2/a/blobs/uploads/1", 404, Unavailable),  # lost, where it belongs
        ("https://r.test/v2/a/blobs/uploads/1", (0, 0), Unavailable),
        (INNER, (0, 70_000), Unavailable),  # something took the bytes
        (INNER, 503, Unavailable),  # it is there, and busy
        (PREFIX, 403, Denied),
    ],
)
def test_what_else_fails_is_told_as_ever(
    location: str, said: tuple[int, int] | int, error: type[RegistryPushError]
) -> None:
    session, _ = _upload(location, lambda _: said)
    assert isinstance(session.failure, error)


def test_a_registry_that_goes_away_is_not_said_to_lead_astray() -> None:
    session = UploadSession(UploadState(BLOB, ENDPOINTS, ChunkPlan(SIZE, SIZE), budget=Budget(1)))
    opened = 0
    while (request := session.next_request()) is not None:
        assert isinstance(request, UploadRequest)
        if request.method == "POST" and not opened:
            opened = 1
            session.receive(_answer(202, request.url, Location=INNER))
        elif request.method == "PATCH":
            session.receive(_answer(404, request.url))
        else:
            session.connection_lost("connection refused")
    assert session.state is State.FAILED and type(session.failure) is Unavailable


def test_storage_elsewhere_that_works_is_used() -> None:
    session, _ = _upload(INNER, lambda request: 201 if request.closes else 202)
    assert session.state is State.DONE


def test_from_https_to_http_says_which_headers_to_check() -> None:
    with pytest.raises(ProtocolViolation) as caught:
        resolve("https://r.test/v2/a/blobs/uploads/", "http://registry:5000/v2/a/blobs/uploads/1")
    assert "X-Forwarded-Proto" in str(caught.value.hint)


# ── by push ───────────────────────────────────────────────────────────────────────────────────────


async def _push(folder: Path, location: str) -> Report:
    def answer(seen: Seen) -> Says:
        return Says(202, (("Location", location),)) if seen.method == "POST" else Says(404)

    write_sample_store(folder / "models", weights=SIZE)
    async with Scripted(otherwise=answer) as server:
        told = Settings(home=folder, models=folder / "models", retries=0)
        return await push(["me/tiny"], to=f"{server.origin}/x/", settings=told)


def _closed_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
    return port


async def test_a_push_that_is_led_to_an_inner_name_says_so(tmp_path: Path) -> None:
    report = await _push(tmp_path, "http://registry.invalid:5000/v2/x/me/tiny/blobs/uploads/1")
    assert report.error is not None and report.error.exit_code == 5
    assert "http://registry.invalid:5000 (its Location)" in report.error.message
    assert "cannot resolve" in report.error.message and "X-Forwarded-Host" in str(report.error.hint)


async def test_a_push_that_is_led_to_a_closed_port_says_so(tmp_path: Path) -> None:
    report = await _push(tmp_path, f"http://127.0.0.1:{_closed_port()}/v2/x/me/tiny/blobs/uploads/1")
    assert report.error is not None and report.error.exit_code == 5
    assert "connection refused" in report.error.message


@pytest.mark.parametrize("status", [401, 404])
async def test_a_push_that_is_led_to_another_server_says_so(tmp_path: Path, status: int) -> None:
    async with Scripted(otherwise=Says(status)) as other:
        report = await _push(tmp_path, f"{other.origin}/v2/x/me/tiny/blobs/uploads/1")
        assert report.error is not None and report.error.exit_code == 5
        assert f"{other.origin} (its Location)" in report.error.message


async def test_a_push_that_is_led_to_a_server_nobody_trusts_says_so(tmp_path: Path) -> None:
    async with Scripted(self_signed(tmp_path / "tls").server) as other:
        report = await _push(tmp_path, f"{other.origin}/v2/x/me/tiny/blobs/uploads/1")
        assert report.error is not None and report.error.exit_code == 5
        assert f"{other.origin} (its Location)" in report.error.message


async def test_a_push_that_is_led_out_of_the_path_prefix_says_so(tmp_path: Path) -> None:
    report = await _push(tmp_path, "/v2/me/tiny/blobs/uploads/1")
    assert report.error is not None and report.error.exit_code == 5
    assert "/v2/me/tiny/blobs/uploads/1 (its Location)" in report.error.message


def test_a_registry_that_cannot_be_trusted_before_there_is_a_session_leads_nowhere() -> None:
    session = UploadSession(UploadState(BLOB, ENDPOINTS, ChunkPlan(SIZE, SIZE), budget=Budget(1)))
    assert session.next_request() is not None
    assert not session.unreachable(TLSFailed("no trusted TLS connection")), "the error is for the driver to raise"
