"""`sync --dry-run --plan-out FILE`, then `sync --plan FILE`: exactly what was reviewed is done."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from registry_push.embedded import EmbeddedRegistry, Options
from registry_push.embedded.sample import write_sample_store
from registry_push.errors import InvalidPlan, PlanOutdated, SomeFailed, UsageError
from registry_push.verbs.sync.totals import SyncReport
from tests.support.command import command
from tests.support.registries import DockerRegistry, EmbeddedFactory, docker_registry_at
from tests.support.sync_stage import Log, Peer, actions, entries_of, facts, reasons, reviewed, synced


@pytest.fixture
def docker(tmp_path: Path) -> Iterator[DockerRegistry]:
    (tmp_path / "docker").mkdir()
    with docker_registry_at(tmp_path / "docker", logs_requests=True) as registry:
        yield registry


def plan_of(source: str, target: str) -> str:
    return f"""
[[sync]]
source = "registry:{source}/ml/"
target = "registry:{target}/to/"
backup = "{{tag}}-old"
[[sync]]
source = "registry:{source}/more/b:v1"
target = "registry:{target}/one/b:prod"
on_exists = "error"
"""


async def pinned(home: Path, plan: str, **options: Any) -> tuple[SyncReport, Path]:
    """What a dry run says, and the file that it has written."""
    path = home / "pinned.json"
    return await synced(home, plan, dry_run=True, plan_out=path, **options), path


def operations(path: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(path.read_text())["operations"]
    return found


def without_reasons(entries: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The facts of `entries`, by their targets; what a reviewed plan does has other reasons."""
    found = [{name: value for name, value in each.items() if name != "reason"} for each in facts(entries)]
    return sorted(found, key=lambda each: (each["entry"], each["target"]))


@pytest.mark.real
async def test_a_reviewed_plan_is_done_to_the_letter(
    embedded: EmbeddedRegistry, docker: DockerRegistry, tmp_path: Path
) -> None:
    a, b = Peer(embedded.host), Peer(docker.host)
    there = await a.put_all({"ml/a:v1": "1", "ml/a:v2": "2", "ml/c:v1": "3", "more/b:v1": "4"})
    had = await b.put_all({"to/ml/a:v1": "was", "to/ml/a:v0": "0", "to/ml/gone:v1": "g", "to/ml/c:v1": "3"})
    dry, path = await pinned(tmp_path, plan_of(embedded.host, docker.host), delete=True, max_delete=9)
    assert dry.error is None
    to = f"registry:{docker.host}"
    assert [(each["do"], each["target"], each["digest"]) for each in operations(path)] == [
        ("copy", f"{to}/to/ml/a:v1", there["ml/a:v1"]),
        ("copy", f"{to}/to/ml/a:v2", there["ml/a:v2"]),
        ("delete", f"{to}/to/ml/a:v0", had["to/ml/a:v0"]),
        ("delete", f"{to}/to/ml/gone:v1", had["to/ml/gone:v1"]),
        ("copy", f"{to}/one/b:prod", there["more/b:v1"]),
    ]
    assert operations(path)[0]["before"] == had["to/ml/a:v1"]
    # What comes meanwhile was not reviewed.
    await a.put_all({"ml/a:v3": "new", "ml/d:v1": "new"})
    await b.put_all({"to/ml/a:other": "new"})
    done = await command("sync", "--plan", str(path), "--report", str(tmp_path / "run.json"), home=tmp_path)
    assert done.code == 0, done.err
    entries = json.loads((tmp_path / "run.json").read_text())["entries"]
    todo = [each for each in entries_of(dry) if each["action"] in ("copied", "deleted")]
    assert without_reasons(entries) == without_reasons(todo)
    now = await b.everything()
    assert now == {
        "to/ml/a:v1": there["ml/a:v1"],
        "to/ml/a:v1-old": had["to/ml/a:v1"],
        "to/ml/a:v2": there["ml/a:v2"],
        "to/ml/a:other": now["to/ml/a:other"],
        "to/ml/c:v1": there["ml/c:v1"],
        "one/b:prod": there["more/b:v1"],
    }
    log = Log(docker)
    again = await command("sync", "--plan", str(path), "--quiet", home=tmp_path)
    assert again.code == 0, again.err
    assert {each.method for each in log.requests} <= {"HEAD", "GET"}, "what is done is done"
    assert await b.everything() == now


