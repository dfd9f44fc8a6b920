"""`registry-push verify --repair`: what is broken is fetched from another place, and nothing else is."""

from __future__ import annotations

import asyncio
import os
import re
from pathlib import Path

import pytest

from registry_push.embedded import EmbeddedRegistry, Options
from registry_push.errors import ContentDamaged, Interrupted
from registry_push.model import Manifest
from registry_push.settings import Settings
from registry_push.verbs.verify import verify
from tests.support.command import command, start_command
from tests.support.damage import DAMAGE, blob_file, flip, flip_in_archive
from tests.support.pulls import Stage, asked, partials
from tests.support.registries import EmbeddedFactory, Registry, docker_registry_at

from .test_pull_stops import Halting
from .test_verify_places import NAMES, home, made, manifest, weights

__all__ = ["home"]


def models(home: Path) -> Path:
    return home / ".ollama/models"


def kept(folder: Path) -> dict[Path, tuple[int, int]]:
    """Which file each is, and when it was written."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in files}


@pytest.mark.parametrize("problem", DAMAGE)
@pytest.mark.parametrize("kind", ["store", "layout"])
async def test_only_what_is_broken_is_fetched_and_written(
    embedded: EmbeddedRegistry, home: Path, kind: str, problem: str
) -> None:
    await made(home, f"registry:{embedded.host}/me/a:v1", "ollama:me/a")
    place, folder = "ollama:", models(home)
    if kind == "layout":
        place, folder = f"oci:{home}/layout", home / "layout"
        await made(home, place)
    path, before = blob_file(folder, weights(home).digest), kept(folder)
    content = path.read_bytes()
    DAMAGE[problem](path)
    embedded.log.clear()
    done = await command("verify", place, "--repair", f"registry:{embedded.host}/me/a", "--json", home=home)
    last = done.events[-1]
    assert done.code == 0 and len(last["whole"]) == 2 and last["damaged"] == [], done.out
    assert [(each["digest"], each["repaired"]) for each in last["blobs"]] == [(str(weights(home).digest), True)]
    assert next(each for each in last["models"] if each["repaired"])["repaired"] == 1
    assert path.read_bytes() == content
    assert asked(embedded, "/blobs/") == [("GET", f"/v2/me/a/blobs/{weights(home).digest}")]
    after = kept(folder)
    assert after.keys() == before.keys()
    assert [each for each in after if after[each] != before[each]] == [path]
    assert (await command("verify", place, home=home)).code == 0


@pytest.mark.real
async def test_the_bytes_that_a_real_registry_sends_are_those_of_the_broken_blob(home: Path) -> None:
    (home / "registry").mkdir()
    with docker_registry_at(home / "registry", logs_requests=True) as registry:
        await made(home, f"registry:{registry.host}/me/a:v1", "ollama:me/a")
        flip(blob_file(models(home), weights(home).digest))
        sent = len(registry.log.read_text())
        done = await command("verify", "ollama:", "--repair", f"registry:{registry.host}/me/a:v1", home=home)
        assert done.code == 0 and "1 repaired" in done.out and "3.00 MB: it was damaged" in done.out, done.err
        lines = registry.log.read_text()[sent:]
    sizes = [int(size) for size in re.findall(r'"GET /v2/\S*blobs/\S* HTTP/1.1" 200 (\d+)', lines)]
    assert sizes == [weights(home).size], lines


async def test_a_place_that_lacks_one_of_two(registry: Registry, home: Path) -> None:
    await made(home, f"registry:{registry.host}/repair/a:v1", "ollama:me/a")
    for name in NAMES:
        flip(blob_file(models(home), weights(home, name).digest))
    source = f"registry:{registry.host}/repair/a"
    done = await command("verify", "ollama:", "--repair", source, home=home)
    assert done.code == 7 and "2 models: 1 whole, 1 damaged" in done.out
    said = next(line for line in done.err.splitlines() if "is damaged" in line)
    assert str(weights(home, NAMES[1]).digest) in said and f"{source} does not have it" in said
    again = await command("verify", "ollama:", home=home)
    assert again.code == 7 and "me/a:latest is damaged" not in again.err


async def test_a_place_that_is_damaged_itself_mends_nothing(home: Path) -> None:
    await made(home, f"oci:{home}/layout")
    path = blob_file(models(home), weights(home).digest)
    flip(path)
    broken = path.read_bytes()
    flip(blob_file(home / "layout", weights(home).digest), 9)
    done = await command("verify", "ollama:", "--repair", f"oci:{home}/layout", home=home)
    assert done.code == 7 and f"what oci:{home}/layout has of it is damaged too" in done.err
    assert path.read_bytes() == broken
    work = models(home) / ".registry-push"
    assert [each.name for each in work.iterdir()] == []


@pytest.mark.parametrize("source", ["ollama:", "oci", "oci-archive", "registry"])
async def test_manifests_of_a_layout_come_from_anywhere(embedded: EmbeddedRegistry, home: Path, source: str) -> None:
    await made(home, f"oci:{home}/broken")
    match source:
        case "oci":
            source = f"oci:{home}/whole"
            await made(home, source)
        case "oci-archive":
            source = f"oci-archive:{home}/whole.tar"
            await made(home, source)
        case "registry":
            source = f"registry:{embedded.host}/me/a"
            await made(home, f"{source}:v1", "ollama:me/a")
        case _:
            pass
    path = blob_file(home / "broken", manifest(home).digest)
    path.unlink()
    flip(blob_file(home / "broken", weights(home).digest))
    done = await command("verify", f"oci:{home}/broken", "--repair", source, "--json", home=home)
    assert done.code == 0 and len(done.events[-1]["blobs"]) == 2, done.out
    assert path.read_bytes() == manifest(home).raw


async def test_an_archive_is_mended_in_its_place(home: Path) -> None:
    await made(home, f"oci-archive:{home}/all.tar")
    content = (home / "all.tar").read_bytes()
    inode = (home / "all.tar").stat().st_ino
    flip_in_archive(home / "all.tar", weights(home).digest)
    flip_in_archive(home / "all.tar", manifest(home, NAMES[1]).digest)
    done = await command("verify", f"oci-archive:{home}/all.tar", "--repair", "ollama:", home=home)
    assert done.code == 0 and done.out.count("repaired ") == 2, done.err
    assert (home / "all.tar").read_bytes() == content and (home / "all.tar").stat().st_ino == inode


async def test_what_an_archive_has_no_place_for_is_not_put_there(home: Path) -> None:
    await made(home, f"oci:{home}/layout")
    blob_file(home / "layout", weights(home).digest).unlink()
    process = await asyncio.create_subprocess_exec("tar", "-cf", home / "all.tar", "-C", home / "layout", ".")
    assert await process.wait() == 0
    before = (home / "all.tar").read_bytes()
    done = await command("verify", f"oci-archive:{home}/all.tar", "--repair", "ollama:", home=home)
    assert done.code == 7 and "no place for it" in done.err and "export it again" in done.err
    assert (home / "all.tar").read_bytes() == before


async def test_a_registry_is_not_repaired_but_told_how(embedded: EmbeddedRegistry, home: Path) -> None:
    done = await command("verify", f"registry:{embedded.host}/me/a", "--repair", "ollama:me/a", home=home)
    assert done.code == 2 and embedded.log == []
    assert (
        f"registry-push copy ollama:registry.ollama.ai/me/a:latest registry:{embedded.host}/me/a --recheck" in done.err
    )
    same = await command("verify", "ollama:", "--repair", "ollama:me/a", home=home)
    assert same.code == 2 and "can't be repaired from itself" in same.err


@pytest.mark.skipif(os.name != "posix", reason="nothing is continued where there are no locks")
async def test_a_killed_repair_goes_on_where_it_was(embedded_with: EmbeddedFactory, pulls: Stage) -> None:
    halting = Halting(pulls, 8_000_000)
    registry = await embedded_with(Options(hook=halting.hook))
    await pulls.push(registry, "me/tiny:latest")
    halting.go_on.set()
    await pulls.pull(f"{registry.host}/me/tiny")
    halting.ranges.clear()
    halting.go_on.clear()
    largest = max((pulls.store / "blobs").iterdir(), key=lambda path: path.stat().st_size)
    whole = largest.read_bytes()
    flip(largest)
    broken = largest.read_bytes()
    line = ("verify", "ollama:", "--repair", f"registry:{registry.host}/me/tiny")
    process = await start_command(*line, home=pulls.home)
    while not any(size >= 6_000_000 for size in partials(pulls).values()):
        await asyncio.sleep(0.01)  # another process writes it: there is nothing to wait on
    process.kill()
    await process.communicate()
    assert largest.read_bytes() == broken
    done = await command(*line, home=pulls.home)
    assert done.code == 0, done.err
    assert largest.read_bytes() == whole and partials(pulls) == {}
    first, second = halting.ranges
    assert first is None and second is not None and int(second.removeprefix("bytes=").rstrip("-")) >= 6_000_000


async def test_a_stopped_repair_changes_nothing_that_it_has_not_finished(
    embedded_with: EmbeddedFactory, pulls: Stage
) -> None:
    halting = Halting(pulls, 8_000_000)
    registry = await embedded_with(Options(hook=halting.hook))
    await pulls.push(registry, "me/tiny:latest")
    halting.go_on.set()
    await pulls.pull(f"{registry.host}/me/tiny")
    halting.ranges.clear()
    halting.go_on.clear()
    largest = max((pulls.store / "blobs").iterdir(), key=lambda path: path.stat().st_size)
    largest.unlink()
    stop = asyncio.Event()
    settings = Settings(home=pulls.home, models=pulls.store)
    running = asyncio.create_task(
        verify(["ollama:"], repair=f"registry:{registry.host}/me/tiny", settings=settings, stop=stop)
    )
    await halting.halted.wait()
    stop.set()
    with pytest.raises(Interrupted):
        await running
    assert not largest.exists()
    halting.go_on.set()
    report = await verify(["ollama:"], repair=f"registry:{registry.host}/me/tiny", settings=settings)
    assert report.error is None and largest.exists()


async def test_a_list_in_a_store_gets_its_manifest_back(embedded: EmbeddedRegistry, pulls: Stage) -> None:
    """A manifest that a list names is a blob of an Ollama store; at a registry it is none."""
    await pulls.push(embedded, "me/a:latest", sizes=(50_000,))
    child = Manifest.parse(pulls.manifest("me/a", pulls.origin))
    await pulls.push_list(embedded, "me/a", "both", [(child.media_type, child.raw)])
    await pulls.pull(f"{embedded.host}/me/a:both")
    path = pulls.store / "blobs" / child.digest.path_name
    path.unlink()
    settings = Settings(home=pulls.home, models=pulls.store)
    broken = await verify(["ollama:"], settings=settings)
    assert isinstance(broken.error, ContentDamaged)
    assert [(each.broken.blob.digest, each.broken.is_manifest) for each in broken.findings] == [(child.digest, True)]
    report = await verify(["ollama:"], repair=f"registry:{embedded.host}/me/a", settings=settings)
    assert report.error is None and path.read_bytes() == child.raw
