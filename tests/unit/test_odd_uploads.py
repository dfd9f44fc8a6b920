"""Registries that say yes and do next to nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import product

import pytest

from registry_push.errors import NotARegistry, Unavailable
from registry_push.model import Descriptor, Digest
from registry_push.protocol.response import RegistryResponse
from registry_push.protocol.retry import Budget
from registry_push.protocol.upload.chunks import ChunkPlan, MiB
from registry_push.protocol.upload.parts import Parts
from registry_push.protocol.upload.requests import OllamaWay, UploadRequest
from registry_push.protocol.upload.session import UploadSession
from registry_push.protocol.upload.upload_state import UploadState
from tests.support.simulated import ENDPOINTS

from .test_upload import CONTENT, mounting


@pytest.mark.attack("S3")
def test_201_to_everything_is_no_registrys_word() -> None:
    session = mounting(RegistryResponse(403, ENDPOINTS.uploads), RegistryResponse(201, ENDPOINTS.uploads))
    session.next_request()
    session.receive(RegistryResponse(404, ENDPOINTS.blob))
    assert isinstance(session.failure, NotARegistry)


@pytest.mark.attack("S7")
def test_a_registry_that_keeps_next_to_nothing_of_each_chunk_ends_the_upload() -> None:
    blob = Descriptor("a/b", Digest.of(CONTENT), 1000 * MiB)
    plan = ChunkPlan.for_blob(blob.size, chunk=8 * MiB)
    session = UploadSession(UploadState(blob, ENDPOINTS, plan, budget=Budget(5)))
    held = requests = 0
    while (request := session.next_request()) is not None and requests < 1000:
        requests += 1
        assert isinstance(request, UploadRequest)
        held += 100 * (request.method == "PATCH")
        location = "https://r.example/v2/a/b/blobs/uploads/1"
        session.receive(RegistryResponse(202, request.url, location=location, range_end=held - 1 if held else None))
    assert isinstance(session.failure, Unavailable)
    assert requests < 50


# What a registry may answer to each kind of request, always alike: a status, and the last byte it says it has. "all"
# stands for the blob's last byte, "sent" for the last one that was sent.
Answer = tuple[int, int | str | None]
_HOW: tuple[Answer, ...] = tuple(product((200, 202, 204, 404, 416, 429), (None, 0, "sent", "all")))
_PLAIN: tuple[Answer, ...] = tuple((status, None) for status in (200, 201, 202, 204, 307, 400, 401, 404, 416, 429, 503))
_LOCATION = "https://r.example/v2/a/b/blobs/uploads/1"
# Requests, more than chunks of 16 MiB that become short ones take for 20 MiB.
_MOST = 400


@pytest.mark.attack("S7")
@pytest.mark.parametrize("size", [len(CONTENT), 20 * MiB])
@pytest.mark.parametrize("head", [404, 200, 429])
@pytest.mark.parametrize("post", [202, 201, 200])
def test_a_registry_that_always_answers_alike_ends_the_upload(size: int, head: int, post: int) -> None:
    """Two had no end and no pause: a PUT answered by 202, HEAD by 404 and GET by fewer bytes; and, after some other
    trouble, POST by 201 and HEAD by 429."""
    patches = _HOW if size > len(CONTENT) and post == 202 else _HOW[:1]
    endless = [
        (patch, put, get)
        for patch, put, get in product(patches, _HOW, _HOW)
        if not _ends(size, {"POST": (post, None), "PATCH": patch, "PUT": put, "GET": get, "HEAD": (head, None)})
    ]
    assert endless == []


@pytest.mark.attack("S7")
@pytest.mark.parametrize("way", [OllamaWay(), OllamaWay(direct=True)], ids=["in parts", "direct"])
@pytest.mark.parametrize("head", [404, 200, 429])
@pytest.mark.parametrize("post", [202, 201, 200])
def test_an_ollama_registry_that_always_answers_alike_ends_the_upload(way: OllamaWay, head: int, post: int) -> None:
    endless = [
        (patch, put, get)
        for patch, put, get in product(_PLAIN, _PLAIN, _PLAIN)
        if not _ends(
            300 * MiB, {"POST": (post, None), "PATCH": patch, "PUT": put, "GET": get, "HEAD": (head, None)}, way
        )
    ]
    assert endless == []


def _ends(size: int, how: Mapping[str, Answer], way: OllamaWay | None = None) -> bool:
    """Return whether an upload of `size` bytes ends soon."""
    blob, budget = Descriptor("a/b", Digest.of(CONTENT), size), Budget(2, clock=lambda: 0.0, dice=lambda: 1.0)
    session = UploadSession(UploadState(blob, ENDPOINTS, ChunkPlan.for_blob(size), budget=budget, ollama=way))
    asked, sent = 0, 0

    def answered(request: UploadRequest) -> RegistryResponse:
        nonlocal asked, sent
        asked += 1
        status, last = how[request.method]
        sent = request.span.stop if request.span is not None else sent
        told = last if not isinstance(last, str) else size - 1 if last == "all" else sent - 1
        location = _LOCATION if status < 400 else None
        beside = location if way is not None else None
        return RegistryResponse(status, request.url, location=location, upload_location=beside, range_end=told)

    while asked < _MOST and (request := session.next_request()) is not None:
        if isinstance(request, Parts):
            _send_parts(request, answered)
            session.receive(request)
        else:
            session.receive(answered(request))
    return asked < _MOST


def _send_parts(parts: Parts, answered: Callable[[UploadRequest], RegistryResponse]) -> None:
    for _ in range(_MOST):
        question = parts.take()
        if question is None:
            return
        put = parts.asked(question.number, answered(question.request))
        if put is not None:
            parts.placed(put.number, answered(put.request))
