"""`list` and `inspect`, and what is said of damaged blobs: where, what and how it is mended."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from registry_push.cli.render.tables import ModelRow, list_lines
from registry_push.content.ollama.source import OllamaStore
from registry_push.embedded import EmbeddedRegistry
from registry_push.embedded.sample import config, write_model, write_sample_store
from registry_push.model import Digest, ModelName
from tests.support.command import command
from tests.support.stores import weights_of


@pytest.fixture
async def registry(tmp_path: Path) -> AsyncIterator[EmbeddedRegistry]:
    async with EmbeddedRegistry(tmp_path / "registry") as server:
        yield server


def _sample(home: Path) -> Path:
    """The store of `home` with a model, and the file of its weights."""
    write_sample_store(home / ".ollama/models", weights=70_000)
    return weights_of(OllamaStore(home / ".ollama/models"))[1]


# ── inspect ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("flags", [[], ["--json"]], ids=["text", "json"])
async def test_inspect_shows_what_is_missing_or_damaged_and_ends_so(tmp_path: Path, flags: list[str]) -> None:
    weights = _sample(tmp_path)
    weights.write_bytes(b"short")
    damaged = await command("inspect", "me/tiny", *flags, home=tmp_path)
    assert damaged.code == 7 and "damaged" in damaged.out
    weights.unlink()
    missing = await command("inspect", "me/tiny", *flags, home=tmp_path)
    assert missing.code == 3 and "missing" in missing.out
    if flags:
        assert [event["event"] for event in missing.events] == ["error"]
        assert "missing" in {blob["state"] for blob in missing.events[-1]["blobs"]}
    else:
        assert "→ remove " + str(weights) in damaged.err
        assert "ollama pull me/tiny:latest" in damaged.err and "ollama pull me/tiny:latest" in missing.err


async def test_inspect_recognises_a_registry_by_its_host(tmp_path: Path, registry: EmbeddedRegistry) -> None:
    _sample(tmp_path)
    for target in ("me/tiny:v1", "a/deep/path/tiny:v1"):
        assert (await command("push", "me/tiny", "--to", f"{registry.host}/{target}", home=tmp_path)).code == 0
        for home in (tmp_path, tmp_path / "without a store"):
            home.mkdir(exist_ok=True)
            for scheme in ("", "http://", "registry:"):
                seen = await command("inspect", f"{scheme}{registry.host}/{target}", home=home)
                assert seen.code == 0, seen.err
                assert target in seen.out
    absent = await command("inspect", f"{registry.host}/me/tiny:v2", home=tmp_path)
    assert absent.code == 3 and "it has: v1" in absent.err and "it is not here either" in absent.err
    local = await command("inspect", f"ollama:{registry.host}/me/tiny:v1", home=tmp_path)
    assert local.code == 3 and "no model " in local.err


@pytest.mark.parametrize("login", [True, False])
async def test_who_may_not_read_is_told_of_reading(tmp_path: Path, login: bool) -> None:
    async def closed(_: web.Request) -> web.Response:
        errors = {"errors": [{"code": "DENIED", "message": "no"}]}
        return web.json_response(errors, status=403, headers={"Docker-Distribution-Api-Version": "registry/2.0"})

    application = web.Application()
    application.router.add_route("*", "/{path:.*}", closed)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host = "{}:{}".format(*runner.addresses[0])
    flags = ["--username", "me", "--password-stdin"] if login else []
    done = await command("inspect", f"registry:{host}/me/tiny:v1", *flags, home=tmp_path, stdin="secret")
    await runner.cleanup()
    assert done.code == 4, done.err
    assert "may read there" in done.err and "write" not in done.err and "--to" not in done.err


# ── damaged blobs ─────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("kind", ["model", "license"], ids=["large", "small"])
@pytest.mark.parametrize("wrong", ["size", "content"])
async def test_a_damaged_blob_is_told_by_path_and_command(
    tmp_path: Path, registry: EmbeddedRegistry, kind: str, wrong: str
) -> None:
    store = tmp_path / ".ollama/models"
    write_sample_store(store, weights=9_000_000)
    manifest = OllamaStore(store).read_manifest(ModelName.parse("me/tiny"))
    (blob,) = [layer for layer in manifest.layers if layer.kind == kind]
    path = store / "blobs" / blob.digest.path_name
    path.write_bytes(b"x" * (blob.size - (wrong == "size")))
    done = await command("push", "me/tiny", "--to", f"{registry.host}/", home=tmp_path)
    assert done.code == 7, done.err
    assert str(path) in done.err and "ollama pull me/tiny:latest" in done.err and "NAME" not in done.err


async def test_a_missing_blob_is_told_with_the_models_name(tmp_path: Path, registry: EmbeddedRegistry) -> None:
    _sample(tmp_path).unlink()
    done = await command("push", "me/tiny", "--to", f"{registry.host}/", home=tmp_path)
    assert done.code == 3 and "ollama pull me/tiny:latest" in done.err


# ── list ──────────────────────────────────────────────────────────────────────────────────────────


async def test_list_names_a_model_once_in_a_warning(tmp_path: Path) -> None:
    _sample(tmp_path)
    for tag, content in (("hurt", b""), ("cut", b'{"layers"'), ("v1.meta", b"x")):
        (tmp_path / ".ollama/models/manifests/registry.ollama.ai/me/tiny" / tag).write_bytes(content)
    done = await command("list", home=tmp_path)
    assert done.code == 0
    warnings = [line for line in done.err.splitlines() if line.startswith("warning: ")]
    assert len(warnings) == 3
    assert all(line.count("me/tiny") == 1 for line in warnings), warnings


@pytest.mark.parametrize("wrong", ["empty", "other"])
async def test_a_folder_with_nothing_of_a_store_is_none(tmp_path: Path, wrong: str) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    if wrong == "other":
        (folder / "notes.txt").write_text("x")
    for arguments in (["list"], ["push", "--all", "--to", "localhost:1/"], ["inspect", "me/tiny"]):
        done = await command(*arguments, "--models", str(folder), home=tmp_path)
        assert done.code == 3 and f"{folder} is no Ollama store" in done.err, done.err


async def test_the_store_that_was_probably_meant_is_named(tmp_path: Path) -> None:
    _sample(tmp_path)
    store = tmp_path / ".ollama/models"
    for folder in (tmp_path, store.parent, store / "blobs"):
        done = await command("list", "--models", str(folder), home=tmp_path)
        assert done.code == 3 and f"did you mean --models {store}?" in done.err
    empty = tmp_path / "new"
    (empty / "blobs").mkdir(parents=True)
    assert (await command("list", "--models", str(empty), home=tmp_path)).code == 0, "as Ollama makes it at its start"


async def test_cloud_stubs_are_marked(tmp_path: Path) -> None:
    _sample(tmp_path)
    remote = config(remote_host="https://ollama.com:443", remote_model="big")
    write_model(tmp_path / ".ollama/models", ModelName.parse("big:cloud"), remote, [])
    done = await command("list", home=tmp_path)
    assert [line.split()[2] for line in done.out.splitlines()[1:] if "big" in line] == ["cloud"]
    models = (await command("list", "--json", home=tmp_path)).events[-1]["models"]
    assert {model["name"]: model["remote"] for model in models} == {
        "big:cloud": "https://ollama.com:443",
        "me/tiny:latest": None,
    }


def test_a_long_name_wraps_its_own_row_only() -> None:
    digest = Digest.of(b"")
    long = "hf.co/somebody/a-model-with-a-very-long-name-indeed-GGUF:Q4_K_M-and-more"
    rows = [ModelRow(name, digest, 10**9, 0.0) for name in ("me/tiny:latest", long, "x:y")]
    lines = list_lines(rows, now=10.0, width=80)
    assert max(len(line) for line in lines) <= 80
    assert lines[2] == long and lines[3].split()[0] == digest.short
    assert len(lines) == 5 and lines[1].index(digest.short) == lines[3].index(digest.short)
    assert len(list_lines(rows, now=10.0)) == 4, "in a pipe each has one line"
