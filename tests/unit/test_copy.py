"""How many blobs are under way at once, by how far the registry is. No registry is there: targets only count."""

from __future__ import annotations

import asyncio
from collections.abc import Collection

import pytest

from registry_push.content.base import BlobBody, Placed
from registry_push.content.body import BytesBody
from registry_push.embedded.sample import LAYER_TYPE, Layer, encoded
from registry_push.events import Placement, ignore
from registry_push.model import Descriptor, Digest, HTTPOrigin, Manifest, ModelName, Reference
from registry_push.protocol.upload.chunks import SINGLE_PUT
from registry_push.transfer.copy import Copier
from registry_push.transfer.plan import PlannedModel

BLOBS = 100


class Source:
    async def open(self, blob: Descriptor) -> BlobBody:
        return BytesBody(b"")

    async def check(self, manifest: Manifest) -> None:
        """All is well."""


class CountingTarget:
    """Says that nothing is there, and counts how many blobs are sent at once."""

    name = "me/model"
    mounts_itself = False

    def __init__(self, *, near: bool) -> None:
        self.is_near = near
        self.now = self.most = 0

    async def digest_of(self, tag: str) -> Digest | None:
        await asyncio.sleep(0)
        return None

    async def exists(self, blob: Descriptor) -> bool:
        return False

    async def push(self, blob: Descriptor, body: BlobBody) -> Placement:
        raise AssertionError("blobs are mounted")

    async def mount(self, blob: Descriptor, body: BlobBody, repositories: Collection[str]) -> Placed:
        self.now += 1
        self.most = max(self.most, self.now)
        for _ in range(BLOBS):  # turns of the loop, in which all come that may
            await asyncio.sleep(0)
        self.now -= 1
        return Placed(Placement.UPLOADED, blob.size)

    async def open_connections(self, count: int) -> None:
        """Has none."""

    async def try_mounting_itself(self, blob: Descriptor) -> None:
        """Finds nothing out."""

    async def tag(self, manifest: Manifest, tag: str) -> None:
        """Takes it."""

    async def put_by_digest(self, manifest: Manifest) -> None:
        """Takes it."""


def model_of(size: int) -> PlannedModel:
    """A model of `BLOBS` layers of `size` bytes, none of which exists."""
    layers = [
        {"mediaType": LAYER_TYPE + "tensor", "digest": str(Digest.of(str(n).encode())), "size": size}
        for n in range(BLOBS)
    ]
    config = Layer(LAYER_TYPE + "config", b"{}").descriptor
    named = {"mediaType": config.media_type, "digest": str(config.digest), "size": size}
    raw = encoded({"schemaVersion": 2, "config": named, "layers": layers})
    return PlannedModel(
        ModelName.parse("me/model"), Manifest.parse(raw), (Reference.parse("registry.example/me/model:latest"),)
    )


async def copied(target: CountingTarget, origin: str, size: int, jobs: int = 8) -> None:
    copier = Copier(Source(), lambda _: target, lambda _: HTTPOrigin.of(origin), ignore, jobs)
    report = await copier.copy([model_of(size)])
    assert report.error is None
    assert report.done[0].uploaded == BLOBS + 1


@pytest.mark.parametrize(
    ("origin", "near", "small", "large"),
    [
        ("http://registry.example", False, 24, 8),
        ("https://registry.example", False, 24, 8),
        ("http://registry.example", True, 8, 8),
        ("https://registry.example", True, 3, 3),
    ],
    ids=["far", "far, TLS", "near", "near, TLS"],
)
async def test_how_many_go_at_once_follows_the_round_trip(origin: str, near: bool, small: int, large: int) -> None:
    target = CountingTarget(near=near)
    await copied(target, origin, 1000)
    assert target.most == small
    target = CountingTarget(near=near)
    await copied(target, origin, SINGLE_PUT + 1)
    assert target.most == large


@pytest.mark.parametrize(("jobs", "at_once"), [(16, 48), (32, 64), (80, 80)])
async def test_requests_beside_the_bodies_are_no_more_than_help(jobs: int, at_once: int) -> None:
    target = CountingTarget(near=False)
    await copied(target, "https://registry.example", 1000, jobs)
    assert target.most == at_once


@pytest.mark.parametrize("size", [1000, SINGLE_PUT + 1])
@pytest.mark.parametrize(("jobs", "at_once"), [(1, 1), (2, 2), (3, 2), (7, 2), (8, 3), (16, 6)])
async def test_few_jobs_stay_some_near_by(size: int, jobs: int, at_once: int) -> None:
    target = CountingTarget(near=True)
    await copied(target, "https://registry.example", size, jobs)
    assert target.most == at_once
