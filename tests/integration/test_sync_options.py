"""What an entry of a plan may say: tags that exist, backups, immutable tags, referrers; and `--fail-fast`."""

from __future__ import annotations

from pathlib import Path

import pytest
from aiohttp import web

from registry_push.embedded import EmbeddedRegistry, Options
from registry_push.errors import SomeFailed, TagTaken
from registry_push.model import Manifest
from registry_push.model.referrers import cosign_tags
from tests.support.artifacts import artifact, put
from tests.support.command import command
from tests.support.registries import EmbeddedFactory
from tests.support.sync_stage import Peer, actions, reasons, synced

ENTRY = '[[sync]]\nsource = "registry:{source}/ml/a"\ntarget = "registry:{target}/"\n'


@pytest.fixture
async def source(embedded_with: EmbeddedFactory) -> EmbeddedRegistry:
    return await embedded_with(Options())


@pytest.fixture
async def target(embedded_with: EmbeddedFactory) -> EmbeddedRegistry:
    return await embedded_with(Options())


def entry(source: EmbeddedRegistry, target: EmbeddedRegistry, more: str = "") -> str:
    return f"{ENTRY.format(source=source.host, target=target.host)}{more}\n"


def asked(registry: EmbeddedRegistry, what: str, methods: str = "HEAD GET PUT POST") -> list[tuple[str, str]]:
    return [(each.method, each.target) for each in registry.log if what in each.target and each.method in methods]


@pytest.mark.parametrize("is_dry", [True, False])
async def test_what_is_done_with_a_tag_that_moved(
    source: EmbeddedRegistry, target: EmbeddedRegistry, tmp_path: Path, is_dry: bool
) -> None:
    there = await Peer(source.host).put_all({"ml/a:v1": "1", "ml/a:v2": "2", "ml/a:v3": "3"})
    had = await Peer(target.host).put_all({"ml/a:v1": "1", "ml/a:v2": "mine"})
    for how in ("keep", "error", "update"):
        report = await synced(tmp_path, entry(source, target, f'on_exists = "{how}"'), dry_run=is_dry)
        moved = {"keep": "kept", "error": "failed", "update": "copied"}[how]
        new = "copied" if is_dry or how == "keep" else "present"
        assert actions(report) == {"ml/a:v1": "present", "ml/a:v2": moved, "ml/a:v3": new}
        now = await Peer(target.host).tags("ml/a")
        if is_dry:
            assert now == {"v1": had["ml/a:v1"], "v2": had["ml/a:v2"]}
        else:
            assert now == {
                "v1": had["ml/a:v1"],
                "v2": there["ml/a:v2"] if how == "update" else had["ml/a:v2"],
                "v3": there["ml/a:v3"],
            }
        if how == "error":
            assert isinstance(report.error, SomeFailed) and isinstance(report.failed[0].error, TagTaken)
        else:
            assert report.error is None


async def test_a_second_backup_on_the_same_day_gets_a_number(
    source: EmbeddedRegistry, target: EmbeddedRegistry, tmp_path: Path
) -> None:
    a, b = Peer(source.host), Peer(target.host)
    plan, digests, backups = entry(source, target, 'backup = "{tag}.was"'), list[str](), list[str | None]()
    for content in ("one", "two", "three"):
        digests.append(await a.put("ml/a", "v1", content))
        report = await synced(tmp_path, plan)
        assert report.error is None
        backups += [each.backup for each in report.settled]
    assert backups == [None, "v1.was", "v1.was-2"]
    assert await b.tags("ml/a") == {"v1": digests[2], "v1.was": digests[0], "v1.was-2": digests[1]}
    dry = await synced(tmp_path, plan, dry_run=True)
    assert actions(dry) == {"ml/a:v1": "present"}, "what is there already is not backed up"
    await a.put("ml/a", "v1", "one")
    assert (await synced(tmp_path, plan)).error is None
    await a.put("ml/a", "v1", "two")
    assert (await synced(tmp_path, plan)).error is None
    # Both have a backup already, which serves.
    assert await b.tags("ml/a") == {
        "v1": digests[1],
        "v1.was": digests[0],
        "v1.was-2": digests[1],
        "v1.was-3": digests[2],
    }


