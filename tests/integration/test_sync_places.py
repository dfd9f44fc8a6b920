"""Syncs from and to stores and layouts, and to several places at once."""

from __future__ import annotations

import asyncio
import base64
import json
from pathlib import Path

import pytest
from aiohttp import web

from registry_push.content.ollama.source import OllamaStore
from registry_push.embedded import EmbeddedRegistry, Options
from registry_push.embedded.sample import write_sample_store
from registry_push.errors import SomeFailed
from registry_push.events import Event, Warned
from registry_push.model import ModelName
from registry_push.verbs.sync.totals import SyncReport
from tests.support.command import command
from tests.support.registries import EmbeddedFactory, Registry, ZuulRegistry
from tests.support.sync_stage import Peer, actions, entries_of, facts, reasons, synced


def store_at(home: Path, *names: str) -> OllamaStore:
    """A store with models of these names, each with blobs of its own."""
    for number, name in enumerate(names):
        write_sample_store(home / "models", name=name, weights=70_000 + number)
    return OllamaStore(home / "models")


async def both(home: Path, plan: str) -> SyncReport:
    """A dry run, the run, which does what it has said, and a second run, which finds nothing to do."""
    dry = await synced(home, plan, dry_run=True)
    report = await synced(home, plan)
    assert report.error is None
    assert facts(entries_of(dry)) == facts(entries_of(report))
    again = await synced(home, plan)
    assert again.error is None and again.totals.is_quiet and again.totals.bytes == 0
    return report


async def test_a_store_to_a_registry(registry: Registry, tmp_path: Path) -> None:
    store = store_at(
        tmp_path, "me/llama3:8b", "me/llama3:8b-fp16", "me/llama3:latest", "other/llama3:8b", "me/phi:latest"
    )
    plan = f"""
[[sync]]
source = "ollama:"
target = "registry:{registry.host}/stores/"
models = ["me/llama*", "phi"]
tags = ["latest", "8b*", "!*-fp16"]
rename = {{ "^me/(.*)" = "mine/\\\\1" }}
"""
    report = await both(tmp_path, plan)
    there = {name: digest for name, digest in (await Peer(registry.host).everything()).items() if "stores/" in name}
    assert there == {
        f"stores/mine/{name}": str(store.read_manifest(ModelName.parse(f"me/{name}")).digest)
        for name in ("llama3:8b", "llama3:latest", "phi:latest")
    }
    left_out = {each["source"]: each["reason"] for each in entries_of(report) if each["action"] == "skipped"}
    assert left_out == {
        "me/llama3:8b-fp16": "excluded by *-fp16",
        "other/llama3:8b": "matches none of models",
    }


async def test_a_registry_to_a_store_and_a_layout(
    embedded: EmbeddedRegistry, embedded_with: EmbeddedFactory, tmp_path: Path
) -> None:
    other = await embedded_with(Options())
    sources = tmp_path / "from"
    sources.mkdir()
    store = store_at(sources, "me/tiny:v1", "me/tiny:v2", "me/more:latest")
    filled = await synced(sources, f'[[sync]]\nsource = "ollama:"\ntarget = "registry:{embedded.host}/"\n')
    assert filled.error is None
    home = tmp_path / "to"
    (home / "models").mkdir(parents=True)
    plan = f"""
[[sync]]
source = "registry:{embedded.host}/me/"
target = ["ollama:", "oci:{home}/layout", "registry:{other.host}/deep/below/"]
models = ["tiny"]
"""
    report = await both(home, plan)
    assert len([each for each in report.settled if each.target is not None]) == 6
    wanted = {tag: store.read_manifest(ModelName.parse(f"me/tiny:{tag}")) for tag in ("v1", "v2")}
    pulled = OllamaStore(home / "models")
    names = {model.name.tag: model.name for model in await pulled.models()}
    assert names.keys() == wanted.keys()
    for tag, manifest in wanted.items():
        assert pulled.read_manifest(names[tag]).raw == manifest.raw
        assert all((home / "models/blobs" / blob.digest.path_name).exists() for blob in manifest.blobs)
    index = json.loads((home / "layout/index.json").read_text())
    refs = {each["annotations"]["org.opencontainers.image.ref.name"]: each["digest"] for each in index["manifests"]}
    assert set(refs.values()) == {str(each.digest) for each in wanted.values()} and len(refs) == 2
    assert await Peer(other.host).everything() == {
        f"deep/below/me/tiny:{tag}": str(each.digest) for tag, each in wanted.items()
    }


