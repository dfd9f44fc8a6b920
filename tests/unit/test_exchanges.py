"""The exchanges that Ollama's own client has with its registry: ours says the same, word for word."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from multidict import CIMultiDict

from registry_push.model import Descriptor, Digest
from registry_push.protocol.response import RegistryResponse
from registry_push.protocol.retry import Budget
from registry_push.protocol.upload.chunks import ChunkPlan
from registry_push.protocol.upload.parts import Parts, composite_etag
from registry_push.protocol.upload.requests import Endpoints, OllamaWay, UploadRequest
from registry_push.protocol.upload.session import UploadSession
from registry_push.protocol.upload.states import State
from registry_push.protocol.upload.upload_state import UploadState

EXCHANGES = sorted((Path(__file__).parents[2] / "fixtures/exchanges").glob("*.json"))
ORIGIN = "https://registry.ollama.ai"


class Replay:
    """Checks each request against the record, and gives the recorded answer."""

    def __init__(self, steps: list[list[dict[str, Any]]]) -> None:
        self._steps = iter(steps)

    def send(self, request: UploadRequest) -> RegistryResponse:
        wanted, told = next(self._steps)
        assert request.method == wanted["method"]
        assert request.url == wanted["url"]
        assert dict(request.headers) == wanted["headers"]
        assert ([request.span.start, request.span.stop] if request.span else None) == wanted["body"]
        assert request.is_anonymous == (not request.url.startswith(ORIGIN))
        return RegistryResponse.read(told["status"], request.url, CIMultiDict(told["headers"]), now=0)

    def is_over(self) -> bool:
        return next(self._steps, None) is None


def send_parts(replay: Replay, parts: Parts) -> None:
    while (question := parts.take()) is not None:
        put = parts.asked(question.number, replay.send(question.request))
        if put is not None:
            parts.placed(put.number, replay.send(put.request))


@pytest.mark.parametrize("file", EXCHANGES, ids=lambda file: file.stem)
def test_our_client_says_what_ollamas_says(file: Path) -> None:
    record = json.loads(file.read_text())
    blob = Descriptor(
        f"application/vnd.ollama.image.{record['blob']['kind']}",
        Digest.parse(record["blob"]["digest"]),
        record["blob"]["size"],
    )
    replay = Replay(record["steps"])
    session = UploadSession(
        UploadState(
            blob,
            Endpoints(f"{ORIGIN}/v2/me/model/blobs/{blob.digest}", f"{ORIGIN}/v2/me/model/blobs/uploads/"),
            ChunkPlan.for_blob(blob.size),
            budget=Budget(5),
            mount_from=record.get("mount", []),
            ollama=OllamaWay(direct=blob.kind == "tensor"),
        )
    )
    while (request := session.next_request()) is not None:
        if isinstance(request, Parts):
            send_parts(replay, request)
            session.stored_as(composite_etag([bytes.fromhex(md5) for md5 in record["md5"]]))
            session.receive(request)
        else:
            session.receive(replay.send(request))
    assert session.state is State.DONE
    assert replay.is_over()


def test_there_is_an_exchange_for_each_way() -> None:
    assert {file.stem for file in EXCHANGES} == {"ollama-parts", "ollama-direct", "ollama-kept-parts", "ollama-mount"}
