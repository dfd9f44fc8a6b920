"""`registry-push pull`: models from registries into an Ollama store, as Ollama would have written them."""

from __future__ import annotations

import asyncio
import os
import pwd
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from registry_push.auth.identity import Identity
from registry_push.content.ollama.source import OllamaStore
from registry_push.embedded import EmbeddedRegistry, Ollama, Options, Token
from registry_push.embedded.sample import write_sample_store
from registry_push.errors import Interrupted, ModelNotFound, UsageError
from registry_push.events import BlobProgress, BlobStarted, Event
from registry_push.model import ModelName
from registry_push.settings import Settings
from registry_push.transfer.report import Report
from registry_push.verbs.pull import pull
from registry_push.verbs.push import push
from tests.support.command import command, start_command
from tests.support.other_user import UID, command_as_other, public_folder, require_root
from tests.support.registries import EmbeddedFactory, Registry
from tests.support.stores import make_mixed_store

SIZES = (12_000_000, 300_000, 5_000)
HERE = ".ollama/models"


class Stage:
    """A store that models were pushed from, and a home with none, into which they are pulled."""

    def __init__(self, folder: Path) -> None:
        self.origin, self.home = folder / "origin", folder / "home"
        self.home.mkdir()
        self.store = self.home / HERE
        self.events: list[Event] = []

    async def push(self, registry: Registry, *names: str, sizes: tuple[int, ...] = SIZES, **given: Any) -> None:
        """Have models of these names there, each with content of its own."""
        for name in names:
            make_mixed_store(self.origin, sizes, name=name)
        settings = Settings(**{"home": self.home, "models": self.origin, "state_dir": None, **given})
        report = await push(list(names), to=f"{registry.host}/", settings=settings)
        assert report.error is None

    async def pull(self, *names: str, **given: Any) -> Report:
        verb = {key: given.pop(key) for key in ("name", "dry_run", "stop") if key in given}
        settings = Settings(**{"home": self.home, "models": self.store, "state_dir": None, "retries": 3, **given})
        return await pull(names, settings=settings, sink=self.events.append, **verb)

    def manifest(self, name: str, root: Path | None = None) -> bytes:
        return (root or self.store).joinpath("manifests", *ModelName.parse(name).path_parts).read_bytes()

    async def check(self, name: str, pushed: str) -> None:
        """Hold the model `name` that was pulled against the one that was `pushed`: every byte of it."""
        assert self.manifest(name) == self.manifest(pushed, self.origin)
        for blob in OllamaStore(self.store).read_manifest(ModelName.parse(name)).blobs:
            path = self.store / "blobs" / blob.digest.path_name
            assert path.read_bytes() == (self.origin / "blobs" / blob.digest.path_name).read_bytes()


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


def asked(registry: EmbeddedRegistry, what: str = "/v2/") -> list[tuple[str, str]]:
    return [(each.method, each.target) for each in registry.log if what in each.target]


# ── what comes of it ──────────────────────────────────────────────────────────────────────────────


async def test_the_command_pulls_what_was_pushed(registry: Registry, stage: Stage) -> None:
    await stage.push(registry, "me/tiny:v2")
    done = await command("pull", f"{registry.host}/me/tiny:v2", home=stage.home)
    assert done.code == 0, done.err
    name = f"{registry.host}/me/tiny:v2"
    await stage.check(name, "me/tiny:v2")
    assert "pulling" in done.err and "4 pulled" in done.out and "push" not in done.out + done.err
    listed = await command("list", home=stage.home)
    assert name in listed.out


async def test_and_a_push_of_it_has_the_same_digest(
    registry: Registry, embedded: EmbeddedRegistry, stage: Stage
) -> None:
    await stage.push(registry, "me/tiny:latest")
    report = await stage.pull(f"{registry.host}/me/tiny", name="mine")
    settings = Settings(home=stage.home, models=stage.store, state_dir=None)
    pushed = await push(["mine"], to=f"{embedded.host}/other/place:x", settings=settings)
    assert pushed.done[0].digest == report.done[0].digest
    assert stage.manifest("mine") == stage.manifest("me/tiny", stage.origin)


