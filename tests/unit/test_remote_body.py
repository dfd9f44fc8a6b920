"""A blob at a registry, read in parts: who releases the connection, whatever ends first."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from registry_push.events import ignore
from registry_push.model import Descriptor, Digest
from registry_push.pauses import Pauses
from registry_push.registry.questions import Questions
from registry_push.registry.remote_body import RemoteBody

CONTENT = b"content"


class Answers:
    """Answers with the content, of which it is known whether they are open."""

    def __init__(self) -> None:
        self.open = self.asked = 0

    @asynccontextmanager
    async def from_offset(self, offset: int) -> AsyncIterator[AsyncIterator[bytes]]:
        self.open, self.asked = self.open + 1, self.asked + 1
        try:
            yield self._pieces(offset)
        finally:
            self.open -= 1

    async def _pieces(self, offset: int) -> AsyncIterator[bytes]:
        yield CONTENT[offset:]


def body_of(answers: Answers) -> RemoteBody:
    blob = Descriptor("a/b", Digest.of(CONTENT), len(CONTENT))
    return RemoteBody(
        blob,
        answers.from_offset,
        pauses=Pauses(0, 0.0),
        sink=ignore,
        stop=asyncio.Event(),
        reading=Questions().reading,
        is_plain=True,
    )


@pytest.mark.parametrize("length", [3, len(CONTENT)], ids=["in the middle", "at its end"])
async def test_a_part_that_is_left_after_the_body_was_closed_keeps_no_answer(length: int) -> None:
    """As the writer of a request that was cancelled, for which aiohttp does not wait."""
    answers = Answers()
    body = body_of(answers)
    part = body.blocks(0, length)
    assert part is not None
    await part.ready()
    assert bytes(part.take(length)) == CONTENT[:length]
    await body.close()
    await part.close()
    assert answers.open == 0


async def test_parts_that_follow_each_other_have_one_answer() -> None:
    answers = Answers()
    body = body_of(answers)
    for start, length in ((0, 3), (3, 4)):
        part = body.blocks(start, length)
        assert part is not None
        await part.ready()
        assert bytes(part.take(length)) == CONTENT[start : start + length]
        await part.close()
    assert (answers.asked, answers.open) == (1, 1)
    await body.close()
    assert answers.open == 0