async def test_a_layout_to_a_registry(
    embedded: EmbeddedRegistry, embedded_with: EmbeddedFactory, tmp_path: Path
) -> None:
    other = await embedded_with(Options())
    there = await Peer(embedded.host).put_all({"ml/a:v1": "1", "ml/a:v2": "2", "ml/b:v1": "3"})
    filled = await synced(
        tmp_path, f'[[sync]]\nsource = "registry:{embedded.host}/"\ntarget = "oci:{tmp_path}/layout"\n'
    )
    assert filled.error is None
    plan = f"""
[[sync]]
source = "oci:{tmp_path}/layout"
target = "registry:{other.host}/to/"
tags = ["v1"]
"""
    await both(tmp_path, plan)
    now = await Peer(other.host).everything()
    assert sorted(now.values()) == sorted([there["ml/a:v1"], there["ml/b:v1"]])
    assert {name.rpartition(":")[2] for name in now} == {"v1"}


async def test_an_archive_to_a_store(embedded: EmbeddedRegistry, tmp_path: Path) -> None:
    store = store_at(tmp_path, "me/tiny:v1", "me/tiny:v2")
    archive = tmp_path / "models.tar"
    done = await command(
        "export", "me/tiny:v1", "--to", str(archive), "--models", str(tmp_path / "models"), home=tmp_path
    )
    assert done.code == 0, done.err
    plan = f'[[sync]]\nsource = "oci-archive:{archive}"\ntarget = "registry:{embedded.host}/"\n'
    await both(tmp_path, plan)
    wanted = str(store.read_manifest(ModelName.parse("me/tiny:v1")).digest)
    assert list((await Peer(embedded.host).everything()).values()) == [wanted]


async def test_one_target_that_is_away_does_not_stop_the_other(
    embedded: EmbeddedRegistry, embedded_with: EmbeddedFactory, tmp_path: Path
) -> None:
    fine = await embedded_with(Options())
    names = [f"ml/a:v{number}" for number in range(8)]
    there = await Peer(embedded.host).put_all({name: name for name in names})
    plan = f"""
[[sync]]
source = "registry:{embedded.host}/ml/a"
target = ["registry:127.0.0.1:9/", "registry:{fine.host}/"]
"""
    report = await synced(tmp_path, plan)
    assert isinstance(report.error, SomeFailed) and report.error.exit_code == 8
    assert await Peer(fine.host).everything() == there
    failed = {str(each.target) for each in report.failed}
    assert failed == {f"127.0.0.1:9/{name}" for name in names}
    assert all(each.error is not None and each.error.exit_code == 6 for each in report.failed)


@pytest.mark.timeout(60)
async def test_an_entry_does_not_wait_for_the_content_of_another(
    embedded_with: EmbeddedFactory, tmp_path: Path
) -> None:
    """Two whole registries go to one place, and the first one's blobs come only after the second one is there."""
    is_filled, is_there = False, asyncio.Event()

    async def hold(request: web.Request) -> web.StreamResponse | None:
        if is_filled and request.method == "GET" and "/blobs/" in request.path:
            await is_there.wait()
        return None

    async def tell(request: web.Request) -> web.StreamResponse | None:
        if request.method == "PUT" and request.path == "/v2/ml/b/manifests/v1":
            is_there.set()
        return None

    slow, quick = await embedded_with(Options(hook=hold)), await embedded_with(Options())
    target = await embedded_with(Options(hook=tell))
    await Peer(slow.host).put("ml/a", "v1", "1")
    await Peer(quick.host).put("ml/b", "v1", "2")
    is_filled = True
    plan = "".join(
        f'[[sync]]\nsource = "registry:{source.host}/"\ntarget = "registry:{target.host}/"\n'
        for source in (slow, quick)
    )
    report = await synced(tmp_path, plan)
    assert report.error is None and actions(report) == {"ml/a:v1": "copied", "ml/b:v1": "copied"}


async def test_a_source_that_is_down_is_not_waited_for_at_each_repository(
    embedded: EmbeddedRegistry, tmp_path: Path
) -> None:
    plan = "".join(
        f'[[sync]]\nsource = "registry:127.0.0.1:9/ml/m{number}"\ntarget = "registry:{embedded.host}/"\n'
        for number in range(40)
    )
    report = await synced(tmp_path, plan)
    assert isinstance(report.error, SomeFailed)
    said = [each.reason for each in report.failed]
    assert len(said) == 40
    assert sum("not tried, since 127.0.0.1:9 is down" in each for each in said) > 10
    assert not [each for each in embedded.log if "/v2/ml/" in each.target]


