"""Registries that say yes and do next to nothing."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from registry_push.errors import NotARegistry, Unavailable
from registry_push.model import Descriptor, Digest
from registry_push.protocol.response import RegistryResponse
from registry_push.protocol.retry import Budget
from registry_push.protocol.upload.chunks import ChunkPlan, MiB
from registry_push.protocol.upload.requests import UploadRequest
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
_STATUSES = (200, 202, 204, 404, 416, 429)
_RANGES = (None, 0, "sent", "all")
_HOW = [(status, last) for status in _STATUSES for last in _RANGES]


@pytest.mark.attack("S7")
@pytest.mark.parametrize("size", [len(CONTENT), 20 * MiB])
@pytest.mark.parametrize("head", [404, 200, 429])
def test_a_registry_that_always_answers_alike_ends_the_upload(size: int, head: int) -> None:
    """A PUT answered by 202, HEAD by 404 and GET by fewer bytes was repeated without a pause, for ever."""
    blob = Descriptor("a/b", Digest.of(CONTENT), size)
    endless = [
        (patch, put, get)
        for patch in (_HOW if size > len(CONTENT) else _HOW[:1])
        for put in _HOW
        for get in _HOW
        if not _ends(blob, {"PATCH": patch, "PUT": put, "GET": get, "HEAD": (head, None)})
    ]
    assert endless == []


def _ends(blob: Descriptor, how: Mapping[str, tuple[int, str | int | None]]) -> bool:
    """Return whether an upload ends soon. Long chunks may become short ones, two requests each."""
    plan = ChunkPlan.for_blob(blob.size)
    session = UploadSession(UploadState(blob, ENDPOINTS, plan, budget=Budget(2, clock=lambda: 0.0, dice=lambda: 1.0)))
    sent = 0
    for _ in range(400):
        request = session.next_request()
        if request is None:
            return True
        assert isinstance(request, UploadRequest)
        status, last = how.get(request.method, (202, None))
        sent = request.span.stop if request.span is not None else sent
        told = last if not isinstance(last, str) else blob.size - 1 if last == "all" else sent - 1
        location = "https://r.example/v2/a/b/blobs/uploads/1" if status < 300 else None
        session.receive(RegistryResponse(status, request.url, location=location, range_end=told))
    return False
