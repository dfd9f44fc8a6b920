"""A small `python -m tests.migration`, and what it would find out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.registries import DockerRegistry, docker_registry_at

from .run import WORTH_REMEMBERING, Moved, migrate, twice
from .stage import Content, Sizes, asked, fill, wrong_at

MB = 1_000_000
SIZES = Sizes(4 * MB, 2 * MB, MB)
# Of its journal and what goes with it, for each process; with nothing copied it writes as much.
JOURNAL = MB

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DockerRegistry]:
    with docker_registry_at(tmp_path_factory.mktemp("source"), logs_requests=True) as registry:
        yield registry


@pytest.fixture(scope="module")
def content(source: DockerRegistry) -> Content:
    return fill(source, 3, SIZES)


@pytest.fixture
def target(tmp_path: Path) -> Iterator[DockerRegistry]:
    folder = tmp_path / "target"
    folder.mkdir()
    with docker_registry_at(folder, logs_requests=True) as registry:
        yield registry


def test_each_blob_goes_over_each_wire_once(
    source: DockerRegistry, target: DockerRegistry, content: Content, tmp_path: Path
) -> None:
    moved = migrate(source, target, content, tmp_path / "run")
    assert moved.faults == []
    assert twice(moved, content) == []
    assert moved.mounted == 6, "three blobs are shared by three repositories"
    assert moved.written < JOURNAL * moved.starts and moved.left < JOURNAL


def test_kills_in_between_damage_nothing(
    source: DockerRegistry, target: DockerRegistry, content: Content, tmp_path: Path
) -> None:
    moved = migrate(source, target, content, tmp_path / "run", kills=2, seed=1)
    assert moved.faults == []
    assert moved.kills == 2
    assert moved.received <= content.size + moved.kills * (SIZES.base + SIZES.family + SIZES.own) + MB
    assert moved.written < JOURNAL * moved.starts


def test_what_differs_is_told(target: DockerRegistry) -> None:
    content = fill(target, 1, Sizes(10, 20, 30))
    assert wrong_at(target, content) == []
    ((repository, tags),) = content.repositories.items()
    other = tags["v2"]
    asked(
        target,
        "PUT",
        f"/v2/{repository}/manifests/v1",
        other,
        Content_Type="application/vnd.oci.image.manifest.v1+json",
    )
    asked(
        target,
        "PUT",
        f"/v2/{repository}/manifests/v3",
        other,
        Content_Type="application/vnd.oci.image.manifest.v1+json",
    )
    data = next(target.root.glob("docker/registry/v2/blobs/sha256/*/*/data"))
    data.write_bytes(b"x")
    wrong = wrong_at(target, content)
    assert f"{repository} has the tags ['all', 'v1', 'v2', 'v3']" in wrong
    assert f"{repository}:v1 is another manifest" in wrong
    assert str(data) in wrong


def test_a_blob_that_is_read_twice_is_told() -> None:
    big, small = "a" * 64, "b" * 64
    content = Content({"one": {}, "two": {}}, {big: WORTH_REMEMBERING, small: 10})
    moved = Moved(read=Counter({big: 1, small: 2}), uploaded=Counter({big: 1, small: 1}))
    assert twice(moved, content) == []
    moved.read[big] += 1
    moved.sent = 3 * WORTH_REMEMBERING
    assert [each.partition(" ")[0] for each in twice(moved, content)] == [big[:12], str(moved.sent)]
