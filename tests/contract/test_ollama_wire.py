"""Parts that an Ollama registry redirects, asked for as Ollama's own client does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from ..support.ollama_wire import Connect, Line, connecting, cut_up, etag_of
from ..support.registries import EmbeddedFactory
from ..support.wire import digest_of

CONTENT = bytes(range(256)) * 40
PARTS = cut_up(CONTENT, 4096)


@pytest.fixture
async def ollama(embedded_with: EmbeddedFactory) -> AsyncIterator[Connect]:
    async with connecting(embedded_with) as connect:
        yield connect


# Parts


async def test_twenty_parts_go_to_the_storage_at_once(ollama: Connect) -> None:
    together = asyncio.Barrier(20)

    async def wait(_: web.Request) -> None:
        await together.wait()

    wire = await ollama(storage_hook=wait)
    parts = cut_up(CONTENT, 512)
    session, targets = await wire.ask_all(await wire.open(), parts)
    assert all(target.startswith(wire.registry.storage_origin + "/") for target in targets)
    replies = await asyncio.gather(*(wire.put(*each) for each in reversed(list(zip(targets, parts, strict=True)))))
    assert {reply.status for reply in replies} == {200}
    reply = await wire.end(session, CONTENT, etag_of(parts))
    assert (reply.status, reply.headers["Docker-Content-Digest"]) == (201, digest_of(CONTENT))
    assert await wire.has(CONTENT)
    assert wire.registry.breaches == []
    assert wire.registry.most_parallel_puts == 20
    assert sum(exchange.received for exchange in wire.registry.storage_log) == len(CONTENT)


async def test_puts_one_after_the_other_are_not_parallel(ollama: Connect) -> None:
    wire = await ollama()
    _, targets = await wire.ask_all(await wire.open(), PARTS)
    for target, part in zip(targets, PARTS, strict=True):
        await wire.put(target, part)
    assert wire.registry.most_parallel_puts == 1


async def test_storage_says_the_md5_of_a_part(ollama: Connect) -> None:
    wire = await ollama()
    _, (target,) = await wire.ask_all(await wire.open(), [b"hello"])
    assert (await wire.put(target, b"hello")).headers["ETag"] == '"5d41402abc4b2a76b9719d911017c592"'


async def test_some_parts_are_stored_by_the_registry_itself(ollama: Connect) -> None:
    wire = await ollama(redirect=lambda first, size: first == 4096 and size == 4096)
    first = await wire.ask(await wire.open(), 0, PARTS[0])
    assert (first.status, "Docker-Upload-Location" in first.headers) == (202, True)
    second = await wire.ask(first.headers["Location"], 4096, PARTS[1])
    assert second.status == 307
    third = await wire.ask(second.headers["Docker-Upload-Location"], 8192, PARTS[2])
    assert third.status == 202
    await wire.put(second.headers["Location"], PARTS[1])
    assert (await wire.end(third.headers["Location"], CONTENT, etag_of(PARTS))).status == 201
    assert await wire.has(CONTENT)
    assert wire.registry.breaches == []


async def test_part_that_may_not_be_redirected_is_stored_here(ollama: Connect) -> None:
    wire = await ollama()
    reply = await wire.ask(await wire.open(), 0, CONTENT, redirect=False)
    assert reply.status == 202
    assert (await wire.end(reply.headers["Location"], CONTENT, None)).status == 201
    assert wire.registry.breaches == []


async def test_empty_blob_has_no_parts(ollama: Connect) -> None:
    wire = await ollama()
    assert (await wire.end(await wire.open(), b"", etag_of([]))).status == 201
    assert await wire.has(b"")
    assert wire.registry.breaches == []


@pytest.mark.parametrize("relative", [False, True])
@pytest.mark.parametrize("headers", [("Location",), ("Docker-Upload-Location",)])
async def test_session_urls_come_as_the_options_say(ollama: Connect, relative: bool, headers: tuple[str, ...]) -> None:
    wire = await ollama(session_in=headers, more={"relative_locations": relative}, redirect=False)
    reply = await wire.send("POST", f"{wire.base}/blobs/uploads/")
    for _ in range(2):
        assert [name for name in ("Location", "Docker-Upload-Location") if name in reply.headers] == list(headers)
        assert reply.headers[headers[0]].startswith("/v2/" if relative else wire.registry.origin)
        reply = await wire.ask(reply.headers[headers[0]], 0, CONTENT)


async def test_presigned_url_is_absolute_where_others_are_not(ollama: Connect) -> None:
    wire = await ollama(more={"relative_locations": True})
    reply = await wire.ask(await wire.open(), 0, CONTENT)
    assert reply.headers["Docker-Upload-Location"].startswith("/v2/")
    assert reply.headers["Location"].startswith(wire.registry.storage_origin)


# Asking again


async def test_expired_url_is_403_and_the_part_is_asked_for_again(ollama: Connect) -> None:
    wire = await ollama(expire_first=1)
    session, (target,) = await wire.ask_all(await wire.open(), [CONTENT])
    refused = await wire.put(target, CONTENT)
    assert (refused.status, b"<Message>Request has expired</Message>" in refused.body) == (403, True)
    again = await wire.ask(session, 0, CONTENT)
    assert again.headers["Location"] != target
    assert (await wire.put(again.headers["Location"], CONTENT)).status == 200
    assert (await wire.end(again.headers["Docker-Upload-Location"], CONTENT, etag_of([CONTENT]))).status == 201
    assert wire.registry.breaches == []


async def test_url_expires_by_the_clock(ollama: Connect) -> None:
    now = [1_000_000.0]
    wire = await ollama(clock=lambda: now[0], lifetime=60)
    _, (target,) = await wire.ask_all(await wire.open(), [CONTENT])
    now[0] += 59
    assert (await wire.put(target, CONTENT)).status == 200
    now[0] += 1
    assert (await wire.put(target, CONTENT)).status == 403


async def test_used_session_url_holds_for_the_same_part(ollama: Connect) -> None:
    """Ollama's x/transfer asks so when the PUT failed, and anyone who never got the answer must."""
    wire = await ollama()
    used = await wire.open()
    newest, _ = await wire.ask_all(used, PARTS)
    again = await wire.ask(used, 0, PARTS[0])
    assert (again.status, again.headers["Docker-Upload-Location"]) == (307, newest)
    assert wire.registry.breaches == []


