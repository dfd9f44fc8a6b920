"""Several library pushes at once in one process send a blob once."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

import registry_push as rp
from registry_push.content.ollama.source import OllamaStore
from registry_push.embedded import EmbeddedRegistry
from registry_push.embedded.sample import write_sample_store
from registry_push.settings import Settings
from tests.support.stores import weights_of

pytestmark = pytest.mark.attack("S15")

PUSHES = 3


def staged(folder: Path, *, noted: bool) -> Settings:
    write_sample_store(folder / "models", weights=24_000_000)
    return Settings(models=folder / "models", home=folder, state_dir=folder / "state" if noted else None)


def bodies(registry: EmbeddedRegistry) -> dict[str, int]:
    """How often each blob was committed."""
    commits = [each.target for each in registry.log if each.method == "PUT" and "digest=" in each.target]
    digests = [target.partition("digest=")[2] for target in commits]
    return {digest: digests.count(digest) for digest in digests}


def sent(registry: EmbeddedRegistry) -> int:
    return sum(each.received for each in registry.log if each.method == "PATCH")


@pytest.mark.parametrize("noted", [True, False])
async def test_in_one_loop(embedded: EmbeddedRegistry, tmp_path: Path, noted: bool) -> None:
    settings = staged(tmp_path, noted=noted)
    push = [rp.push("me/tiny", to=f"{embedded.host}/", settings=settings) for _ in range(PUSHES)]
    reports = await asyncio.gather(*push)
    assert all(report.error is None for report in reports)
    assert {*bodies(embedded).values()} == {1}
    assert sent(embedded) == weights_of(OllamaStore(tmp_path / "models"))[0].size


@pytest.mark.parametrize("noted", [True, False])
async def test_in_a_loop_for_each_thread(embedded: EmbeddedRegistry, tmp_path: Path, noted: bool) -> None:
    settings, loop = staged(tmp_path, noted=noted), asyncio.get_running_loop()

    def push() -> rp.Report:
        return rp.push_sync("me/tiny", to=f"{embedded.host}/", settings=settings)

    with ThreadPoolExecutor(PUSHES) as threads:
        reports = await asyncio.gather(*[loop.run_in_executor(threads, push) for _ in range(PUSHES)])
    assert all(report.error is None for report in reports)
    assert {*bodies(embedded).values()} == {1}


async def test_with_journals_of_their_own(embedded: EmbeddedRegistry, tmp_path: Path) -> None:
    settings = staged(tmp_path, noted=True)
    each = [replace(settings, state_dir=tmp_path / f"state-{number}") for number in range(PUSHES)]
    await asyncio.gather(*[rp.push("me/tiny", to=f"{embedded.host}/", settings=one) for one in each])
    assert {*bodies(embedded).values()} == {1}
