"""The service for tests: inside this process, with whatever patience, or as the real command."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from registry_push.daemon.access import Access, Origins
from registry_push.daemon.application import Patience, Service
from registry_push.daemon.bounds import Bounds
from registry_push.daemon.running_pushes import RunningPushes
from registry_push.daemon.targets import AllowedTargets
from registry_push.embedded.sample import write_sample_store
from registry_push.events import ignore
from registry_push.settings import Settings
from registry_push.verbs.shared import sharing

from . import leaks
from .command import start_command

LOCAL = Access(guards_host=True, origins=Origins.parse(""))


@dataclass(frozen=True, slots=True)
class Served:
    """A service on 127.0.0.1."""

    port: int
    hub: RunningPushes
    session: aiohttp.ClientSession

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def push(self, model: str, **fields: Any) -> tuple[int, list[dict[str, Any]]]:
        """The status and every line of a push."""
        async with self.session.post(f"{self.url}/api/push", json={"model": model, **fields}) as answer:
            return answer.status, await lines_of(answer)


@asynccontextmanager
async def serving(
    settings: Settings,
    *,
    access: Access = LOCAL,
    targets: AllowedTargets | None = None,
    patience: Patience | None = None,
    send_buffer: int | None = None,
    bounds: Bounds | None = None,
) -> AsyncIterator[Served]:
    """The service over the store that `settings` name, inside this process; `send_buffer` is its sockets' in bytes."""
    assert settings.home is not None
    settings = replace(settings, state_dir=settings.state_dir or settings.home / "state")
    bounds = bounds or Bounds(connections=64)
    async with (
        sharing(settings, ignore, connections=bounds.connections, per_registry=bounds.per_registry) as shared,
        RunningPushes(shared, bounds) as hub,
    ):
        runner = Service(settings, hub, access, targets or AllowedTargets(), patience, bounds=bounds).runner()
        await runner.setup()
        listener = socket.create_server(("127.0.0.1", 0))
        if send_buffer is not None:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer)
        await web.SockSite(runner, listener).start()
        port = runner.addresses[0][1]
        try:
            connector, watched = aiohttp.TCPConnector(limit=0), [_watched_answers()]
            async with aiohttp.ClientSession(connector=connector, trace_configs=watched) as session:
                yield Served(port, hub, session)
        finally:
            hub.cancel()
            await runner.cleanup()


@asynccontextmanager
async def over(folder: Path, **options: Any) -> AsyncIterator[Served]:
    """A service over `folder`/models, which has no login but what a request brings."""
    settings = Settings(home=folder, models=folder / "models", retries=1)
    async with serving(settings, **options) as service:
        yield service


def sample(folder: Path, host: str, *, name: str = "me/tiny", weights: int = 70_000) -> str:
    """The name of a model that belongs to the registry at `host`."""
    return write_sample_store(folder / "models", name=f"{host}/{name}", weights=weights).short


def check_stream(lines: list[dict[str, Any]], blobs: int) -> None:
    """Every line of a whole push, in the contract's order."""
    statuses = [line["status"] for line in lines]
    assert statuses[0] == "retrieving manifest"
    assert statuses[-2:] == ["pushing manifest", "success"]
    assert statuses.count("pushing manifest") == 1
    by_digest: dict[str, list[dict[str, Any]]] = {}
    for line in lines[1:-2]:
        by_digest.setdefault(line["digest"], []).append(line)
    assert len(by_digest) == blobs
    for digest, told in by_digest.items():
        word = f"pushing {digest.removeprefix('sha256:')[:12]}"
        assert told[0]["status"] == word and told[-1] == {
            "status": word,
            "digest": digest,
            "total": told[0]["total"],
            "completed": told[0]["total"],
        }
        starts = [place for place, line in enumerate(told) if line["status"] == "starting upload"]
        assert starts == ([] if len(told) == 1 else [1])
        assert set(told[1]) == {"status", "digest", "total"} if starts else True


async def lines_of(answer: aiohttp.ClientResponse) -> list[dict[str, Any]]:
    """The lines of an NDJSON body, or its one document."""
    text = await answer.text()
    assert "\n\n" not in text
    return [json.loads(line) for line in text.splitlines()]


@dataclass(frozen=True, slots=True)
class Running:
    """`registry-push serve`, running. `log` is what it has said so far."""

    process: asyncio.subprocess.Process
    port: int
    log: list[str]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def peak(self) -> int:
        """The largest resident size so far, in bytes, as the kernel has it."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM:"))


@asynccontextmanager
async def running(*arguments: str, home: Path, **variables: str) -> AsyncIterator[Running]:
    """The real command on a free port, stopped at the end if it still runs."""
    arguments = (*arguments, *([] if "--models" in arguments else ["--wait-for-store"]))
    process = await start_command("serve", "--port", "0", *arguments, home=home, **variables)
    assert process.stderr is not None
    said: list[str] = []
    port = 0
    while not port:
        line = (await process.stderr.readline()).decode()
        assert line, f"serve ended: {said}"
        said.append(line)
        leaks.current().note("the service's log", line)
        if "listening on http://" in line:
            port = int(line.rstrip().rpartition(":")[2])
    reading = asyncio.create_task(_read(process.stderr, said))
    try:
        yield Running(process, port, said)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        await reading


def _watched_answers() -> aiohttp.TraceConfig:
    """Everything that the service answers is an output."""
    config = aiohttp.TraceConfig()

    async def note(_: object, __: object, event: aiohttp.TraceResponseChunkReceivedParams) -> None:
        leaks.current().note("an answer of the service", event.chunk.decode("utf-8", "replace"))

    async def note_headers(_: object, __: object, event: aiohttp.TraceRequestEndParams) -> None:
        leaks.current().note("an answer of the service", str(event.response.headers))

    config.on_response_chunk_received.append(note)
    config.on_request_end.append(note_headers)
    return config


async def _read(stream: asyncio.StreamReader, said: list[str]) -> None:
    while line := await stream.readline():
        said.append(line.decode())
        leaks.current().note("the service's log", line.decode())