async def test_a_backup_is_named_by_the_day(source: EmbeddedRegistry, target: EmbeddedRegistry, tmp_path: Path) -> None:
    await Peer(source.host).put("ml/a", "v1", "new")
    old = await Peer(target.host).put("ml/a", "v1", "old")
    report = await synced(tmp_path, entry(source, target, 'backup = "{tag}-before-{date}"'))
    (settled,) = report.settled
    assert settled.backup == f"v1-before-{report.started[:10]}"
    assert (await Peer(target.host).tags("ml/a"))[settled.backup] == old


async def test_immutable_tags_that_the_target_has_cost_no_request(
    source: EmbeddedRegistry, target: EmbeddedRegistry, tmp_path: Path
) -> None:
    there = await Peer(source.host).put_all({"ml/a:v1": "1", "ml/a:v2": "2", "ml/a:main": "3"})
    had = await Peer(target.host).put_all({"ml/a:v1": "other", "ml/a:main": "x"})
    source.log.clear()
    target.log.clear()
    report = await synced(tmp_path, entry(source, target, 'tags = { immutable = "v*" }'))
    assert actions(report) == {"ml/a:v1": "kept", "ml/a:v2": "copied", "ml/a:main": "copied"}
    assert asked(source, "/manifests/v1") == asked(target, "/manifests/v1") == []
    assert await Peer(target.host).tags("ml/a") == {
        "v1": had["ml/a:v1"],
        "v2": there["ml/a:v2"],
        "main": there["ml/a:main"],
    }
    source.log.clear()
    target.log.clear()
    again = await synced(tmp_path, entry(source, target, 'tags = { immutable = "v*" }'))
    assert again.totals.is_quiet
    assert [each.method for each in target.log if "/manifests/" in each.target] == ["HEAD"], "that of main"


async def test_an_immutable_tag_is_not_moved_where_tags_can_not_be_listed(
    source: EmbeddedRegistry, embedded_with: EmbeddedFactory, tmp_path: Path
) -> None:
    async def hook(request: web.Request) -> web.StreamResponse | None:
        return web.Response(status=500) if request.path.endswith("/tags/list") else None

    target = await embedded_with(Options(hook=hook))
    await Peer(source.host).put("ml/a", "v1", "1")
    had = await Peer(target.host).put("ml/a", "v1", "mine")
    report = await synced(tmp_path, entry(source, target, 'tags = { immutable = "v*" }'))
    assert report.error is None and actions(report) == {"ml/a:v1": "kept"}
    assert await Peer(target.host).has("ml/a", had)


async def signed(home: Path, host: str) -> tuple[Manifest, Manifest]:
    """An image with a referrer, and a signature under cosign's tag."""
    image = artifact(b"the model", kind=None)
    bill, old = artifact(b"a bill", subject=image), artifact(b"as cosign had it", kind=None)
    await put(home, f"{host}/ml/a", image, b"the model", tag="v1")
    await put(home, f"{host}/ml/a", bill, b"a bill")
    await put(home, f"{host}/ml/a", old, b"as cosign had it", tag=cosign_tags(image.digest)[0])
    return image, bill


@pytest.mark.parametrize("which", [None, "all", "none", "application/vnd.test.sig", "application/vnd.test.other"])
async def test_referrers_and_signatures(
    source: EmbeddedRegistry, target: EmbeddedRegistry, tmp_path: Path, which: str | None
) -> None:
    image, bill = await signed(tmp_path, source.host)
    plan = entry(source, target, f'referrers = "{which}"' if which else "")
    dry = await synced(tmp_path, plan, dry_run=True)
    report = await synced(tmp_path, plan)
    assert report.error is None
    assert [each.referrers for each in dry.settled] == [each.referrers for each in report.settled]
    b = Peer(target.host)
    assert await b.has("ml/a", str(image.digest))
    assert await b.has("ml/a", str(bill.digest)) is (which in (None, "all", "application/vnd.test.sig"))
    assert await b.has("ml/a", cosign_tags(image.digest)[0]) is (which in (None, "all"))
    attached = cosign_tags(image.digest)[0]
    assert reasons(report, at="source")[f"ml/a:{attached}"].startswith("a signature")


