"""A user without a home, or with one that is closed, full of nothing, or not writable: all commands work."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest

from registry_push.embedded import EmbeddedRegistry
from registry_push.embedded.sample import write_sample_store
from tests.support.command import Finished
from tests.support.other_user import UID, command_as_other, is_unknown, public_folder, start_as_other
from tests.support.tls import self_signed

HOMES = ["unset", "empty", "relative", "root", "closed", "absent", "a file"]
# These are none, and that is said once; the others are homes in which nothing can be written.
NO_HOMES = ("unset", "empty", "relative")


@pytest.fixture
def outer() -> Iterator[Path]:
    """A folder with a store in it, open to all, and with what can be taken for a home."""
    with public_folder() as folder:
        write_sample_store(folder / "models", weights=70_000)
        (folder / "closed").mkdir(mode=0o700)
        (folder / "a file").touch()
        yield folder


def home_of(kind: str, outer: Path) -> str | None:
    """What `$HOME` is."""
    return {"unset": None, "empty": "", "relative": "here", "root": "/"}.get(kind, str(outer / kind))


def warnings(ended: Finished) -> list[str]:
    """Those on stderr."""
    return [line for line in ended.err.splitlines() if line.startswith("warning:")]


@pytest.mark.parametrize("kind", HOMES)
async def test_list_and_inspect_work(outer: Path, kind: str) -> None:
    assert is_unknown()
    models = ("--models", str(outer / "models"))
    for arguments in (("list", *models), ("inspect", "me/tiny", *models)):
        ended = await command_as_other(*arguments, home=home_of(kind, outer))
        assert ended.code == 0, ended.err
        assert ended.out
        assert len(warnings(ended)) == (kind in NO_HOMES), ended.err
        assert "Traceback" not in ended.err


@pytest.mark.parametrize("kind", HOMES)
async def test_push_works_with_one_warning(outer: Path, kind: str, tmp_path: Path) -> None:
    async with EmbeddedRegistry(tmp_path) as registry:
        arguments = ("push", "me/tiny", "--models", str(outer / "models"), "--to", f"{registry.host}/")
        ended = await command_as_other(*arguments, home=home_of(kind, outer))
    assert ended.code == 0, ended.err
    (warning,) = warnings(ended)
    assert ("no home folder" in warning) is (kind in NO_HOMES)
    assert "resumed" in warning, "what it costs is said"


@pytest.mark.parametrize("kind", ["unset", "closed"])
async def test_push_over_https_works(outer: Path, kind: str, tmp_path: Path) -> None:
    certificate = self_signed(outer / "tls")
    async with EmbeddedRegistry(tmp_path, tls=certificate.server) as registry:
        arguments = ("push", "me/tiny", "--models", str(outer / "models"), "--to", f"{registry.origin}/")
        ended = await command_as_other(*arguments, "--ca-file", str(certificate.cert), home=home_of(kind, outer))
    assert ended.code == 0, ended.err


async def test_push_finds_state_and_configuration_that_are_named(outer: Path, tmp_path: Path) -> None:
    state, config = outer / "state", outer / "config"
    for folder in (state, config):
        folder.mkdir()
        os.chown(folder, UID, UID)
    (config / "registry-push").mkdir()
    (config / "registry-push/config.toml").write_text(f'models = "{outer / "models"}"\n')
    variables = {"XDG_STATE_HOME": str(state), "XDG_CONFIG_HOME": str(config)}
    async with EmbeddedRegistry(tmp_path) as registry:
        ended = await command_as_other("push", "me/tiny", "--to", f"{registry.host}/", home=None, **variables)
    assert ended.code == 0, ended.err
    assert len(warnings(ended)) == 1
    assert "resumed" not in ended.err
    assert (state / "registry-push/journal.sqlite3").exists()


async def test_the_demo_works(outer: Path) -> None:
    ended = await command_as_other("demo", home=None)
    assert ended.code == 0, ended.err
    assert len(warnings(ended)) == 1


async def test_what_needs_a_home_says_so(outer: Path) -> None:
    for arguments, code in ((("key", "show"), 3), (("key", "create"), 2), (("resume", "--list"), 2), (("list",), 3)):
        ended = await command_as_other(*arguments, home=None)
        assert ended.code == code, ended.err
        assert "home" in ended.err
        assert "→" in ended.err, "and what to do"
        assert len(warnings(ended)) <= 1


async def test_the_warning_is_an_event_for_programs(outer: Path) -> None:
    ended = await command_as_other("list", "--models", str(outer / "models"), "--json", home=None)
    events = [json.loads(line) for line in ended.out.splitlines()]
    assert [event["event"] for event in events] == ["warning", "result"]


async def test_the_library_works(outer: Path, tmp_path: Path) -> None:
    code = """
from pathlib import Path
settings = registry_push.Settings(models=Path(sys.argv[1]))
print(registry_push.push_sync("me/tiny", to=sys.argv[2], settings=settings))
"""
    async with EmbeddedRegistry(tmp_path) as registry:
        process = await start_as_other(code, str(outer / "models"), f"{registry.host}/", home=None)
        out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    assert b"ModelDone" in out


async def test_serve_works_with_one_warning(outer: Path) -> None:
    process = await start_as_other(
        "registry_push.__main__.main()", "serve", "--port", "0", "--models", str(outer / "models"), home=None
    )
    assert process.stderr is not None
    lines: list[str] = []
    while not lines or "listening on" not in lines[-1]:
        lines.append((await process.stderr.readline()).decode())
        assert lines[-1], lines
    url = lines[-1].split()[-1]
    async with aiohttp.ClientSession() as session, session.get(f"{url}/api/tags") as answer:
        assert [model["name"] for model in (await answer.json())["models"]] == ["me/tiny:latest"]
    process.terminate()
    _, rest = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 0, rest.decode()
    assert len([line for line in lines if "WARNING" in line]) == 1
