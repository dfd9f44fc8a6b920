"""Who holds an upload: one at a time in a process, whatever its journals, loops and threads, and among processes."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from registry_push.model import Digest, UploadKey
from registry_push.state.journal import Journal
from registry_push.state.locks import Held, is_held, slot_of

pytestmark = pytest.mark.attack("S15")

KEY = UploadKey("https://r.example", "a/b", Digest.of(b"blob"))
ELSEWHERE = UploadKey("https://r.example", "c/d", Digest.of(b"blob"))
OTHER = UploadKey("https://r.example", "a/b", Digest.of(b"another"))

IS_HELD = """
import sys
from pathlib import Path
from registry_push.state.journal import Journal
from registry_push.registry.keeper import UploadKey
from registry_push.model import Digest

journal = Journal(Path(sys.argv[1]), print)
print(journal.is_held(UploadKey("https://r.example", "a/b", Digest.of(b"blob"))))
journal.close()
"""

FORKS = """
import asyncio, os, sys
from pathlib import Path
from registry_push.state.journal import Journal
from registry_push.registry.keeper import UploadKey
from registry_push.model import Digest

KEY = UploadKey("https://r.example", "a/b", Digest.of(b"blob"))
journal = Journal(Path(sys.argv[1]), print)
manager = journal.held(KEY, lambda: None)
runner = asyncio.Runner()
runner.run(manager.__aenter__())
child = os.fork()
if not child:
    print(Journal(Path(sys.argv[1]), print).is_held(KEY), flush=True)
    os._exit(0)
os.waitpid(child, 0)
print(journal.is_held(KEY))
"""


def never() -> None:
    raise AssertionError("nobody else has it")


@pytest.fixture
def journals(tmp_path: Path) -> Iterator[list[Journal]]:
    made = [Journal(tmp_path / "state", lambda _: None) for _ in range(3)]
    yield made
    for journal in made:
        journal.close()


def is_held_by_another(folder: Path) -> bool:
    """What another process finds."""
    done = subprocess.run([sys.executable, "-c", IS_HELD, str(folder)], capture_output=True, text=True, check=True)
    return done.stdout.strip() == "True"


async def test_two_journals_of_one_process_keep_each_other_out(journals: list[Journal]) -> None:
    one, two, three = journals
    order: list[str] = []
    waits = asyncio.Event()

    async def second() -> None:
        async with two.held(ELSEWHERE, waits.set):
            order.append("second")

    async with one.held(KEY, never):
        assert two.is_held(KEY) and one.is_held(ELSEWHERE) and not two.is_held(OTHER)
        task = asyncio.create_task(second())
        await waits.wait()
        async with three.held(OTHER, never):
            order.append("first")
    await task
    assert order == ["first", "second"]
    assert not any(journal.is_held(KEY) for journal in journals)


async def test_a_journal_that_is_closed_leaves_the_others_their_locks(journals: list[Journal], tmp_path: Path) -> None:
    one, two, _ = journals
    async with one.held(KEY, never):
        two.close()
        Journal(tmp_path / "state", lambda _: None).close()
        assert is_held_by_another(tmp_path / "state")
    assert not is_held_by_another(tmp_path / "state")


async def test_the_last_journal_that_is_closed_lets_go(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "state", lambda _: None)
    async with journal.held(KEY, never):
        journal.close()
        assert not is_held_by_another(tmp_path / "state")


async def test_without_a_journal_a_process_keeps_itself_from_sending_twice(journals: list[Journal]) -> None:
    slot = slot_of(KEY.origin, KEY.digest)
    async with Held(slot, None, never):
        assert is_held(slot, None) and journals[0].is_held(KEY)
    async with journals[0].held(KEY, never):
        assert is_held(slot, None)


async def test_one_who_is_cancelled_while_he_waits_takes_nothing(journals: list[Journal]) -> None:
    one, two, _ = journals
    waits = asyncio.Event()

    async def second() -> None:
        async with two.held(KEY, waits.set):
            raise AssertionError

    async with one.held(KEY, never):
        task = asyncio.create_task(second())
        await waits.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    async with two.held(KEY, never):
        pass


async def test_a_failure_lets_go(journals: list[Journal]) -> None:
    with pytest.raises(ZeroDivisionError):
        async with journals[0].held(KEY, never):
            raise ZeroDivisionError
    assert not journals[1].is_held(KEY)


def test_loops_in_threads_keep_each_other_out(journals: list[Journal]) -> None:
    inside, most, guard = 0, 0, threading.Lock()

    async def work(journal: Journal) -> None:
        nonlocal inside, most
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(journal.held(KEY, lambda: None))
            with guard:
                inside += 1
                most = max(most, inside)
            await asyncio.sleep(0)
            with guard:
                inside -= 1

    async def works(journal: Journal) -> None:
        for _ in range(50):
            await work(journal)

    threads = [threading.Thread(target=lambda each=journal: asyncio.run(works(each))) for journal in journals]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (inside, most) == (0, 1)


def test_a_forked_child_asks_the_kernel_who_holds(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FORKS, str(tmp_path / "state")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["True", "True"], done.stderr
