"""Copies into an Ollama store from every kind of place, and what is deleted there while one is under way."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from registry_push.content.ollama.source import OllamaStore
from registry_push.embedded import EmbeddedRegistry
from registry_push.errors import IntegrityError
from registry_push.events import Warned
from registry_push.model import ModelName
from registry_push.settings import Settings
from registry_push.verbs.copy import copy
from tests.support.command import command
from tests.support.pulls import SIZES, Stage, asked


async def copied(pulls: Stage, source: str, target: str) -> None:
    settings = Settings(home=pulls.home, models=pulls.store, state_dir=None)
    report = await copy(source, target, settings=settings)
    assert report.error is None


async def test_a_copy_from_a_registry(embedded: EmbeddedRegistry, pulls: Stage) -> None:
    await pulls.push(embedded, "me/a:v1", "me/a:v2", sizes=(5_000, 10))
    done = await command("copy", f"registry:{embedded.host}/me/a", "ollama:", home=pulls.home)
    assert done.code == 0, done.err
    assert "copying" in done.err and "copied" in done.out and "push" not in done.out + done.err
    for tag in ("v1", "v2"):
        await pulls.check(f"{embedded.host}/me/a:{tag}", f"me/a:{tag}")
    await copied(pulls, f"registry:{embedded.host}/me/a:v1", "ollama:mine:x")
    await pulls.check("mine:x", "me/a:v1")


async def test_a_copy_through_a_layout(embedded: EmbeddedRegistry, pulls: Stage, tmp_path: Path) -> None:
    await pulls.push(embedded, "me/a:v1")
    await copied(pulls, f"registry:{embedded.host}/me/a:v1", f"oci:{tmp_path}/layout:me/a:v1")
    await copied(pulls, f"oci:{tmp_path}/layout", "ollama:back:v1")
    await pulls.check("back:v1", "me/a:v1")


async def test_into_a_store_with_the_coming_layout(embedded: EmbeddedRegistry, pulls: Stage) -> None:
    await pulls.push(embedded, "me/a:v1")
    (pulls.store / "manifests-v2").mkdir(parents=True)
    await pulls.pull(f"{embedded.host}/me/a:v1")
    [link] = [path for path in (pulls.store / "manifests-v2").rglob("*") if path.is_symlink()]
    host = embedded.host.replace(":", "%3A")
    assert link == pulls.store / "manifests-v2" / host / "me/a/v1"
    assert link.read_bytes() == pulls.manifest("me/a:v1", pulls.origin)
    assert [model.name.short for model in await OllamaStore(pulls.store).models()] == [f"{embedded.host}/me/a:v1"]


class Removals:
    """`ollama rm` of another model that shares the largest blob: each of so many times that the manifest is put."""

    def __init__(self, pulls: Stage, monkeypatch: pytest.MonkeyPatch, times: int) -> None:
        self.left = times
        real = os.replace

        def replace(source: str, target: str, **kwargs: int) -> None:
            real(source, target, **kwargs)
            if target == "latest" and self.left:
                self.left -= 1
                max((pulls.store / "blobs").iterdir(), key=lambda path: path.stat().st_size).unlink()

        monkeypatch.setattr(os, "replace", replace)


@pytest.mark.parametrize("times", [1, 3])
async def test_a_blob_that_is_removed_meanwhile_is_fetched_again(
    embedded: EmbeddedRegistry, pulls: Stage, monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    await pulls.push(embedded, "me/tiny:latest")
    embedded.log.clear()
    Removals(pulls, monkeypatch, times)
    report = await pulls.pull(f"{embedded.host}/me/tiny")
    assert report.error is None
    await pulls.check(f"{embedded.host}/me/tiny", "me/tiny")
    largest = max(OllamaStore(pulls.store).read_manifest(_name(embedded)).blobs, key=lambda blob: blob.size)
    assert asked(embedded, largest.digest.hex) == [("GET", f"/v2/me/tiny/blobs/{largest.digest}")] * (times + 1)
    assert report.done[0].sent >= SIZES[0] * (times + 1), "what is told is what came over the line"
    assert sum(isinstance(event, Warned) for event in pulls.events) == times


async def test_the_fourth_time_it_ends(
    embedded: EmbeddedRegistry, pulls: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    await pulls.push(embedded, "me/tiny:latest", sizes=(50_000,))
    removals = Removals(pulls, monkeypatch, 1000)
    report = await pulls.pull(f"{embedded.host}/me/tiny")
    assert isinstance(report.error, IntegrityError) and report.error.exit_code == 7
    assert removals.left == 1000 - 4
    assert [path for path in (pulls.store / "manifests").rglob("*") if path.is_file()] == [], "no half model is left"


async def test_a_list_of_manifests_comes_with_its_children(embedded: EmbeddedRegistry, pulls: Stage) -> None:
    """As Ollama's coming lists: what a list names are blobs of the store."""
    await pulls.push(embedded, "me/a:v1", sizes=(5_000,))
    child = pulls.manifest("me/a:v1", pulls.origin)
    media_type = json.loads(child)["mediaType"]
    await pulls.push_list(embedded, "me/a", "all", [(media_type, child)])
    await pulls.pull(f"{embedded.host}/me/a:all")
    name = ModelName.parse(f"{embedded.host}/me/a:all")
    store = OllamaStore(pulls.store)
    listed = store.read_manifest(name)
    [found] = listed.children(store.blobs.read_child)
    assert found.raw == child
    store.blobs.check(found)


def _name(registry: EmbeddedRegistry) -> ModelName:
    return ModelName.parse(f"{registry.host}/me/tiny")