async def test_a_name_without_a_tag_is_latest(embedded: EmbeddedRegistry, stage: Stage) -> None:
    await stage.push(embedded, "me/tiny:latest", sizes=(10,))
    await stage.pull(f"{embedded.host}/me/tiny")
    await stage.check(f"{embedded.host}/me/tiny:latest", "me/tiny")


@pytest.mark.parametrize("written", ["mine", "mine:v9", "some.host/me/mine:v9", "Me/Mine"])
async def test_as_calls_it_otherwise(embedded: EmbeddedRegistry, stage: Stage, written: str) -> None:
    await stage.push(embedded, "me/tiny:v1", sizes=(10,))
    done = await command("pull", f"{embedded.host}/me/tiny:v1", "--as", written, home=stage.home)
    assert done.code == 0, done.err
    await stage.check(written, "me/tiny:v1")
    assert len([path for path in (stage.store / "manifests").rglob("*") if path.is_file()]) == 1


async def test_as_is_for_one_model(embedded: EmbeddedRegistry, stage: Stage) -> None:
    done = await command("pull", f"{embedded.host}/me/a", f"{embedded.host}/me/b", "--as", "c", home=stage.home)
    assert done.code == 2 and "--as" in done.err
    assert embedded.log == []


async def test_a_deep_path_needs_a_name(embedded: EmbeddedRegistry, stage: Stage) -> None:
    await stage.push(embedded, "me/tiny:v1", sizes=(10,))
    make_mixed_store(stage.origin, (10,), name="me/deep:v1")
    settings = Settings(home=stage.home, models=stage.origin, state_dir=None)
    await push(["me/deep:v1"], to=f"{embedded.host}/ml/a/b/c:v1", settings=settings)
    place = f"registry:{embedded.host}/ml/a/b/c:v1"
    with pytest.raises(UsageError) as error:
        await stage.pull(place)
    assert "--as" in (error.value.hint or "")
    await stage.pull(place, name="deep")
    assert stage.manifest("deep") == stage.manifest("me/deep:v1", stage.origin)


async def test_several_at_once_and_one_that_does_not_exist(embedded: EmbeddedRegistry, stage: Stage) -> None:
    await stage.push(embedded, "me/a:latest", "me/b:latest", sizes=(50_000, 10))
    names = [f"{embedded.host}/me/{name}" for name in ("a", "none", "b")]
    done = await command("pull", *names, home=stage.home)
    assert done.code == 8
    assert f"{names[1]}:latest" in done.err and "1 of 3 models was not pulled" in done.err
    assert done.out.count(" pulled") == 2
    for name in ("a", "b"):
        await stage.check(f"{embedded.host}/me/{name}", f"me/{name}")


@pytest.mark.parametrize("what", ["me/none", "me/tiny:none"])
async def test_one_that_does_not_exist_is_named_with_its_registry(registry: Registry, stage: Stage, what: str) -> None:
    await stage.push(registry, "me/tiny:latest", sizes=(10,))
    done = await command("pull", f"{registry.host}/{what}", home=stage.home)
    assert done.code == 3
    assert f"{registry.host}/{what.partition(':')[0]}" in done.err and "registry-push tags" in done.err
    assert not stage.store.exists() or list((stage.store / "blobs").iterdir()) == []


