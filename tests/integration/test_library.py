"""The library's face: it finds, notes and raises what the command does."""

from __future__ import annotations

import asyncio
import base64
import inspect
import json
from pathlib import Path

import pytest

import registry_push as rp
from registry_push import errors
from registry_push.content.ollama.source import OllamaStore
from registry_push.embedded import Basic, EmbeddedRegistry, Options
from registry_push.embedded.sample import write_sample_store
from registry_push.events import BlobStarted, Event
from tests.support.command import command
from tests.support.registries import EmbeddedFactory
from tests.support.stores import weights_of

from .test_resume import CHUNK, LARGE, Gate, patched


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of this process' own, with nothing in it."""
    for variable in ("OLLAMA_MODELS", "DOCKER_CONFIG", "XDG_STATE_HOME", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


async def test_settings_keep_the_stores_variable_and_dockers_logins(
    embedded_with: EmbeddedFactory, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = await embedded_with(Options(auth=Basic({"me": "hunter2"})))
    write_sample_store(home / "elsewhere", weights=70_000)
    monkeypatch.setenv("OLLAMA_MODELS", str(home / "elsewhere"))
    monkeypatch.setenv("DOCKER_CONFIG", str(home / "docker"))
    login = {"auths": {registry.host: {"auth": base64.b64encode(b"me:hunter2").decode()}}}
    (home / "docker").mkdir()
    (home / "docker/config.json").write_text(json.dumps(login))
    report = await rp.push("me/tiny", to=f"{registry.host}/", settings=rp.Settings(jobs=4))
    assert [model.sent > 0 for model in report.done] == [True]
    with pytest.raises(rp.StoreNotFound):
        await rp.push("me/tiny", to=f"{registry.host}/", settings=rp.Settings(environ={}))


@pytest.mark.parametrize("given", [True, False], ids=["with settings", "without"])
async def test_an_interrupted_push_goes_on_as_the_commands_does(
    embedded_with: EmbeddedFactory, home: Path, given: bool
) -> None:
    gate = Gate(at=7)
    registry = await embedded_with(Options(hook=gate.hook, max_chunk=CHUNK))
    write_sample_store(home / ".ollama/models", weights=LARGE)
    blob = weights_of(OllamaStore(home / ".ollama/models"))[0]
    settings = rp.Settings(chunk_size=CHUNK) if given else None
    first = asyncio.create_task(rp.push("me/tiny", to=f"{registry.host}/", settings=settings))
    await gate.arrived.wait()
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    gate.open.set()
    listed = await command("resume", "--list", home=home)
    assert "me/tiny" in listed.out and registry.host in listed.out
    started: list[BlobStarted] = []

    def sink(event: Event) -> None:
        if isinstance(event, BlobStarted):
            started.append(event)

    await rp.push("me/tiny", to=f"{registry.host}/", settings=settings, sink=sink)
    assert started[0].blob.digest == blob.digest and started[0].offset > 0
    assert patched(registry) < 2 * blob.size


async def test_to_note_nothing_is_asked_for_by_name(embedded: EmbeddedRegistry, home: Path) -> None:
    write_sample_store(home / ".ollama/models", weights=LARGE)
    await rp.push("me/tiny", to=f"{embedded.host}/", settings=rp.Settings(state_dir=None))
    assert not (home / ".local").exists()


async def test_some_failed_carries_the_report(embedded: EmbeddedRegistry, home: Path) -> None:
    store = home / ".ollama/models"
    write_sample_store(store, name="me/good:latest", weights=70_000)
    write_sample_store(store, name="me/bad:latest", weights=80_000)
    bad = max((file for file in (store / "blobs").iterdir()), key=lambda file: file.stat().st_size)
    bad.write_bytes(bytes(bad.stat().st_size))
    with pytest.raises(rp.SomeFailed) as caught:
        await rp.push(["me/good", "me/bad"], to=f"{embedded.host}/")
    report = caught.value.report
    assert isinstance(report, rp.Report)
    assert [model.model for model in report.done] == ["me/good:latest"]
    assert [(model.model, type(model.error)) for model in report.failed] == [("me/bad:latest", rp.BlobCorrupt)]


async def test_push_sync_in_a_running_loop_says_what_to_write() -> None:
    with pytest.raises(rp.UsageError, match=r"await rp\.push\(…\)"):
        rp.push_sync("me/tiny", to="localhost:1/")


@pytest.mark.parametrize("several", [True, False])
async def test_a_parsed_name_is_a_model(embedded: EmbeddedRegistry, home: Path, several: bool) -> None:
    write_sample_store(home / ".ollama/models", weights=70_000)
    name = rp.ModelName.parse("me/tiny")
    report = await rp.push([name] if several else name, to=f"{embedded.host}/")
    assert [model.model for model in report.done] == ["me/tiny:latest"]


async def test_one_tag_is_no_list_of_letters(embedded: EmbeddedRegistry, home: Path) -> None:
    write_sample_store(home / ".ollama/models", weights=70_000)
    await rp.push("me/tiny", to=f"{embedded.host}/", tags="stable")
    puts = {
        each.target.rpartition("/")[2] for each in embedded.log if each.method == "PUT" and "manifests" in each.target
    }
    assert puts == {"latest", "stable"}


@pytest.mark.parametrize("models", [[], 5, None, [5], b"me/tiny"], ids=str)
async def test_what_is_no_model_is_a_usage_error(models: object) -> None:
    with pytest.raises(rp.UsageError):
        await rp.push(models, to="localhost:1/")  # type: ignore[arg-type]


@pytest.mark.parametrize("settings", [5, 0, {}, "x", rp.Settings], ids=repr)
async def test_what_is_no_settings_is_a_usage_error(settings: object) -> None:
    with pytest.raises(rp.UsageError, match=r"settings can't be"):
        await rp.push("me/tiny", to="localhost:1/", settings=settings)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["models", "key", "ca_file", "state_dir", "home"])
@pytest.mark.parametrize("kind", [str, Path])
def test_a_path_that_no_file_can_have_is_an_error_at_once(name: str, kind: type) -> None:
    with pytest.raises(rp.InvalidSettings, match=f"^{name} can't be "):
        rp.Settings(**{name: kind("/tmp/\ud800")})


def test_every_error_is_importable_from_the_package() -> None:
    classes = {
        name
        for name, value in vars(errors).items()
        if inspect.isclass(value) and issubclass(value, errors.RegistryPushError)
    }
    assert len(classes) > 30
    assert classes <= {*rp.__all__}
    assert all(getattr(rp, name) is getattr(errors, name) for name in classes)


def test_every_public_name_is_there() -> None:
    assert all(getattr(rp, name) is not None for name in rp.__all__)
