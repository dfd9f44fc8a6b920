"""Whole pushes to registries that turn the anonymous down without a challenge, and that contradict themselves."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import aiohttp
import pytest

from registry_push.embedded import Options
from registry_push.embedded.options import Basic
from registry_push.embedded.quirks import Quirks
from registry_push.embedded.sample import write_sample_store
from registry_push.errors import Denied, NotAllowed
from registry_push.events import Event, Warned
from registry_push.settings import Settings
from registry_push.transfer.report import Report
from registry_push.verbs.push import push

from ..support.registries import EmbeddedFactory
from ..support.secrets import PASSWORD

BY_FLAG = {"username": "ann", "password": PASSWORD}


async def _push(
    folder: Path, host: str, events: list[Event] | None = None, *, login: Mapping[str, str] | None = None
) -> Report:
    told = Settings(home=folder, models=folder / "models", retries=0, **(login or {}))  # type: ignore[arg-type]  # two of its fields
    return await push(["me/tiny"], to=f"{host}/", settings=told, sink=(events if events is not None else []).append)


@pytest.mark.parametrize("status", [401, 403, 404])
async def test_r3_a_login_is_used_where_the_anonymous_are_turned_down_without_a_challenge(
    embedded_with: EmbeddedFactory, tmp_path: Path, status: int
) -> None:
    write_sample_store(tmp_path / "models", weights=70_000)
    registry = await embedded_with(Options(auth=Basic({"ann": PASSWORD}), quirks=Quirks(unchallenged=status)))
    report = await _push(tmp_path, f"{registry.host}/x", login=BY_FLAG)
    assert report.error is None
    roots = [each for each in registry.log if each.target == "/v2/"]
    assert len(roots) == 1, "one question"


@pytest.mark.parametrize(("login", "words"), [({}, "no login was used"), (BY_FLAG | {"password": "other"}, "ann")])
async def test_r3_the_last_message_says_whether_a_login_was_used(
    embedded_with: EmbeddedFactory, tmp_path: Path, login: dict[str, str], words: str
) -> None:
    write_sample_store(tmp_path / "models", weights=70_000)
    registry = await embedded_with(Options(auth=Basic({"ann": PASSWORD}), quirks=Quirks(unchallenged=403)))
    report = await _push(tmp_path, f"{registry.host}/x", login=login)
    assert isinstance(report.error, NotAllowed)
    assert words in report.error.message
    assert isinstance(report.error, Denied) is not bool(login)


async def test_r9_what_contradicts_its_digest_after_a_mount_is_sent_again_and_warned_of_once(
    embedded_with: EmbeddedFactory, tmp_path: Path
) -> None:
    write_sample_store(tmp_path / "models", weights=70_000)
    registry = await embedded_with(Options(quirks=Quirks(mounts_are_links=True)))
    told = Settings(home=tmp_path, models=tmp_path / "models", retries=0)
    assert (await push(["me/tiny"], to=f"{registry.host}/a/", settings=told)).error is None
    async with aiohttp.ClientSession() as session:
        for blob in (tmp_path / "models/blobs").iterdir():
            query = {"mount": blob.name.replace("-", ":"), "from": "a/me/tiny"}
            where = f"{registry.origin}/v2/b/me/tiny/blobs/uploads/"
            async with session.post(where, params=query) as answer:
                assert answer.status == 201
    events: list[Event] = []
    report = await _push(tmp_path, f"{registry.host}/b", events)
    assert report.error is None
    assert len([event for event in events if isinstance(event, Warned)]) == 1
    events.clear()
    assert (await _push(tmp_path, f"{registry.host}/b", events)).error is None
    assert not [event for event in events if isinstance(event, Warned)], "what was sent is what it says"
