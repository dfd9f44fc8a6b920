"""Mounts that a registry refuses are not asked for again and again."""

from __future__ import annotations

import random
from pathlib import Path

from registry_push.embedded import ECR, EmbeddedRegistry, Options
from registry_push.embedded.sample import LAYER_TYPE, Layer, config, write_model
from registry_push.model import ModelName
from registry_push.settings import Settings
from registry_push.transfer.holders import Holders
from registry_push.transfer.in_flight import InFlight
from registry_push.verbs.push import push
from tests.support.registries import EmbeddedFactory

LAYERS = 12


def _write(store: Path, *names: str) -> None:
    """Models of the same layers."""
    contents = [random.Random(number).randbytes(20_000) for number in range(LAYERS)]
    layers = [Layer(LAYER_TYPE + "tensor", content) for content in contents]
    for name in names:
        write_model(store, ModelName.parse(name), config(), layers)


def _mounts(registry: EmbeddedRegistry) -> list[int]:
    return [each.status for each in registry.log if each.method == "POST" and "mount=" in each.target]


async def _pushed(store: Path, registry: EmbeddedRegistry, *names: str) -> None:
    settings = Settings(models=store, home=store, jobs=1)
    report = await push(list(names), to=f"{registry.host}/", settings=settings)
    assert report.error is None


async def test_after_two_mounts_that_ecr_refused_none_is_asked_for(
    tmp_path: Path, embedded_with: EmbeddedFactory
) -> None:
    registry = await embedded_with(Options(quirks=ECR))
    _write(tmp_path, "me/a", "me/b")
    await _pushed(tmp_path, registry, "me/a", "me/b")
    # Three blobs are on their way at once when the second mount is refused.
    assert _mounts(registry).count(202) <= 4


def test_a_manifest_that_was_put_has_mounts_asked_for_again() -> None:
    """From its repository they are done; a session for one that is refused costs nothing."""
    registry, other = "https://r.example", "https://o.example"
    run = Holders(InFlight())
    run.mount_refused(registry)
    assert run.mounts(registry)
    run.mount_refused(registry)
    assert not run.mounts(registry) and run.mounts(other)
    run.mounts_again(registry)
    assert run.mounts(registry)


async def test_mounts_that_are_done_go_on(tmp_path: Path, embedded: EmbeddedRegistry) -> None:
    _write(tmp_path, "me/a", "me/b")
    await _pushed(tmp_path, embedded, "me/a", "me/b")
    assert _mounts(embedded) == [201] * (LAYERS + 1)
