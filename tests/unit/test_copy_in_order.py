"""A target that wants the blobs of the whole run in the order of their digests: an archive."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

import pytest

from registry_push.content.base import BlobBody, Placed, Traits
from registry_push.content.body import BytesBody
from registry_push.content.memory import MemoryStore
from registry_push.errors import BlobCorrupt, BlobMissing, ConnectionLost
from registry_push.events import Event, ModelDone, ModelStarted
from registry_push.model import Descriptor, Digest, LocalReference, Manifest, ModelName
from registry_push.transfer.copy import Copier
from registry_push.transfer.job import AnyJob, Job, PartialJob

from ..support.layouts import described, manifest

CONTENTS: Final = [b"content %d" % number for number in range(6)]


class Ordered(MemoryStore):
    """Remembers what it was given, one after the other."""

    def __init__(self) -> None:
        super().__init__()
        self.given: list[Digest | str] = []

    @property
    def traits(self) -> Traits:
        return Traits(models=1, bodies=1, requests=1, is_local=True, in_order=True)

    async def put(self, blob: Descriptor, body: BlobBody, *, candidates: Collection[str] = ()) -> Placed:
        self.given.append(blob.digest)
        return await super().put(blob, body, candidates=candidates)

    async def put_manifest(self, manifest: Manifest, ref: str) -> None:
        self.given.append(ref)
        await super().put_manifest(manifest, ref)


class Origin:
    """Has all contents but those that are `lost`."""

    def __init__(self, *lost: bytes) -> None:
        self._lost = {Digest.of(each) for each in lost}
        self.contents = {Digest.of(each): each for each in CONTENTS}

    async def open(self, blob: Descriptor) -> BlobBody:
        if blob.digest in self._lost:
            raise ConnectionLost(f"{blob.digest} is out of reach")
        return BytesBody(self.contents[blob.digest])

    async def check(self, manifest: Manifest) -> None:
        """All is well."""


def job(name: str, *contents: bytes) -> AnyJob:
    of = manifest(layers=[described(each) for each in contents], note=name)
    return Job(ModelName.parse(name), of, (LocalReference("oci-archive:/a.tar", f"{name}:latest"),))


JOBS: Final = [job("me/one", *CONTENTS[:4]), job("me/other", *CONTENTS[2:])]


async def test_all_blobs_come_before_the_first_manifest_in_the_order_of_their_digests() -> None:
    target, events = Ordered(), list[Event]()
    report = await Copier(lambda _: Origin(), lambda _: target, events.append).copy(JOBS)
    assert report.error is None
    assert target.given == [*sorted(map(Digest.of, CONTENTS)), "me/one:latest", "me/other:latest"]
    names = [each.model for each in events if isinstance(each, ModelStarted | ModelDone)]
    assert names == ["me/one:latest", "me/other:latest"] * 2, "each begins once, and ends once"
    done = [each for each in events if isinstance(each, ModelDone)]
    assert sum(each.uploaded for each in done) == len(CONTENTS), "what both have is counted for one of them"


async def test_the_first_error_ends_it_and_no_manifest_is_put() -> None:
    target, last = Ordered(), max(CONTENTS, key=Digest.of)
    with pytest.raises(ConnectionLost):
        await Copier(lambda _: Origin(last), lambda _: target, lambda _: None).copy(JOBS)
    assert target.given == sorted(map(Digest.of, CONTENTS))[:-1]


async def test_wrong_content_names_the_model_in_the_next_step() -> None:
    origin = Origin()
    origin.contents[Digest.of(CONTENTS[5])] = b"content 6"
    with pytest.raises(BlobCorrupt) as refused:
        await Copier(lambda _: origin, lambda _: Ordered(), lambda _: None).copy(JOBS)
    assert "me/other" in (refused.value.hint or "")


async def test_a_source_that_lacks_a_blob_is_found_out_before_anything_is_put() -> None:
    class Lacking(Origin):
        async def check(self, manifest: Manifest) -> None:
            if described(CONTENTS[5]) in manifest.blobs:
                raise BlobMissing("it is not here")

    target = Ordered()
    with pytest.raises(BlobMissing):
        await Copier(lambda _: Lacking(), lambda _: target, lambda _: None).copy(JOBS)
    assert target.given == []


def test_a_partial_job_is_without_what_is_not_here() -> None:
    partial = PartialJob.of(JOBS[0], frozenset([Digest.of(CONTENTS[0])]))
    assert partial.blobs == tuple(blob for blob in JOBS[0].blobs if blob.digest != Digest.of(CONTENTS[0]))
    assert (partial.name, partial.manifest, partial.target) == (JOBS[0].name, JOBS[0].manifest, JOBS[0].target)
    assert partial.size == JOBS[0].size - len(CONTENTS[0])
