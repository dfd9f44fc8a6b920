"""`registry-push serve` as a process: where it listens, and how it stops."""

from __future__ import annotations

import asyncio
import json
import resource
import signal
import socket
import stat
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from registry_push.auth.identity import Identity
from registry_push.embedded import EmbeddedRegistry, Options
from tests.support.command import command, start_command
from tests.support.registries import EmbeddedFactory
from tests.support.service import lines_of, running, sample

LARGE = 12_000_000
CHUNK = 1_000_000


class HoldAt:
    """A hook that holds back one PATCH, counted from 1, until `open` is set."""

    def __init__(self, number: int) -> None:
        self._left = number
        self.arrived = asyncio.Event()
        self.open = asyncio.Event()

    async def __call__(self, request: web.Request) -> web.StreamResponse | None:
        self._left -= request.method == "PATCH"
        if request.method == "PATCH" and not self._left:
            self.arrived.set()
            await self.open.wait()
        return None


async def said(log: list[str], words: str) -> None:
    """Returns when the service has logged `words`."""
    async with asyncio.timeout(30):
        while not any(words in line for line in log):
            await asyncio.sleep(0)


@pytest.mark.parametrize("which", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_finishes_the_chunk_tells_the_clients_and_ends_with_0(
    embedded_with: EmbeddedFactory, tmp_path: Path, which: signal.Signals
) -> None:
    hold = HoldAt(4)
    registry = await embedded_with(Options(hook=hold))
    model = sample(tmp_path, registry.host, weights=LARGE)
    arguments = ("--models", str(tmp_path / "models"), "--chunk-size", str(CHUNK))
    async with running(*arguments, home=tmp_path) as service, aiohttp.ClientSession() as session:
        async with session.post(f"{service.url}/api/push", json={"model": model}) as answer:
            await hold.arrived.wait()
            service.process.send_signal(which)
            await said(service.log, f"{which.name}: finishing the chunks under way")
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection("127.0.0.1", service.port)
            hold.open.set()
            lines = await lines_of(answer)
        assert await service.process.wait() == 0
    assert "push again" in lines[-1]["error"]
    patched = [exchange for exchange in registry.log if exchange.method == "PATCH"]
    assert [exchange.status for exchange in patched] == [202] * 4, "the chunk under way was finished, none begun"
    async with (
        running(*arguments, home=tmp_path) as service,
        aiohttp.ClientSession() as session,
        session.post(f"{service.url}/api/push", json={"model": model}) as answer,
    ):
        lines = await lines_of(answer)
    assert lines[-1] == {"status": "success"}
    sent = sum(exchange.received for exchange in registry.log if exchange.method in ("PATCH", "PUT"))
    assert sent < LARGE + CHUNK, "what was acknowledged is not sent again by another process"


async def test_a_second_signal_ends_at_once_with_130(embedded_with: EmbeddedFactory, tmp_path: Path) -> None:
    hold = HoldAt(1)
    registry = await embedded_with(Options(hook=hold))
    model = sample(tmp_path, registry.host, weights=LARGE)
    async with (
        running("--models", str(tmp_path / "models"), home=tmp_path) as service,
        aiohttp.ClientSession() as session,
        session.post(f"{service.url}/api/push", json={"model": model}) as answer,
    ):
        await hold.arrived.wait()
        service.process.send_signal(signal.SIGTERM)
        await said(service.log, "finishing the chunks")
        service.process.send_signal(signal.SIGTERM)
        lines = await lines_of(answer)
        assert await service.process.wait() == 130
    assert "stopped" in lines[-1]["error"], "clients are told even then"
    assert not any(exchange.method == "PUT" and "manifests" in exchange.target for exchange in registry.log)


async def test_idle_it_ends_with_0_whoever_is_connected(tmp_path: Path) -> None:
    async with running(home=tmp_path) as service, aiohttp.ClientSession() as session:
        async with session.get(f"{service.url}/") as answer:
            assert answer.status == 200
        service.process.send_signal(signal.SIGTERM)
        assert await service.process.wait() == 0
    assert not any("Traceback" in line or "ERROR" in line for line in service.log)


async def test_it_takes_as_many_files_as_it_may(tmp_path: Path) -> None:
    """A hundred pushes of sixty blobs each hold 2,844 files at once; a shell gives 1,024."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (1024, before[1]))
    try:
        async with running(home=tmp_path) as service:
            assert resource.prlimit(service.process.pid, resource.RLIMIT_NOFILE) == (before[1], before[1])
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


async def test_an_address_in_use_ends_with_2_and_thinks_of_ollama(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        for done in (
            await command("serve", "--wait-for-store", "--port", port, home=tmp_path),
            await command("serve", "--wait-for-store", home=tmp_path, OLLAMA_HOST=f"127.0.0.1:{port}"),
        ):
            assert done.code == 2
            assert port in done.err and "Ollama itself" in done.err and "Traceback" not in done.err


@pytest.mark.parametrize(
    "arguments",
    [["--port", "70000"], ["--allow-target", "https://x"], ["--unix", "/nowhere/at/all"], ["--host", "no such host"]],
)
async def test_bad_usage_ends_with_2(tmp_path: Path, arguments: list[str]) -> None:
    done = await command("serve", *arguments, "--allow-anonymous", "--wait-for-store", home=tmp_path)
    assert done.code == 2 and "Traceback" not in done.err


async def test_origins_that_nobody_can_mean_end_with_2(tmp_path: Path) -> None:
    done = await command("serve", home=tmp_path, OLLAMA_ORIGINS="https://*.*")
    assert done.code == 2 and "OLLAMA_ORIGINS" in done.err


async def test_a_unix_socket_is_for_this_user_alone(tmp_path: Path) -> None:
    path = tmp_path / "s"
    first = await _started("--unix", str(path), home=tmp_path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    async with (
        aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(path))) as session,
        session.get("http://any.name.at.all/api/version") as answer,
    ):
        assert answer.status == 200
    taken = await command("serve", "--wait-for-store", "--unix", str(path), home=tmp_path)
    assert taken.code == 2 and path.exists(), "a service that lives keeps its socket"
    first.kill()
    await first.communicate()
    second = await _started("--unix", str(path), home=tmp_path)
    second.send_signal(signal.SIGTERM)
    await second.communicate()
    assert second.returncode == 0


async def _started(*arguments: str, home: Path) -> asyncio.subprocess.Process:
    process = await start_command("serve", "--wait-for-store", *arguments, home=home)
    assert process.stderr is not None
    while b"listening on unix" not in (line := await process.stderr.readline()):
        assert line, "it ended"
    return process


async def test_flags_have_variables_and_lines_in_the_file(tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text('host = "127.0.0.3"\nallow-target = ["a.example", "b.example/x/*"]\n')
    async with running("--config", str(config), home=tmp_path, REGISTRY_PUSH_HOST="127.0.0.2") as service:
        assert any("listening on http://127.0.0.2:" in line for line in service.log)
        async with aiohttp.ClientSession() as session:
            body = json.dumps({"model": "c.example/x/m"})
            async with session.post(f"http://127.0.0.2:{service.port}/api/push", data=body) as answer:
                assert answer.status == 403


async def test_without_a_store_it_does_not_start(tmp_path: Path) -> None:
    done = await command("serve", "--port", "0", home=tmp_path)
    assert done.code == 3
    assert "no Ollama store" in done.err and "--wait-for-store" in done.err


async def test_it_waits_for_a_store_if_it_is_told_to(embedded: EmbeddedRegistry, tmp_path: Path) -> None:
    async with running("--wait-for-store", home=tmp_path) as service, aiohttp.ClientSession() as session:
        async with session.get(f"{service.url}/readyz") as answer:
            assert answer.status == 503
        (tmp_path / ".ollama").mkdir()
        model = sample(tmp_path / ".ollama", embedded.host)
        async with session.get(f"{service.url}/readyz") as answer:
            assert answer.status == 200
        async with session.post(f"{service.url}/api/push", json={"model": model}) as answer:
            assert (await lines_of(answer))[-1] == {"status": "success"}


async def test_its_first_lines_name_the_store_the_key_and_the_targets(tmp_path: Path) -> None:
    sample(tmp_path, "localhost:1")
    key = tmp_path / "key"
    Identity.create(key)
    store = tmp_path / "models"
    arguments = ("--models", str(store), "--key", str(key), "--allow-target", "r.example/ml/*")
    async with running(*arguments, home=tmp_path) as service:
        await said(service.log, f"pushing the models in {store}, signed in with the key SHA256:")
        assert any(f"({key})" in line and "to r.example/ml/*" in line for line in service.log)
    async with running("--models", str(store), home=tmp_path) as service:
        await said(service.log, "signed in with no key and this user's logins, to the registry in each model's name")


async def test_the_log_tells_client_and_duration_of_a_push_and_with_v_of_every_request(
    embedded: EmbeddedRegistry, tmp_path: Path
) -> None:
    model = sample(tmp_path, embedded.host)
    for flag, tells_all in ((), False), (("-v",), True):
        async with running("--models", str(tmp_path / "models"), *flag, home=tmp_path) as service:
            async with aiohttp.ClientSession() as session:
                async with session.get(f"{service.url}/api/version") as answer:
                    assert answer.status == 200
                async with session.post(f"{service.url}/api/push", json={"model": model}) as answer:
                    await answer.read()
            await said(service.log, f"127.0.0.1 POST /api/push {model}: 200 after ")
            assert any("GET /api/version: 200" in line for line in service.log) is tells_all


async def test_a_quiet_log_has_warnings_only(embedded: EmbeddedRegistry, tmp_path: Path) -> None:
    model = sample(tmp_path, embedded.host)
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    listener.close()
    arguments = ("serve", "-q", "--port", str(port), "--models", str(tmp_path / "models"))
    process = await start_command(*arguments, home=tmp_path)
    async with aiohttp.ClientSession() as session:
        async with asyncio.timeout(30):
            while True:
                try:
                    async with session.post(f"http://127.0.0.1:{port}/api/push", json={"model": model}) as answer:
                        assert (await lines_of(answer))[-1] == {"status": "success"}
                    break
                except aiohttp.ClientConnectionError:
                    await asyncio.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    assert await process.communicate() == (b"", b"")


async def test_a_log_in_json_has_an_object_a_line(embedded: EmbeddedRegistry, tmp_path: Path) -> None:
    model = sample(tmp_path, embedded.host)
    arguments = ("serve", "--json", "--port", "0", "--models", str(tmp_path / "models"))
    process = await start_command(*arguments, home=tmp_path)
    assert process.stdout is not None
    first = json.loads(await process.stdout.readline())
    assert first["level"] == "info" and first["message"].startswith("listening on ")
    url = first["message"].partition(" on ")[2]
    async with aiohttp.ClientSession() as session, session.post(f"{url}/api/push", json={"model": model}) as answer:
        await answer.read()
    process.send_signal(signal.SIGTERM)
    out, err = await process.communicate()
    records = [json.loads(line) for line in out.splitlines()]
    (pushed,) = [record for record in records if "client" in record]
    assert {**pushed, "time": "", "seconds": 0, "message": ""} == {
        "time": "", "level": "info", "message": "", "client": "127.0.0.1", "method": "POST", "path": "/api/push",
        "status": 200, "seconds": 0, "model": model,
    }  # fmt: skip
    assert pushed["time"].endswith("Z") and pushed["seconds"] >= 0 and err == b""
