"""Copies of whole registries, and of what is below a prefix: every repository, every tag, under the same paths."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import pytest
from aiohttp import web

from registry_push.content.oci.layout import OCILayout
from registry_push.embedded import EmbeddedRegistry, Options
from registry_push.errors import (
    Denied,
    Interrupted,
    ModelNotFound,
    NoCatalog,
    ProtocolViolation,
    UsageError,
)
from registry_push.events import ModelDone
from registry_push.model import Reference
from registry_push.model.place import CatalogPlace
from registry_push.registry.registries import Registries
from registry_push.settings import Settings
from registry_push.transfer.report import Report
from registry_push.verbs.copy import copy
from registry_push.verbs.push import push
from tests.support.command import command
from tests.support.registries import DockerRegistry, EmbeddedFactory, Registry, docker_registry_at
from tests.support.stores import make_mixed_store

SIZES = (70_000, 3_000)
CONTENT = {"ml/llama": ("8b", "70b", "latest"), "ml/deep/er/phi": ("latest",), "mlx": ("v1",), "top/gemma": ("2b",)}


def settings(home: Path, **given: object) -> Settings:
    return Settings(**{"home": home, "models": home / "models", "state_dir": None, **given})  # type: ignore[arg-type]


async def filled(registry: Registry, home: Path, content: Mapping[str, tuple[str, ...]] = CONTENT) -> None:
    """Has these tags at the registry, each a model of its own."""
    for repository, tags in content.items():
        for tag in tags:
            name = f"{repository.replace('/', '-')}:{tag}"
            make_mixed_store(home / "models", SIZES, name=name)
            report = await push([name], to=f"{registry.host}/{repository}:{tag}", settings=settings(home))
            assert report.error is None


async def copied(home: Path, source: str, target: str, **given: object) -> Report:
    return await copy(source, target, settings=settings(home, **given))


async def digests(home: Path, registry: Registry, repositories: Mapping[str, tuple[str, ...]]) -> dict[str, object]:
    """The digest of every tag that these repositories list."""
    async with Registries(settings(home), lambda _: None) as registries:
        found: dict[str, object] = {}
        for repository in repositories:
            opened = registries.repository(Reference.parse(f"{registry.host}/{repository}"))
            for tag in await opened.every_tag():
                found[f"{repository}:{tag}"] = await opened.digest_of(tag)
        return found


def targets(report: Report) -> set[str]:
    return {str(model.target) for model in report.done}


# ── a real registry to another ────────────────────────────────────────────────────────────────────


@pytest.fixture
def two(tmp_path: Path) -> Iterator[tuple[DockerRegistry, DockerRegistry]]:
    """Two registries of this test's own, which log every request."""
    with ExitStack() as stack:
        folders = [tmp_path / name for name in ("a", "b")]
        for folder in folders:
            folder.mkdir()
        a, b = [stack.enter_context(docker_registry_at(folder, logs_requests=True)) for folder in folders]
        yield a, b


def requests(registry: DockerRegistry) -> list[str]:
    return re.findall(r'"((?:GET|HEAD|PUT|POST|PATCH|DELETE) /v2/[^ "]*)', registry.log.read_text())


@pytest.mark.real
async def test_a_registry_to_another(two: tuple[DockerRegistry, DockerRegistry], tmp_path: Path) -> None:
    here, there = two
    await filled(here, tmp_path)
    report = await copied(tmp_path, f"registry:{here.host}/", f"registry:{there.host}/")
    assert report.error is None
    assert targets(report) == {f"{there.host}/{name}:{tag}" for name, tags in CONTENT.items() for tag in tags}
    wanted = await digests(tmp_path, here, CONTENT)
    assert len(wanted) == 6 and None not in wanted.values()
    assert await digests(tmp_path, there, CONTENT) == wanted

    before = len(requests(there)), len(requests(here))
    report = await copied(tmp_path, f"registry:{here.host}/", f"registry:{there.host}/")
    assert report.error is None and not any(isinstance(each, ModelDone) and each.sent for each in report.models)
    asked = [each for each in requests(there)[before[0] :] if each != "GET /v2/"]
    assert sorted(asked) == sorted(
        f"HEAD /v2/{name}/manifests/{tag}" for name, tags in CONTENT.items() for tag in tags
    ), "a GET at the target counts as a pull there"
    read = requests(here)[before[1] :]
    assert sum(each.startswith("GET /v2/_catalog") for each in read) == 1
    assert sum(each.endswith("/tags/list") for each in read) == len(CONTENT)
    assert not [each for each in read if each.startswith("GET") and ("/manifests/" in each or "/blobs/" in each)]


