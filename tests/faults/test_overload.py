"""A registry that takes two bodies at once and turns the others away: fewer go at once."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from aiohttp import web

from registry_push.embedded import EmbeddedRegistry, Options
from registry_push.embedded.sample import LAYER_TYPE, Layer, config, write_model
from registry_push.model import ModelName
from registry_push.settings import Settings
from registry_push.verbs.push import push

from .clock import run

BLOBS = 200


class Overloaded:
    """Notes how many bodies are there with each one that comes."""

    def __init__(self) -> None:
        self.seen: list[int] = []
        self._at_once = 0

    async def hook(self, request: web.Request) -> web.StreamResponse | None:
        if request.method == "HEAD":
            await asyncio.sleep(0.05)  # it is far away: three requests a job are under way at once
        if request.method != "PUT" or "uploads" not in request.path:
            return None
        self._at_once += 1
        try:
            await asyncio.sleep(0.05)  # those that come together are here together
            self.seen.append(self._at_once)
            return web.Response(status=429) if self._at_once > 2 else None
        finally:
            self._at_once -= 1


@pytest.mark.parametrize("jobs", [2, 16])
def test_fewer_bodies_go_at_once_where_some_are_turned_away(tmp_path: Path, jobs: int) -> None:
    async def main() -> list[int]:
        layers = [Layer(LAYER_TYPE + "tensor", f"{n}".encode() * 50, name=str(n)) for n in range(BLOBS)]
        write_model(tmp_path / "models", ModelName.parse("me/many"), config(), layers)
        registry = Overloaded()
        async with EmbeddedRegistry(tmp_path / "registry", Options(hook=registry.hook)) as embedded:
            # Some are turned away more often than they may try; it counts only where nobody else is let in.
            settings = Settings(models=tmp_path / "models", home=tmp_path, jobs=jobs, retries=5)
            report = await push(["me/many"], to=f"{embedded.host}/", settings=settings)
            assert report.error is None
        return registry.seen

    seen = run(main())[16:]
    turned_away = sum(at_once > 2 for at_once in seen) / len(seen)
    assert turned_away <= (0 if jobs == 2 else 0.34)  # 0.21-0.23, once 0.30; with sixteen all the time 0.37-0.39