async def test_an_unqualified_name_is_at_ollamas_registry(stage: Stage) -> None:
    """Nothing is sent there: the proxy is asked for the tunnel."""
    tunnels: list[bytes] = []

    async def proxy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tunnels.append(await reader.readline())
        writer.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(proxy, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        variables = {"HTTPS_PROXY": f"http://127.0.0.1:{port}", "NO_PROXY": ""}
        done = await command("pull", "llama3.2", "--retries", "0", home=stage.home, **variables)
    assert tunnels[0].startswith(b"CONNECT registry.ollama.ai:443 ")
    assert done.code != 0


async def test_what_is_pulled_replaces_what_was_called_so_and_keeps_its_spelling(
    embedded: EmbeddedRegistry, stage: Stage
) -> None:
    write_sample_store(stage.store, name="me/Tiny:Latest")
    await stage.push(embedded, "me/other:latest", sizes=(10,))
    await stage.pull(f"{embedded.host}/me/other", name="ME/tiny")
    assert stage.manifest("me/Tiny:Latest") == stage.manifest("me/other", stage.origin)
    models = await OllamaStore(stage.store).models()
    assert [model.name.short for model in models] == ["me/Tiny:Latest"]


# ── how little it asks ────────────────────────────────────────────────────────────────────────────


async def test_nothing_to_do_costs_one_request(embedded: EmbeddedRegistry, stage: Stage) -> None:
    await stage.push(embedded, "me/tiny:latest")
    await stage.pull(f"{embedded.host}/me/tiny")
    embedded.log.clear()
    done = await command("pull", f"{embedded.host}/me/tiny", home=stage.home)
    assert done.code == 0 and "there already" in done.out and " pulled" not in done.out
    assert asked(embedded) == [("HEAD", "/v2/me/tiny/manifests/latest")]


async def test_blobs_that_are_here_are_not_fetched(embedded: EmbeddedRegistry, stage: Stage) -> None:
    await stage.push(embedded, "me/tiny:latest")
    await stage.pull(f"{embedded.host}/me/tiny")
    embedded.log.clear()
    report = await stage.pull(f"{embedded.host}/me/tiny", name="another")
    assert asked(embedded, "/blobs/") == []
    assert report.done[0].present == len(SIZES) + 1


async def test_a_damaged_store_is_mended(embedded: EmbeddedRegistry, stage: Stage) -> None:
    """A blob that was cut short, as by a disk that was full."""
    await stage.push(embedded, "me/tiny:latest")
    await stage.pull(f"{embedded.host}/me/tiny")
    largest = max((stage.store / "blobs").iterdir(), key=lambda path: path.stat().st_size)
    os.truncate(largest, 1000)
    report = await stage.pull(f"{embedded.host}/me/tiny")
    assert report.done[0].sent == SIZES[0]
    await stage.check(f"{embedded.host}/me/tiny", "me/tiny")


async def test_a_dry_run_writes_nothing(embedded: EmbeddedRegistry, stage: Stage) -> None:
    await stage.push(embedded, "me/tiny:latest")
    embedded.log.clear()
    done = await command("pull", f"{embedded.host}/me/tiny", "--dry-run", home=stage.home)
    assert done.code == 0, done.err
    assert "would fetch 4 blobs" in done.out and "nothing was fetched" in done.out
    assert " pulled" not in done.out and "pushed" not in done.out + done.err
    assert not stage.store.exists()
    assert asked(embedded, "/blobs/") == []


async def test_events(embedded: EmbeddedRegistry, stage: Stage) -> None:
    await stage.push(embedded, "me/tiny:latest")
    done = await command("pull", f"{embedded.host}/me/tiny", "--json", home=stage.home)
    events = done.events
    names = [event["event"] for event in events]
    assert names[0] == "run_started" and names[-1] == "result"
    assert names.count("blob_done") == 4 and names.count("manifest_pushed") == 1
    assert names.index("manifest_pushed") > max(n for n, name in enumerate(names) if name == "blob_done")
    [model] = events[-1]["models"]
    assert model["target"] == f"ollama:{embedded.host}/me/tiny:latest"
    assert model["uploaded"] == 4 and model["sent"] == sum(SIZES) + next(
        event["blob"]["size"] for event in events if event["event"] == "blob_done" and event["blob"]["size"] < 1000
    )
    progress = [event for event in events if event["event"] == "blob_progress"]
    assert progress and all(0 < event["offset"] <= event["size"] for event in progress)


async def test_an_error_of_the_source_says_so(embedded_with: EmbeddedFactory, stage: Stage) -> None:
    async def closed(_: web.Request) -> web.StreamResponse | None:
        return web.Response(status=403)

    registry = await embedded_with(Options(hook=closed))
    done = await command("pull", f"{registry.host}/me/tiny", "--json", home=stage.home)
    error = done.events[-1]
    assert (error["event"], error["exit_code"], error["origin"]) == ("error", 4, "source")
    assert registry.host in error["message"] and "read" in error["hint"] and "push" not in error["hint"]


# ── registries that sign in ───────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("dialect", ["auto", "ollama"])
async def test_a_registry_of_ollamas_kind_knows_the_key(
    embedded_with: EmbeddedFactory, stage: Stage, dialect: str
) -> None:
    folder = stage.home / ".ollama"
    folder.mkdir()
    identity = Identity.create(folder / "id_ed25519")
    auth = Token(keys={identity.public_wire: frozenset({"me"})})
    registry = await embedded_with(Options(auth=auth, ollama=Ollama()))
    key = folder / "id_ed25519"
    await stage.push(registry, "me/tiny:latest", key=key, dialect="ollama")
    await stage.pull(f"{registry.host}/me/tiny", key=key, dialect=dialect)
    await stage.check(f"{registry.host}/me/tiny", "me/tiny")
    assert {each.authorization for each in registry.log if each.target.startswith("/token")} >= {"signature"}
    assert registry.breaches == []


async def test_one_that_lets_everyone_read_gets_no_signature(embedded_with: EmbeddedFactory, stage: Stage) -> None:
    folder = stage.home / ".ollama"
    folder.mkdir()
    identity = Identity.create(folder / "id_ed25519")
    auth = Token(keys={identity.public_wire: frozenset({"me"})}, anonymous_pull=True)
    registry = await embedded_with(Options(auth=auth, ollama=Ollama()))
    await stage.push(registry, "me/tiny:latest", key=folder / "id_ed25519", dialect="ollama")
    registry.log.clear()
    done = await command("pull", f"{registry.host}/me/tiny", home=stage.home)
    assert done.code == 0, done.err
    await stage.check(f"{registry.host}/me/tiny", "me/tiny")
    assert "signature" not in {each.authorization for each in registry.log}
    assert registry.breaches == []


# ── stopped, and resumed ──────────────────────────────────────────────────────────────────────────


class Halting:
    """Serves the largest blob as far as a byte, the first time it is asked for, and waits there."""

    def __init__(self, stage: Stage, at: int) -> None:
        self.at = at
        self.halted, self.go_on = asyncio.Event(), asyncio.Event()
        self.ranges: list[str | None] = []
        self._stage = stage

    async def hook(self, request: web.Request) -> web.StreamResponse | None:
        if request.method != "GET" or "/blobs/" not in request.path:
            return None
        largest = max((self._stage.origin / "blobs").iterdir(), key=lambda path: path.stat().st_size)
        if request.path.rpartition(":")[2] not in largest.name:
            return None
        self.ranges.append(request.headers.get("Range"))
        if len(self.ranges) > 1:
            return None
        content = largest.read_bytes()
        response = web.StreamResponse(headers={"Content-Length": str(len(content))})
        await response.prepare(request)
        await response.write(content[: self.at])
        self.halted.set()
        await self.go_on.wait()
        await response.write(content[self.at :])
        return response


def partials(stage: Stage) -> dict[str, int]:
    work = stage.store / ".registry-push"
    return {path.name: path.stat().st_size for path in work.iterdir()} if work.exists() else {}


@pytest.mark.parametrize("how", ["SIGKILL", "SIGINT twice", "SIGTERM twice"])
@pytest.mark.parametrize("then", ["pull", "resume"])
async def test_what_was_stopped_goes_on_where_it_was(
    embedded_with: EmbeddedFactory, stage: Stage, how: str, then: str
) -> None:
    halting = Halting(stage, 8_000_000)
    registry = await embedded_with(Options(hook=halting.hook))
    await stage.push(registry, "me/tiny:latest")
    process = await start_command("pull", f"{registry.host}/me/tiny", home=stage.home)
    assert process.stderr is not None
    await halting.halted.wait()
    while not any(size >= 6_000_000 for size in partials(stage).values()):
        await asyncio.sleep(0.01)  # another process writes it: there is nothing to wait on
    match how:
        case "SIGKILL":
            process.kill()
        case _:
            number = 2 if how.startswith("SIGINT") else 15
            process.send_signal(number)
            while b"again to stop" not in await process.stderr.readline():
                pass
            with suppress(ProcessLookupError):  # the first may have been enough
                process.send_signal(number)
    _, err = await process.communicate()
    assert process.returncode == (-9 if how == "SIGKILL" else 130)
    assert how == "SIGKILL" or (b"to resume, run the same command again" in err and b"chunk" not in err), err
    kept = max(partials(stage).values())
    assert 6_000_000 <= kept <= 8_000_000
    assert not (stage.store / "manifests").exists(), "no half model is ever to be seen"
    again = ["resume"] if then == "resume" else ["pull", f"{registry.host}/me/tiny"]
    done = await command(*again, home=stage.home)
    assert done.code == 0, done.err
    assert halting.ranges == [None, f"bytes={kept}-"]
    await stage.check(f"{registry.host}/me/tiny", "me/tiny")
    assert partials(stage) == {}


async def test_the_first_stop_keeps_all_that_has_come(embedded: EmbeddedRegistry, stage: Stage) -> None:
    await stage.push(embedded, "me/tiny:latest")
    stop, reached = asyncio.Event(), 0

    def sink(event: Event) -> None:
        nonlocal reached
        stage.events.append(event)
        if isinstance(event, BlobProgress) and event.size == SIZES[0]:
            reached = event.offset
            stop.set()

    settings = Settings(home=stage.home, models=stage.store, state_dir=None)
    with pytest.raises(Interrupted):
        await pull([f"{embedded.host}/me/tiny"], settings=settings, sink=sink, stop=stop)
    kept = max(partials(stage).values())
    assert 0 < reached <= kept < SIZES[0]
    await stage.pull(f"{embedded.host}/me/tiny")
    await stage.check(f"{embedded.host}/me/tiny", "me/tiny")
    started = [event.offset for event in stage.events if isinstance(event, BlobStarted) and event.blob.size == SIZES[0]]
    assert started == [0, kept]


async def test_what_is_not_the_blob_is_not_kept(embedded_with: EmbeddedFactory, stage: Stage) -> None:
    async def lies(request: web.Request) -> web.StreamResponse | None:
        is_it = request.method == "GET" and "/blobs/" in request.path
        return web.Response(body=b"x" * 50_000) if is_it and lying in request.path else None

    lying = "nothing"
    registry = await embedded_with(Options(hook=lies))
    await stage.push(registry, "me/tiny:latest", sizes=(50_000, 10))
    largest = max((stage.origin / "blobs").iterdir(), key=lambda path: path.stat().st_size)
    lying = largest.name.removeprefix("sha256-")
    done = await command("pull", f"{registry.host}/me/tiny", home=stage.home)
    assert done.code == 7 and lying in done.err and "the source" in done.err and "ollama pull" not in done.err
    assert registry.host in done.err
    assert not (stage.store / "manifests").exists() and partials(stage) == {}


# ── who may write ─────────────────────────────────────────────────────────────────────────────────


async def test_a_store_that_is_the_services(embedded: EmbeddedRegistry, stage: Stage) -> None:
    require_root()
    service = pwd.getpwnam("daemon")
    await stage.push(embedded, "me/tiny:latest", sizes=(50_000,))
    embedded.log.clear()
    with public_folder() as folder:
        store = folder / "models"
        for place in (store, store / "blobs", store / "manifests"):
            place.mkdir()
            os.chown(place, service.pw_uid, service.pw_gid)
        done = await command_as_other("pull", f"{embedded.host}/me/tiny", "--models", str(store), home=str(folder))
        assert done.code == 4, done.err
        assert "sudo -u daemon registry-push" in done.err
        assert asked(embedded, "/blobs/") == [], "before a byte is fetched"
        done = await command("pull", f"{embedded.host}/me/tiny", "--models", str(store), home=stage.home)
        assert done.code == 0, done.err
        assert {(path.lstat().st_uid, path.lstat().st_gid) for path in store.rglob("*")} == {
            (service.pw_uid, service.pw_gid)
        }
    assert service.pw_uid != UID


async def test_a_store_elsewhere_is_made(embedded: EmbeddedRegistry, stage: Stage, tmp_path: Path) -> None:
    await stage.push(embedded, "me/tiny:latest", sizes=(10,))
    where = tmp_path / "new" / "models"
    done = await command("pull", f"{embedded.host}/me/tiny", home=stage.home, OLLAMA_MODELS=str(where))
    assert done.code == 0, done.err
    assert len(await OllamaStore(where).models()) == 1


@pytest.mark.parametrize("name", ["oci:there", "ollama:me/tiny", "oci-archive:x.tar"])
async def test_what_is_no_registry_is_copied(stage: Stage, name: str) -> None:
    with pytest.raises(UsageError, match="pull reads from a registry"):
        await stage.pull(name)


async def test_an_unknown_model_raises_in_the_library(embedded: EmbeddedRegistry, stage: Stage) -> None:
    with pytest.raises(ModelNotFound, match="me/none"):
        await stage.pull(f"{embedded.host}/me/none")
