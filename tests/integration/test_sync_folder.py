"""Relative paths in a plan mean the folder in which the sync was started, also for `resume`."""

from __future__ import annotations

from pathlib import Path

import pytest
from aiohttp import web

from registry_push.embedded import Options
from tests.support.command import command
from tests.support.registries import EmbeddedFactory
from tests.support.sync_stage import Peer


async def test_a_sync_is_resumed_in_the_folder_where_it_was_started(
    embedded_with: EmbeddedFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_down = True

    async def hook(request: web.Request) -> web.StreamResponse | None:
        return web.Response(status=503) if is_down and "/blobs/" in request.path and request.method == "GET" else None

    registry = await embedded_with(Options(hook=hook))
    digest = await Peer(registry.host).put("ml/a", "v1", "1")
    plan, start, other = tmp_path / "plan.toml", tmp_path / "start", tmp_path / "other"
    plan.write_text(
        f'[defaults]\nretries = 0\n[[sync]]\nsource = "registry:{registry.host}/ml/a"\ntarget = "oci:mirror"\n'
    )
    start.mkdir()
    other.mkdir()
    monkeypatch.chdir(start)
    begun = await command("sync", str(plan), home=tmp_path)
    assert begun.code == 6, begun.err
    is_down = False
    monkeypatch.chdir(other)
    resumed = await command("resume", home=tmp_path)
    assert resumed.code == 0, resumed.err
    assert digest in (start / "mirror" / "index.json").read_text()
    assert not list(other.iterdir())
    again = await command("resume", home=tmp_path)
    assert again.code == 0 and not list(other.iterdir()), "the record is gone"
    assert "mirror" not in again.out + again.err and str(plan) not in again.out + again.err
