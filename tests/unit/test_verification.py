"""When content counts as verified: hashed along, beside, or taken for granted; and hashed anew where it changed."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from registry_push.content.base import FileIdentity
from registry_push.content.body import BytesBody, FileBody
from registry_push.content.hashing import Hasher, RunningHash
from registry_push.errors import BlobCorrupt, unwrapped
from registry_push.model import Descriptor, Digest
from registry_push.protocol.upload.chunks import Span
from registry_push.registry import hash_cache as trust
from registry_push.registry.hash_cache import HashCache
from registry_push.registry.keeper import KeepNothing
from registry_push.registry.verification import InDoubt, Verification
from registry_push.settings import Verify

CONTENT = os.urandom(9_000_000)  # small blobs are always hashed, and not noted
BLOB = Descriptor("application/vnd.ollama.image.model", Digest.of(CONTENT), len(CONTENT))


class Remembers(KeepNothing):
    """Keeps what was verified."""

    def __init__(self) -> None:
        self.known: dict[FileIdentity, Digest] = {}

    def verified(self, file: FileIdentity) -> Digest | None:
        return self.known.get(file)

    def verify(self, file: FileIdentity, digest: Digest) -> None:
        self.known[file] = digest


class Stage:
    """A file, and what hashes it; `hashed` counts the bytes that were hashed beside or at the end."""

    def __init__(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path.write_bytes(CONTENT)
        self.path, self.body = path, FileBody(path.open("rb", buffering=0))
        self.hasher, self.keeper, self.hashed = Hasher(), Remembers(), 0
        finish = Hasher.finish

        async def counted(hasher: Hasher, body: FileBody, running: RunningHash, *, end: int | None = None) -> None:
            before = running.offset
            await finish(hasher, body, running, end=end)
            self.hashed += running.offset - before

        monkeypatch.setattr(Hasher, "finish", counted)
        monkeypatch.setattr(trust, "_RACY", 0)

    def verification(self, group: asyncio.TaskGroup, mode: Verify = "changed", *, exact: bool = False) -> Verification:
        return Verification(group, BLOB, self.body, self.hasher, HashCache(mode, self.keeper), exact=exact)

    async def read(self, running: RunningHash | None, start: int, stop: int) -> None:
        async for _ in self.hasher.pieces(self.body, start, stop - start, running, at_once=100_000):
            pass


@pytest.fixture
async def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Stage]:
    stage = Stage(tmp_path / "blob", monkeypatch)
    yield stage
    await stage.body.close()
    stage.hasher.close()


async def test_what_is_read_in_order_is_hashed_along(stage: Stage) -> None:
    async with asyncio.TaskGroup() as group:
        content = stage.verification(group)
        for start, stop in ((0, 1_000_000), (500_000, 2_000_000), (2_000_000, BLOB.size)):  # the second goes back
            running = content.along(start)
            assert running is not None
            await stage.read(running, start, stop)
        assert content.along(0) is None, "nothing is left to be hashed"
        await content.settle()
    assert stage.hashed == 0
    assert stage.keeper.known == {stage.body.opened_as: BLOB.digest}


async def test_a_whole_blob_may_be_checked_as_its_last_byte_goes(stage: Stage) -> None:
    async with asyncio.TaskGroup() as group:
        content = stage.verification(group)
        assert content.may_settle_along(0) and not content.may_settle_along(1)
        running = content.along(0)
        assert running is not None
        await stage.read(running, 0, 1_000_000)
        with pytest.raises(BlobCorrupt):
            content.check(running)
        content.remember()
        assert stage.keeper.known == {}
        assert not content.may_settle_along(0), "what goes again from the start is not hashed again"
        await stage.read(running, 0, BLOB.size)
        content.check(running)
        content.remember()
    assert stage.keeper.known == {stage.body.opened_as: BLOB.digest}


async def test_what_was_not_read_is_hashed_at_the_end(stage: Stage) -> None:
    async with asyncio.TaskGroup() as group:
        content = stage.verification(group)
        await stage.read(content.along(0), 0, 1_000_000)
        await content.settle()
    assert stage.hashed == BLOB.size - 1_000_000


async def test_from_the_middle_on_all_is_hashed_beside(stage: Stage) -> None:
    async with asyncio.TaskGroup() as group:
        content = stage.verification(group)
        assert content.along(2_000_000) is None
        assert content.along(0) is None, "a second hash of the same would be work done twice"
        await content.settle()
    assert stage.hashed == BLOB.size


async def test_what_is_known_is_not_hashed_until_it_is_distrusted(stage: Stage) -> None:
    stage.keeper.verify(stage.body.identity, BLOB.digest)
    async with asyncio.TaskGroup() as group:
        content = stage.verification(group)
        assert content.along(0) is None
        await content.settle()
        assert stage.hashed == 0
        content.distrust()
        await content.settle()
    assert stage.hashed == BLOB.size


async def test_a_touched_file_is_hashed_again_and_a_changed_one_refused(stage: Stage) -> None:
    async with asyncio.TaskGroup() as group:
        content = stage.verification(group)
        await content.settle()
        os.utime(stage.path)
        await content.settle()
        assert stage.hashed == 2 * BLOB.size
        with stage.path.open("r+b") as file:
            file.write(bytes([CONTENT[0] ^ 1]))
        with pytest.raises(BlobCorrupt, match="nothing of it was committed"):
            await content.settle()


async def test_never_hashes_not_even_what_was_touched(stage: Stage) -> None:
    async with asyncio.TaskGroup() as group:
        content = stage.verification(group, "never")
        assert content.along(0) is None
        os.utime(stage.path)
        await content.settle()
    assert stage.hashed == 0


async def test_wrong_content_that_is_hashed_beside_ends_its_group(stage: Stage) -> None:
    with stage.path.open("r+b") as file:
        file.write(bytes([CONTENT[0] ^ 1]))
    with pytest.raises(BaseExceptionGroup) as caught:
        async with asyncio.TaskGroup() as group:
            stage.verification(group).hash_beside()
            await asyncio.Event().wait()
    assert isinstance(unwrapped(caught.value), BlobCorrupt)


async def test_parts_have_their_md5_and_are_hashed_though_they_are_known(stage: Stage) -> None:
    stage.keeper.verify(stage.body.identity, BLOB.digest)
    async with asyncio.TaskGroup() as group:
        content = stage.verification(group)
        content.hash_beside([1_000_000, BLOB.size])
        await content.settle()
        assert len(content.md5s) == 2
    assert stage.hashed == BLOB.size


async def test_a_body_that_is_no_file_is_hashed(stage: Stage) -> None:
    async with asyncio.TaskGroup() as group:
        content = Verification(group, BLOB, BytesBody(CONTENT), stage.hasher, HashCache("changed", stage.keeper))
        assert content.along(0) is None
        await content.settle()
    assert stage.hashed == BLOB.size
    assert stage.keeper.known == {}


@pytest.mark.parametrize("first", [0, 100_000])
async def test_a_registry_that_has_more_than_it_first_said_is_sent_nothing_behind_what_was_wrong(
    stage: Stage, first: int
) -> None:
    """It told how much had come by then; the rest came after, and is not the file's any more."""
    flip(stage.path, 1_500_000)
    async with asyncio.TaskGroup() as group:
        content = stage.verification(group, exact=True)
        await stage.read(content.sending(Span(0, BLOB.size)), 0, 2_500_000)
        await content.go_back(first)
        content.sending(Span(first, BLOB.size))  # nothing of it goes
        flip(stage.path, 1_500_000)
        with pytest.raises(InDoubt):
            await content.go_back(2_000_000)


async def test_what_was_right_each_time_goes_on(stage: Stage) -> None:
    async with asyncio.TaskGroup() as group:
        content = stage.verification(group, exact=True)
        await stage.read(content.sending(Span(0, BLOB.size)), 0, 2_500_000)
        for start in (100_000, 2_000_000, 2_800_000):
            await content.go_back(start)
            await stage.read(content.sending(Span(start, BLOB.size)), start, start)
        await stage.read(content.along(2_800_000), 2_800_000, BLOB.size)
        await content.settle()


def flip(path: Path, offset: int) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ 1]))
