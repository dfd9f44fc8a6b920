"""`registry-push pull`: models from registries into an Ollama store, as Ollama would have written them."""

from __future__ import annotations

import asyncio
import os
import pwd
from pathlib import Path

import pytest
from aiohttp import web

from registry_push.auth.identity import Identity
from registry_push.content.ollama.source import OllamaStore
from registry_push.embedded import EmbeddedRegistry, Ollama, Options, Token
from registry_push.embedded.sample import write_sample_store
from registry_push.errors import ModelNotFound, UsageError
from registry_push.settings import Settings
from registry_push.verbs.push import push
from tests.support.command import command
from tests.support.other_user import UID, command_as_other, public_folder, require_root
from tests.support.pulls import SIZES, Stage, asked, partials
from tests.support.registries import EmbeddedFactory, Registry
from tests.support.stores import make_mixed_store

# ── what comes of it ──────────────────────────────────────────────────────────────────────────────


async def test_the_command_pulls_what_was_pushed(registry: Registry, pulls: Stage) -> None:
    await pulls.push(registry, "me/tiny:v2")
    done = await command("pull", f"{registry.host}/me/tiny:v2", home=pulls.home)
    assert done.code == 0, done.err
    name = f"{registry.host}/me/tiny:v2"
    await pulls.check(name, "me/tiny:v2")
    assert "pulling" in done.err and "4 pulled" in done.out and "push" not in done.out + done.err
    listed = await command("list", home=pulls.home)
    assert name in listed.out


async def test_and_a_push_of_it_has_the_same_digest(
    registry: Registry, embedded: EmbeddedRegistry, pulls: Stage
) -> None:
    await pulls.push(registry, "me/tiny:latest")
    report = await pulls.pull(f"{registry.host}/me/tiny", name="mine")
    settings = Settings(home=pulls.home, models=pulls.store, state_dir=None)
    pushed = await push(["mine"], to=f"{embedded.host}/other/place:x", settings=settings)
    assert pushed.done[0].digest == report.done[0].digest
    assert pulls.manifest("mine") == pulls.manifest("me/tiny", pulls.origin)


async def test_a_name_without_a_tag_is_latest(embedded: EmbeddedRegistry, pulls: Stage) -> None:
    await pulls.push(embedded, "me/tiny:latest", sizes=(10,))
    await pulls.pull(f"{embedded.host}/me/tiny")
    await pulls.check(f"{embedded.host}/me/tiny:latest", "me/tiny")


@pytest.mark.parametrize("written", ["mine", "mine:v9", "some.host/me/mine:v9", "Me/Mine"])
async def test_as_calls_it_otherwise(embedded: EmbeddedRegistry, pulls: Stage, written: str) -> None:
    await pulls.push(embedded, "me/tiny:v1", sizes=(10,))
    done = await command("pull", f"{embedded.host}/me/tiny:v1", "--as", written, home=pulls.home)
    assert done.code == 0, done.err
    await pulls.check(written, "me/tiny:v1")
    assert len([path for path in (pulls.store / "manifests").rglob("*") if path.is_file()]) == 1


async def test_as_is_for_one_model(embedded: EmbeddedRegistry, pulls: Stage) -> None:
    done = await command("pull", f"{embedded.host}/me/a", f"{embedded.host}/me/b", "--as", "c", home=pulls.home)
    assert done.code == 2 and "--as" in done.err
    assert embedded.log == []


async def test_a_deep_path_needs_a_name(embedded: EmbeddedRegistry, pulls: Stage) -> None:
    await pulls.push(embedded, "me/tiny:v1", sizes=(10,))
    make_mixed_store(pulls.origin, (10,), name="me/deep:v1")
    settings = Settings(home=pulls.home, models=pulls.origin, state_dir=None)
    await push(["me/deep:v1"], to=f"{embedded.host}/ml/a/b/c:v1", settings=settings)
    place = f"registry:{embedded.host}/ml/a/b/c:v1"
    with pytest.raises(UsageError) as error:
        await pulls.pull(place)
    assert "--as" in (error.value.hint or "")
    await pulls.pull(place, name="deep")
    assert pulls.manifest("deep") == pulls.manifest("me/deep:v1", pulls.origin)


async def test_several_at_once_and_one_that_does_not_exist(embedded: EmbeddedRegistry, pulls: Stage) -> None:
    await pulls.push(embedded, "me/a:latest", "me/b:latest", sizes=(50_000, 10))
    names = [f"{embedded.host}/me/{name}" for name in ("a", "none", "b")]
    done = await command("pull", *names, home=pulls.home)
    assert done.code == 8
    assert f"{names[1]}:latest" in done.err and "1 of 3 models was not pulled" in done.err
    assert sum(" → " in line and " pulled" in line for line in done.out.splitlines()) == 2
    for name in ("a", "b"):
        await pulls.check(f"{embedded.host}/me/{name}", f"me/{name}")


