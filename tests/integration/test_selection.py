"""`--all`, globs, `--exclude` and `--rename`: what was only found keeps nothing else back."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from registry_push.embedded import EmbeddedRegistry
from registry_push.embedded.sample import config, write_model, write_sample_store
from registry_push.model import ModelName
from tests.support.command import command


@pytest.fixture
async def registry(tmp_path: Path) -> AsyncIterator[EmbeddedRegistry]:
    async with EmbeddedRegistry(tmp_path / "registry") as server:
        yield server


def _manifest(home: Path, name: str) -> Path:
    return home.joinpath(".ollama/models/manifests", *ModelName.parse(name).path_parts)


def _store(home: Path, *names: str) -> None:
    for name in names:
        write_sample_store(home / ".ollama/models", name=name, weights=70_000)


def _stub(home: Path, name: str) -> None:
    remote = config(remote_host="https://ollama.com:443", remote_model="big")
    write_model(home / ".ollama/models", ModelName.parse(name), remote, [])


def _damage(home: Path, name: str, content: bytes) -> None:
    path = _manifest(home, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def _pushed(registry: EmbeddedRegistry) -> set[str]:
    return {each.target for each in registry.log if each.method == "PUT" and "/manifests/" in each.target}


LEFT_OUT = {
    "a name that OCI does not allow": lambda home: _store(home, "hf.co/Bartowski/Llama-GGUF:Q4_K_M"),
    "an empty manifest": lambda home: _damage(home, "me/hurt:latest", b""),
    "a manifest that was cut": lambda home: _damage(home, "me/hurt:latest", b'{"schemaVersion": 2, "lay'),
    "a manifest of zeros": lambda home: _damage(home, "me/hurt:v1", bytes(700)),
    "a manifest with a wrong digest": lambda home: _damage(home, "me/hurt:1.5b", b'{"layers":[{"digest":"sha256:1"}]}'),
    "a folder of blobs that lacks one": lambda home: _lacking(home, "me/hurt:latest"),
}


def _lacking(home: Path, name: str) -> None:
    _store(home, name)
    manifest = json.loads(_manifest(home, name).read_bytes())
    for layer in manifest["layers"]:
        if layer["mediaType"].endswith("model"):
            (home / ".ollama/models/blobs" / layer["digest"].replace(":", "-")).unlink()
    write_sample_store(home / ".ollama/models", name="me/whole:latest", weights=90_000)


@pytest.mark.parametrize("spoil", LEFT_OUT.values(), ids=LEFT_OUT.keys())
@pytest.mark.parametrize("ask", [("--all",), ("*",)], ids=["all", "glob"])
async def test_what_was_found_and_cannot_go_keeps_nothing_back(
    tmp_path: Path, registry: EmbeddedRegistry, spoil: object, ask: tuple[str, ...]
) -> None:
    assert callable(spoil)
    spoil(tmp_path)
    write_sample_store(tmp_path / ".ollama/models", name="me/whole:latest", weights=90_000)
    done = await command("push", *ask, "--to", f"{registry.host}/", home=tmp_path)
    assert done.code == 8, done.err
    assert _pushed(registry) == {"/v2/me/whole/manifests/latest"}
    assert "1 of 2 models was not pushed: " in done.err.splitlines()[-2]
    (name,) = [name for name in ("hf.co/Bartowski/Llama-GGUF", "me/hurt") if f"{name}:" in done.err]
    assert f"not pushed: {name}:" in done.err
    assert ("--lowercase" in done.err) == (name != "me/hurt")
    assert all(line.count(f"{name}:") == 1 for line in done.err.splitlines() if line.startswith("error: "))


NOTES = {
    "a cloud stub": lambda home: _stub(home, "kimi:cloud"),
    "desktop.ini": lambda home: _damage(home, "me/whole:desktop.ini", b"[.ShellClassInfo]\r\n"),
    "v1.meta": lambda home: _damage(home, "me/whole:v1.meta", b"etag=1"),
    "v1.meta in JSON": lambda home: _damage(home, "me/whole:v1.meta", b'{"etag": "1"}'),
    "an empty Thumbs.db": lambda home: _damage(home, "me/whole:Thumbs.db", b""),
}


@pytest.mark.parametrize("spoil", NOTES.values(), ids=NOTES.keys())
@pytest.mark.parametrize("ask", [("--all",), ("me/*", "*")], ids=["all", "glob"])
async def test_stubs_and_stray_files_are_notes(
    tmp_path: Path, registry: EmbeddedRegistry, spoil: object, ask: tuple[str, ...]
) -> None:
    assert callable(spoil)
    spoil(tmp_path)
    _store(tmp_path, "me/whole:latest")
    done = await command("push", *ask, "--to", f"{registry.host}/", home=tmp_path)
    assert done.code == 0, done.err
    assert _pushed(registry) == {"/v2/me/whole/manifests/latest"}
    (note,) = [line for line in done.err.splitlines() if line.startswith("warning: ")]
    assert "kimi:cloud" in note or "stray file" in note


@pytest.mark.parametrize(
    ("name", "code"),
    [("hf.co/Bartowski/Llama-GGUF:Q4", 2), ("kimi:cloud", 3), ("me/hurt", 7), ("me/whole:desktop.ini", 7)],
)
async def test_what_was_named_stays_an_error(tmp_path: Path, registry: EmbeddedRegistry, name: str, code: int) -> None:
    _store(tmp_path, "me/whole:latest", "hf.co/Bartowski/Llama-GGUF:Q4")
    _stub(tmp_path, "kimi:cloud")
    _damage(tmp_path, "me/hurt:latest", b"")
    _damage(tmp_path, "me/whole:desktop.ini", b"[]")
    done = await command("push", "me/whole", name, "--to", f"{registry.host}/", home=tmp_path)
    assert done.code == code
    assert registry.log == []
    assert code != 3 or "kimi:cloud" in done.err


async def test_all_that_was_left_out_is_an_event_with_json(tmp_path: Path, registry: EmbeddedRegistry) -> None:
    _store(tmp_path, "me/whole:latest", "hf.co/Bartowski/Llama-GGUF:Q4")
    _damage(tmp_path, "me/hurt:latest", b"")
    done = await command("push", "--all", "--to", f"{registry.host}/", "--json", home=tmp_path)
    assert done.events[0]["event"] == "run_started" and done.events[0]["models"] == 3
    failed = {event["model"]: event["error"]["exit_code"] for event in done.events if event["event"] == "model_failed"}
    assert failed == {"hf.co/Bartowski/Llama-GGUF:Q4": 2, "me/hurt:latest": 7}
    assert done.events[-1]["exit_code"] == done.code == 8


async def test_excluded_models_stay_here(tmp_path: Path, registry: EmbeddedRegistry) -> None:
    _store(tmp_path, "me/one:latest", "me/one:fp16", "me/two:latest", "other:latest")
    done = await command(
        "push", "--all", "!*-fp16", "!*:fp16", "--exclude", "other", "--exclude", "no*", "--to", f"{registry.host}/",
        home=tmp_path,
    )  # fmt: skip
    assert done.code == 0, done.err
    assert _pushed(registry) == {"/v2/me/one/manifests/latest", "/v2/me/two/manifests/latest"}
    assert "no*" in done.err, "an exclusion that excludes nothing is told of: it may be mistyped"
    everything = await command("push", "me/*", "!me/*", "--to", f"{registry.host}/", home=tmp_path)
    assert everything.code == 2
    assert (await command("push", "!me/*", "--to", f"{registry.host}/", home=tmp_path)).code == 2


RENAMED = {
    ("--lowercase",): "bartowski/llama-gguf",
    ("--rename", r"Bartowski/Llama-(.*)=bart/\1", "--lowercase"): "bart/gguf",
    ("--rename", r"^hf.co/Bartowski/.*=llama"): "library/llama",
    ("--rename", r"nobody=else", "--rename", ".*=x/y", "--rename", ".*=z/z"): "x/y",
}


@pytest.mark.parametrize(("flags", "repository"), RENAMED.items(), ids=RENAMED.values())
async def test_models_are_renamed(
    tmp_path: Path, registry: EmbeddedRegistry, flags: tuple[str, ...], repository: str
) -> None:
    _store(tmp_path, "hf.co/Bartowski/Llama-GGUF:Q4_K_M")
    done = await command("push", "--all", *flags, "--to", f"{registry.host}/", home=tmp_path)
    assert done.code == 0, done.err
    assert _pushed(registry) == {f"/v2/{repository}/manifests/Q4_K_M"}
    assert ("matches none of the models" in done.err) == ("nobody=else" in flags), "it may be mistyped"


@pytest.mark.parametrize("rule", ["no-rule", "=x", "(=x", r"me=\1", "(?P<n=x"])
async def test_a_rule_that_is_none_is_bad_usage(tmp_path: Path, registry: EmbeddedRegistry, rule: str) -> None:
    _store(tmp_path, "me/one:latest")
    done = await command("push", "me/one", "--rename", rule, "--to", f"{registry.host}/", home=tmp_path)
    assert done.code == 2 and "--rename" in done.err and "→" in done.err
    assert registry.log == []
