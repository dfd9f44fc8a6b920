"""What a sync that deletes must not delete: what it has put itself, what somebody needs, and what it can't know."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from registry_push.embedded import EmbeddedRegistry, Options
from registry_push.errors import InvalidName, InvalidPlan, PlanOutdated, UsageError
from registry_push.verbs.sync.sync import SyncOptions, sync, sync_pinned
from registry_push.verbs.sync.totals import SyncReport
from tests.support.registries import EmbeddedFactory
from tests.support.sync_stage import Peer, actions, reasons, reviewed, settings_at, synced


def plan_of(source: EmbeddedRegistry, target: EmbeddedRegistry, more: str = "") -> str:
    return f'[[sync]]\nsource = "registry:{source.host}/"\ntarget = "registry:{target.host}/"\n{more}'


async def pinned(home: Path, plan: str) -> Path:
    await synced(home, plan, dry_run=True, delete=True, max_delete=9, plan_out=home / "pinned.json")
    return home / "pinned.json"


async def deleted(home: Path, plan: str, **options: Any) -> SyncReport:
    return await synced(home, plan, delete=True, max_delete=9, **options)


@pytest.mark.parametrize("is_pinned", [False, True])
async def test_a_tag_that_has_another_name_now_keeps_its_manifest(
    embedded_with: EmbeddedFactory, tmp_path: Path, is_pinned: bool
) -> None:
    source, target = await embedded_with(Options()), await embedded_with(Options())
    await Peer(source.host).put_all({"ml/a:new": "one", "ml/a:keep": "two"})
    await Peer(target.host).put_all({"ml/a:old": "one"})
    plan = plan_of(source, target)
    report = await (reviewed(tmp_path, await pinned(tmp_path, plan)) if is_pinned else deleted(tmp_path, plan))
    assert report.error is None
    assert await Peer(target.host).tags("ml/a") == await Peer(source.host).tags("ml/a")


@pytest.mark.parametrize("is_pinned", [False, True])
async def test_what_an_index_that_is_new_lists_stays(
    embedded_with: EmbeddedFactory, tmp_path: Path, is_pinned: bool
) -> None:
    source, target = await embedded_with(Options()), await embedded_with(Options())
    here = Peer(source.host)
    part = await here.put("ml/a", "part", "one")
    await here.put_index("ml/a", "multi", part)
    await here.delete("ml/a", "part")
    await Peer(target.host).put_all({"ml/a:old": "one"})
    plan = plan_of(source, target)
    await (reviewed(tmp_path, await pinned(tmp_path, plan)) if is_pinned else deleted(tmp_path, plan))
    assert (await Peer(target.host).tags("ml/a")).keys() == {"multi"}
    assert await Peer(target.host).has("ml/a", part)


async def test_a_tag_that_was_set_after_the_review_keeps_its_manifest(
    embedded_with: EmbeddedFactory, tmp_path: Path
) -> None:
    source, target = await embedded_with(Options()), await embedded_with(Options())
    await Peer(source.host).put_all({"ml/a:v1": "one"})
    had = await Peer(target.host).put_all({"ml/a:v0": "zero"})
    path = await pinned(tmp_path, plan_of(source, target, 'tags = ["v*"]\n'))
    await Peer(target.host).retag("ml/a", "prod", had["ml/a:v0"])
    report = await reviewed(tmp_path, path)
    assert actions(report)["ml/a:v0"] == "deleted"
    assert (await Peer(target.host).tags("ml/a")).keys() == {"v1", "prod"}


async def test_a_target_that_lists_late_loses_nothing_that_was_just_put(
    embedded_with: EmbeddedFactory, tmp_path: Path
) -> None:
    async def hook(request: web.Request) -> web.StreamResponse | None:
        is_list = request.path == "/v2/ml/a/tags/list"
        return web.json_response({"name": "ml/a", "tags": ["old"]}) if is_list else None

    source, target = await embedded_with(Options()), await embedded_with(Options(hook=hook))
    await Peer(source.host).put_all({"ml/a:new": "one"})
    digest = (await Peer(target.host).put_all({"ml/a:old": "one"}))["ml/a:old"]
    await deleted(tmp_path, plan_of(source, target))
    assert await Peer(target.host).has("ml/a", "new") and await Peer(target.host).has("ml/a", digest)
    assert not await Peer(target.host).has("ml/a", "old")


async def test_a_tag_that_the_source_has_again_stays(embedded_with: EmbeddedFactory, tmp_path: Path) -> None:
    async def hook(request: web.Request) -> web.StreamResponse | None:
        is_list = request.path == "/v2/ml/a/tags/list"
        return web.json_response({"name": "ml/a", "tags": ["v1"]}) if is_list else None

    source, target = await embedded_with(Options(hook=hook)), await embedded_with(Options())
    await Peer(source.host).put_all({"ml/a:v1": "one", "ml/a:v2": "two"})  # pushed after it was listed
    await Peer(target.host).put_all({"ml/a:v2": "two"})
    report = await deleted(tmp_path, plan_of(source, target))
    assert reasons(report)["ml/a:v2"] == "the source has it again"
    assert (await Peer(target.host).tags("ml/a")).keys() == {"v1", "v2"}


async def test_a_tag_that_the_source_has_again_is_not_deleted_with_another_one(
    embedded_with: EmbeddedFactory, tmp_path: Path
) -> None:
    """The source's list lacks a tag that is there; a tag that is gone has the same manifest."""

    async def hook(request: web.Request) -> web.StreamResponse | None:
        is_list = request.path == "/v2/ml/a/tags/list"
        return web.json_response({"name": "ml/a", "tags": ["v1"]}) if is_list else None

    source, target = await embedded_with(Options(hook=hook)), await embedded_with(Options())
    await Peer(source.host).put_all({"ml/a:v1": "one", "ml/a:v2": "two"})
    await Peer(target.host).put_all({"ml/a:alias": "two", "ml/a:v2": "two"})
    report = await deleted(tmp_path, plan_of(source, target))
    assert actions(report) == {"ml/a:alias": "deleted", "ml/a:v1": "copied", "ml/a:v2": "kept"}
    assert (await Peer(target.host).tags("ml/a")).keys() == {"v1", "v2"}


