"""A hundred clients at once: one upload for each digest and repository, little memory, and a whole stream for each."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from pathlib import Path
from typing import Any, Final

import aiohttp

from registry_push.embedded import EmbeddedRegistry
from registry_push.embedded.sample import LAYER_TYPE, Layer, config, gguf, write_model
from registry_push.model import ModelName
from tests.support.service import check_stream, lines_of, running
from tests.support.stores import make_many_store

MODELS: Final = 20
CLIENTS: Final = 100
COMMON: Final = 48_000_000
OWN: Final = 9_000_000  # more than goes in one PUT
# Of the real process, as the kernel counts it. Measured: 56 MB.
MEMORY: Final = 150_000_000


def write_models(root: Path, host: str) -> list[tuple[str, int]]:
    """Names and numbers of blobs: models with a common base and weights of their own, and one of many tensors."""
    base = Layer(LAYER_TYPE + "model", gguf(COMMON, seed=0))
    models = []
    for number in range(1, MODELS):
        layers = [base, Layer(LAYER_TYPE + "adapter", gguf(OWN, seed=number))]
        name = ModelName.parse(f"{host}/me/m{number % 7}:{number}")
        models.append((write_model(root, name, config(), layers).short, 3))
    many = make_many_store(root, layers=400, layer_size=5_000, name=f"{host}/me/tensors:1")
    return [*models, (many.short, 401)]


async def test_a_hundred_clients(embedded: EmbeddedRegistry, tmp_path: Path) -> None:
    models = write_models(tmp_path / "models", embedded.host)
    async with (
        running("--models", str(tmp_path / "models"), home=tmp_path) as service,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session,
    ):

        async def client(number: int) -> tuple[int, bool, list[dict[str, Any]]]:
            model, blobs = models[number % MODELS]
            streams = number % 5 != 0
            body = {"model": model, "stream": streams}
            async with session.post(f"{service.url}/api/push", json=body) as answer:
                assert answer.status == 200, await answer.text()
                return blobs, streams, await lines_of(answer)

        answers = await asyncio.gather(*map(client, range(CLIENTS)))
        async with session.get(f"{service.url}/metrics") as answer:
            metrics = await answer.text()
        peak = service.peak
    for blobs, streams, lines in answers:
        if streams:
            check_stream(lines, blobs)
        else:
            assert lines == [{"status": "success"}]
    commits = Counter(
        (found[1], found[2])
        for exchange in embedded.log
        if exchange.method == "PUT" and (found := re.match(r"/v2/(.*)/blobs/uploads/.*digest=([^&]*)", exchange.target))
    )
    assert set(commits.values()) == {1}, "one upload for each digest and repository"
    sent = sum(exchange.received for exchange in embedded.log if exchange.method in ("PATCH", "PUT", "POST"))
    content = sum(file.stat().st_size for file in (tmp_path / "models/blobs").iterdir())
    assert sent < content + 1_000_000, "what the models have in common goes over the line once"
    assert 'registry_push_pushes_total{result="failed"}' not in metrics
    print(f"peak {peak / 1e6:.0f} MB, {sent / 1e6:.0f} MB sent, {len(commits)} uploads, {len(embedded.log)} requests")
    assert peak < MEMORY