async def test_what_has_moved_since_is_an_error_of_its_entry(embedded_with: EmbeddedFactory, tmp_path: Path) -> None:
    source, target = await embedded_with(Options()), await embedded_with(Options())
    a, b = Peer(source.host), Peer(target.host)
    there = await a.put_all({f"ml/{name}:v1": name for name in ("moved", "gone", "taken", "changed", "fine")})
    had = await b.put_all({"ml/changed:v1": "x", "ml/fine:v0": "y", "ml/fine:x0": "z"})
    plan = f'[[sync]]\nsource = "registry:{source.host}/ml/"\ntarget = "registry:{target.host}/"\n'
    dry, path = await pinned(tmp_path, plan, delete=True, max_delete=9)
    assert dry.error is None and len(operations(path)) == 7
    await a.put("ml/moved", "v1", "moved on")
    await a.delete("ml/gone", "v1")
    taken, changed = await b.put("ml/taken", "v1", "theirs"), await b.put("ml/changed", "v1", "theirs")
    moved = await b.put("ml/fine", "x0", "moved on")
    report = await reviewed(tmp_path, path)
    assert isinstance(report.error, SomeFailed)
    assert actions(report) == {
        "ml/moved:v1": "failed",
        "ml/gone:v1": "failed",
        "ml/taken:v1": "failed",
        "ml/changed:v1": "failed",
        "ml/fine:v1": "copied",
        "ml/fine:v0": "deleted",
        "ml/fine:x0": "failed",
    }
    kinds = {str(each.target).partition("/")[2]: type(each.error).__name__ for each in report.failed}
    assert kinds.pop("ml/gone:v1") == "ModelNotFound"
    assert set(kinds.values()) == {PlanOutdated.__name__}
    assert await b.everything() == {
        "ml/taken:v1": taken,
        "ml/changed:v1": changed,
        "ml/fine:v1": there["ml/fine:v1"],
        "ml/fine:x0": moved,
    }
    assert had["ml/fine:x0"] != moved


async def test_a_tag_that_is_taken_while_its_blobs_are_sent_stays(
    embedded_with: EmbeddedFactory, tmp_path: Path
) -> None:
    """Between the check and the manifest somebody else is quicker."""
    theirs: list[str] = []

    async def hook(request: web.Request) -> web.StreamResponse | None:
        if is_pinned and not theirs and request.method == "POST" and request.path.startswith("/v2/ml/a/blobs/"):
            theirs.append("about to come")  # their own upload is no reason for another
            theirs.append(await Peer(target.host).put("ml/a", "v1", "theirs"))
        return None

    is_pinned = False
    source, target = await embedded_with(Options()), await embedded_with(Options(hook=hook))
    await Peer(source.host).put("ml/a", "v1", "ours")
    plan = f'[[sync]]\nsource = "registry:{source.host}/ml/a"\ntarget = "registry:{target.host}/"\n'
    _, path = await pinned(tmp_path, plan)
    is_pinned = True
    report = await reviewed(tmp_path, path)
    assert report.error is not None and report.error.exit_code == 5, report.error
    assert await Peer(target.host).tags("ml/a") == {"v1": theirs[-1]}


async def test_settings_and_hosts_of_the_plan_go_with_it(embedded_with: EmbeddedFactory, tmp_path: Path) -> None:
    source, target = await embedded_with(Options()), await embedded_with(Options())
    await Peer(source.host).put("ml/a", "v1", "1")
    plan = f"""
[defaults]
bwlimit = "200MB"
jobs = 2
[host."{target.host}"]
chunk-size = "5MiB"
[[sync]]
source = "registry:{source.host}/ml/a"
target = "registry:{target.host}/"
"""
    _, path = await pinned(tmp_path, plan)
    document = json.loads(path.read_text())
    assert document["settings"] == {"bwlimit": "200MB", "jobs": 2}
    assert document["hosts"] == {target.host: {"chunk_size": "5MiB"}}
    assert (await reviewed(tmp_path, path)).error is None


async def test_stores_and_layouts_are_pinned(embedded: EmbeddedRegistry, tmp_path: Path) -> None:
    write_sample_store(tmp_path / "models", name="me/tiny")
    await Peer(embedded.host).put("ml/a", "v1", "1")
    plan = f"""
[[sync]]
source = "ollama:"
target = "oci:{tmp_path}/layout"
[[sync]]
source = "registry:{embedded.host}/ml/a"
target = "oci:{tmp_path}/layout"
"""
    dry, path = await pinned(tmp_path, plan)
    assert dry.error is None and not (tmp_path / "layout").exists()
    report = await reviewed(tmp_path, path)
    assert report.error is None
    assert without_reasons(entries_of(report)) == without_reasons(entries_of(dry))
    again = await synced(tmp_path, plan)
    assert again.totals.is_quiet


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{}", "is no pinned plan"),
        ('[[sync]]\nsource = "a"', "is no pinned plan"),
        ('{"version": 9, "plan": "p", "created": "c", "operations": []}', "has version 9"),
        (
            '{"version": 1, "plan": "p", "created": "c", "operations": ['
            '{"do": "delete", "entry": 1, "target": "oci:x", "digest": "sha256:00"}]}',
            "operation 1: oci:x names no tag at a registry",
        ),
        (
            '{"version": 1, "plan": "p", "created": "c", "operations": ['
            '{"do": "copy", "entry": 1, "source": "registry:h/a", "target": "registry:h/b:v1", "digest": "sha256:0"}]}',
            "operation 1: registry:h/a names no model",
        ),
    ],
)
async def test_what_is_no_pinned_plan(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "pinned.json").write_text(text)
    with pytest.raises(InvalidPlan) as caught:
        await reviewed(tmp_path, tmp_path / "pinned.json")
    assert said in str(caught.value) and str(tmp_path / "pinned.json") in str(caught.value)


