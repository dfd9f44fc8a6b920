"""Having a registry forget an upload whose Location has become stale."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from registry_push.errors import Refused
from registry_push.events import Event, Warned
from registry_push.model import Digest, UploadKey
from registry_push.protocol.upload.requests import UploadRecord
from registry_push.registry.freeing import freed
from registry_push.settings import Settings
from registry_push.state.journal import Journal
from registry_push.verbs.resume import Freed, UnderWay, give_up, under_way
from tests.support.scripted import NOWHERE, Says, Scripted, Seen, opened

OLD, NEW = "/v2/a/b/blobs/uploads/1", "/v2/a/b/blobs/uploads/1/now"
SCOPES = ("repository:a/b:pull,push",)


def is_stale(server: Scripted, refusal: int) -> None:
    """Distribution 3 after a cut: the status is told at the old address, nothing else is done there."""
    server.on("GET", OLD, Says(204, (("Location", NEW), ("Range", "0-99"))))
    server.on("DELETE", OLD, Says(refusal))
    server.on("DELETE", NEW, Says(204))


@asynccontextmanager
async def given_up(server: Scripted, folder: Path, events: list[Event]) -> AsyncIterator[Freed]:
    """What comes of `resume --cancel` with an upload that a crash has left."""
    journal = Journal(folder, events.append)
    try:
        key = UploadKey(server.origin, "a/b", Digest.of(b"blob"))
        journal.save(key, 1000, UploadRecord(f"{server.origin}{OLD}", 64))
        settings = Settings(home=NOWHERE, retries=0)
        yield await give_up(journal, under_way(journal), settings=settings, sink=events.append)
        assert under_way(journal).uploads == ()
    finally:
        journal.close()


@pytest.mark.parametrize("refusal", [416, 400, 404])
async def test_giving_up_after_a_crash_asks_where_the_upload_is_now(tmp_path: Path, refusal: int) -> None:
    events: list[Event] = []
    async with Scripted() as server:
        is_stale(server, refusal)
        async with given_up(server, tmp_path, events) as done:
            assert (done, events) == (Freed(1, 0, 0), [])
        assert [(each.method, each.path) for each in server.seen][-2:] == [("GET", OLD), ("DELETE", NEW)]


@pytest.mark.parametrize("status", [404, 405, 501])
async def test_a_registry_without_a_status_has_said_all(tmp_path: Path, status: int) -> None:
    async with Scripted() as server:
        server.on("GET", OLD, Says(status))
        server.on("DELETE", OLD, Says(404))
        async with given_up(server, tmp_path, []) as done:
            assert done == Freed(0, 1, 0)
        assert len(server.seen) == 2


async def test_what_can_not_be_freed_is_said(tmp_path: Path) -> None:
    events: list[Event] = []
    async with Scripted() as server:
        server.on("GET", OLD, Says(204))
        server.on("DELETE", OLD, Says(405))
        async with given_up(server, tmp_path, events) as done:
            assert done == Freed(0, 1, 0)
        assert [isinstance(event, Warned) and "could not be freed" in event.message for event in events] == [True]


async def test_a_few_are_freed_at_once_and_told_of_in_the_order_of_the_list(tmp_path: Path) -> None:
    """The first hangs longest."""
    events: list[Event] = []
    journal, first, others = Journal(tmp_path, events.append), asyncio.Event(), asyncio.Event()

    def answer(seen: Seen) -> Says:
        return Says(403, after=first if seen.path.endswith("/0") else others)

    async with Scripted(otherwise=answer) as server:
        for number in range(20):
            key = UploadKey(server.origin, "a/b", Digest.of(f"{number}".encode()))
            journal.save(key, 1000, UploadRecord(f"{server.origin}/v2/a/b/blobs/uploads/{number}", 64))
        wanted = under_way(journal)
        wanted = UnderWay((), tuple(sorted(wanted.uploads, key=lambda each: int(each.record.location.split("/")[-1]))))
        giving_up = asyncio.create_task(
            give_up(journal, wanted, settings=Settings(home=NOWHERE, retries=0), sink=events.append)
        )
        while len(server.seen) < 8:
            await asyncio.sleep(0)
        for _ in range(100):
            await asyncio.sleep(0)
        assert len(server.seen) == 8, "a few at once"
        others.set()
        while len(under_way(journal).uploads) > 1:
            await asyncio.sleep(0)
        assert events == [], "the first is told of first"
        first.set()
        assert await giving_up == Freed(0, 20, 0)
    journal.close()
    told = [event.message.split()[3] for event in events if isinstance(event, Warned)]
    assert told == [each.key.digest.short for each in wanted.uploads]


async def test_a_location_that_was_right_a_moment_ago_is_asked_for_only_if_it_is_refused() -> None:
    async with Scripted() as server, opened(server.origin) as client:
        server.on("DELETE", OLD, Says(204))
        assert (await freed(client, client.url(OLD), SCOPES)).status == 204
        assert len(server.seen) == 1
        is_stale(server, 416)
        assert (await freed(client, client.url(OLD), SCOPES)).status == 204
        assert [each.path for each in server.seen[1:]] == [OLD, OLD, NEW]


async def test_a_status_that_leads_astray_is_not_followed() -> None:
    async with Scripted() as server, opened(server.origin) as client:
        server.on("GET", OLD, Says(204, (("Location", "a b"),)))
        server.on("DELETE", OLD, Says(416))
        with pytest.raises(Refused):
            await freed(client, client.url(OLD), SCOPES)
        assert len(server.requests("DELETE")) == 1