async def test_a_tag_to_delete_that_was_moved_since_is_not_deleted_with_another_one(
    embedded_with: EmbeddedFactory, tmp_path: Path
) -> None:
    source, target = await embedded_with(Options()), await embedded_with(Options())
    await Peer(source.host).put_all({"ml/a:v1": "one"})
    had = await Peer(target.host).put_all({"ml/a:old1": "old", "ml/a:old2": "older"})
    path = await pinned(tmp_path, plan_of(source, target))
    await Peer(target.host).retag("ml/a", "old2", had["ml/a:old1"])
    report = await reviewed(tmp_path, path)
    assert {type(each.error) for each in report.failed} == {PlanOutdated}
    tags = await Peer(target.host).tags("ml/a")
    assert tags["old2"] == had["ml/a:old1"] and tags.keys() == {"v1", "old2"}


@pytest.mark.parametrize(
    "answer", [{"repositories": ["ML/Upper Case!"]}, {}, {"errors": []}, {"repositories": ["ml/empty"]}]
)
async def test_a_list_of_repositories_that_is_none_deletes_nothing(
    embedded_with: EmbeddedFactory, tmp_path: Path, answer: dict[str, Any]
) -> None:
    async def hook(request: web.Request) -> web.StreamResponse | None:
        return web.json_response(answer) if request.path == "/v2/_catalog" else None

    source, target = await embedded_with(Options(hook=hook)), await embedded_with(Options())
    await Peer(target.host).put_all({"ml/a:v1": "one", "ml/b:v1": "two"})
    await deleted(tmp_path, plan_of(source, target))
    assert (await Peer(target.host).everything()).keys() == {"ml/a:v1", "ml/b:v1"}


