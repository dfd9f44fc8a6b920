"""The embedded registry's broken sessions, portals, drips and echoes, and what the judge says of them."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Awaitable, Callable
from pathlib import Path

import aiohttp
import pytest

from registry_push.embedded import Basic, EmbeddedRegistry, Fault, On, Options, Schedule, What
from tests.support.wire import Wire, digest_of

from .clock import run
from .ledger import Broken, End
from .promises import Judge
from .stage import REPOSITORY, Source

CHUNK = bytes(range(256)) * 256

Play = Callable[[Wire, EmbeddedRegistry], Awaitable[None]]


def played(folder: Path, *faults: Fault, play: Play, auth: Basic | None = None) -> EmbeddedRegistry:
    """The registry after `play` has talked to it."""

    async def main() -> EmbeddedRegistry:
        options = Options(faults=Schedule(faults), auth=auth)
        async with EmbeddedRegistry(folder / "registry", options) as registry, aiohttp.ClientSession() as session:
            await play(Wire(session, registry, REPOSITORY), registry)
            return registry

    return run(main())


def judge_of(folder: Path) -> Judge:
    source = Source.write(folder / "models", (400_000,))
    contents = {**source.contents, source.target: [CHUNK * 4]}
    return Judge(folder / "registry", REPOSITORY, source.manifest, 1000, contents)


# ── a session that is broken for good ─────────────────────────────────────────────────────────────


@pytest.mark.parametrize("on", [On.POST, On.PATCH, On.GET])
@pytest.mark.parametrize("status", [500, 503, 429])
def test_a_broken_session_fails_whatever_it_is_asked_and_the_next_one_works(
    tmp_path: Path, on: On, status: int
) -> None:
    async def play(wire: Wire, registry: EmbeddedRegistry) -> None:
        location = await wire.open()
        if on is not On.POST:
            assert (await wire.send(on.value, location)).status == status
        for _ in range(2):
            assert {(await wire.send(method, location)).status for method in ("GET", "PATCH", "DELETE")} == {status}
            assert (await wire.commit(location, digest_of(CHUNK), CHUNK)).status == status
        await wire.push(CHUNK)
        assert len(registry.fired) == 1

    played(tmp_path, Fault(What.BROKEN, on, status=status, form="answer"), play=play)


def test_a_session_that_hangs_never_answers_and_the_next_one_works(tmp_path: Path) -> None:
    async def play(wire: Wire, registry: EmbeddedRegistry) -> None:
        location = await wire.open()
        for method in ("PATCH", "GET", "DELETE"):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(10_000):
                    await wire.send(method, location)
        await wire.push(CHUNK)

    played(tmp_path, Fault(What.BROKEN, On.PATCH, form="hang"), play=play)


def test_what_a_broken_session_held_may_be_sent_again_and_no_other(tmp_path: Path) -> None:
    async def play(wire: Wire, registry: EmbeddedRegistry) -> None:
        spans = {"Content_Range": f"0-{len(CHUNK) - 1}"}
        first = await wire.patch(await wire.open(), CHUNK, **spans)
        assert first.status == 202
        await wire.send("GET", first.headers["Location"])
        assert (await wire.patch(await wire.open(), CHUNK, **spans)).status == 202

    judge = judge_of(tmp_path)
    broken = played(tmp_path, Fault(What.BROKEN, On.GET, form="answer"), play=play)
    judge.check_resent(broken, [End(100, 100, 6)])
    well = played(tmp_path, play=play)
    with pytest.raises(Broken, match="P2"):
        judge.check_resent(well, [End(100, 100, 6)])


# ── a captive portal ──────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("form", "status", "length"), [("page", 200, True), ("chunked", 200, False), ("empty", 204, False)]
)
def test_a_portal_answers_everything_for_a_while(tmp_path: Path, form: str, status: int, length: bool) -> None:
    async def play(wire: Wire, registry: EmbeddedRegistry) -> None:
        assert (await wire.send("GET", "/v2/")).status == 200
        for method, target in [
            ("POST", f"{wire.base}/blobs/uploads/"),
            ("PUT", f"{wire.base}/manifests/latest"),
            ("GET", "/token"),
        ]:
            reply = await wire.send(method, target, b"{}" if method == "PUT" else None)
            assert reply.status == status and ("Content-Length" in reply.headers) == length
            assert status == 204 or (b"<title>" in reply.body and "text/html" in reply.headers["Content-Type"])
        await wire.push(CHUNK)
        assert len(registry.fired) == 1

    played(tmp_path, Fault(What.PORTAL, On.ANY, 2, 3, form=form), play=play)


def test_success_without_a_manifest_at_the_registry_is_a_broken_promise(tmp_path: Path) -> None:
    async def play(wire: Wire, registry: EmbeddedRegistry) -> None:
        assert (await wire.send("PUT", f"{wire.base}/manifests/latest", b"{}")).status == 200

    registry = played(tmp_path, Fault(What.PORTAL, On.ANY, form="page"), play=play)
    with pytest.raises(Broken, match="P7: success, and no manifest"):
        judge_of(tmp_path).after_push(registry, 0, None)


def test_what_a_portal_acknowledges_may_be_sent_again(tmp_path: Path) -> None:
    async def play(wire: Wire, registry: EmbeddedRegistry) -> None:
        spans, location = {"Content_Range": f"0-{len(CHUNK) - 1}"}, await wire.open()
        assert (await wire.patch(location, CHUNK, **spans)).status == 200
        assert (await wire.patch(location, CHUNK, **spans)).status == 202

    registry = played(tmp_path, Fault(What.PORTAL, On.ANY, 2, form="page"), play=play)
    judge_of(tmp_path).check_resent(registry, [End(100, 100, 6)])


# ── drips ─────────────────────────────────────────────────────────────────────────────────────────

_DRIPS = [
    ("HEAD", "head", b"HTTP/1.1 404 OK"),
    ("HEAD", "body", b"X-Drip: aaaa"),
    ("HEAD", "informational", b"HTTP/1.1 103 Early Hints"),
    ("GET", "body", b"Content-Length: 1000000\r\n\r\naaaa"),
    ("GET", "chunk", b"\r\n\r\n1;aaaa"),
]


async def ask(registry: EmbeddedRegistry, method: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection on which a blob that is not there is asked for."""
    host, _, port = registry.host.partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(f"{method} /v2/a/blobs/{digest_of(b'')} HTTP/1.1\r\nHost: {registry.host}\r\n\r\n".encode())
    return reader, writer


