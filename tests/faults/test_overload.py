"""A registry that takes two bodies at once and turns the others away: fewer go at once."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from aiohttp import web

from registry_push.loopback import EmbeddedRegistry, Options
from registry_push.loopback.sample import LAYER_TYPE, Layer, config, write_model
from registry_push.model import ModelName
from registry_push.settings import Settings
from registry_push.transfer.push import push

from .clock import run

BLOBS = 60


class Overloaded:
    """Counts what it turns away."""

    def __init__(self) -> None:
        self.turned_away = 0
        self._at_once = 0

    async def hook(self, request: web.Request) -> web.StreamResponse | None:
        if request.method != "PUT" or "uploads" not in request.path:
            return None
        self._at_once += 1
        try:
            await asyncio.sleep(0.05)  # those that come together are here together
            if self._at_once > 2:
                self.turned_away += 1
                return web.Response(status=429)
            return None
        finally:
            self._at_once -= 1


@pytest.mark.parametrize("jobs", [2, 16])
def test_fewer_bodies_go_at_once_where_some_are_turned_away(tmp_path: Path, jobs: int) -> None:
    async def main() -> int:
        layers = [Layer(LAYER_TYPE + "tensor", f"{n}".encode() * 50, name=str(n)) for n in range(BLOBS)]
        write_model(tmp_path / "models", ModelName.parse("me/many"), config(), layers)
        registry = Overloaded()
        async with EmbeddedRegistry(tmp_path / "registry", Options(hook=registry.hook)) as embedded:
            settings = Settings(models=tmp_path / "models", home=tmp_path, jobs=jobs)
            report = await push(["me/many"], to=f"{embedded.host}/", settings=settings)
            assert report.error is None
        return registry.turned_away

    # With sixteen at once all the time it turned 61 away; with fewer 32.
    assert run(main()) <= (0 if jobs == 2 else BLOBS * 3 // 4)