@pytest.mark.parametrize("answer", [{}, {"errors": [{"code": "UNKNOWN"}]}, {"name": "ml/a", "tags": {}}])
async def test_a_list_of_tags_that_is_none_deletes_nothing(
    embedded_with: EmbeddedFactory, tmp_path: Path, answer: dict[str, Any]
) -> None:
    async def hook(request: web.Request) -> web.StreamResponse | None:
        if request.path != "/v2/ml/a/tags/list":
            return None
        if "last" in request.query:
            return web.json_response(answer)
        return web.json_response(
            {"name": "ml/a", "tags": ["v1"]}, headers={"Link": f'<{request.path}?last=v1>; rel="next"'}
        )

    source, target = await embedded_with(Options(hook=hook)), await embedded_with(Options())
    await Peer(source.host).put_all({"ml/a:v1": "one", "ml/a:v2": "two"})
    await Peer(target.host).put_all({"ml/a:v1": "one", "ml/a:v2": "two", "ml/a:v3": "three"})
    report = await deleted(tmp_path, plan_of(source, target))
    assert report.error is not None
    assert (await Peer(target.host).tags("ml/a")).keys() == {"v1", "v2", "v3"}


async def test_immutable_tags_and_backups_stay_with_no_clobber_too(
    embedded_with: EmbeddedFactory, tmp_path: Path
) -> None:
    source, target = await embedded_with(Options()), await embedded_with(Options())
    await Peer(source.host).put_all({"ml/a:t": "new"})
    await Peer(target.host).put_all({"ml/a:t": "new", "ml/a:t-before-2026-01-01": "x", "ml/a:v1": "y", "ml/a:w": "z"})
    path = tmp_path / "plan.toml"
    path.write_text(plan_of(source, target, 'backup = "{tag}-before-{date}"\ntags = { immutable = "v*" }\n'))
    settings = dataclasses.replace(settings_at(tmp_path), no_clobber=True)
    await sync(path, SyncOptions(delete=True, max_delete=9), settings=settings)
    assert (await Peer(target.host).tags("ml/a")).keys() == {"t", "t-before-2026-01-01", "v1"}


async def test_no_clobber_holds_for_a_reviewed_plan_too(embedded_with: EmbeddedFactory, tmp_path: Path) -> None:
    source, target = await embedded_with(Options()), await embedded_with(Options())
    await Peer(source.host).put_all({"ml/a:t": "new"})
    had = await Peer(target.host).put_all({"ml/a:t": "old"})
    path = await pinned(tmp_path, plan_of(source, target))
    settings = dataclasses.replace(settings_at(tmp_path), no_clobber=True)
    report = await sync_pinned(path, SyncOptions(), settings=settings)
    assert report.error is not None and report.error.exit_code == 5
    assert (await Peer(target.host).tags("ml/a"))["t"] == had["ml/a:t"]


async def test_a_reviewed_copy_is_of_the_reviewed_manifest(embedded_with: EmbeddedFactory, tmp_path: Path) -> None:
    moved = False

    async def hook(request: web.Request) -> web.StreamResponse | None:
        nonlocal moved
        if request.method == "GET" and request.path == "/v2/ml/a/manifests/t" and not moved:
            moved = True
            await here.retag("ml/a", "t", other)
        return None

    source, target = await embedded_with(Options(hook=hook)), await embedded_with(Options())
    here = Peer(source.host)
    moved = True  # until it is reviewed
    await here.put_all({"ml/a:t": "one"})
    other = (await here.put_all({"ml/b:u": "two"}))["ml/b:u"]
    other = (await here.put_all({"ml/a:u": "two"}))["ml/a:u"]
    path = await pinned(tmp_path, plan_of(source, target, 'tags = ["t"]\nmodels = ["ml/a"]\n'))
    moved = False
    report = await reviewed(tmp_path, path)
    assert isinstance(report.error, PlanOutdated)
    assert not await Peer(target.host).has("ml/a", "t")


