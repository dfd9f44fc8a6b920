"""What was hashed once and is unchanged is not hashed again, and nothing wrong is committed for that."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from registry_push.content.hashing import Hasher
from registry_push.content.ollama.source import OllamaStore
from registry_push.embedded.sample import write_sample_store
from registry_push.errors import BlobCorrupt
from registry_push.registry import hash_cache as trust
from registry_push.settings import Settings, Verify
from registry_push.transfer.report import Report
from registry_push.verbs.push import push
from tests.support.registries import Registry
from tests.support.stores import weights_of

LARGE = 12_000_000


class Stage:
    """A store, a state folder, and the sizes of what was hashed."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.store, self._state = folder / "models", folder / "state"
        self.hashed: list[int] = []
        original = Hasher.finish

        async def counted(hasher: Hasher, body: Any, running: Any) -> None:
            self.hashed.append(body.size)
            await original(hasher, body, running)

        monkeypatch.setattr(Hasher, "finish", counted)
        monkeypatch.setattr(trust, "_RACY", 0)  # the files are made just now
        write_sample_store(self.store, weights=LARGE)
        self.weights, self.path = weights_of(OllamaStore(self.store))

    async def push(self, registry: Registry, name: str, verify: Verify = "changed") -> Report:
        self.hashed.clear()
        settings = Settings(models=self.store, home=self.store, state_dir=self._state, verify=verify, mount="never")
        return await push(["me/tiny"], to=f"{registry.host}/{name}:v1", settings=settings)

    @property
    def hashed_weights(self) -> int:
        return sum(size > LARGE / 2 for size in self.hashed)


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stage:
    return Stage(tmp_path, monkeypatch)


def flip(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(1000)
        byte = file.read(1)
        file.seek(1000)
        file.write(bytes([byte[0] ^ 1]))


async def test_a_file_that_is_unchanged_is_hashed_once(stage: Stage, registry: Registry) -> None:
    for name, times in (("verify/a", 1), ("verify/b", 0)):
        assert (await stage.push(registry, name)).error is None
        assert stage.hashed_weights == times


async def test_always_hashes_and_never_does_not(stage: Stage, registry: Registry) -> None:
    await stage.push(registry, "verify/c")
    assert (await stage.push(registry, "verify/d", "always")).error is None
    assert stage.hashed_weights == 1
    os.utime(stage.path)
    assert (await stage.push(registry, "verify/e", "never")).error is None
    assert stage.hashed == []


async def test_a_file_with_a_new_time_is_hashed_again(stage: Stage, registry: Registry) -> None:
    await stage.push(registry, "verify/f")
    os.utime(stage.path)  # as Ollama does when it uses a blob again
    await stage.push(registry, "verify/g")
    assert stage.hashed_weights == 1


async def test_a_file_that_changed_is_found_out(stage: Stage, registry: Registry) -> None:
    await stage.push(registry, "verify/h")
    before = stage.path.stat()
    flip(stage.path)
    os.utime(stage.path, ns=(before.st_atime_ns, before.st_mtime_ns))  # whoever hides it can't set the ctime
    assert isinstance((await stage.push(registry, "verify/i")).error, BlobCorrupt)


async def test_what_is_trusted_and_wrong_is_found_out_by_the_registry_and_then_by_us(
    stage: Stage, registry: Registry
) -> None:
    flip(stage.path)
    report = await stage.push(registry, "verify/j", "never")
    assert isinstance(report.error, BlobCorrupt)
    assert stage.hashed_weights == 1


async def test_what_changed_only_just_now_is_not_taken_for_settled(
    stage: Stage, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trust, "_RACY", 10**15)
    await stage.push(registry, "verify/k")
    await stage.push(registry, "verify/l")
    assert stage.hashed_weights == 1
