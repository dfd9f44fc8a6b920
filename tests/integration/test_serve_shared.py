"""Many clients of the service at once: who shares a push with whom, and who may hold up whom."""

from __future__ import annotations

import asyncio
import json
import socket
from pathlib import Path

from aiohttp import web

from registry_push.daemon.application import Patience
from registry_push.embedded import Basic, EmbeddedRegistry, Options
from registry_push.embedded.sample import Layer, config, write_model
from registry_push.model import ModelName
from tests.support.registries import EmbeddedFactory
from tests.support.secrets import PASSWORD
from tests.support.service import check_stream, over, sample
from tests.support.stores import make_many_store

LARGE = 12_000_000  # more than goes in one PUT


class Gate:
    """A hook that lets requests of one method through when it is told to."""

    def __init__(self, method: str) -> None:
        self._method = method
        self.arrived = asyncio.Event()
        self.open = asyncio.Event()

    async def __call__(self, request: web.Request) -> web.StreamResponse | None:
        if request.method == self._method:
            self.arrived.set()
            await self.open.wait()
        return None


def uploads(registry: EmbeddedRegistry) -> int:
    return sum(exchange.method == "POST" and "uploads" in exchange.target for exchange in registry.log)


async def test_two_that_ask_for_the_same_share_one_push(embedded_with: EmbeddedFactory, tmp_path: Path) -> None:
    gate = Gate("PATCH")
    registry = await embedded_with(Options(hook=gate))
    model = sample(tmp_path, registry.host, weights=LARGE)
    async with over(tmp_path) as service:
        first = asyncio.create_task(service.push(model))
        await gate.arrived.wait()
        second = asyncio.create_task(service.push(model))
        async with service.session.post(f"{service.url}/api/push", json={"model": model}) as third:
            assert await third.content.readline() == b'{"status":"retrieving manifest"}\n'
        gate.open.set()
        for _, lines in (await first, await second):
            check_stream(lines, blobs=6)
    assert uploads(registry) == 6, "each blob once"


async def test_the_last_client_that_leaves_ends_its_push_and_a_later_one_goes_on(
    embedded_with: EmbeddedFactory, tmp_path: Path
) -> None:
    gate = Gate("PATCH")
    registry = await embedded_with(Options(hook=gate))
    model = sample(tmp_path, registry.host, weights=LARGE)
    async with over(tmp_path) as service:
        async with service.session.post(f"{service.url}/api/push", json={"model": model}) as answer:
            await answer.content.readline()
            await gate.arrived.wait()
        async with asyncio.timeout(30):
            await service.hub.idle()
        assert not any("manifests" in exchange.target for exchange in registry.log if exchange.method == "PUT")
        gate.open.set()
        _, lines = await service.push(model)
        check_stream(lines, blobs=6)


async def test_a_client_that_does_not_stream_cancels_by_leaving_too(
    embedded_with: EmbeddedFactory, tmp_path: Path
) -> None:
    gate = Gate("PATCH")
    registry = await embedded_with(Options(hook=gate))
    model = sample(tmp_path, registry.host, weights=LARGE)
    async with over(tmp_path) as service:
        push = asyncio.create_task(service.push(model, stream=False))
        await gate.arrived.wait()
        push.cancel()
        async with asyncio.timeout(30):
            await service.hub.idle()


async def test_two_models_with_one_blob_send_it_once(embedded_with: EmbeddedFactory, tmp_path: Path) -> None:
    """To one repository it goes once; to another of the same registry it is mounted."""
    gate = Gate("PATCH")
    registry = await embedded_with(Options(hook=gate))
    one = sample(tmp_path, registry.host, name="me/m:1", weights=LARGE)
    two = sample(tmp_path, registry.host, name="me/m:2", weights=LARGE)
    other = sample(tmp_path, registry.host, name="me/other", weights=LARGE)
    async with over(tmp_path) as service:
        pushes = [asyncio.create_task(service.push(model)) for model in (one, two, other)]
        await gate.arrived.wait()
        gate.open.set()
        for push in pushes:
            _, lines = await push
            check_stream(lines, blobs=6)
    patched = sum(exchange.received for exchange in registry.log if exchange.method == "PATCH")
    assert LARGE <= patched < 1.01 * LARGE


async def test_two_logins_are_two_pushes(embedded_with: EmbeddedFactory, tmp_path: Path) -> None:
    """Nobody rides on the login of another."""
    gate = Gate("PATCH")
    registry = await embedded_with(Options(hook=gate, auth=Basic({"me": PASSWORD})))
    model = sample(tmp_path, registry.host, weights=LARGE)
    async with over(tmp_path) as service:
        good = asyncio.create_task(service.push(model, username="me", password=PASSWORD))
        await gate.arrived.wait()
        status, _ = await service.push(model, username="me", password="guess")
        assert status == 401
        gate.open.set()
        assert (await good)[0] == 200


async def test_a_model_that_changed_meanwhile_is_another_push(embedded_with: EmbeddedFactory, tmp_path: Path) -> None:
    gate = Gate("PATCH")
    registry = await embedded_with(Options(hook=gate))
    model = sample(tmp_path, registry.host, weights=LARGE)
    async with over(tmp_path) as service:
        old = asyncio.create_task(service.push(model))
        await gate.arrived.wait()
        layer = Layer("application/vnd.ollama.image.system", b"You have changed.")
        write_model(tmp_path / "models", ModelName.parse(model), config(), [layer])
        _, lines = await service.push(model)
        check_stream(lines, blobs=2)
        gate.open.set()
        assert (await old)[0] == 200


async def test_a_reader_that_takes_nothing_is_dropped_and_holds_nobody_up(
    embedded: EmbeddedRegistry, tmp_path: Path
) -> None:
    """Its stream of 300 kB finds no room: small buffers in the kernel, 64 KiB in the service."""
    name = make_many_store(tmp_path / "models", layers=1_000, layer_size=16, name=f"{embedded.host}/me/many:1").short
    async with over(tmp_path, patience=Patience(reader=0.2), send_buffer=4096) as service:
        body = json.dumps({"model": name}).encode()
        with socket.socket() as deaf:
            deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            deaf.connect(("127.0.0.1", service.port))
            deaf.sendall(b"POST /api/push HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
            _, lines = await service.push(name)
            check_stream(lines, blobs=1_001)
            deaf.settimeout(30)
            rest = b""
            while more := await asyncio.to_thread(deaf.recv, 65536):
                rest += more
            assert b"success" not in rest and not rest.endswith(b"0\r\n\r\n"), "it was cut off"