async def test_a_signature_that_came_later_is_copied_if_all_are_wanted(
    source: EmbeddedRegistry, target: EmbeddedRegistry, tmp_path: Path
) -> None:
    image = artifact(b"the model", kind=None)
    await put(tmp_path, f"{source.host}/ml/a", image, b"the model", tag="v1")
    plan = entry(source, target, 'referrers = "all"')
    assert (await synced(tmp_path, plan)).error is None
    bill = artifact(b"a bill", subject=image)
    await put(tmp_path, f"{source.host}/ml/a", bill, b"a bill")
    report = await synced(tmp_path, plan)
    assert actions(report)["ml/a:v1"] == "copied"
    assert reasons(report)["ml/a:v1"] == "the target had the manifest; referrers were new"
    assert await Peer(target.host).has("ml/a", str(bill.digest))
    assert (await synced(tmp_path, plan)).totals.is_quiet


async def test_fail_fast_begins_nothing_after_a_failure(
    source: EmbeddedRegistry, target: EmbeddedRegistry, tmp_path: Path
) -> None:
    await Peer(source.host).put_all({"ml/a:v1": "1", "ml/a:v2": "2"})
    # The second entry waits for the first, which may write the same repository.
    plan = f"""
[[sync]]
source = "registry:{source.host}/ml/none"
target = "registry:{target.host}/ml/a"
[[sync]]
source = "registry:{source.host}/ml/a"
target = "registry:{target.host}/ml/a"
"""
    source.log.clear()
    report = await synced(tmp_path, plan, fail_fast=True)
    assert report.error is not None and report.error.exit_code == 3
    assert [each.entry for each in report.settled] == [1]
    assert not asked(source, "/v2/ml/a/") and not asked(target, "/v2/ml/a/")
    whole = await synced(tmp_path, plan)
    assert isinstance(whole.error, SomeFailed) and whole.error.exit_code == 8
    assert len(await Peer(target.host).tags("ml/a")) == 2


async def test_a_filter_that_takes_too_few_fails_the_entry(
    source: EmbeddedRegistry, target: EmbeddedRegistry, tmp_path: Path
) -> None:
    await Peer(source.host).put_all({"ml/a:v1": "1", "ml/a:v2": "2"})
    report = await synced(tmp_path, entry(source, target, 'tags = { include = ["v1"], min = 2 }'))
    assert report.error is not None and "1 of 2 tags of ml/a, and min is 2" in str(report.error)
    assert report.error.exit_code == 3
    assert await Peer(target.host).tags("ml/a") == {}


async def test_two_entries_for_one_tag(embedded_with: EmbeddedFactory, tmp_path: Path) -> None:
    """The first one has it, whichever is quicker."""
    first, second = await embedded_with(Options()), await embedded_with(Options())
    target = await embedded_with(Options())
    digest = await Peer(first.host).put("ml/a", "v1", "1")
    await Peer(second.host).put_all({"ml/a:v1": "2", "ml/a:v2": "3"})
    plan = entry(first, target) + entry(second, target)
    report = await synced(tmp_path, plan)
    assert isinstance(report.error, SomeFailed)
    (failed,) = report.failed
    assert failed.entry == 2 and "entry 1 of the plan puts" in failed.reason
    now = await Peer(target.host).tags("ml/a")
    assert now.keys() == {"v1", "v2"} and now["v1"] == digest


async def test_entries_with_one_source_add_up(
    source: EmbeddedRegistry, target: EmbeddedRegistry, tmp_path: Path
) -> None:
    there = await Peer(source.host).put_all({"ml/a:v1": "1", "ml/a:v2": "2", "ml/a:latest": "3", "ml/a:x": "4"})
    await Peer(target.host).put_all({"ml/a:v0": "0", "ml/a:latest-2": "5"})
    plan = entry(source, target, 'tags = ["v*", "latest"]') + entry(source, target, 'tags = ["latest*"]')
    report = await synced(tmp_path, plan, delete=True, max_delete=9)
    assert report.error is None
    assert (await Peer(target.host).tags("ml/a")).keys() == {"v1", "v2", "latest"}
    assert len(there) == 4 and report.totals.actions["deleted"] == 2  # type: ignore[index]
    assert len([each for each in target.log if each.method == "PUT" and "/manifests/latest" in each.target]) == 2


