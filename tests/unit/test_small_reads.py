"""Where small files are read: on the event loop, and in a thread once the disk was slow."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from registry_push.content.ollama.small_reads import ALONE, SmallReads


@pytest.fixture(autouse=True)
def alone() -> None:
    """As in the command."""
    ALONE.set(True)


class Disk:
    """Reads that take as many seconds, by its own clock, as is told."""

    def __init__(self) -> None:
        self.now = 0.0
        self.takes = 0.0
        self.read_in: list[threading.Thread] = []

    def read(self) -> bytes:
        self.read_in.append(threading.current_thread())
        self.now += self.takes
        return b"content"


async def test_a_slow_disk_does_not_hold_the_loop() -> None:
    disk, here = Disk(), threading.current_thread()
    reads = SmallReads(lambda: disk.now)
    for disk.takes in (0.0001, 0.01, 0.01, 0.0001, 0.01, 0.01, 0.01, 0.0001, 0.0001):
        assert await reads.run(disk.read) == b"content"
    assert [thread is here for thread in disk.read_in] == [True] * 7 + [False] * 2


async def test_a_file_that_is_opened_elsewhere_is_handed_over() -> None:
    disk, given = Disk(), list[object]()
    disk.takes = 1.0
    reads = SmallReads(lambda: disk.now)

    async def elsewhere(read: Callable[[], bytes]) -> bytes:
        given.append(read)
        return read()

    for _ in range(4):
        assert await reads.run(disk.read, elsewhere=elsewhere) == b"content"
    assert given == [disk.read]


async def test_a_read_that_fails_raises_and_counts() -> None:
    disk, here = Disk(), threading.current_thread()
    disk.takes = 1.0
    reads = SmallReads(lambda: disk.now)

    def fail() -> bytes:
        disk.read()
        raise OSError("gone")

    for _ in range(4):
        with pytest.raises(OSError, match="gone"):
            await reads.run(fail)
    assert [thread is here for thread in disk.read_in] == [True, True, True, False]
