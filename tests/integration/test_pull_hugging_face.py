"""Pull from a registry that is as hf.co: redirects to a storage whose URLs run out, capitals in names, no pushes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from registry_push.content.body import BytesBody
from registry_push.content.ollama.source import OllamaStore
from registry_push.embedded import EmbeddedRegistry, HuggingFace, Options
from registry_push.embedded.sample import gguf, manifest_bytes
from registry_push.errors import InvalidName, ManifestCorrupt, SourceUnavailable
from registry_push.model import Descriptor, Digest, Manifest, ModelName, Reference
from registry_push.model.place import RegistryPlace, parse_destination, parse_place
from registry_push.settings import Settings
from registry_push.transfer.report import Report
from registry_push.verbs.pull import pull
from tests.support.command import command, start_command
from tests.support.registries import EmbeddedFactory

REPOSITORY = "bartowski/Qwen2.5-7B-Instruct-GGUF"
TYPE = "application/vnd.ollama.image."
WEIGHTS = gguf(4_000_000, seed=7)
CONTENTS = {"model": WEIGHTS, "template": b"{{ .Prompt }}", "params": b'{"stop":["<|im_end|>"]}'}


class Hub:
    """hf.co with one model, and the home of somebody who pulls it."""

    def __init__(self, registry: EmbeddedRegistry, manifest: Manifest, home: Path) -> None:
        self.registry, self.manifest, self.home = registry, manifest, home
        self.name = f"{registry.host}/{REPOSITORY}:Q4_K_M"
        self.store = home / ".ollama" / "models"

    @classmethod
    async def of(cls, registry: EmbeddedRegistry, home: Path) -> Hub:
        blobs = {kind: Descriptor(TYPE + kind, Digest.of(each), len(each)) for kind, each in CONTENTS.items()}
        config = Descriptor("application/vnd.docker.container.image.v1+json", Digest.of(b"{}"), 2)
        manifest = Manifest.parse(manifest_bytes(config, list(blobs.values())))
        repository = registry.repositories[REPOSITORY.lower()]
        for blob, content in ((config, b"{}"), *((blobs[kind], each) for kind, each in CONTENTS.items())):
            await repository.put(blob, BytesBody(content))
        await repository.put_manifest(manifest, "Q4_K_M")
        return cls(registry, manifest, home)

    async def pull(self, name: str = "", **given: object) -> Report:
        settings = Settings(**{"home": self.home, "models": self.store, "retries": 3, **given})  # type: ignore[arg-type]
        return await pull([name or self.name], settings=settings)

    def check(self) -> None:
        """Hold what was pulled against what was there."""
        name = ModelName.parse(self.name)
        assert self.store.joinpath("manifests", *name.path_parts).read_bytes() == self.manifest.raw
        for blob in OllamaStore(self.store).read_manifest(name).blobs:
            assert Digest.of((self.store / "blobs" / blob.digest.path_name).read_bytes()) == blob.digest
        assert self.registry.breaches == []

    @property
    def asked(self) -> list[str]:
        return [f"{each.method} {each.target.partition('?')[0]}" for each in self.registry.log]


@pytest.fixture
async def hub(embedded_with: EmbeddedFactory, tmp_path: Path) -> AsyncIterator[Hub]:
    yield await Hub.of(await embedded_with(Options(hugging_face=HuggingFace())), tmp_path)


async def test_a_model_of_hugging_face(hub: Hub) -> None:
    done = await command("pull", hub.name, home=hub.home)
    assert done.code == 0, done.err
    hub.check()
    assert (hub.store / "manifests" / hub.registry.host / REPOSITORY / "Q4_K_M").is_file(), "capitals stay"
    [weights] = hub.registry.storage_log
    assert weights.authorization is None and weights.status == 200
    gets = [each for each in hub.asked if each.startswith("GET") and "/blobs/" in each]
    assert len(gets) == len(set(gets)) == 4, "a body that comes with a Location is not asked for there again"


async def test_without_case_it_is_the_same_model(hub: Hub) -> None:
    await hub.pull()
    hub.registry.log.clear()
    report = await hub.pull(hub.name.replace("bartowski", "Bartowski").replace("Instruct", "INSTRUCT"))
    assert report.done[0].sent == 0 and len(hub.asked) == 1
    assert len(await OllamaStore(hub.store).models()) == 1


@pytest.mark.parametrize("tells_digest", [True, False])
async def test_nothing_to_do_costs_two_requests_at_most(
    embedded_with: EmbeddedFactory, tmp_path: Path, tells_digest: bool
) -> None:
    registry = await embedded_with(Options(hugging_face=HuggingFace(tells_digest=tells_digest)))
    hub = await Hub.of(registry, tmp_path)
    await hub.pull()
    hub.check()
    registry.log.clear()
    report = await hub.pull()
    assert report.done[0].sent == 0
    assert [each.partition(" ")[0] for each in hub.asked] == (["HEAD"] if tells_digest else ["HEAD", "GET"])


@pytest.mark.parametrize("count", [1, 2])
async def test_an_address_that_has_run_out_is_asked_for_again(
    embedded_with: EmbeddedFactory, tmp_path: Path, count: int
) -> None:
    hub = await Hub.of(await embedded_with(Options(hugging_face=HuggingFace(expire_first=count))), tmp_path)
    report = await hub.pull()
    assert report.error is None
    hub.check()
    assert [each.status for each in hub.registry.storage_log] == [403] * count + [200]
    assert len({each.target for each in hub.registry.storage_log}) == count + 1


async def test_one_that_always_has_ends_with_words_of_the_source(
    embedded_with: EmbeddedFactory, tmp_path: Path
) -> None:
    hub = await Hub.of(await embedded_with(Options(hugging_face=HuggingFace(expire_first=1000))), tmp_path)
    report = await hub.pull(retries=1)
    assert isinstance(report.error, SourceUnavailable)
    assert hub.registry.storage_origin.removeprefix("http://") in report.error.message
    assert "X-Amz" not in report.error.message + (report.error.url or ""), "an address is a capability"
    assert not (hub.store / "manifests").exists()


async def test_an_address_that_runs_out_in_the_middle(embedded_with: EmbeddedFactory, tmp_path: Path) -> None:
    """The line breaks, and the old address is of no use any more: the rest comes from a new one."""
    now, ranges = [1_000_000.0], list[str | None]()

    async def cut(request: web.Request) -> web.StreamResponse | None:
        ranges.append(request.headers.get("Range"))
        if len(ranges) > 1:
            return None
        response = web.StreamResponse(headers={"Content-Length": str(len(WEIGHTS))})
        await response.prepare(request)
        await response.write(WEIGHTS[:1_500_000])
        now[0] += 4000
        assert request.transport is not None
        request.transport.close()  # after what was written
        return response

    options = HuggingFace(clock=lambda: now[0], storage_hook=cut)
    hub = await Hub.of(await embedded_with(Options(hugging_face=options)), tmp_path)
    report = await hub.pull()
    assert report.error is None
    hub.check()
    first, second = ranges
    assert first is None and second is not None
    assert 0 < int(second.removeprefix("bytes=").removesuffix("-")) <= 1_500_000
    assert len({each.target for each in hub.registry.storage_log}) == 2


async def test_llama_cpp_is_told_something_else(hub: Hub) -> None:
    """So our own name must never begin as its does."""
    assert not Settings().user_agent.startswith("llama-cpp")
    with pytest.raises(ManifestCorrupt):
        await hub.pull(user_agent="llama-cpp/b4000")


@pytest.mark.parametrize("host", ["hf.co", "huggingface.co", "HF.co"])
def test_names_of_hugging_face_are_taken_as_they_are(host: str) -> None:
    reference = Reference.for_model(ModelName.parse(f"{host}/{REPOSITORY}:Q4_K_M"))
    assert str(reference) == f"{host}/{REPOSITORY}:Q4_K_M"
    assert Reference.parse(str(reference)) == reference


async def test_a_pull_that_was_killed_is_resumed_by_its_record(embedded_with: EmbeddedFactory, tmp_path: Path) -> None:
    """What is remembered of it can be read again, capitals and all."""
    reached, has_restarted = asyncio.Event(), False

    async def waits(_: web.Request) -> web.StreamResponse | None:
        reached.set()
        return None if has_restarted else await asyncio.Future()

    options = HuggingFace(storage_hook=waits)
    hub = await Hub.of(await embedded_with(Options(hugging_face=options)), tmp_path)
    process = await start_command("pull", hub.name, home=hub.home)
    await reached.wait()
    process.kill()
    await process.communicate()
    has_restarted = True
    done = await command("resume", home=hub.home)
    assert done.code == 0, done.err
    hub.check()


@pytest.mark.parametrize(
    "place", ["registry:127.0.0.1:1/Me/Tiny:Q4_K_M", "docker://127.0.0.1:1/me/a__-b@sha256:" + "0" * 64]
)
def test_a_place_that_is_read_may_have_an_ollama_name(place: str) -> None:
    read = parse_place(place)
    assert isinstance(read, RegistryPlace) and read.reference.lenient
    with pytest.raises(InvalidName):
        parse_destination(place)


def test_one_that_is_neither_has_the_hint_of_the_stricter_grammar() -> None:
    with pytest.raises(InvalidName, match="not a repository name") as error:
        parse_place("registry:127.0.0.1:1/Me/Tiny/Deep:v1")
    assert "lower case" in (error.value.hint or "")


async def test_nothing_is_pushed_there(hub: Hub) -> None:
    await hub.pull()
    done = await command("push", hub.name, "--to", f"{hub.registry.host}/me/other:v1", home=hub.home)
    assert done.code == 5, done.err