async def test_flags_that_exclude_each_other(tmp_path: Path) -> None:
    pinned = tmp_path / "pinned.json"
    pinned.write_text('{"version": 1, "plan": "p", "created": "c", "operations": []}')
    (tmp_path / "plan.toml").write_text('[[sync]]\nsource = "ollama:"\ntarget = "registry:localhost:1/"\n')
    for arguments, said in (
        (["plan.toml", "--plan", str(pinned)], "exclude each other"),
        (["--plan", str(pinned), "--delete", "--max-delete", "1"], "takes no --delete and no --plan-out"),
        ([str(tmp_path / "plan.toml"), "--plan-out", str(tmp_path / "out")], "--plan-out is for a dry run"),
    ):
        done = await command("sync", *arguments, home=tmp_path)
        assert done.code == UsageError.exit_code == 2 and said in done.err, done.err


async def test_a_reviewed_deletion_is_not_done_if_the_source_has_the_tag_again(
    embedded_with: EmbeddedFactory, tmp_path: Path
) -> None:
    source, target = await embedded_with(Options()), await embedded_with(Options())
    await Peer(source.host).put("ml/a", "v1", "1")
    await Peer(target.host).put_all({"ml/a:v1": "1", "ml/a:old": "2", "ml/a:older": "3"})
    plan = f'[[sync]]\nsource = "registry:{source.host}/ml/a"\ntarget = "registry:{target.host}/"\n'
    _, path = await pinned(tmp_path, plan, delete=True, max_delete=2)
    await Peer(source.host).put("ml/a", "old", "new")
    report = await reviewed(tmp_path, path)
    assert actions(report) == {"ml/a:old": "kept", "ml/a:older": "deleted"}
    assert reasons(report) == {
        "ml/a:old": "the source has it again",
        "ml/a:older": "the reviewed plan deletes it",
    }
    assert (await Peer(target.host).tags("ml/a")).keys() == {"v1", "old"}


async def test_nothing_is_deleted_where_a_reviewed_copy_has_failed(
    embedded_with: EmbeddedFactory, tmp_path: Path
) -> None:
    source, target = await embedded_with(Options()), await embedded_with(Options())
    await Peer(source.host).put_all({"ml/a:v2": "1", "ml/b:v2": "2"})
    await Peer(target.host).put_all({"ml/a:v1": "3", "ml/b:v1": "4"})
    plan = f'[[sync]]\nsource = "registry:{source.host}/ml/"\ntarget = "registry:{target.host}/"\n'
    _, path = await pinned(tmp_path, plan, delete=True, max_delete=2)
    await Peer(source.host).put("ml/a", "v2", "moved")
    report = await reviewed(tmp_path, path)
    assert isinstance(report.error, SomeFailed)
    assert not [each for each in target.log if each.method == "DELETE" and "/ml/a/" in each.target]
    assert (await Peer(target.host).tags("ml/a")).keys() == {"v1"}
    assert (await Peer(target.host).tags("ml/b")).keys() == {"v2"}


async def test_the_limit_holds_for_reviewed_deletions(embedded_with: EmbeddedFactory, tmp_path: Path) -> None:
    source, target = await embedded_with(Options()), await embedded_with(Options())
    await Peer(source.host).put("ml/a", "v1", "1")
    await Peer(target.host).put_all({"ml/a:v1": "1", "ml/a:x": "2", "ml/a:y": "3"})
    plan = f'[[sync]]\nsource = "registry:{source.host}/ml/a"\ntarget = "registry:{target.host}/"\n'
    _, path = await pinned(tmp_path, plan, delete=True, max_delete=2)
    report = await reviewed(tmp_path, path, max_delete=1)
    assert report.error is not None and report.error.exit_code == 5
    assert not [each for each in target.log if each.method == "DELETE"]
    assert (await reviewed(tmp_path, path, max_delete=2)).error is None
    assert (await Peer(target.host).tags("ml/a")).keys() == {"v1"}
