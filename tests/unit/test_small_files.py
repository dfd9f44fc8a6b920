"""Small files, read from a coroutine: what is opened, how much is read, and what is left open."""

from __future__ import annotations

import asyncio
import os
import threading
from pathlib import Path

import pytest

from registry_push.content.ollama.paths import regular_descriptor
from registry_push.content.small_files import linked_descriptor, read_small_file
from registry_push.errors import OutOfResources

LIMIT = 1000


@pytest.mark.parametrize("size", [0, 1, LIMIT])
async def test_all_of_a_file_is_read(tmp_path: Path, size: int) -> None:
    (tmp_path / "file").write_bytes(os.urandom(size))
    assert await read_small_file(tmp_path / "file", LIMIT) == (tmp_path / "file").read_bytes()


async def test_no_more_than_the_limit_is_taken(tmp_path: Path) -> None:
    with (tmp_path / "file").open("wb") as file:
        file.truncate(10**12)  # all of it would not fit into memory
    with pytest.raises(ValueError, match="has more than 1000 bytes"):
        await read_small_file(tmp_path / "file", LIMIT)


async def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="is a pipe, not a file"):
        await asyncio.wait_for(read_small_file(tmp_path / "pipe", LIMIT), 60)


async def test_links_are_followed_only_if_that_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"content")
    (tmp_path / "link").symlink_to("file")
    with pytest.raises(OSError, match=r"Too many levels of symbolic links"):
        await read_small_file(tmp_path / "link", LIMIT)
    assert await read_small_file(tmp_path / "link", LIMIT, linked_descriptor) == b"content"


async def test_a_read_that_is_cancelled_ends_when_nothing_is_open(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"content")
    opened, goes_on, descriptors = threading.Event(), threading.Event(), list[int]()

    def slow(path: Path) -> int:
        descriptors.append(regular_descriptor(path))
        opened.set()
        assert goes_on.wait(60)
        return descriptors[0]

    reading = asyncio.create_task(read_small_file(tmp_path / "file", LIMIT, slow))
    await asyncio.to_thread(opened.wait, 60)
    for _ in range(2):
        reading.cancel()
        await asyncio.sleep(0)
    goes_on.set()
    with pytest.raises(asyncio.CancelledError):
        await reading
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptors[0])


async def test_without_a_thread_it_is_a_shortage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def none_left(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    (tmp_path / "file").write_bytes(b"content")
    monkeypatch.setattr(threading.Thread, "start", none_left)
    with pytest.raises(OutOfResources, match="no more threads"):
        await read_small_file(tmp_path / "file", LIMIT)
    monkeypatch.undo()  # pytest's own loop starts one at its end