@pytest.mark.parametrize("what", ["me/none", "me/tiny:none"])
async def test_one_that_does_not_exist_is_named_with_its_registry(registry: Registry, pulls: Stage, what: str) -> None:
    await pulls.push(registry, "me/tiny:latest", sizes=(10,))
    done = await command("pull", f"{registry.host}/{what}", home=pulls.home)
    assert done.code == 3
    assert f"{registry.host}/{what.partition(':')[0]}" in done.err and "registry-push tags" in done.err
    assert not pulls.store.exists() or list((pulls.store / "blobs").iterdir()) == []


async def test_an_unqualified_name_is_at_ollamas_registry(pulls: Stage) -> None:
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
        done = await command("pull", "llama3.2", "--retries", "0", home=pulls.home, **variables)
    assert tunnels[0].startswith(b"CONNECT registry.ollama.ai:443 ")
    assert done.code != 0


async def test_what_is_pulled_replaces_what_was_called_so_and_keeps_its_spelling(
    embedded: EmbeddedRegistry, pulls: Stage
) -> None:
    write_sample_store(pulls.store, name="me/Tiny:Latest")
    await pulls.push(embedded, "me/other:latest", sizes=(10,))
    await pulls.pull(f"{embedded.host}/me/other", name="ME/tiny")
    assert pulls.manifest("me/Tiny:Latest") == pulls.manifest("me/other", pulls.origin)
    models = await OllamaStore(pulls.store).models()
    assert [model.name.short for model in models] == ["me/Tiny:Latest"]


# ── how little it asks ────────────────────────────────────────────────────────────────────────────


async def test_nothing_to_do_costs_one_request(embedded: EmbeddedRegistry, pulls: Stage) -> None:
    await pulls.push(embedded, "me/tiny:latest")
    await pulls.pull(f"{embedded.host}/me/tiny")
    embedded.log.clear()
    done = await command("pull", f"{embedded.host}/me/tiny", home=pulls.home)
    assert done.code == 0 and "there already" in done.out and " pulled" not in done.out
    assert asked(embedded) == [("HEAD", "/v2/me/tiny/manifests/latest")]


async def test_blobs_that_are_here_are_not_fetched(embedded: EmbeddedRegistry, pulls: Stage) -> None:
    await pulls.push(embedded, "me/tiny:latest")
    await pulls.pull(f"{embedded.host}/me/tiny")
    embedded.log.clear()
    report = await pulls.pull(f"{embedded.host}/me/tiny", name="another")
    assert asked(embedded, "/blobs/") == []
    assert report.done[0].present == len(SIZES) + 1


async def test_a_damaged_store_is_mended(embedded: EmbeddedRegistry, pulls: Stage) -> None:
    """A blob that was cut short, as by a disk that was full."""
    await pulls.push(embedded, "me/tiny:latest")
    await pulls.pull(f"{embedded.host}/me/tiny")
    largest = max((pulls.store / "blobs").iterdir(), key=lambda path: path.stat().st_size)
    os.truncate(largest, 1000)
    report = await pulls.pull(f"{embedded.host}/me/tiny")
    assert report.done[0].sent == SIZES[0]
    await pulls.check(f"{embedded.host}/me/tiny", "me/tiny")


async def test_a_dry_run_writes_nothing(embedded: EmbeddedRegistry, pulls: Stage) -> None:
    await pulls.push(embedded, "me/tiny:latest")
    embedded.log.clear()
    done = await command("pull", f"{embedded.host}/me/tiny", "--dry-run", home=pulls.home)
    assert done.code == 0, done.err
    assert "would fetch 4 blobs" in done.out and "nothing was fetched" in done.out
    assert " pulled" not in done.out and "pushed" not in done.out + done.err
    assert not pulls.store.exists()
    assert asked(embedded, "/blobs/") == []


async def test_events(embedded: EmbeddedRegistry, pulls: Stage) -> None:
    await pulls.push(embedded, "me/tiny:latest")
    done = await command("pull", f"{embedded.host}/me/tiny", "--json", home=pulls.home)
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


async def test_an_error_of_the_source_says_so(embedded_with: EmbeddedFactory, pulls: Stage) -> None:
    async def closed(_: web.Request) -> web.StreamResponse | None:
        return web.Response(status=403)

    registry = await embedded_with(Options(hook=closed))
    done = await command("pull", f"{registry.host}/me/tiny", "--json", home=pulls.home)
    error = done.events[-1]
    assert (error["event"], error["exit_code"], error["origin"]) == ("error", 4, "source")
    assert (
        registry.host in error["message"]
        and "read" in error["hint"]
        and "push" not in error["hint"].replace("registry-push", "")
    )