async def test_repositories_that_would_become_one(
    source: EmbeddedRegistry, target: EmbeddedRegistry, tmp_path: Path
) -> None:
    await Peer(source.host).put_all({"ml/a-x:v1": "1", "ml/a-y:v1": "2", "ml/b:v1": "3"})
    plan = (
        f'[[sync]]\nsource = "registry:{source.host}/ml/"\ntarget = "registry:{target.host}/"\n'
        'rename = { "-[xy]$" = "" }\n'
    )
    report = await synced(tmp_path, plan)
    assert [type(each.error).__name__ for each in report.failed] == ["NameCollision"]
    assert "ml/a-x and ml/a-y would both become" in report.failed[0].reason
    assert (await Peer(target.host).everything()).keys() == {"ml/a:v1", "ml/b:v1"}


async def test_flags_go_before_the_plan_and_the_plan_before_the_usual(
    source: EmbeddedRegistry, target: EmbeddedRegistry, tmp_path: Path
) -> None:
    await Peer(source.host).put("ml/a", "v1", "1", size=3_000_000)
    plan = tmp_path / "plan.toml"
    plan.write_text(f'[host."{target.host}"]\nchunk-size = "1MiB"\n' + entry(source, target))

    async def patches(*flags: str) -> int:
        target.log.clear()
        done = await command("sync", str(plan), *flags, home=tmp_path)
        assert done.code == 0, done.err
        return sum(each.method == "PATCH" for each in target.log)

    small = await patches()
    plan.write_text(plan.read_text().replace(f"{target.host}/", f"{target.host}/again/"))
    assert small >= 2 > await patches("--chunk-size", "8MiB", "--mount", "never")


async def test_the_events_of_a_dry_run(source: EmbeddedRegistry, target: EmbeddedRegistry, tmp_path: Path) -> None:
    await Peer(source.host).put_all({"ml/a:v1": "1", "ml/a:v2": "2"})
    (tmp_path / "plan.toml").write_text(entry(source, target, 'tags = ["v1"]'))
    told = {}
    for flags in (["--dry-run"], []):
        done = await command("sync", str(tmp_path / "plan.toml"), "--json", *flags, home=tmp_path)
        assert done.code == 0, done.err
        settled = [each for each in done.events if each["event"] == "tag_settled"]
        told[not flags] = {(each["source"], each["target"], each["action"], each["reason"]) for each in settled}
        assert all(each["dry_run"] is bool(flags) for each in settled)
        assert done.events[-1]["event"] == "result"
    assert told[True] == told[False] and len(told[True]) == 2


async def test_a_dry_run_says_what_it_did_not_check(
    source: EmbeddedRegistry, target: EmbeddedRegistry, tmp_path: Path
) -> None:
    await Peer(source.host).put("ml/a", "v1", "1")
    await Peer(target.host).put("ml/a", "v1", "1")
    path = tmp_path / "plan.toml"

    async def lists(*flags: str) -> list[str]:
        done = await command("sync", str(path), "--dry-run", *flags, home=tmp_path)
        assert done.code == 0, done.err
        told = await command("sync", str(path), "--dry-run", "--json", *flags, home=tmp_path)
        unchecked = told.events[-1]["not_checked"]
        _, begin, after = done.out.partition("\n\nThis was a dry run: nothing was changed. It did not check:\n")
        assert bool(begin) == bool(unchecked) and after == "".join(f"- {each}\n" for each in unchecked)
        assert "did not check" not in (await command("sync", str(path), "-n", "--quiet", *flags, home=tmp_path)).out
        return list(unchecked)

    path.write_text(entry(source, target))
    assert await lists() == [], "nothing would be done"
    await Peer(target.host).put("ml/a", "old", "0")
    assert await lists("--delete", "--max-delete", "1") == ["that the registry can delete, and that this login may"]
    await Peer(source.host).put("ml/a", "v2", "2")
    there = await lists("--delete", "--max-delete", "1")
    assert "that this login may write there" in there and "the registry can delete" in there[-1]
    assert not any("delete" in each for each in await lists())
    path.write_text(entry(source, target).replace(f'"registry:{target.host}/"', f'"oci:{tmp_path / "layout"}"'))
    (first, *_) = await lists()
    assert first == "that this user may write there, and that the disk has room"
