"""`--bwlimit`, by a clock that jumps where nothing moves, and once by the real one."""

from __future__ import annotations

import asyncio
import dataclasses
import random
from pathlib import Path

import pytest

from registry_push.embedded import EmbeddedRegistry
from registry_push.embedded.sample import LAYER_TYPE, Layer, config, write_model
from registry_push.model import ModelName
from registry_push.settings import Settings
from registry_push.verbs.copy import copy
from registry_push.verbs.push import push
from tests.faults.clock import run
from tests.support.tls import self_signed

LIMIT = 3_000_000
KINDS = {
    "one blob": (1, 30_000_000, None),
    "small blobs": (100, 64 * 1024, None),
    "blobs of a slice and a half": (40, 256 * 1024, None),
    "small chunks": (1, 10_000_000, 256 * 1024),
}


def written(folder: Path, count: int, size: int) -> None:
    """A model of `count` blobs of `size` bytes."""
    bits = random.Random(0)
    layers = [
        Layer(LAYER_TYPE + "model", bits.randbytes(min(size, 1 << 20)) * max(1, size >> 20)) for _ in range(count)
    ]
    write_model(folder / "models", ModelName.parse("me/tiny"), config(), layers)


async def rate_of_a_push(folder: Path, jobs: int, *, secure: bool, chunk: int | None = None) -> float:
    """Bytes a second, by the loop's clock."""
    made = self_signed(folder) if secure else None
    async with EmbeddedRegistry(folder / "registry", tls=made.server if made else None) as registry:
        settings = Settings(
            models=folder / "models", home=folder, bwlimit=LIMIT, ca_file=made.cert if made else None, jobs=jobs,
            chunk_size=chunk,
        )  # fmt: skip
        loop = asyncio.get_running_loop()
        began = loop.time()
        report = await push(["me/tiny"], to=f"{registry.origin}/", settings=settings)
        assert report.error is None
        return report.done[0].sent / (loop.time() - began)


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("jobs", [1, 8])
@pytest.mark.parametrize("kind", KINDS)
def test_a_push_does_not_exceed_the_limit(tmp_path: Path, kind: str, jobs: int, secure: bool) -> None:
    count, size, chunk = KINDS[kind]
    written(tmp_path, count, size)
    rate = run(rate_of_a_push(tmp_path, jobs, secure=secure, chunk=chunk))
    assert rate <= LIMIT * 1.05, "a busy machine may make it slower, never faster"


async def rate_of_a_copy(folder: Path, target: str, *, secure: bool) -> float:
    """Bytes a second, by the loop's clock; of a copy to another registry, in each direction."""
    made = self_signed(folder) if secure else None
    tls = made.server if made else None
    async with (
        EmbeddedRegistry(folder / "registry", tls=tls) as source,
        EmbeddedRegistry(folder / "other", tls=tls) as other,
    ):
        free = Settings(models=folder / "models", home=folder, ca_file=made.cert if made else None)
        await push(["me/tiny"], to=f"{source.origin}/", settings=free)
        limited = dataclasses.replace(free, models=folder / "to", bwlimit=LIMIT)
        loop = asyncio.get_running_loop()
        began = loop.time()
        places = f"registry:{source.origin}/me/tiny:latest", target.format(folder=folder, other=other.origin)
        report = await copy(*places, settings=limited)
        assert report.error is None and report.done[0].sent > 6_000_000
        return report.done[0].sent / (loop.time() - began)


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("kind", ["one blob", "small blobs"])
@pytest.mark.parametrize("target", ["oci:{folder}/l", "oci-archive:{folder}/a.tar", "ollama:", "registry:{other}/x/"])
def test_nor_does_a_download(tmp_path: Path, target: str, kind: str, secure: bool) -> None:
    written(tmp_path, *KINDS[kind][:2])
    rate = run(rate_of_a_copy(tmp_path, target, secure=secure))
    assert rate <= LIMIT * 1.05, "a busy machine may make it slower, never faster"


async def test_nor_is_it_exceeded_by_the_real_clock(tmp_path: Path) -> None:
    """However busy the machine is, it can only be slower."""
    written(tmp_path, 100, 64 * 1024)
    assert await rate_of_a_push(tmp_path, 8, secure=False) < LIMIT * 1.05