@pytest.mark.parametrize("asked", [1, 3])
async def test_used_session_url_does_not_hold_for_another_part(ollama: Connect, asked: int) -> None:
    wire = await ollama()
    used = await wire.open()
    await wire.ask_all(used, PARTS[:asked])
    reply = await wire.ask(used, 4096, PARTS[1])
    assert (reply.status, reply.codes) == (400, ["BLOB_UPLOAD_INVALID"])
    assert "used before, for another part" in wire.only_breach


async def test_parts_are_asked_for_in_order(ollama: Connect) -> None:
    wire = await ollama()
    assert (await wire.ask(await wire.open(), 4096, PARTS[1])).status == 400
    assert "the next one begins at 0" in wire.only_breach


async def test_part_put_again_replaces_the_first(ollama: Connect) -> None:
    wire = await ollama()
    session, (target,) = await wire.ask_all(await wire.open(), [b"right"])
    await wire.put(target, b"wrong")
    await wire.put(target, b"right")
    assert (await wire.end(session, b"right", etag_of([b"right"]))).status == 201


async def cut_put(target: str, content: bytes) -> None:
    """A PUT that the server breaks off. By hand: aiohttp's client would send it again, unasked."""
    line = await Line.to(target)
    line.head("PUT", target, Content_Length=len(content))
    line.writer.write(content)
    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        await line.answer()
    await line.close()