async def test_a_backup_in_a_layout(embedded: EmbeddedRegistry, tmp_path: Path) -> None:
    old = await Peer(embedded.host).put("ml/a", "v1", "old")
    plan = f"""
[[sync]]
source = "registry:{embedded.host}/ml/"
target = "oci:{tmp_path}/layout"
backup = "{{tag}}-was"
"""
    assert (await synced(tmp_path, plan)).error is None
    new = await Peer(embedded.host).put("ml/a", "v1", "new")
    dry = await synced(tmp_path, plan, dry_run=True)
    report = await synced(tmp_path, plan)
    assert report.error is None and facts(entries_of(dry)) == facts(entries_of(report))
    index = json.loads((tmp_path / "layout/index.json").read_text())
    tags = {
        each["annotations"]["org.opencontainers.image.ref.name"].rpartition(":")[2]: each["digest"]
        for each in index["manifests"]
    }
    assert tags == {"v1": new, "v1-was": old}


async def test_names_that_an_ollama_store_can_not_hold(embedded: EmbeddedRegistry, tmp_path: Path) -> None:
    """The other tags are pulled."""
    (tmp_path / "models").mkdir()
    await Peer(embedded.host).put_all({"ml/a:v1": "1", "one/two/three/four:v1": "2"})
    plan = f'[[sync]]\nsource = "registry:{embedded.host}/"\ntarget = "ollama:"\n'
    report = await synced(tmp_path, plan)
    assert [each.source for each in report.failed if "three" in (each.source or "")], report.settled


@pytest.mark.parametrize("flags", [[], ["--dry-run"]], ids=["run", "dry run"])
async def test_a_store_that_is_missing(embedded: EmbeddedRegistry, tmp_path: Path, flags: list[str]) -> None:
    (tmp_path / "plan.toml").write_text(f'[[sync]]\nsource = "ollama:"\ntarget = "registry:{embedded.host}/"\n')
    done = await command("sync", str(tmp_path / "plan.toml"), "--models", str(tmp_path / "no"), *flags, home=tmp_path)
    assert done.code in (3, 4) and str(tmp_path / "no") in done.err, done.err


async def test_reasons_of_tags_that_are_in(
    embedded: EmbeddedRegistry, embedded_with: EmbeddedFactory, tmp_path: Path
) -> None:
    other = await embedded_with(Options())
    await Peer(embedded.host).put_all({"ml/a:v1.0": "1", "ml/a:latest": "2"})
    plan = f"""
[[sync]]
source = "registry:{embedded.host}/ml/a"
target = "registry:{other.host}/"
tags = {{ include = ["latest"], semver = "^1" }}
"""
    report = await synced(tmp_path, plan)
    assert reasons(report) == {"ml/a:v1.0": "new; is in ^1", "ml/a:latest": "new; matches latest"}
    assert set(actions(report).values()) == {"copied"}


@pytest.mark.real
async def test_a_registry_without_a_catalogue_and_without_deletion(
    embedded: EmbeddedRegistry, zuul_registry: ZuulRegistry, tmp_path: Path
) -> None:
    """zuul-registry: what can't be deleted is left, and told."""
    login = base64.b64encode(f"{zuul_registry.username}:{zuul_registry.password}".encode()).decode()
    (tmp_path / ".docker").mkdir()
    (tmp_path / ".docker/config.json").write_text(json.dumps({"auths": {zuul_registry.host: {"auth": login}}}))
    content = f"{tmp_path} "  # it shares its blobs between repositories, and the tests share it
    there = await Peer(embedded.host).put_all({"sync-zuul/a:v1": f"{content}1", "sync-zuul/a:v2": f"{content}2"})
    plan = f'[[sync]]\nsource = "registry:{embedded.host}/sync-zuul/"\ntarget = "registry:{zuul_registry.host}/"\n'
    await both(tmp_path, plan)
    await Peer(embedded.host).delete("sync-zuul/a", there["sync-zuul/a:v2"])
    told: list[Event] = []
    report = await synced(tmp_path, plan, sink=told.append, delete=True, max_delete=1)
    assert report.error is None
    assert actions(report) == {"sync-zuul/a:v1": "present", "sync-zuul/a:v2": "left"}
    assert reasons(report)["sync-zuul/a:v2"].startswith("left: this registry cannot delete manifests (")
    (warned,) = [each.message for each in told if isinstance(each, Warned)]
    assert warned.startswith("repositories that are gone at the source are not deleted: ")
