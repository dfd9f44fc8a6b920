"""The first Ctrl-C or SIGTERM ends a pause, wherever the push is just then; a registry may have asked for minutes."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from aiohttp import web

from registry_push.content.ollama.source import OllamaStore
from registry_push.embedded import Options, Token
from registry_push.embedded.sample import write_sample_store
from registry_push.model import UploadKey
from registry_push.state.journal import Journal
from tests.support.command import command, start_command
from tests.support.registries import EmbeddedFactory
from tests.support.stores import weights_of

LARGE = 24_000_000
CHUNK = 2_000_000

WHERE: dict[str, Callable[[web.Request], bool]] = {
    "the first question": lambda request: request.method == "HEAD" and "/manifests/" in request.path,
    "the token": lambda request: request.path == "/token",
    "a blob's HEAD": lambda request: request.method == "HEAD" and "/blobs/" in request.path,
    "the POST": lambda request: request.method == "POST",
    "a chunk": lambda request: request.method == "PATCH",
    "the closing PUT": lambda request: request.method == "PUT" and "/uploads/" in request.path,
    "the manifest": lambda request: request.method == "PUT" and "/manifests/" in request.path,
}


class Busy:
    """Asks whoever comes where it `is_here` to come again in five minutes, while it is busy."""

    def __init__(self, is_here: Callable[[web.Request], bool]) -> None:
        self.is_here = is_here
        self.is_busy = True

    async def hook(self, request: web.Request) -> web.StreamResponse | None:
        if self.is_busy and self.is_here(request):
            await request.read()
            return web.Response(status=429, headers={"Retry-After": "300"})
        return None


@pytest.mark.parametrize("which", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("where", WHERE)
async def test_the_first_signal_ends_a_pause_of_minutes(
    embedded_with: EmbeddedFactory, tmp_path: Path, where: str, which: signal.Signals
) -> None:
    busy = Busy(WHERE[where])
    auth = Token(users={"me": "word"}, anonymous_pull=True) if where == "the token" else None
    registry = await embedded_with(Options(hook=busy.hook, auth=auth))
    write_sample_store(tmp_path / ".ollama/models", weights=LARGE)
    blob, _ = weights_of(OllamaStore(tmp_path / ".ollama/models"))
    login = {"REGISTRY_PUSH_USERNAME": "me", "REGISTRY_PUSH_PASSWORD": "word"} if auth else {}
    arguments = ["push", "me/tiny", "--to", f"{registry.host}/", "--chunk-size", str(CHUNK)]
    process = await start_command(*arguments, home=tmp_path, **login)
    assert process.stderr is not None
    said = b""
    while b"retrying" not in said:
        said = await process.stderr.readline()
        assert said, "it ended before there was a pause"
    process.send_signal(which)
    _, rest = await process.communicate()
    assert process.returncode == 130
    assert b"run the same command again" in rest
    busy.is_busy = False
    again = await command(*arguments, "--json", home=tmp_path, **login)
    assert again.code == 0, again.err
    sent = sum(each.received for each in registry.log if each.method == "PATCH" and each.status < 300)
    assert sent == blob.size, "nothing that was acknowledged is sent again"


async def test_the_first_signal_ends_the_wait_for_another_process(
    embedded_with: EmbeddedFactory, tmp_path: Path
) -> None:
    registry = await embedded_with(Options())
    write_sample_store(tmp_path / ".ollama/models", weights=LARGE)
    blob, _ = weights_of(OllamaStore(tmp_path / ".ollama/models"))
    journal = Journal(tmp_path / ".local/state/registry-push", lambda _: None)
    try:
        async with journal.held(UploadKey(f"http://{registry.host}", "before", blob.digest), lambda: None):
            process = await start_command("push", "me/tiny", "--to", f"{registry.host}/after", home=tmp_path)
            assert process.stderr is not None
            while b"waiting for another push" not in await process.stderr.readline():
                pass
            process.send_signal(signal.SIGINT)
            await process.communicate()
    finally:
        journal.close()
    assert process.returncode == 130


@pytest.mark.parametrize("what", ["manifests", "blobs"])
async def test_the_first_signal_ends_a_question_that_nobody_answers(
    embedded_with: EmbeddedFactory, tmp_path: Path, what: str
) -> None:
    asked, over = asyncio.Event(), asyncio.Event()

    async def hang(request: web.Request) -> web.StreamResponse | None:
        if request.method == "HEAD" and f"/{what}/" in request.path:
            asked.set()
            await over.wait()
        return None

    registry = await embedded_with(Options(hook=hang))
    write_sample_store(tmp_path / ".ollama/models", weights=LARGE)
    process = await start_command("push", "me/tiny", "--to", f"{registry.host}/", home=tmp_path)
    await asked.wait()
    process.send_signal(signal.SIGINT)
    try:
        async with asyncio.timeout(30):
            _, err = await process.communicate()
    finally:
        over.set()
    assert process.returncode == 130
    assert b"stopped before" in err and b"Traceback" not in err
