"""Upload sessions that are broken for good, in real pushes: the next push goes through, and `resume --cancel` ends."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
from pathlib import Path

import pytest
from aiohttp import web

from registry_push.embedded import EmbeddedRegistry, Options
from registry_push.embedded.sample import write_sample_store
from tests.support.command import Finished, command, start_command
from tests.support.registries import DockerRegistry, EmbeddedFactory

pytestmark = pytest.mark.attack("S1")

CHUNK = 2_000_000
SESSION = re.compile(r"/blobs/uploads/([A-Za-z0-9-]+)\Z")


class Illness:
    """Lets so many PATCHes through. Then the session that they went to is answered as `how` says, for good."""

    def __init__(self, how: str, *, after: int = 5) -> None:
        self.how = how
        self.all_sessions = False
        self._left = after
        self._ill = ""

    async def hook(self, request: web.Request) -> web.StreamResponse | None:
        found = SESSION.search(request.path)
        if found is None:
            return None
        self._left -= request.method == "PATCH"
        if self._left < 0 and not self._ill:
            self._ill = found[1]
        if not self._ill or (found[1] != self._ill and not self.all_sessions):
            return None
        if self.how == "hangs":
            await asyncio.sleep(3600)
        if self.how == "hangs up":
            assert request.transport is not None
            request.transport.abort()
        if self.how == "redirects":
            return web.Response(status=307, headers={"Location": request.path})
        if self.how == "page":
            return web.Response(text="<html>", content_type="text/html")
        if self.how in ("Basic", "Bearer"):
            challenge = f'{self.how} realm="http://{request.host}/token"'
            return web.Response(status=401, headers={"WWW-Authenticate": challenge})
        method, _, status = self.how.rpartition(" ")
        if method not in ("", request.method):
            return None
        return web.Response(status=int(status) if status.isdigit() else 500)


def flags(registry: EmbeddedRegistry | DockerRegistry) -> list[str]:
    return ["--to", f"{registry.host}/", "--chunk-size", str(CHUNK), "--json"]


async def pushed(registry: EmbeddedRegistry, home: Path, *, retries: int = 0) -> Finished:
    return await command("push", "me/tiny", *flags(registry), "--retries", str(retries), "--timeout", "1", home=home)


async def listed(home: Path) -> list[dict[str, object]]:
    uploads: list[dict[str, object]] = (await command("resume", "--list", "--json", home=home)).events[-1]["uploads"]
    return uploads


@pytest.mark.parametrize("how", ["500", "503", "429", "hangs", "hangs up"])
async def test_one_push_is_enough(embedded_with: EmbeddedFactory, tmp_path: Path, how: str) -> None:
    registry = await embedded_with(Options(hook=Illness(how).hook))
    write_sample_store(tmp_path / ".ollama/models", weights=24_000_000)
    done = await pushed(registry, tmp_path)
    assert done.code == 0, done.err
    assert await listed(tmp_path) == []


@pytest.mark.parametrize(
    "how", ["500", "429", "hangs", "redirects", "401", "Basic", "Bearer", "403", "page", "PATCH 403", "PUT 403"]
)
async def test_what_an_earlier_push_has_left_blocks_nothing(
    embedded_with: EmbeddedFactory, tmp_path: Path, how: str
) -> None:
    illness = Illness(how)
    registry = await embedded_with(Options(hook=illness.hook))
    write_sample_store(tmp_path / ".ollama/models", weights=24_000_000)
    illness.how, illness.all_sessions = "503", True
    assert (await pushed(registry, tmp_path)).code == 6
    before = await listed(tmp_path)
    assert [upload["offset"] for upload in before] == [5 * CHUNK]
    illness.how, illness.all_sessions = how, False
    again = await command("resume", "--json", "--retries", "1", "--timeout", "1", home=tmp_path)
    assert again.code == 0, again.err
    assert await listed(tmp_path) == []


async def test_a_record_that_does_not_move_keeps_its_date_and_is_dropped_after_the_second_run(
    embedded_with: EmbeddedFactory, tmp_path: Path
) -> None:
    illness = Illness("503")
    registry = await embedded_with(Options(hook=illness.hook))
    write_sample_store(tmp_path / ".ollama/models", weights=24_000_000)
    illness.all_sessions = True
    kept = []
    for _ in range(3):
        assert (await pushed(registry, tmp_path)).code == 6
        kept.append([(upload["offset"], upload["saved"]) for upload in await listed(tmp_path)])
    assert [offset for offset, _ in kept[0]] == [5 * CHUNK]
    assert kept == [kept[0], kept[0], []]
    # Of the sessions that were begun in vain none is left at the registry.
    posts = sum(exchange.method == "POST" for exchange in registry.log)
    assert sum(exchange.method == "DELETE" for exchange in registry.log) >= 3
    assert posts >= 4


@pytest.mark.parametrize("how", ["500", "503", "429", "hangs", "hangs up", "redirects"])
async def test_giving_up_ends_with_a_warning(embedded_with: EmbeddedFactory, tmp_path: Path, how: str) -> None:
    illness = Illness("503")
    registry = await embedded_with(Options(hook=illness.hook))
    write_sample_store(tmp_path / ".ollama/models", weights=24_000_000)
    illness.all_sessions = True
    assert (await pushed(registry, tmp_path)).code == 6
    illness.how = how
    done = await command("resume", "--cancel", "--json", "--timeout", "1", home=tmp_path)
    assert done.code == 0, done.err
    assert (done.events[-1]["freed"], done.events[-1]["forgotten"]) == (0, 1)
    assert ["could not be freed" in event["message"] for event in done.events if event["event"] == "warning"] == [True]
    assert (await command("resume", "--list", home=tmp_path)).out == "nothing is under way\n"


@pytest.mark.real
@pytest.mark.parametrize("what", ["data", "startedat", "hashstates", "all"])
async def test_a_damaged_folder_of_uploads_at_the_real_registry(
    docker_registry: DockerRegistry, tmp_path: Path, what: str
) -> None:
    name = f"me/damaged-{what}"
    write_sample_store(tmp_path / ".ollama/models", name=name, weights=64_000_000)
    process = await start_command("push", name, *flags(docker_registry), "--bwlimit", "40MB", home=tmp_path)
    assert process.stdout is not None
    while json.loads(await process.stdout.readline()).get("offset", 0) <= 2 * CHUNK:
        pass
    process.terminate()
    await process.communicate()
    assert process.returncode == 130
    uploads = docker_registry.root / "docker/registry/v2/repositories" / name / "_uploads"
    broken = [path for path in uploads.glob("*/*") if what in (path.name, "all")]
    assert broken
    for path in broken:
        if path.is_dir():
            shutil.rmtree(path)
            path.write_bytes(b"")
        else:
            path.unlink()
            path.joinpath("odd").mkdir(parents=True)
    again = await command("push", name, *flags(docker_registry), "--retries", "1", home=tmp_path)
    assert again.code == 0, again.err
    assert await listed(tmp_path) == []
