"""One push's stream for many readers: complete and in order for each, however slow it is and whenever it comes."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from registry_push.daemon.job import PACE, Job, Reader
from registry_push.errors import Interrupted
from registry_push.events import (
    BlobDone,
    BlobProgress,
    BlobRewound,
    BlobStarted,
    ManifestPushed,
    ModelStarted,
    Placement,
)
from registry_push.model import Descriptor
from tests.support.pushes import MANIFEST, REPO, TARGET, blob


def started(job: Job, blobs: int) -> None:
    job(ModelStarted("me/big:latest", TARGET, blobs, 0))


def moved(job: Job, what: Descriptor, offset: int) -> None:
    job(BlobProgress(REPO, what.digest, offset, what.size))


def done(job: Job, what: Descriptor, placement: Placement = Placement.UPLOADED) -> None:
    job(BlobDone(REPO, what, placement, what.size))


def end(job: Job) -> None:
    job(ManifestPushed(TARGET, MANIFEST, True))
    job.end(None)


async def ready(reader: Reader) -> list[dict[str, Any]]:
    """The lines that are due now."""
    return [json.loads(line) for line in (await reader.next()).splitlines()]


async def everything(reader: Reader) -> list[dict[str, Any]]:
    lines = []
    while more := await ready(reader):
        lines += more
    return lines


def told(what: Descriptor, completed: int | None = None) -> dict[str, Any]:
    """A `pushing` line, or without `completed` the one of its beginning."""
    digest = str(what.digest)
    if completed is None:
        return {"status": "starting upload", "digest": digest, "total": what.size}
    status = f"pushing {digest.removeprefix('sha256:')[:12]}"
    return {"status": status, "digest": digest, "total": what.size, "completed": completed}


RETRIEVING, MANIFEST_LINE, SUCCESS = (
    {"status": status} for status in ("retrieving manifest", "pushing manifest", "success")
)


async def test_lines_and_their_order_are_the_contracts() -> None:
    job, a, b = Job(), blob("a", 100), blob("b", 50)
    reader = Reader(job)
    assert await ready(reader) == [RETRIEVING]
    started(job, 2)
    done(job, b, Placement.PRESENT)
    job(BlobStarted(REPO, a, 0))
    assert await ready(reader) == [told(b, 50), told(a, 0), told(a)]
    moved(job, a, 40)
    assert await ready(reader) == [told(a, 40)]
    job(BlobRewound(REPO, a.digest, 10, a.size, "cut", 0))
    assert await ready(reader) == [told(a, 10)]
    moved(job, a, 100)
    done(job, a)
    assert await ready(reader) == [told(a, 100), MANIFEST_LINE]
    end(job)
    assert await everything(reader) == [SUCCESS]


async def test_who_comes_late_gets_it_from_the_beginning() -> None:
    job, a, b = Job(), blob("a", 100), blob("b", 50)
    started(job, 2)
    job(BlobStarted(REPO, a, 0))
    moved(job, a, 60)
    late = Reader(job)
    assert await ready(late) == [RETRIEVING, told(a, 0), told(a)]
    assert await ready(late) == [told(a, 60)]
    done(job, a)
    done(job, b, Placement.MOUNTED)
    end(job)
    assert await everything(late) == [told(a, 100), told(b, 50), MANIFEST_LINE, SUCCESS]
    assert await everything(Reader(job)) == [
        *(RETRIEVING, told(a, 0), told(a), told(a, 100), told(b, 50)),
        *(MANIFEST_LINE, SUCCESS),
    ]


async def test_a_model_without_blobs_comes_to_its_manifest() -> None:
    job = Job()
    started(job, 0)
    end(job)
    assert await everything(Reader(job)) == [RETRIEVING, MANIFEST_LINE, SUCCESS]


async def test_the_end_is_an_error_line() -> None:
    job = Job()
    reader = Reader(job)
    assert await ready(reader) == [RETRIEVING]
    job.end(Interrupted("stopped"))
    (last,) = await everything(reader)
    assert last["error"].startswith("stopped; push again")


async def test_a_slow_reader_loses_progress_only_and_nothing_grows() -> None:
    job, a = Job(), blob("a", 10_000)
    started(job, 1)
    slow = Reader(job)
    job(BlobStarted(REPO, a, 0))
    kept = len(job.told)
    for offset in range(10_000):
        moved(job, a, offset)
    assert (len(job.told), len(job.moving)) == (kept, 1)
    assert await ready(slow) == [RETRIEVING, told(a, 0), told(a)]
    assert await ready(slow) == [told(a, 9_999)]


async def test_ten_thousand_blobs_come_in_pieces_and_none_is_lost() -> None:
    blobs = [blob(number, 10) for number in range(10_000)]
    job = Job()
    started(job, len(blobs))
    for each in blobs:
        done(job, each)
    end(job)
    reader, pieces = Reader(job), []
    while text := await reader.next():
        pieces.append(text)
    assert max(map(len, pieces)) < 100_000
    lines = [json.loads(line) for line in b"".join(pieces).splitlines()]
    assert [line["digest"] for line in lines[1:-2]] == [str(each.digest) for each in blobs]


async def test_progress_comes_at_most_every_60_milliseconds() -> None:
    job, a = Job(), blob("a", 10**9)
    started(job, 1)
    reader, clock, times = Reader(job), asyncio.get_running_loop().time, []
    job(BlobStarted(REPO, a, 0))
    await reader.next()
    last = clock()
    for offset in range(1, 6):
        moved(job, a, offset)
        assert await ready(reader) == [told(a, offset)]
        times.append(clock() - last)
        last = clock()
    assert PACE == 0.06
    assert min(times) >= PACE * 0.98  # the loop's clock ticks in steps


async def test_the_first_answer_waits_for_the_registry_and_not_for_ever() -> None:
    job = Job()
    await Reader(job).begun(patience=0.0)
    waiting = asyncio.create_task(Reader(job).begun(patience=3600))
    await asyncio.sleep(0)
    assert not waiting.done()
    started(job, 1)
    done(job, blob("a", 1))
    await waiting