async def test_two_targets_that_are_one_get_a_tag_once(embedded_with: EmbeddedFactory, tmp_path: Path) -> None:
    source, target = await embedded_with(Options()), await embedded_with(Options())
    await Peer(source.host).put_all({"r:v1": "one"})
    targets = f'["registry:{target.host}/q/", "registry:{target.host}/q/r"]'
    report = await synced(tmp_path, f'[[sync]]\nsource = "registry:{source.host}/r"\ntarget = {targets}\n')
    assert report.error is None
    assert actions(report)["q/r:v1"] == "copied"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"settings": {"nonsense": 1}}, "nonsense is no setting of a plan"),
        ({"settings": {"password": "x"}}, "password is no setting of a plan"),
        ({"settings": {"jobs": 0}}, "jobs"),
        ({"hosts": {"h": {"environ": {}}}}, "environ"),
        ({"operation": {"entry": 0}}, "0 is no entry"),
        ({"operation": {"referrers": "some"}}, "no kind of referrer"),
        ({"operation": {"backup": "../x"}}, "makes no tag"),
        ({"operation": {"target": "oci-archive:x.tar:y"}}, "is an archive"),
        ({"twice": True}, "is named twice"),
    ],
)
async def test_a_reviewed_plan_is_checked_as_a_plan_is(
    embedded_with: EmbeddedFactory, tmp_path: Path, change: dict[str, Any], words: str
) -> None:
    source, target = await embedded_with(Options()), await embedded_with(Options())
    await Peer(source.host).put_all({"ml/a:t": "new"})
    path = await pinned(tmp_path, plan_of(source, target))
    document = json.loads(path.read_text())
    document["operations"][0] |= change.pop("operation", {})
    if change.pop("twice", False):
        document["operations"] *= 2
    path.write_text(json.dumps(document | change))
    with pytest.raises(InvalidPlan, match=words):
        await reviewed(tmp_path, path)
    assert not await Peer(target.host).has("ml/a", "t")


@pytest.mark.parametrize(
    ("source", "target", "words"),
    [
        ("registry:h:5000/x/", "registry:h:5000/", "is the source itself"),
        ("registry:h:5000/x/", "registry:h:5000/x/mirror/", "is inside the source"),
        ("registry:h:5000/", "registry:H:5000/mirror/", "is inside the source"),
        ("registry:h/x", "registry:h:443/x", "is the source itself"),
        ("registry:h/x", "registry:h/", "is the source itself"),
    ],
)
async def test_an_entry_that_writes_what_it_reads_is_refused(
    tmp_path: Path, source: str, target: str, words: str
) -> None:
    with pytest.raises(InvalidPlan, match=f"line 3: target {words}"):
        await synced(tmp_path, f'[[sync]]\nsource = "{source}"\ntarget = "{target}"\n')


async def test_fewer_than_no_deletions_are_none(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="can't be less than 0"):
        await synced(tmp_path, "", delete=True, max_delete=-1)


async def test_a_plan_that_is_not_whole_says_so(embedded_with: EmbeddedFactory, tmp_path: Path) -> None:
    source, target = await embedded_with(Options()), await embedded_with(Options())
    await Peer(source.host).put_all({"ml/a:t": "new"})
    path = await pinned(tmp_path, plan_of(source, target))
    assert json.loads(path.read_text())["complete"] is True
    more = f'[[sync]]\nsource = "registry:{source.host}/gone"\ntarget = "registry:{target.host}/"\n'
    path = await pinned(tmp_path, plan_of(source, target) + more)
    assert json.loads(path.read_text())["complete"] is False


async def test_a_backup_that_no_registry_takes_is_found_in_the_dry_run(
    embedded_with: EmbeddedFactory, tmp_path: Path
) -> None:
    source, target = await embedded_with(Options()), await embedded_with(Options())
    tag = "t" * 120
    await Peer(source.host).put_all({f"ml/a:{tag}": "new"})
    await Peer(target.host).put_all({f"ml/a:{tag}": "old"})
    plan = plan_of(source, target, 'backup = "{tag}-before-{date}"\n')
    report = await synced(tmp_path, plan, dry_run=True)
    assert [type(each.error) for each in report.failed] == [InvalidName]
