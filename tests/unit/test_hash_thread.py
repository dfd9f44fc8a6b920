"""The thread that hashes beside the one that writes: all of it, in its order, and its errors."""

from __future__ import annotations

import hashlib
import os
import threading
from functools import partial

import pytest

from registry_push.content.hash_thread import HashThread

LONG = 64 * 1024 * 1024


@pytest.fixture(autouse=True)
def two_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    """One processor alone either hashes or writes: no thread is made there."""
    monkeypatch.setattr(os, "cpu_count", lambda: 2)


def _begun() -> HashThread:
    _wait_for_others()
    thread = HashThread.worth(LONG)
    assert thread is not None
    return thread


def _wait_for_others() -> None:
    for each in threading.enumerate():
        if each.name == "hash-beside":
            each.join()


def test_it_hashes_what_goes_through_more_buffers_than_there_are() -> None:
    thread, beside, content = _begun(), hashlib.sha256(), os.urandom(10_000_000)
    names = set()

    def take(piece: memoryview) -> None:
        names.add(threading.current_thread().name)
        beside.update(piece)

    offset = 0
    while offset < len(content):
        buffer = thread.buffer(len(content) - offset)
        buffer[:] = content[offset : offset + len(buffer)]
        thread.hash(partial(take, buffer))
        offset += len(buffer)
    thread.finish()
    thread.close()
    assert beside.digest() == hashlib.sha256(content).digest()
    assert names == {"hash-beside"}


def test_a_buffer_that_stayed_empty_is_used_again() -> None:
    thread = _begun()
    assert thread.buffer(100).obj is thread.buffer(50).obj
    thread.close()


def test_what_hashing_raises_ends_the_wait_for_it_and_no_buffer_is_lost() -> None:
    thread = _begun()

    def fail() -> None:
        raise MemoryError

    for _ in range(10):  # more than there are buffers
        thread.buffer(1)
        thread.hash(fail)
    with pytest.raises(MemoryError):
        thread.finish()
    thread.close()


def test_there_are_half_as_many_as_processors_and_none_for_a_short_body() -> None:
    for _ in range(2):  # those that end make room
        _wait_for_others()
        assert HashThread.worth(1024) is None
        threads = [HashThread.worth(LONG) for _ in range((os.cpu_count() or 1) + 1)]
        began = [thread for thread in threads if thread is not None]
        assert len(began) == max(1, (os.cpu_count() or 1) // 2)
        for thread in began:
            thread.close()
