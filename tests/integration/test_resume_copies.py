"""`resume` knows copies and pulls as it knows pushes."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from aiohttp import web

from registry_push.embedded import EmbeddedRegistry, Options
from registry_push.embedded.sample import write_sample_store
from registry_push.settings import Settings
from registry_push.verbs.push import push
from tests.support.command import command, start_command
from tests.support.registries import EmbeddedFactory

WEIGHTS = 24_000_000


class Held:
    """Holds a blob's content back until it is let go, and says when somebody waits for it."""

    def __init__(self) -> None:
        self.arrived, self.open = asyncio.Event(), asyncio.Event()

    async def hook(self, request: web.Request) -> web.StreamResponse | None:
        if request.method == "GET" and "/blobs/" in request.path:
            self.arrived.set()
            await self.open.wait()
        return None


async def filled(registry: EmbeddedRegistry, home: Path) -> None:
    write_sample_store(home / "origin", weights=WEIGHTS)
    settings = Settings(home=home, models=home / "origin", state_dir=None)
    assert (await push(["me/tiny"], to=f"{registry.host}/me/tiny:v1", settings=settings)).error is None


@pytest.mark.parametrize("verb", ["copy to a registry", "copy to a layout", "pull"])
async def test_what_was_killed_is_listed_and_continued(
    embedded_with: EmbeddedFactory, tmp_path: Path, verb: str
) -> None:
    held = Held()
    source, target = await embedded_with(Options(hook=held.hook)), await embedded_with(Options())
    await filled(source, tmp_path)
    place = f"registry:{source.host}/me/tiny:v1"
    where = f"oci:{tmp_path / 'layout'}:v1" if "layout" in verb else f"registry:{target.host}/me/other:v2"
    arguments = ["pull", f"{source.host}/me/tiny:v1"] if verb == "pull" else ["copy", place, where, "--tag", "also"]
    running = await start_command(*arguments, home=tmp_path)
    await held.arrived.wait()
    running.kill()
    await running.communicate()
    listed = (await command("resume", "--list", "--json", home=tmp_path)).events[-1]
    assert [each["source"] for each in listed["copies"]] == [place]
    assert listed["copies"][0]["target"] == ("ollama:" if verb == "pull" else where)
    assert listed["copies"][0]["sources"] == [place]
    shown = (await command("resume", "--list", home=tmp_path)).out
    assert "COPY" in shown and place in shown
    store = str(tmp_path / ".ollama/models")
    assert listed["copies"][0]["store"] == (store if verb == "pull" else None)
    assert (f"ollama: in {store}" if verb == "pull" else where) in shown
    held.open.set()
    done = await command("resume", "--json", home=tmp_path)
    assert done.code == 0, done.err
    assert len(done.events[-1]["models"]) == 1
    assert (await command("resume", "--list", home=tmp_path)).out == "nothing is under way\n"
    last = ["inspect", f"{source.host}/me/tiny:v1"] if verb == "pull" else ["inspect", where.replace(":v2", ":also")]
    assert (await command(*last, home=tmp_path)).code == 0


async def test_a_copy_can_be_given_up(embedded_with: EmbeddedFactory, tmp_path: Path) -> None:
    held = Held()
    source, target = await embedded_with(Options(hook=held.hook)), await embedded_with(Options())
    await filled(source, tmp_path)
    running = await start_command(
        "copy", f"registry:{source.host}/me/tiny:v1", f"registry:{target.host}/a/b:v1", home=tmp_path
    )
    await held.arrived.wait()
    running.kill()
    await running.communicate()
    assert (await command("resume", "--cancel", f"{target.host}/a/*", home=tmp_path)).code == 0
    assert (await command("resume", "--list", home=tmp_path)).out == "nothing is under way\n"


async def test_what_can_never_end_well_is_not_kept(embedded: EmbeddedRegistry, tmp_path: Path) -> None:
    await filled(embedded, tmp_path)
    done = await command("copy", f"registry:{embedded.host}/me/none:v1", f"oci:{tmp_path / 'l'}", home=tmp_path)
    assert done.code == 3
    assert (await command("resume", "--list", home=tmp_path)).out == "nothing is under way\n"


async def test_what_failed_before_anything_was_missing_is_kept_if_it_may_pass(
    embedded_with: EmbeddedFactory, tmp_path: Path
) -> None:
    away = False

    async def hook(request: web.Request) -> web.StreamResponse | None:
        return web.Response(status=503) if away and request.path.endswith("/manifests/v2") else None

    source = await embedded_with(Options(hook=hook))
    await filled(source, tmp_path)
    settings = Settings(home=tmp_path, models=tmp_path / "origin", state_dir=None)
    assert (await push(["me/tiny"], to=f"{source.host}/me/tiny:v2", settings=settings)).error is None
    arguments = ["copy", f"registry:{source.host}/me/tiny", f"oci:{tmp_path / 'l'}", "--retries", "0"]
    assert (await command("copy", f"{arguments[1]}:v1", arguments[2], home=tmp_path)).code == 0
    assert (await command("resume", "--list", home=tmp_path)).out == "nothing is under way\n"
    away = True
    done = await command(*arguments, home=tmp_path)
    assert done.code == 8 and "1 of 2 models was not copied" in done.err
    listed = (await command("resume", "--list", "--json", home=tmp_path)).events[-1]
    assert [each["source"] for each in listed["copies"]] == [arguments[1]]
    away = False
    assert (await command("resume", home=tmp_path)).code == 0
    assert (await command("resume", "--list", home=tmp_path)).out == "nothing is under way\n"