@pytest.mark.parametrize(("method", "form", "sent"), _DRIPS)
def test_who_waits_for_a_drip_waits_long_and_the_judge_says_so(
    tmp_path: Path, method: str, form: str, sent: bytes
) -> None:
    async def play(_: Wire, registry: EmbeddedRegistry) -> None:
        began = asyncio.get_running_loop().time()
        reader, writer = await ask(registry, method)
        assert sent in await reader.read()
        assert asyncio.get_running_loop().time() - began >= 1200
        writer.close()

    registry = played(tmp_path, Fault(What.DRIP, On(method), form=form), play=play)
    assert len(registry.endured) == 1
    with pytest.raises(Broken, match="P6: an answer was waited for"):
        judge_of(tmp_path).after_push(registry, 6, None)


@pytest.mark.parametrize(("method", "form", "sent"), _DRIPS)
def test_who_hangs_up_on_a_drip_is_not_blamed(tmp_path: Path, method: str, form: str, sent: bytes) -> None:
    async def play(_: Wire, registry: EmbeddedRegistry) -> None:
        reader, writer = await ask(registry, method)
        await reader.readuntil(sent)
        writer.close()
        await asyncio.sleep(3600)  # no time passes: see clock.py

    registry = played(tmp_path, Fault(What.DRIP, On(method), form=form), play=play)
    assert len(registry.fired) == 1 and registry.endured == []


# ── echoes ────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("form", ["json", "text", "page"])
@pytest.mark.parametrize("status", [400, 403, 500])
def test_an_echo_repeats_who_asked_and_where_and_the_judge_looks_for_it(tmp_path: Path, form: str, status: int) -> None:
    word = "an echoed word"
    encoded = base64.b64encode(f"me:{word}".encode()).decode()

    async def play(wire: Wire, registry: EmbeddedRegistry) -> None:
        target = f"{wire.base}/blobs/uploads/1?_state=a%2Fstate+or-two"
        reply = await wire.send("PATCH", target, b"", {"Authorization": f"Basic {encoded}"})
        assert reply.status == status
        assert all(part.encode() in reply.body for part in (encoded, word, "_state=a%2Fstate"))

    fault = Fault(What.ECHO, On.PATCH, status=status, form=form)
    registry = played(tmp_path, fault, play=play, auth=Basic({"me": word}))
    assert registry.echoed == {encoded, word, "a%2Fstate+or-two", "a/state+or-two"}
    judge = judge_of(tmp_path)
    judge.after_push(registry, 6, None, "nothing of that")
    with pytest.raises(Broken, match="P3: 'an echoed word'"):
        judge.after_push(registry, 6, None, f"refused with {word}")