@pytest.mark.real
async def test_what_is_below_a_prefix(two: tuple[DockerRegistry, DockerRegistry], tmp_path: Path) -> None:
    here, there = two
    await filled(here, tmp_path)
    report = await copied(tmp_path, f"registry:{here.host}/ml/", f"registry:{there.host}/mirror/")
    assert report.error is None
    wanted = {f"{name}:{tag}" for name, tags in CONTENT.items() if name.startswith("ml/") for tag in tags}
    assert targets(report) == {f"{there.host}/mirror/{each}" for each in wanted}


@pytest.mark.real
async def test_a_page_is_not_all(two: tuple[DockerRegistry, DockerRegistry], tmp_path: Path) -> None:
    """docker-registry lists 100 at a time unless it is told otherwise, and 1,000 at most."""
    here, _ = two
    names = [f"many/m{number:04}" for number in range(1001)]
    for name in names:
        (here.root / "docker/registry/v2/repositories" / name / "_layers").mkdir(parents=True)
    async with Registries(settings(tmp_path), lambda _: None) as registries:
        listing = await registries.catalog(CatalogPlace(here.host, "many", None)).every("many")
    assert [each.repository for each in listing.repositories] == names
    assert sum(each.startswith("GET /v2/_catalog") for each in requests(here)) == 2


# ── other places ──────────────────────────────────────────────────────────────────────────────────


async def test_below_a_prefix_into_a_layout(embedded: EmbeddedRegistry, tmp_path: Path) -> None:
    await filled(embedded, tmp_path)
    report = await copied(tmp_path, f"registry:{embedded.host}/ml/deep/", f"oci:{tmp_path / 'layout'}")
    assert report.error is None
    assert set(await OCILayout(tmp_path / "layout").tags()) == {f"{embedded.host}/ml/deep/er/phi:latest"}


async def test_a_copy_of_a_registry_is_resumed(embedded_with: EmbeddedFactory, tmp_path: Path) -> None:
    """By what was recorded: the place as it was written, not the repositories that it had then."""
    is_broken = True

    async def hook(request: web.Request) -> web.StreamResponse | None:
        return web.Response(status=500) if is_broken and request.method == "PUT" else None

    here, there = await embedded_with(Options()), await embedded_with(Options(hook=hook))
    await filled(here, tmp_path, {"ml/a": ("v1",)})
    arguments = ("copy", f"registry:{here.host}/ml/", f"registry:{there.host}/", "--retries", "0")
    failed = await command(*arguments, home=tmp_path)
    assert failed.code == 6, failed.err
    await filled(here, tmp_path, {"ml/later": ("v1",)})
    is_broken = False
    resumed = await command("resume", home=tmp_path)
    assert resumed.code == 0, resumed.err
    assert set(await there.repositories.names()) == {"ml/a", "ml/later"}


# ── what fails, and what is refused ───────────────────────────────────────────────────────────────


async def test_a_repository_that_can_t_be_listed_fails_alone(embedded_with: EmbeddedFactory, tmp_path: Path) -> None:
    async def hook(request: web.Request) -> web.StreamResponse | None:
        if request.path == "/v2/ml/llama/tags/list":
            return web.json_response({"errors": [{"code": "DENIED", "message": "not yours"}]}, status=403)
        return None

    here, there = await embedded_with(Options(hook=hook)), await embedded_with(Options())
    await filled(here, tmp_path)
    report = await copied(tmp_path, f"registry:{here.host}/", f"registry:{there.host}/")
    assert [each.model for each in report.failed] == [f"{here.host}/ml/llama"]
    assert isinstance(report.failed[0].error, Denied) and "not yours" in report.failed[0].error.message
    assert len(report.done) == 3 and report.error is not None and report.error.exit_code == 8


async def test_a_stop_ends_the_listing(embedded_with: EmbeddedFactory, tmp_path: Path) -> None:
    """It is not the failure of the repositories that were left: they are not asked for any more."""
    names, stop, never = [f"ml/m{number:02}" for number in range(40)], asyncio.Event(), asyncio.Event()

    async def hook(request: web.Request) -> web.StreamResponse | None:
        if request.path == "/v2/_catalog":
            return web.json_response({"repositories": names})
        stop.set()
        await never.wait()
        return None

    here, there = await embedded_with(Options(hook=hook)), await embedded_with(Options())
    with pytest.raises(Interrupted):
        await copy(f"registry:{here.host}/", f"registry:{there.host}/", settings=settings(tmp_path), stop=stop)
    assert not there.log and sum("/tags/list" in each.target for each in here.log) < len(names) / 2