async def test_put_that_breaks_off_stores_nothing(ollama: Connect) -> None:
    wire = await ollama(more={"cut_after": len(PARTS[0]) + 1000})
    session, targets = await wire.ask_all(await wire.open(), PARTS)
    await wire.put(targets[0], PARTS[0])
    await cut_put(targets[1], PARTS[1])
    broken = wire.registry.storage_log[-1]
    assert (broken.status, broken.received) == (0, 1000)
    await wire.put(targets[2], PARTS[2])
    reply = await wire.end(session, CONTENT, etag_of(PARTS))
    assert (reply.status, reply.codes) == (400, ["BLOB_UPLOAD_INVALID"])
    assert "part 2 was never stored" in wire.only_breach
    await wire.put(targets[1], PARTS[1])
    assert (await wire.end(session, CONTENT, etag_of(PARTS))).status == 201


async def test_cut_put_leaves_what_was_there_before(ollama: Connect) -> None:
    wire = await ollama(more={"cut_after": len(CONTENT) + 1})
    session, (target,) = await wire.ask_all(await wire.open(), [CONTENT])
    await wire.put(target, CONTENT)
    await cut_put(target, b"x" * len(CONTENT))
    assert (await wire.end(session, CONTENT, etag_of([CONTENT]))).status == 201


# The commit


@pytest.mark.parametrize("etag", [None, "0" * 32 + "-3", etag_of(PARTS)[:-2] + "-4", f'"{etag_of(PARTS)}"', "%"])
async def test_commit_with_a_wrong_etag(ollama: Connect, etag: str | None) -> None:
    wire = await ollama()
    session, targets = await wire.ask_all(await wire.open(), PARTS)
    for target, part in zip(targets, PARTS, strict=True):
        await wire.put(target, part)
    reply = await wire.end(session, CONTENT, etag)
    assert (reply.status, reply.codes) == (400, ["BLOB_UPLOAD_INVALID"])
    assert "etag" in wire.only_breach
    assert (await wire.end(session, CONTENT, etag_of(PARTS))).status == 201


async def test_commit_at_a_used_session_url(ollama: Connect) -> None:
    wire = await ollama()
    used = await wire.open()
    _, (target,) = await wire.ask_all(used, [CONTENT])
    await wire.put(target, CONTENT)
    assert (await wire.end(used, CONTENT, etag_of([CONTENT]))).status == 400
    assert "newest session URL" in wire.only_breach


async def test_commit_of_another_digest(ollama: Connect) -> None:
    wire = await ollama()
    session, (target,) = await wire.ask_all(await wire.open(), [b"damage"])
    await wire.put(target, b"damage")
    reply = await wire.end(session, b"origin", etag_of([b"damage"]))
    assert (reply.status, reply.codes) == (400, ["DIGEST_INVALID"])
    assert "was committed" in wire.only_breach
    gone = await wire.put(target, b"damage")
    assert (gone.status, b"NoSuchUpload" in gone.body) == (404, True)
    assert len(wire.registry.breaches) == 1


async def test_commit_with_a_body(ollama: Connect) -> None:
    wire = await ollama()
    assert (await wire.commit(await wire.open(), digest_of(CONTENT), CONTENT)).status == 400
    assert "no body" in wire.only_breach


async def test_parts_of_different_sizes(ollama: Connect) -> None:
    for sizes in ((6, 5, 1), (5, 6)):
        wire = await ollama()
        content = b"x" * sum(sizes)
        parts = [b"x" * size for size in sizes]
        session, targets = await wire.ask_all(await wire.open(), parts)
        for target, part in zip(targets, parts, strict=True):
            await wire.put(target, part)
        assert (await wire.end(session, content, etag_of(parts))).status == 400
        assert "must have one size" in wire.only_breach


async def test_parts_that_are_too_small(ollama: Connect) -> None:
    wire = await ollama(min_part=5000)
    session, targets = await wire.ask_all(await wire.open(), PARTS)
    for target, part in zip(targets, PARTS, strict=True):
        await wire.put(target, part)
    assert (await wire.end(session, CONTENT, etag_of(PARTS))).status == 400
    assert "smaller than 5000" in wire.only_breach
