"""Registries that say yes and do next to nothing."""

from __future__ import annotations

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
