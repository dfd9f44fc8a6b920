"""A repository that mounts from itself: one request says whether a small blob is there, and opens the upload if not."""

from __future__ import annotations

from pathlib import Path

import pytest

from registry_push.embedded import EmbeddedRegistry
from registry_push.embedded.sample import LAYER_TYPE, Layer, config, write_model
from registry_push.model import ModelName
from registry_push.state.journal import Journal
from tests.support.registries import DockerRegistry, ZuulRegistry

from .test_push import Stage, requests


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


def small_model(stage: Stage, count: int, *, seed: int = 0) -> None:
    layers = [
        Layer(LAYER_TYPE + "tensor", f"{seed} {number}".encode() * 50, name=str(number)) for number in range(count)
    ]
    write_model(stage.store, ModelName.parse("me/many"), config(), layers)


async def test_where_a_repository_mounts_from_itself_an_absent_blob_takes_two_requests(
    embedded: EmbeddedRegistry, stage: Stage
) -> None:
    small_model(stage, 200)
    report = await stage.push(embedded, "me/many", jobs=2, state_dir=stage.home)
    assert report.done[0].uploaded == 201
    seen = requests(embedded, "me/many")
    # Eight lanes ask the old way until the first of them has an answer; then it is tried once with what is there.
    assert 1 <= seen.count("HEAD blobs") <= 30
    assert seen.count("POST uploads") == 202 and seen.count("PUT uploads") == 201
    assert seen.count("DELETE uploads") == 0
    embedded.log.clear()
    small_model(stage, 200, seed=1)  # another process knows it from the beginning
    assert (await stage.push(embedded, "me/many", jobs=2, state_dir=stage.home)).done[0].uploaded == 200
    seen = requests(embedded, "me/many")
    assert (seen.count("HEAD blobs"), seen.count("POST uploads"), seen.count("PUT uploads")) == (0, 201, 200)
    embedded.log.clear()
    again = (await stage.push(embedded, "me/many", jobs=2, state_dir=stage.home, recheck=True)).done[0]
    assert (again.present, again.mounted, again.sent) == (201, 0, 0)
    assert sorted(set(requests(embedded, "me/many"))) == ["HEAD manifests", "POST uploads"]
    assert len(embedded.log) == 201 + 1


async def test_a_registry_that_does_not_mount_from_itself_is_asked_first(
    embedded: EmbeddedRegistry, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(*_: object) -> bool:
        return False

    monkeypatch.setattr(type(embedded.repositories), "mount", refuse)
    small_model(stage, 60)
    assert (await stage.push(embedded, "me/many", jobs=2, state_dir=stage.home)).done[0].uploaded == 61
    seen = requests(embedded, "me/many")
    assert seen.count("HEAD blobs") == 61
    assert (seen.count("POST uploads"), seen.count("DELETE uploads")) == (62, 1)
    embedded.log.clear()
    assert (await stage.push(embedded, "me/many", jobs=2, state_dir=stage.home, recheck=True)).done[0].present == 61
    assert requests(embedded, "me/many").count("HEAD blobs") == 61


@pytest.mark.real
async def test_docker_registry_mounts_from_itself(docker_registry: DockerRegistry, stage: Stage) -> None:
    small_model(stage, 100)
    first = (await stage.push(docker_registry, "me/many", to="itself/many:v1", jobs=1, state_dir=stage.home)).done[0]
    told = {"to": "itself/many:v1", "jobs": 1, "state_dir": stage.home, "recheck": True}
    again = (await stage.push(docker_registry, "me/many", **told)).done[0]  # type: ignore[arg-type]  # any setting
    assert (first.uploaded, again.present, again.sent) == (101, 101, 0)
    journal = Journal(stage.home, stage.events.append)
    profile = journal.profile(docker_registry.origin)
    journal.close()
    assert profile is not None and profile.mounts_itself


@pytest.mark.real
async def test_zuul_registry_mounts_nothing_and_is_asked_first(zuul_registry: ZuulRegistry, stage: Stage) -> None:
    """It answers 404 to a POST with `mount`: no answer to whether the blob is there."""
    small_model(stage, 100, seed=7)
    login = {"username": zuul_registry.username, "password": zuul_registry.password}
    told = {"to": "itself/many:v1", "jobs": 1, "state_dir": stage.home, **login}
    first = (await stage.push(zuul_registry, "me/many", **told)).done[0]  # type: ignore[arg-type]  # any setting
    again = (await stage.push(zuul_registry, "me/many", recheck=True, **told)).done[0]  # type: ignore[arg-type]  # any setting
    assert (first.uploaded + (first.present or 0), again.present, again.sent) == (101, 101, 0)
    assert first.uploaded >= 100
    journal = Journal(stage.home, stage.events.append)
    profile = journal.profile(zuul_registry.origin)
    journal.close()
    assert profile is None or not profile.mounts_itself