# ── registries that sign in ───────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("dialect", ["auto", "ollama"])
async def test_a_registry_of_ollamas_kind_knows_the_key(
    embedded_with: EmbeddedFactory, pulls: Stage, dialect: str
) -> None:
    folder = pulls.home / ".ollama"
    folder.mkdir()
    identity = Identity.create(folder / "id_ed25519")
    auth = Token(keys={identity.public_wire: frozenset({"me"})})
    registry = await embedded_with(Options(auth=auth, ollama=Ollama()))
    key = folder / "id_ed25519"
    await pulls.push(registry, "me/tiny:latest", key=key, dialect="ollama")
    await pulls.pull(f"{registry.host}/me/tiny", key=key, dialect=dialect)
    await pulls.check(f"{registry.host}/me/tiny", "me/tiny")
    assert {each.authorization for each in registry.log if each.target.startswith("/token")} >= {"signature"}
    assert registry.breaches == []


async def test_one_that_lets_everyone_read_gets_no_signature(embedded_with: EmbeddedFactory, pulls: Stage) -> None:
    folder = pulls.home / ".ollama"
    folder.mkdir()
    identity = Identity.create(folder / "id_ed25519")
    auth = Token(keys={identity.public_wire: frozenset({"me"})}, anonymous_pull=True)
    registry = await embedded_with(Options(auth=auth, ollama=Ollama()))
    await pulls.push(registry, "me/tiny:latest", key=folder / "id_ed25519", dialect="ollama")
    registry.log.clear()
    done = await command("pull", f"{registry.host}/me/tiny", home=pulls.home)
    assert done.code == 0, done.err
    await pulls.check(f"{registry.host}/me/tiny", "me/tiny")
    assert "signature" not in {each.authorization for each in registry.log}
    assert registry.breaches == []


# ── what is wrong ─────────────────────────────────────────────────────────────────────────────────


async def test_what_is_not_the_blob_is_not_kept(embedded_with: EmbeddedFactory, pulls: Stage) -> None:
    async def lies(request: web.Request) -> web.StreamResponse | None:
        is_it = request.method == "GET" and "/blobs/" in request.path
        return web.Response(body=b"x" * 50_000) if is_it and lying in request.path else None

    lying = "nothing"
    registry = await embedded_with(Options(hook=lies))
    await pulls.push(registry, "me/tiny:latest", sizes=(50_000, 10))
    largest = max((pulls.origin / "blobs").iterdir(), key=lambda path: path.stat().st_size)
    lying = largest.name.removeprefix("sha256-")
    done = await command("pull", f"{registry.host}/me/tiny", home=pulls.home)
    assert done.code == 7 and lying in done.err and "the source" in done.err and "ollama pull" not in done.err
    assert registry.host in done.err
    assert not (pulls.store / "manifests").exists()
    assert not any(lying in name for name in partials(pulls))


# ── who may write ─────────────────────────────────────────────────────────────────────────────────


async def test_a_store_that_is_the_services(embedded: EmbeddedRegistry, pulls: Stage) -> None:
    require_root()
    service = pwd.getpwnam("daemon")
    await pulls.push(embedded, "me/tiny:latest", sizes=(50_000,))
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
        done = await command("pull", f"{embedded.host}/me/tiny", "--models", str(store), home=pulls.home)
        assert done.code == 0, done.err
        assert {(path.lstat().st_uid, path.lstat().st_gid) for path in store.rglob("*")} == {
            (service.pw_uid, service.pw_gid)
        }
    assert service.pw_uid != UID


async def test_a_store_elsewhere_is_made(embedded: EmbeddedRegistry, pulls: Stage, tmp_path: Path) -> None:
    await pulls.push(embedded, "me/tiny:latest", sizes=(10,))
    where = tmp_path / "new" / "models"
    done = await command("pull", f"{embedded.host}/me/tiny", home=pulls.home, OLLAMA_MODELS=str(where))
    assert done.code == 0, done.err
    assert len(await OllamaStore(where).models()) == 1


@pytest.mark.parametrize("name", ["oci:there", "ollama:me/tiny", "oci-archive:x.tar"])
async def test_what_is_no_registry_is_copied(pulls: Stage, name: str) -> None:
    with pytest.raises(UsageError, match="pull reads from a registry"):
        await pulls.pull(name)


async def test_an_unknown_model_raises_in_the_library(embedded: EmbeddedRegistry, pulls: Stage) -> None:
    with pytest.raises(ModelNotFound, match="me/none"):
        await pulls.pull(f"{embedded.host}/me/none")


async def test_what_says_how_to_upload_is_no_flag_of_pull(embedded: EmbeddedRegistry, pulls: Stage) -> None:
    uploads = ("--chunk-size", "--one-put", "--verify", "--congestion", "--mount")
    for verb, has_them in (("push", True), ("copy", True), ("resume", True), ("pull", False)):
        shown = (await command(verb, "--help", home=pulls.home)).out
        assert "--bwlimit" in shown and [flag in shown for flag in uploads] == [has_them] * len(uploads), verb
    await pulls.push(embedded, "me/tiny:latest")
    done = await command("pull", f"{embedded.host}/me/tiny", home=pulls.home, REGISTRY_PUSH_CHUNK_SIZE="1MiB")
    assert done.code == 0, "a setting for all commands is no error here"
