"""Copies between registries: each blob over each line once, manifests byte for byte, both ends gone on with."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path

import pytest
from aiohttp import web

from registry_push.embedded import EmbeddedRegistry, Options
from registry_push.embedded.sample import write_sample_store
from registry_push.errors import BlobCorrupt, Interrupted, ModelNotFound, NameCollision, TagTaken, UsageError
from registry_push.events import BlobProgress, ModelDone
from registry_push.model import Manifest, Reference
from registry_push.registry.registries import Registries
from registry_push.settings import Settings
from registry_push.transfer.report import Report
from registry_push.verbs.copy import copy
from registry_push.verbs.push import push
from tests.support.command import command, start_command
from tests.support.registries import EmbeddedFactory, Registry
from tests.support.stores import make_many_store, make_mixed_store

BIG = 30_000_000
SIZES = (BIG, 9_000_000, 5_000)


def settings(home: Path, **given: object) -> Settings:
    return Settings(**{"home": home, "models": home / "models", "state_dir": None, **given})  # type: ignore[arg-type]


async def filled(registry: Registry, home: Path, *names: str, sizes: tuple[int, ...] = SIZES) -> None:
    """Has models of these names at the registry, each with blobs of its own."""
    for name in names:
        make_mixed_store(home / "models", sizes, name=name)
        report = await push([name], to=f"{registry.host}/", settings=settings(home))
        assert report.error is None


async def manifests(home: Path, host: str, repository: str, *tags: str) -> list[bytes]:
    async with Registries(settings(home), lambda _: None) as registries:
        opened = registries.repository(Reference.parse(f"{host}/{repository}"))
        return [(await opened.resolve(tag)).raw for tag in tags]


async def contents(home: Path, host: str, repository: str, tag: str) -> list[str]:
    """The digests of what the registry really gives for each blob."""
    async with Registries(settings(home), lambda _: None) as registries:
        opened = registries.repository(Reference.parse(f"{host}/{repository}"))
        found = []
        for blob in (await opened.resolve(tag)).blobs:
            body, whole = await opened.open(blob), hashlib.sha256()
            async for piece in body.open(0, blob.size):
                whole.update(piece)
            await body.close()
            found.append(whole.hexdigest())
        return found


async def copied(home: Path, source: str, target: str, **given: object) -> Report:
    report = await copy(f"registry:{source}", f"registry:{target}", settings=settings(home, **given))
    assert report.error is None
    return report


def asked(registry: EmbeddedRegistry, method: str, what: str) -> list[str]:
    return [each.target for each in registry.log if each.method == method and what in each.target]


def received(registry: EmbeddedRegistry) -> int:
    return sum(each.received for each in registry.log)


async def test_a_repository_with_all_its_tags(registry: Registry, embedded: EmbeddedRegistry, tmp_path: Path) -> None:
    await filled(registry, tmp_path, "copies/all:a", "copies/all:b")
    report = await copied(tmp_path, f"{registry.host}/copies/all", f"{embedded.host}/mirror/")
    assert sorted(str(model.target) for model in report.done) == [
        f"{embedded.host}/mirror/copies/all:{tag}" for tag in "ab"
    ]
    here = await manifests(tmp_path, registry.host, "copies/all", "a", "b")
    assert await manifests(tmp_path, embedded.host, "mirror/copies/all", "a", "b") == here
    for tag, raw in zip("ab", here, strict=True):
        wanted = [blob.digest.hex for blob in Manifest.parse(raw).blobs]
        assert await contents(tmp_path, embedded.host, "mirror/copies/all", tag) == wanted


async def test_and_back_to_a_real_one(registry: Registry, embedded: EmbeddedRegistry, tmp_path: Path) -> None:
    await filled(embedded, tmp_path, "copies/back:latest")
    await copied(tmp_path, f"{embedded.host}/copies/back:latest", f"{registry.host}/copies/back-again:v1")
    here = await manifests(tmp_path, embedded.host, "copies/back", "latest")
    assert await manifests(tmp_path, registry.host, "copies/back-again", "v1") == here


@pytest.mark.parametrize("limit", [None, 200_000_000])
async def test_each_blob_goes_over_each_line_once(
    embedded_with: EmbeddedFactory, tmp_path: Path, limit: int | None
) -> None:
    source, target = await embedded_with(Options()), await embedded_with(Options())
    await filled(source, tmp_path, "me/a:latest")
    source.log.clear()
    await copied(tmp_path, f"{source.host}/me/a:latest", f"{target.host}/me/b:latest", bwlimit=limit)
    read = asked(source, "GET", "/blobs/")
    assert len(read) == len(set(read)) == len(SIZES) + 1
    assert sum(SIZES) < received(target) < sum(SIZES) + 1000
    assert not asked(target, "GET", "/v2/me"), "a GET at the target counts as a pull there"


async def test_what_is_there_costs_two_requests(embedded_with: EmbeddedFactory, tmp_path: Path) -> None:
    source, target = await embedded_with(Options()), await embedded_with(Options())
    await filled(source, tmp_path, "me/a:latest", sizes=(5000,))
    await copied(tmp_path, f"{source.host}/me/a:latest", f"{target.host}/me/a:latest")
    source.log.clear()
    target.log.clear()
    report = await copied(tmp_path, f"{source.host}/me/a:latest", f"{target.host}/me/a:latest")
    assert [each.method for each in (*source.log, *target.log)] == ["HEAD", "HEAD"]
    assert isinstance(report.models[0], ModelDone) and report.models[0].sent == 0
    assert report.models[0].present is None, "all of it, which nobody has counted"
    await copied(tmp_path, f"{source.host}/me/a:latest", f"{target.host}/me/a:latest", recheck=True)
    assert asked(target, "HEAD", "/blobs/"), "--recheck looks at every blob"


async def test_both_ends_are_asked_at_once(embedded_with: EmbeddedFactory, tmp_path: Path) -> None:
    """On a long line, what is asked one after the other costs a round trip each."""
    is_filled, target_is_asked, about = asyncio.Event(), asyncio.Event(), asyncio.Barrier(4)

    async def of_source(request: web.Request) -> web.StreamResponse | None:
        if not is_filled.is_set():
            return None
        if request.method == "HEAD" and request.path.endswith("/manifests/latest"):
            await target_is_asked.wait()
        elif request.path.endswith(".sig") or (request.method == "GET" and "/blobs/" not in request.path):
            # A signature, the manifest, the list of what is about it, and the index in case that there is no list.
            await about.wait()
        return None

    async def of_target(request: web.Request) -> web.StreamResponse | None:
        if request.method == "HEAD" and request.path.endswith("/manifests/latest"):
            target_is_asked.set()
        return None

    source = await embedded_with(Options(hook=of_source))
    await filled(source, tmp_path, "me/a", sizes=(5_000,))
    is_filled.set()
    target = await embedded_with(Options(hook=of_target))
    await copied(tmp_path, f"{source.host}/me/a:latest", f"{target.host}/me/a:latest")
    assert len(asked(target, "HEAD", "/manifests/")) == 1, "what was answered a moment ago is not asked again"


async def test_a_target_that_fails_does_not_hide_what_the_source_says(
    embedded_with: EmbeddedFactory, tmp_path: Path
) -> None:
    async def refuse(_: web.Request) -> web.StreamResponse:
        return web.Response(status=403)

    source, target = await embedded_with(Options()), await embedded_with(Options(hook=refuse))
    with pytest.raises(ModelNotFound):
        await copied(tmp_path, f"{source.host}/me/none:latest", f"{target.host}/me/a:latest")


async def test_blobs_that_are_shared_are_mounted(embedded_with: EmbeddedFactory, tmp_path: Path) -> None:
    source, target = await embedded_with(Options()), await embedded_with(Options())
    name = make_mixed_store(tmp_path / "models", SIZES, name="me/a:latest")
    for repository in ("me/a", "me/b"):
        await push([name.short], to=f"{source.host}/{repository}:latest", settings=settings(tmp_path))
    await copied(tmp_path, f"{source.host}/me/a:latest", f"{target.host}/x/", state_dir=tmp_path / "state")
    before = received(target)
    await copied(tmp_path, f"{source.host}/me/b:latest", f"{target.host}/x/", state_dir=tmp_path / "state")
    assert received(target) - before < 10_000, "what lies in another repository is mounted, in a later run too"


class CutOnce:
    """Serves the first GET of a large blob up to a byte, and breaks the line there."""

    def __init__(self, content: bytes, at: int) -> None:
        self._content, self._at = content, at
        self.ranges: list[str | None] = []

    async def hook(self, request: web.Request) -> web.StreamResponse | None:
        if request.method != "GET" or hashlib.sha256(self._content).hexdigest() not in request.path:
            return None
        self.ranges.append(request.headers.get("Range"))
        if len(self.ranges) > 1:
            return None
        response = web.StreamResponse(headers={"Content-Length": str(len(self._content))})
        await response.prepare(request)
        await response.write(self._content[: self._at])
        assert request.transport is not None
        request.transport.abort()
        return response


@pytest.mark.parametrize("size", [BIG, 3_000_000], ids=["in chunks", "in one PUT"])
async def test_a_source_that_breaks_off_is_gone_on_with(
    embedded_with: EmbeddedFactory, tmp_path: Path, size: int
) -> None:
    make_mixed_store(tmp_path / "models", (size,), name="me/a:latest")
    largest = max((tmp_path / "models/blobs").iterdir(), key=lambda file: file.stat().st_size)
    cut = CutOnce(largest.read_bytes(), size // 3)
    source, target = await embedded_with(Options(hook=cut.hook)), await embedded_with(Options())
    await push(["me/a"], to=f"{source.host}/me/a:latest", settings=settings(tmp_path))
    await copied(tmp_path, f"{source.host}/me/a:latest", f"{target.host}/me/a:latest")
    first, second = cut.ranges
    assert first is None and second is not None
    assert 0 < int(second.removeprefix("bytes=").removesuffix("-")) <= size // 3
    assert received(target) < size + 2000


async def test_what_is_not_the_blob_is_never_committed(embedded_with: EmbeddedFactory, tmp_path: Path) -> None:
    class Lies:
        async def hook(self, request: web.Request) -> web.StreamResponse | None:
            if request.method == "GET" and "/blobs/" in request.path:
                return web.Response(body=b"x" * BIG) if lying == request.path.rpartition(":")[2] else None
            return None

    lying = ""
    source, target = await embedded_with(Options(hook=Lies().hook)), await embedded_with(Options(verifies=False))
    await filled(source, tmp_path, "me/a:latest", sizes=(BIG,))
    largest = max((tmp_path / "models/blobs").iterdir(), key=lambda file: file.stat().st_size)
    lying = largest.name.removeprefix("sha256-")
    report = await copy(
        f"registry:{source.host}/me/a:latest", f"registry:{target.host}/me/a:latest", settings=settings(tmp_path)
    )
    assert isinstance(report.error, BlobCorrupt) and report.error.exit_code == 7
    assert not any(lying in each for each in asked(target, "PUT", "/blobs/"))
    with pytest.raises(ModelNotFound):
        await manifests(tmp_path, target.host, "me/a", "latest")


async def test_nothing_is_written_to_disk_but_the_journal(embedded_with: EmbeddedFactory, tmp_path: Path) -> None:
    source, target = await embedded_with(Options()), await embedded_with(Options())
    await filled(source, tmp_path, "me/a:latest")
    home = tmp_path / "home"
    done = await command(
        "copy", f"registry:{source.host}/me/a:latest", f"registry:{target.host}/me/a:latest", home=home.absolute()
    )
    assert done.code == 0, done.err
    written = sum(file.stat().st_blocks * 512 for file in home.rglob("*") if file.is_file())
    assert written < 1_000_000
    assert done.peak < 80_000_000


async def test_a_killed_copy_goes_on_at_both_ends(embedded_with: EmbeddedFactory, tmp_path: Path) -> None:
    reached = asyncio.Event()

    async def hook(request: web.Request) -> web.StreamResponse | None:
        if request.method == "PATCH" and sum(each.method == "PATCH" for each in target.log) == 4:
            reached.set()
            await asyncio.Event().wait()
        return None

    source, target = await embedded_with(Options()), await embedded_with(Options(hook=hook))
    await filled(source, tmp_path, "me/a:latest", sizes=(BIG,))
    arguments = ["copy", f"registry:{source.host}/me/a:latest", f"registry:{target.host}/me/a:latest"]
    process = await start_command(*arguments, "--chunk-size", "4MiB", home=tmp_path)
    await reached.wait()
    process.kill()
    await process.communicate()
    before, source_before = received(target), len(source.log)
    done = await command(*arguments, "--chunk-size", "4MiB", home=tmp_path)
    assert done.code == 0, done.err
    assert before + (received(target) - before) < BIG + 2 * 4 * 2**20
    ranges = [each for each in source.log[source_before:] if each.method == "GET" and "/blobs/" in each.target]
    assert ranges, "the rest is read at the source"
    assert await manifests(tmp_path, target.host, "me/a", "latest") == await manifests(
        tmp_path, source.host, "me/a", "latest"
    )


async def test_many_small_blobs(embedded_with: EmbeddedFactory, tmp_path: Path) -> None:
    source, target = await embedded_with(Options()), await embedded_with(Options())
    name = make_many_store(tmp_path / "models", layers=60, layer_size=2000)
    await push([name.short], to=f"{source.host}/me/many:latest", settings=settings(tmp_path))
    await copied(tmp_path, f"{source.host}/me/many:latest", f"{target.host}/me/many:latest")
    read = asked(source, "GET", "/blobs/")
    assert len(read) == len(set(read)) == 61


async def test_a_dry_run_writes_nothing(embedded_with: EmbeddedFactory, tmp_path: Path) -> None:
    source, target = await embedded_with(Options()), await embedded_with(Options())
    await filled(source, tmp_path, "me/a:latest")
    report = await copy(
        f"registry:{source.host}/me/a:latest",
        f"registry:{target.host}/me/a:latest",
        dry_run=True,
        settings=settings(tmp_path),
    )
    assert report.done[0].dry_run and report.done[0].uploaded == len(SIZES) + 1
    assert {each.method for each in target.log} <= {"HEAD", "GET"}
    assert not asked(source, "GET", "/blobs/")


async def test_no_clobber_replaces_no_tag(embedded_with: EmbeddedFactory, tmp_path: Path) -> None:
    source, target = await embedded_with(Options()), await embedded_with(Options())
    await filled(source, tmp_path, "me/a:latest", sizes=(10,))
    await filled(target, tmp_path, "me/b:latest", sizes=(20,))
    report = await copy(
        f"registry:{source.host}/me/a:latest",
        f"registry:{target.host}/me/b:latest",
        settings=settings(tmp_path, no_clobber=True),
    )
    assert isinstance(report.error, TagTaken)
    assert len(asked(target, "POST", "/v2/me/b/")) == 2, "as it was filled: nothing else was sent"


async def test_several_can_not_become_one(embedded_with: EmbeddedFactory, tmp_path: Path) -> None:
    source, target = await embedded_with(Options()), await embedded_with(Options())
    await filled(source, tmp_path, "me/a:v1", "me/a:v2", sizes=(10,))
    place = f"registry:{source.host}/me/a"
    with pytest.raises(UsageError, match="2 models"):
        await copy(place, f"registry:{target.host}/me/b:latest", settings=settings(tmp_path))
    with pytest.raises(UsageError, match="--tag"):
        await copy(place, f"registry:{target.host}/me/b", tags=["x"], settings=settings(tmp_path))
    await copied(tmp_path, f"{source.host}/me/a", f"{target.host}/me/b")
    assert len(await manifests(tmp_path, target.host, "me/b", "v1", "v2")) == 2


async def test_an_unknown_repository_is_named(embedded: EmbeddedRegistry, tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound, match="me/none"):
        await copy(f"registry:{embedded.host}/me/none", f"registry:{embedded.host}/x/", settings=settings(tmp_path))


async def test_from_the_store_to_a_registry_as_push(embedded: EmbeddedRegistry, tmp_path: Path) -> None:
    write_sample_store(tmp_path / "models", name="me/tiny")
    await copy("ollama:me/tiny", f"registry:{embedded.host}/ml/", tags=["v9"], settings=settings(tmp_path))
    [raw, other] = await manifests(tmp_path, embedded.host, "ml/me/tiny", "latest", "v9")
    assert raw == other


def test_two_models_that_would_get_one_name_are_refused(tmp_path: Path) -> None:
    write_sample_store(tmp_path / "models", name="me/a:v1")
    write_sample_store(tmp_path / "models", name="me/b:v1")
    with pytest.raises(NameCollision):
        asyncio.run(copy("ollama:", "registry:localhost:1/x/y", settings=settings(tmp_path)))


async def test_a_login_that_is_given_is_shown_to_one_registry_only(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="one registry's login"):
        await copied(tmp_path, "a.example/me/a:v1", "b.example/me/a:v1", username="me", password="secret")


async def test_the_first_stop_ends_a_copy_into_a_layout_at_once(embedded: EmbeddedRegistry, tmp_path: Path) -> None:
    """Not after 30 MB, or 500 GB; and what came is kept."""
    await filled(embedded, tmp_path, "me/a:latest")
    stop, told = asyncio.Event(), list[int]()

    def sink(event: object) -> None:
        if isinstance(event, BlobProgress) and event.size == BIG:
            told.append(event.offset)
            if event.offset > BIG // 2:
                stop.set()

    place = f"oci:{tmp_path / 'l'}"
    with pytest.raises(Interrupted):
        await copy(f"registry:{embedded.host}/me/a:latest", place, settings=settings(tmp_path), sink=sink, stop=stop)
    assert BIG // 2 < max(told) < BIG
    embedded.log.clear()
    report = await copy(f"registry:{embedded.host}/me/a:latest", place, settings=settings(tmp_path))
    assert report.error is None
    assert sum(each.sent for each in report.done) < sum(SIZES) - BIG // 4


async def test_a_layout_that_lost_a_blob_gets_it_again(embedded: EmbeddedRegistry, tmp_path: Path) -> None:
    await filled(embedded, tmp_path, "me/a:latest")
    source, place = f"registry:{embedded.host}/me/a:latest", f"oci:{tmp_path / 'l'}"
    assert (await copy(source, place, settings=settings(tmp_path))).error is None
    lost = max((tmp_path / "l/blobs/sha256").iterdir(), key=lambda path: path.stat().st_size)
    lost.unlink()
    assert (await copy(source, place, settings=settings(tmp_path))).error is None
    assert lost.stat().st_size == BIG


async def test_a_registry_that_is_named_as_ollama_does_is_pointed_out(tmp_path: Path) -> None:
    (tmp_path / "models/blobs").mkdir(parents=True)
    (tmp_path / "models/manifests").mkdir()
    with pytest.raises(ModelNotFound) as caught:
        await copy("localhost:5000/me/a:v1", "localhost:5001/x/", settings=settings(tmp_path))
    assert caught.value.hint == "to copy it from the registry, write registry:localhost:5000/me/a:v1"
