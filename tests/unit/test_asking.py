"""Large blobs that are there are found before their turn to be sent comes, at a registry that is far."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from registry_push.content.base import Traits
from registry_push.errors import Unavailable
from registry_push.events import BlobDone, Event, Placement
from registry_push.model import Descriptor, Digest
from registry_push.protocol.upload.chunks import SINGLE_PUT
from registry_push.transfer.copy import Copier
from tests.faults.clock import run

from .test_copy import BLOBS, CountingTarget, Source, model_of

FAR, NEAR = 0.05, 0.001
JOBS = 8
ALL = BLOBS + 1
MODEL = model_of(SINGLE_PUT + 1)


class AskedTarget(CountingTarget):
    """Has the blobs of `there`, and says so after a round trip; counts who asks."""

    def __init__(self, round_trip: float, there: frozenset[Digest]) -> None:
        super().__init__(Traits(bodies=JOBS, requests=3 * JOBS, asks_ahead=round_trip != NEAR))
        self._seconds, self._there = round_trip, there
        self.asked: Counter[Digest] = Counter()
        self.asking = self.most_asking = 0
        self.done: list[tuple[Digest, Placement]] = []
        self.trouble: Digest | None = None  # the first who asks for it hears nothing for `silence`, then an error
        self.silence = 1000.0
        self.took = 0.0

    async def exists(self, blob: Descriptor) -> bool:
        self.asked[blob.digest] += 1
        if blob.digest == self.trouble and self.asked[blob.digest] == 1:
            await asyncio.sleep(self.silence)
            raise Unavailable("gave up")
        self.asking += 1
        self.most_asking = max(self.most_asking, self.asking)
        await asyncio.sleep(self._seconds)
        self.asking -= 1
        return blob.digest in self._there

    def copy(self) -> None:
        """Copies a model of large blobs, and checks that each is placed once and rightly."""

        def told(event: Event) -> None:
            if isinstance(event, BlobDone):
                self.done.append((event.blob.digest, event.placement))

        async def copied() -> None:
            began = asyncio.get_running_loop().time()
            report = await Copier(lambda _: Source(), lambda _: self, told).copy([MODEL])
            assert report.error is None
            assert report.done[0].present == len(self._there)
            self.took = asyncio.get_running_loop().time() - began

        run(copied())
        placed = {
            blob.digest: Placement.PRESENT if blob.digest in self._there else Placement.UPLOADED for blob in MODEL.blobs
        }
        assert sorted(self.done, key=str) == sorted(placed.items(), key=str)


EVERY = frozenset(blob.digest for blob in MODEL.blobs)


def test_those_that_are_there_do_not_wait_for_eight_jobs() -> None:
    target = AskedTarget(FAR, EVERY)
    target.copy()
    assert target.most_asking == 4 * JOBS
    assert max(target.asked.values()) <= 2  # where both ends meet


def test_where_none_is_there_one_request_finds_that_out() -> None:
    target = AskedTarget(FAR, frozenset())
    target.copy()
    assert target.asked.total() == ALL + 1


@pytest.mark.parametrize("there", [EVERY, frozenset()])
def test_a_registry_near_by_is_asked_in_turn(there: frozenset[Digest]) -> None:
    target = AskedTarget(NEAR, there)
    target.copy()
    assert target.asked.total() == ALL
    assert target.most_asking == JOBS


@pytest.mark.parametrize("silence", [0, 1000])
@pytest.mark.parametrize(("there", "number"), [(EVERY, -1), (EVERY, -2), (frozenset(), -1)])
def test_who_asks_ahead_keeps_nobody_waiting_and_fails_nothing(
    there: frozenset[Digest], number: int, silence: float
) -> None:
    target = AskedTarget(FAR, there)
    target.silence = silence
    target.trouble = sorted(MODEL.blobs, key=lambda blob: -blob.size)[number].digest
    target.copy()
    assert target.took < 100


@settings(max_examples=25)
@given(st.sets(st.sampled_from([blob.digest for blob in MODEL.blobs])))
def test_each_is_placed_once_whichever_are_there(there: set[Digest]) -> None:
    AskedTarget(FAR, frozenset(there)).copy()
