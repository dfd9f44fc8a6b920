"""`registry-push resume`: what is under way, going on with it, giving it up."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from aiohttp import web

from registry_push.embedded import EmbeddedRegistry, Options, Token
from registry_push.embedded.sample import write_sample_store
from registry_push.state.journal import Journal
from tests.support.command import Finished, command, start_command
from tests.support.registries import DockerRegistry, EmbeddedFactory
from tests.support.secrets import PASSWORD

CHUNK = 2_000_000


class Breakdown:
    """A registry that answers PATCHes with 503 after so many, until it is mended."""

    def __init__(self, after: int) -> None:
        self._left = after

    async def hook(self, request: web.Request) -> web.StreamResponse | None:
        self._left -= request.method == "PATCH"
        return web.Response(status=503) if self._left < 0 and request.method == "PATCH" else None

    def mend(self) -> None:
        self._left = 1_000_000


async def interrupted(registry: EmbeddedRegistry, home: Path, *more: str) -> None:
    write_sample_store(home / ".ollama/models", weights=24_000_000)
    target = ["--to", f"{registry.host}/", "--chunk-size", str(CHUNK), "--retries", "0"]
    ended = await command("push", "me/tiny", *target, *more, home=home)
    assert ended.code == 6, ended.err


async def resume(home: Path, *more: str) -> Finished:
    return await command("resume", *more, "--json", home=home)


def patched(registry: EmbeddedRegistry) -> int:
    return sum(exchange.received for exchange in registry.log if exchange.method == "PATCH")


async def test_nothing_is_under_way(tmp_path: Path) -> None:
    for flags in ((), ("--list",)):
        done = await command("resume", *flags, home=tmp_path)
        assert (done.code, done.out) == (0, "nothing is under way\n")


async def test_an_interrupted_push_is_listed_and_gone_on_with(embedded_with: EmbeddedFactory, tmp_path: Path) -> None:
    trouble = Breakdown(after=5)
    registry = await embedded_with(Options(hook=trouble.hook))
    await interrupted(registry, tmp_path)
    listed = (await resume(tmp_path, "--list")).events[-1]
    assert [push["target"] for push in listed["pushes"]] == [f"{registry.host}/me/tiny:latest"]
    assert [upload["offset"] for upload in listed["uploads"]] == [5 * CHUNK]
    shown = await command("resume", "--list", home=tmp_path)
    assert "10.0/24.0 MB" in shown.out and "me/tiny" in shown.out
    trouble.mend()
    registry.log.clear()
    done = await resume(tmp_path)
    assert done.code == 0, done.err
    # The chunk's size was part of the order.
    assert {exchange.received for exchange in registry.log if exchange.method == "PATCH"} <= {CHUNK, *range(CHUNK)}
    assert 13_900_000 < patched(registry) <= 24_100_000 - 5 * CHUNK
    assert [model["event"] for model in done.events[-1]["models"]] == ["model_done"]
    assert (await command("resume", home=tmp_path)).out == "nothing is under way\n"


async def test_a_push_that_ends_well_leaves_nothing(embedded: EmbeddedRegistry, tmp_path: Path) -> None:
    write_sample_store(tmp_path / ".ollama/models", weights=12_000_000)
    assert (await command("push", "me/tiny", "--to", f"{embedded.host}/", home=tmp_path)).code == 0
    listed = (await resume(tmp_path, "--list")).events[-1]
    assert (listed["pushes"], listed["uploads"]) == ([], [])


async def test_giving_up_frees_the_session_at_the_registry(embedded_with: EmbeddedFactory, tmp_path: Path) -> None:
    trouble = Breakdown(after=5)
    registry = await embedded_with(Options(hook=trouble.hook))
    await interrupted(registry, tmp_path)
    registry.log.clear()
    done = await resume(tmp_path, "--cancel")
    assert done.code == 0, done.err
    assert (done.events[-1]["freed"], done.events[-1]["forgotten"]) == (1, 0)
    assert [(exchange.method, exchange.status) for exchange in registry.log] == [("DELETE", 204)]
    assert (await command("resume", "--list", home=tmp_path)).out == "nothing is under way\n"
    assert (await command("resume", "--cancel", home=tmp_path)).out == "nothing is under way\n"


async def test_giving_up_signs_in(embedded_with: EmbeddedFactory, tmp_path: Path) -> None:
    trouble = Breakdown(after=5)
    registry = await embedded_with(Options(hook=trouble.hook, auth=Token(users={"me": PASSWORD})))
    write_sample_store(tmp_path / ".ollama/models", weights=24_000_000)
    login = ["--username", "me", "--password-stdin"]
    flags = ["--to", f"{registry.host}/", "--chunk-size", str(CHUNK), "--retries", "0", *login]
    assert (await command("push", "me/tiny", *flags, home=tmp_path, stdin=f"{PASSWORD}\n")).code == 6
    journal = b"".join(path.read_bytes() for path in (tmp_path / ".local/state/registry-push").iterdir())
    assert PASSWORD.encode() not in journal
    assert (await resume(tmp_path, "--cancel")).events[-1]["forgotten"] == 1  # it may not; then it is only forgotten
    assert (await command("push", "me/tiny", *flags, home=tmp_path, stdin=f"{PASSWORD}\n")).code == 6
    done = await command("resume", "--cancel", "--json", *login, home=tmp_path, stdin=f"{PASSWORD}\n")
    assert done.events[-1]["freed"] == 1


async def test_giving_up_at_the_real_registry_frees_its_disk(docker_registry: DockerRegistry, tmp_path: Path) -> None:
    write_sample_store(tmp_path / ".ollama/models", name="me/given-up", weights=64_000_000)
    flags = ["--to", f"{docker_registry.host}/", "--chunk-size", str(CHUNK), "--bwlimit", "20MB", "--json"]
    process = await start_command("push", "me/given-up", *flags, home=tmp_path)
    assert process.stdout is not None
    # Once more than a chunk has gone, one is acknowledged.
    while json.loads(await process.stdout.readline()).get("offset", 0) <= 2 * CHUNK:
        pass
    process.terminate()
    await process.communicate()
    assert process.returncode == 130
    uploads = docker_registry.root / "docker/registry/v2/repositories/me/given-up/_uploads"
    assert sum(path.stat().st_size for path in uploads.glob("*/data")) >= CHUNK
    done = await resume(tmp_path, "--cancel")
    assert done.events[-1]["freed"] == 1, done.err
    assert list(uploads.glob("*/data")) == []  # 2.8 leaves a file of 100 bytes, the hash's state, to its own purging


@pytest.mark.attack("S1")
async def test_giving_up_at_a_registry_that_is_away_forgets_with_a_warning(
    embedded_with: EmbeddedFactory, tmp_path: Path
) -> None:
    away = False

    async def hook(request: web.Request) -> web.StreamResponse | None:
        if away and request.transport is not None:
            request.transport.abort()
        return await trouble.hook(request)

    trouble = Breakdown(after=5)
    registry = await embedded_with(Options(hook=hook))
    await interrupted(registry, tmp_path)
    away = True
    done = await resume(tmp_path, "--cancel", "--retries", "0")
    assert done.code == 0, done.err
    assert (done.events[-1]["freed"], done.events[-1]["forgotten"]) == (0, 1)
    assert ["could not be freed" in event["message"] for event in done.events if event["event"] == "warning"] == [True]
    away = False
    assert (await command("resume", "--list", home=tmp_path)).out == "nothing is under way\n"


@pytest.mark.parametrize(
    ("pattern", "matches"),
    [("{host}", True), ("{host}/me", True), ("{host}/me/*", True), ("{host}/m", False), ("other.example.com", False)],
)
async def test_targets_choose(embedded_with: EmbeddedFactory, tmp_path: Path, pattern: str, matches: bool) -> None:
    registry = await embedded_with(Options(hook=Breakdown(after=5).hook))
    await interrupted(registry, tmp_path)
    listed = (await resume(tmp_path, "--list", pattern.format(host=registry.host))).events[-1]
    assert [len(listed["pushes"]), len(listed["uploads"])] == [matches, matches]


async def test_a_model_that_is_gone_since_is_said(embedded_with: EmbeddedFactory, tmp_path: Path) -> None:
    registry = await embedded_with(Options(hook=Breakdown(after=5).hook))
    await interrupted(registry, tmp_path)
    (tmp_path / ".ollama/models/manifests/registry.ollama.ai/me/tiny/latest").unlink()
    done = await resume(tmp_path)
    assert done.code == 3
    assert "me/tiny" in done.err + done.out


async def test_what_another_process_sends_is_left_to_it(embedded_with: EmbeddedFactory, tmp_path: Path) -> None:
    registry = await embedded_with(Options(hook=Breakdown(after=5).hook))
    await interrupted(registry, tmp_path)
    state = tmp_path / ".local/state/registry-push"
    journal = Journal(state, lambda _: None)
    try:
        async with journal.held(journal.entries()[0].key, lambda: None):
            done = await resume(tmp_path, "--cancel")
    finally:
        journal.close()
    assert done.events[-1]["busy"] == 1
    assert len((await resume(tmp_path, "--list")).events[-1]["uploads"]) == 1
