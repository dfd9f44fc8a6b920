"""How many blobs are under way at once, by how far the registry is. No registry is there: targets only count."""

from __future__ import annotations

import asyncio
from collections.abc import Collection

import pytest

from registry_push.content.base import BlobBody, Placed, Traits
from registry_push.content.body import BytesBody
from registry_push.embedded.sample import LAYER_TYPE, Layer, encoded
from registry_push.events import Placement, ignore
from registry_push.model import Descriptor, Digest, Manifest, ModelName, Reference
from registry_push.transfer.copy import Copier
from registry_push.transfer.job import PushJob

BLOBS = 100


class Source:
    async def open(self, blob: Descriptor) -> BlobBody:
        return BytesBody(b"")

    async def check(self, manifest: Manifest) -> None:
        """All is well."""


class CountingTarget:
    """Says that nothing is there, and counts how many blobs are sent at once."""

    origin = "https://registry.example"
    name = "me/model"

    def __init__(self, traits: Traits | None = None) -> None:
        self.traits = traits or Traits(requests=24, asks_ahead=True)
        self.now = self.most = 0

    def expect_blobs(self, count: int) -> None:
        """Is ready for any."""

    async def prepare(self) -> None:
        """Is ready."""

    async def digest_of(self, ref: str) -> Digest | None:
        await asyncio.sleep(0)
        return None

    async def exists(self, blob: Descriptor) -> bool:
        return False

    async def put(self, blob: Descriptor, body: BlobBody, *, candidates: Collection[str] = ()) -> Placed:
        self.now += 1
        self.most = max(self.most, self.now)
        for _ in range(BLOBS):  # turns of the loop, in which all come that may
            await asyncio.sleep(0)
        self.now -= 1
        return Placed(Placement.UPLOADED, blob.size)

    async def put_manifest(self, manifest: Manifest, ref: str) -> None:
        """Takes it."""

    async def lists(self, referrer: Manifest) -> bool:
        return True


def model_of(size: int) -> PushJob:
    """A model of `BLOBS` layers of `size` bytes, none of which exists."""
    layers = [
        {"mediaType": LAYER_TYPE + "tensor", "digest": str(Digest.of(str(n).encode())), "size": size}
        for n in range(BLOBS)
    ]
    config = Layer(LAYER_TYPE + "config", b"{}").descriptor
    named = {"mediaType": config.media_type, "digest": str(config.digest), "size": size}
    raw = encoded({"schemaVersion": 2, "config": named, "layers": layers})
    return PushJob(
        ModelName.parse("me/model"), Manifest.parse(raw), (Reference.parse("registry.example/me/model:latest"),)
    )


async def copied(target: CountingTarget, size: int) -> None:
    copier = Copier(lambda _: Source(), lambda _: target, ignore)
    report = await copier.copy([model_of(size)])
    assert report.error is None
    assert report.done[0].uploaded == BLOBS + 1


@pytest.mark.parametrize(("bodies", "requests", "ahead"), [(8, 24, 0), (8, 24, 4), (3, 3, 1), (1, 4, 0)])
async def test_as_many_go_at_once_as_the_target_says(bodies: int, requests: int, ahead: int) -> None:
    traits = Traits(bodies=bodies, requests=requests, small=1000, opened_ahead=ahead)
    target = CountingTarget(traits)
    await copied(target, 1000)
    assert target.most == requests
    target = CountingTarget(traits)
    await copied(target, 1001)
    assert target.most == bodies + ahead
