"""`resume` knows exports and imports, with their options."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from aiohttp import web
from msgspec.structs import replace

from registry_push.embedded import EmbeddedRegistry, Options
from registry_push.embedded.sample import write_sample_store
from registry_push.model.mapping import parse_copy_target
from registry_push.model.place import parse_place
from registry_push.model.tag_filter import TagFilter
from registry_push.settings import Settings
from registry_push.state.copy_details import CopyDetails
from registry_push.state.copy_record import CopyRecord
from registry_push.verbs.push import push
from tests.support.command import command, start_command
from tests.support.registries import EmbeddedFactory

WEIGHTS = 24_000_000
DETAILS = CopyDetails(since=("/far.json",), split=10**9, verify_medium=True, partial=True, check=False)
FILTER = TagFilter(include=("v*", "!*-rc*"), exclude=("x",), semver=">=1 <3", latest=5, sort="name", min=2)


class Held:
    """Holds requests of one method for blobs back until they are let go, and says when one has come."""

    def __init__(self, method: str) -> None:
        self.arrived, self.open = asyncio.Event(), asyncio.Event()
        self._method = method

    async def hook(self, request: web.Request) -> web.StreamResponse | None:
        if request.method == self._method and "/blobs/" in request.path:
            self.arrived.set()
            await self.open.wait()
        return None


async def filled(registry: EmbeddedRegistry, home: Path) -> str:
    write_sample_store(home / "origin", weights=WEIGHTS)
    settings = Settings(home=home, models=home / "origin", state_dir=None)
    assert (await push(["me/tiny"], to=f"{registry.host}/me/tiny:v1", settings=settings)).error is None
    return f"registry:{registry.host}/me/tiny:v1"


async def test_an_export_that_was_killed_is_continued(embedded_with: EmbeddedFactory, tmp_path: Path) -> None:
    held = Held("GET")
    place = await filled(await embedded_with(Options(hook=held.hook)), tmp_path)
    running = await start_command("export", place, "--to", f"{tmp_path}/a.tar", "--split", "10MB", home=tmp_path)
    await held.arrived.wait()
    running.kill()
    await running.communicate()
    assert not list(tmp_path.glob("*.tar"))
    listed = (await command("resume", "--list", "--json", home=tmp_path)).events[-1]
    assert [(each["source"], each["target"]) for each in listed["copies"]] == [(place, f"oci-archive:{tmp_path}/a.tar")]
    held.open.set()
    done = await command("resume", home=tmp_path)
    assert done.code == 0, done.err
    assert sorted(each.name for each in tmp_path.glob("a.*")) == ["a.sha256", *(f"a.v00{n}.tar" for n in (1, 2, 3))]
    assert (await command("resume", "--list", home=tmp_path)).out == "nothing is under way\n"


async def test_an_import_that_was_killed_is_continued(embedded_with: EmbeddedFactory, tmp_path: Path) -> None:
    held = Held("POST")
    target = await embedded_with(Options(hook=held.hook))
    write_sample_store(tmp_path / ".ollama/models", weights=WEIGHTS)
    done = await command("export", "me/tiny", "--to", f"{tmp_path}/a.tar", "--split", "10MB", home=tmp_path)
    assert done.code == 0, done.err
    files = [str(each) for each in tmp_path.glob("a.v*.tar")]
    running = await start_command("import", *files, "--to", f"registry:{target.host}/far/", home=tmp_path)
    await held.arrived.wait()
    running.kill()
    await running.communicate()
    listed = (await command("resume", "--list", "--json", home=tmp_path)).events[-1]
    assert {each for copy in listed["copies"] for each in copy["sources"]} == {f"oci-archive:{file}" for file in files}
    held.open.set()
    done = await command("resume", home=tmp_path)
    assert done.code == 0, done.err
    assert (await command("inspect", f"registry:{target.host}/far/me/tiny:latest", home=tmp_path)).code == 0


def record(verb: str, details: CopyDetails) -> CopyRecord:
    places, to = [parse_place("ollama:me/tiny")], parse_copy_target("oci-archive:/a.tar")
    return CopyRecord.of(verb, Path("/store"), places, to, Settings(), tags=(), referrers=None, details=details)


@pytest.mark.parametrize("verb", ["export", "import", "copy"])
def test_the_options_are_recorded(verb: str) -> None:
    filtered = CopyDetails(tag_filter=FILTER), CopyDetails(tag_filter=TagFilter(latest=1))
    for details in (CopyDetails(), DETAILS, replace(DETAILS, since=()), CopyDetails(check=False), *filtered):
        assert CopyRecord.read(record(verb, details).text) == record(verb, details)


@pytest.mark.parametrize(
    "wrong",
    [
        {"since": "/far.json"},
        {"since": ["far.json"]},
        {"since": [5]},
        {"split": 0},
        {"split": True},
        {"split": "4GB"},
        {"check": 1},
        {"partial": None},
        {"unknown": True},
        {"tag_filter": None},
        {"tag_filter": {"semver": ">=a"}},
        {"tag_filter": {"latest": "5"}},
        {"tag_filter": {"unknown": 1}},
        [],
        None,
    ],
    ids=json.dumps,
)
def test_a_record_with_other_options_is_none(wrong: object) -> None:
    [(verb, fields)] = json.loads(record("export", DETAILS).text).items()
    assert CopyRecord.read(json.dumps({verb: [*fields[:-1], wrong]})) is None
    assert CopyRecord.read(json.dumps({verb: [*fields, wrong]})) is None