async def test_names_that_are_none_fail_alone(embedded_with: EmbeddedFactory, tmp_path: Path) -> None:
    async def hook(request: web.Request) -> web.StreamResponse | None:
        if request.path == "/v2/_catalog":
            return web.json_response({"repositories": ["ml/A", "ml/llama", "ml/../mlx", "ml/llama"]})
        return None

    here, there = await embedded_with(Options(hook=hook)), await embedded_with(Options())
    await filled(here, tmp_path)
    report = await copied(tmp_path, f"registry:{here.host}/ml/", f"registry:{there.host}/")
    assert [each.model for each in report.failed] == [f"{here.host}/ml/A", f"{here.host}/ml/../mlx"]
    assert all(isinstance(each.error, ProtocolViolation) for each in report.failed)
    assert len(report.done) == 3
    assert not any("mlx" in each.target or "ml/A" in each.target for each in here.log[-40:] if each.method == "GET")


async def test_repositories_without_tags_are_passed_over(embedded: EmbeddedRegistry, tmp_path: Path) -> None:
    """Registries keep the names of those that were emptied, or that an upload was begun in."""
    await filled(embedded, tmp_path, {"ml/a": ("v1",), "void/emptied": ("v1",)})
    async with Registries(settings(tmp_path), lambda _: None) as registries:
        emptied = registries.repository(Reference.parse(f"{embedded.host}/void/emptied"))
        digest = await emptied.digest_of("v1")
        await emptied.delete(str(digest))
    report = await copied(tmp_path, f"registry:{embedded.host}/", f"registry:{embedded.host}/x/")
    assert report.error is None and targets(report) == {f"{embedded.host}/x/ml/a:v1"}
    with pytest.raises(ModelNotFound, match="no repositories"):
        await copied(tmp_path, f"registry:{embedded.host}/none/", f"registry:{embedded.host}/x/")
    with pytest.raises(ModelNotFound, match="no tags in its 1 repository"):
        await copied(tmp_path, f"registry:{embedded.host}/void/", f"registry:{embedded.host}/x/")


async def test_a_registry_without_a_list(embedded_with: EmbeddedFactory, tmp_path: Path) -> None:
    async def hook(request: web.Request) -> web.StreamResponse | None:
        return web.Response(status=404) if request.path == "/v2/_catalog" else None

    here = await embedded_with(Options(hook=hook))
    with pytest.raises(NoCatalog, match="does not list its repositories") as caught:
        await copied(tmp_path, f"registry:{here.host}/", f"oci:{tmp_path / 'layout'}")
    assert "one by one" in (caught.value.hint or "")


@pytest.mark.parametrize(
    "target", ["registry:r.example/ml/one", "registry:r.example/ml/one:tag", "ollama:one", "oci:dir:a"]
)
async def test_a_registry_does_not_become_one_repository(target: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="can't become one"):
        await copied(tmp_path, "registry:r.example/ml/", target)


@pytest.mark.parametrize("arguments", [("verify",), ("inventory",), ("pull",), ("inspect",), ("tags",)])
async def test_what_takes_one_repository_says_so(arguments: tuple[str, ...], tmp_path: Path) -> None:
    refused = await command(*arguments, "registry:localhost:1/ml/", home=tmp_path)
    assert refused.code == 2
    assert "names no repository" in refused.err and "registry:HOST/PATH" in refused.err


async def test_a_registry_into_an_archive(embedded: EmbeddedRegistry, tmp_path: Path) -> None:
    await filled(embedded, tmp_path, {"ml/a": ("v1",), "ml/b/c": ("v1", "v2"), "other": ("v1",)})
    done = await command("export", f"registry:{embedded.host}/ml/", "--to", str(tmp_path / "all.tar"), home=tmp_path)
    assert done.code == 0, done.err
    report = await copied(tmp_path, f"oci-archive:{tmp_path / 'all.tar'}", f"oci:{tmp_path / 'layout'}")
    assert len([each for each in report.models if isinstance(each, ModelDone)]) == 3
