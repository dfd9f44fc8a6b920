"""`--no-clobber`: a tag that is there and names another manifest stays as it is."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from aiohttp import web

from registry_push.embedded import EmbeddedRegistry, Options
from registry_push.embedded.sample import write_sample_store
from registry_push.errors import TagTaken
from registry_push.events import ModelDone
from registry_push.settings import Settings
from registry_push.verbs.push import push
from tests.support.command import command
from tests.support.registries import EmbeddedFactory


@pytest.fixture
async def settings(embedded: EmbeddedRegistry, tmp_path: Path) -> Settings:
    """Those of a push that keeps tags; under the tag at the registry is another model."""
    for name, weights in (("one", 70_000), ("other", 80_000)):
        write_sample_store(tmp_path / name, name="me/tiny:latest", weights=weights)
    other = Settings(models=tmp_path / "other", home=tmp_path)
    assert (await push(["me/tiny"], to=f"{embedded.host}/", settings=other)).error is None
    embedded.log.clear()
    return Settings(models=tmp_path / "one", home=tmp_path, no_clobber=True, retries=0)


def _writes(registry: EmbeddedRegistry) -> list[str]:
    return [exchange.method for exchange in registry.log if exchange.method not in ("GET", "HEAD")]


@pytest.mark.parametrize("dry_run", [False, True], ids=["", "dry run"])
async def test_a_tag_that_is_taken_ends_the_push_before_anything_is_sent(
    embedded: EmbeddedRegistry, settings: Settings, dry_run: bool
) -> None:
    report = await push(["me/tiny"], to=f"{embedded.host}/", dry_run=dry_run, settings=settings)
    assert isinstance(report.error, TagTaken) and report.error.exit_code == 5
    assert _writes(embedded) == []


async def test_a_new_tag_and_the_same_manifest_are_pushed(embedded: EmbeddedRegistry, settings: Settings) -> None:
    for _ in range(2):
        report = await push(["me/tiny"], to=f"{embedded.host}/me/tiny:new", settings=settings)
        assert isinstance(report.models[0], ModelDone)


async def test_of_several_tags_one_that_is_taken_ends_the_push(embedded: EmbeddedRegistry, settings: Settings) -> None:
    to = f"{embedded.host}/me/tiny:new"
    report = await push(["me/tiny"], to=to, tags=["latest"], settings=settings)
    assert isinstance(report.error, TagTaken) and "latest" in report.error.message
    assert _writes(embedded) == []


async def test_without_it_the_tag_is_replaced(embedded: EmbeddedRegistry, settings: Settings) -> None:
    usual = dataclasses.replace(settings, no_clobber=False)
    assert (await push(["me/tiny"], to=f"{embedded.host}/", settings=usual)).error is None


@pytest.mark.parametrize("seen_late", [False, True], ids=["a registry that names no digests", "somebody was quicker"])
async def test_a_tag_is_kept_though_it_was_not_seen_at_once(
    embedded_with: EmbeddedFactory, tmp_path: Path, seen_late: bool
) -> None:
    hidden = 0

    async def hook(request: web.Request) -> web.StreamResponse | None:
        nonlocal hidden
        if not hidden or not request.path.endswith("/manifests/latest") or request.method not in ("HEAD", "GET"):
            return None
        if seen_late:
            hidden -= 1
            return web.Response(status=404)
        return web.Response(headers={"X-Digest": "unknown"}) if request.method == "HEAD" else None

    registry = await embedded_with(Options(hook=hook))
    for name, weights in (("one", 70_000), ("other", 80_000)):
        write_sample_store(tmp_path / name, name="me/tiny:latest", weights=weights)
    other = Settings(models=tmp_path / "other", home=tmp_path)
    assert (await push(["me/tiny"], to=f"{registry.host}/", settings=other)).error is None
    registry.log.clear()
    hidden = 2  # HEAD and GET of the first look
    settings = Settings(models=tmp_path / "one", home=tmp_path, no_clobber=True, retries=0)
    report = await push(["me/tiny"], to=f"{registry.host}/", settings=settings)
    assert isinstance(report.error, TagTaken)
    assert not any(each.method == "PUT" and "/manifests/" in each.target for each in registry.log)


async def test_the_command_ends_with_5_and_says_how_to_go_on(
    embedded: EmbeddedRegistry, settings: Settings, tmp_path: Path
) -> None:
    line = ("push", "me/tiny", "--models", str(settings.models), "--to", f"{embedded.host}/", "--no-clobber")
    done = await command(*line, home=tmp_path)
    assert done.code == 5
    assert "the tag latest of me/tiny is there already" in done.err and "--no-clobber" in done.err
