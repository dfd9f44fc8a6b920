"""A file that changes, or is touched, while it is sent, at registries that take whatever comes."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from registry_push.content import hashing
from registry_push.content.ollama.source import OllamaStore
from registry_push.embedded import EmbeddedRegistry, Ollama, Options, Schedule
from registry_push.embedded.faults import NO_FAULTS
from registry_push.embedded.sample import write_sample_store
from registry_push.errors import BlobCorrupt, IntegrityError, SourceChanged
from registry_push.events import BlobProgress, BlobRewound, Event
from registry_push.protocol.upload.chunks import SINGLE_PUT
from registry_push.registry import hash_cache as trust
from registry_push.settings import Settings
from registry_push.transfer.report import Report
from registry_push.verbs.push import push
from tests.support.stores import weights_of
from tests.support.tls import self_signed

pytestmark = pytest.mark.attack("S12")

SIZES = {"300 kB": 300_000, "4 MB": 4_000_000, "12 MB": 12_000_000}
sizes = pytest.mark.parametrize("size", SIZES.values(), ids=SIZES.keys())


class Stage:
    """A model, a registry that verifies nothing, and what is done to the weights while they are sent."""

    def __init__(self, folder: Path, size: int, registry: EmbeddedRegistry, **settings: Any) -> None:
        write_sample_store(folder / "models", weights=size)
        self.blob, self.file = weights_of(OllamaStore(folder / "models"))
        self.content = self.file.read_bytes()
        self.registry = registry
        chunk = 1_000_000 if size > SINGLE_PUT else None
        self.settings = Settings(
            models=folder / "models",
            home=folder,
            state_dir=folder / "state",
            chunk_size=chunk,
            mount="never",
            **settings,
        )
        self.meanwhile: Callable[[], object] | None = None
        self.when: type[Event] = BlobProgress
        self.is_once = True
        self.rewound: list[BlobRewound] = []

    def told(self, event: Event) -> None:
        if isinstance(event, BlobRewound):
            self.rewound.append(event)
        is_of_it = (
            getattr(event, "digest", None) == self.blob.digest
            or getattr(event, "blob", None) == self.blob
            or self.blob.digest.short in getattr(event, "what", "")
        )
        if isinstance(event, self.when) and is_of_it and self.meanwhile is not None:
            meanwhile, self.meanwhile = self.meanwhile, None if self.is_once else self.meanwhile
            meanwhile()

    async def push(self, repository: str = "me/tiny") -> Report:
        target = f"{self.registry.origin}/{repository}:latest"
        return await push(["me/tiny"], to=target, settings=self.settings, sink=self.told)

    @property
    def is_over(self) -> bool:
        """Whether it was done."""
        return self.meanwhile is None

    def rewrite(self) -> None:
        with self.file.open("r+b") as file:
            file.seek(-1000, os.SEEK_END)
            file.write(b"something else")

    def restore(self) -> None:
        self.file.write_bytes(self.content)

    async def is_right(self, repository: str = "me/tiny") -> bool:
        """Whether a manifest is there, and the weights as they should be."""
        there = self.registry.repositories[repository]
        return "latest" in await there.tags() and there.blob_path(self.blob.digest).read_bytes() == self.content

    async def has_no_manifest(self, *, besides: str = "me/before") -> bool:
        return all(
            exchange.method != "PUT" or "/manifests/" not in exchange.target or besides in exchange.target
            for exchange in self.registry.log
        )


@asynccontextmanager
async def staged(
    folder: Path,
    size: int,
    *,
    tls: bool = False,
    ollama: Ollama | None = None,
    faults: Schedule = NO_FAULTS,
    **settings: Any,
) -> AsyncIterator[Stage]:
    made = self_signed(folder / "tls") if tls else None
    options = Options(verifies=False, ollama=ollama, faults=faults)
    async with EmbeddedRegistry(folder / "registry", options, tls=made.server if made else None) as registry:
        ca = {"ca_file": made.cert} if made else {}
        yield Stage(folder, size, registry, **ca, **settings)


WAYS: dict[str, dict[str, Any]] = {
    "http": {},
    "https": {"tls": True},
    "with a limit": {"bwlimit": 200_000_000},
    "parts": {"ollama": Ollama(strict=False), "dialect": "ollama"},
}
ways = pytest.mark.parametrize("way", WAYS)


@ways
@sizes
@pytest.mark.parametrize("known", [False, True], ids=["not hashed before", "hashed before"])
async def test_a_file_that_is_rewritten_while_it_is_sent_is_no_success(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str, size: int, known: bool
) -> None:
    monkeypatch.setattr(trust, "_RACY", 0)
    async with staged(tmp_path, size, **WAYS[way]) as stage:
        if known:
            assert (await stage.push("me/before")).error is None
            stage.registry.log.clear()
        stage.meanwhile = stage.rewrite
        report = await stage.push()
        assert stage.is_over, "it was rewritten"
        assert isinstance(report.error, IntegrityError) and report.error.exit_code == 7
        assert await stage.has_no_manifest()


@ways
@sizes
async def test_a_file_that_is_touched_while_it_is_sent_is_pushed(tmp_path: Path, way: str, size: int) -> None:
    async with staged(tmp_path, size, **WAYS[way]) as stage:
        stage.meanwhile = lambda: os.utime(stage.file)
        report = await stage.push()
        assert stage.is_over and report.error is None
        assert await stage.is_right()
        assert report.done[0].sent >= size


@pytest.mark.parametrize("way", ["http", "https", "with a limit"])
@sizes
async def test_nor_does_it_matter_how_often(tmp_path: Path, way: str, size: int) -> None:
    async with staged(tmp_path, size, **WAYS[way]) as stage:
        stage.meanwhile, stage.is_once = lambda: os.utime(stage.file), False
        report = await stage.push()
        assert report.error is None
        assert await stage.is_right()


@pytest.mark.parametrize("tls", [False, True], ids=["by the kernel", "over TLS"])
@sizes
@pytest.mark.parametrize("known", [False, True], ids=["not hashed before", "hashed before"])
async def test_content_that_was_wrong_only_while_it_was_sent_is_sent_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tls: bool, size: int, known: bool
) -> None:
    """The file is right before and after: only the bytes that went were not."""
    monkeypatch.setattr(trust, "_RACY", 0)
    async with staged(tmp_path, size, tls=tls) as stage:
        if known:
            assert (await stage.push("me/before")).error is None
        lies = wrong_once(stage, monkeypatch)
        report = await stage.push()
        monkeypatch.undo()
        assert report.error is None
        assert await stage.is_right()
        is_sent_unhashed = known and size > SINGLE_PUT
        assert bool(lies) == is_sent_unhashed
        assert bool(stage.rewound) == bool(lies)
        assert all("touched" in event.reason for event in stage.rewound)


def wrong_once(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """The first bytes of the weights that are sent without being hashed on the way are others, and the file is new."""
    lies: list[bool] = []
    sendfile, piece = os.sendfile, hashing._piece

    def wrong(descriptor: int, offset: int, count: int) -> bytearray:
        content = bytearray(os.pread(descriptor, count, offset))
        content[0] ^= 1
        return content

    def is_due(descriptor: int) -> bool:
        return not lies and os.fstat(descriptor).st_size == stage.blob.size

    def told() -> None:
        lies.append(True)
        os.utime(stage.file)

    def lying_sendfile(line: int, file: int, offset: int, count: int) -> int:
        if not is_due(file):
            return sendfile(line, file, offset, count)
        sent = os.write(line, wrong(file, offset, count))
        told()
        return sent

    def lying_piece(descriptor: int, offset: int, count: int, running: Any, name: str) -> bytes:
        if running is not None or not is_due(descriptor):
            return piece(descriptor, offset, count, running, name)
        told()
        return bytes(wrong(descriptor, offset, count))

    monkeypatch.setattr(os, "sendfile", lying_sendfile)
    monkeypatch.setattr(hashing, "_piece", lying_piece)
    return lies


async def test_what_is_wrong_is_not_even_committed_if_it_changes_before_the_last_byte(tmp_path: Path) -> None:
    async with staged(tmp_path, 4_000_000) as stage:
        stage.meanwhile = stage.rewrite
        assert isinstance((await stage.push()).error, IntegrityError)  # noticed in what is sent, or after it
        assert await stage.has_no_manifest()
        stage.restore()
        assert (await stage.push()).error is None
        assert await stage.is_right()


async def test_a_file_that_is_touched_for_ever_in_parts_ends(tmp_path: Path) -> None:
    async with staged(tmp_path, 12_000_000, ollama=Ollama(strict=False), dialect="ollama") as stage:
        stage.meanwhile, stage.is_once = lambda: os.utime(stage.file), False
        report = await stage.push()
        assert isinstance(report.error, SourceChanged) and type(report.error) is SourceChanged
        assert "nothing writes to the store" in (report.error.hint or "")
        assert await stage.has_no_manifest()


async def test_never_asks_for_nothing(tmp_path: Path) -> None:
    async with staged(tmp_path, 300_000, verify="never") as stage:
        stage.meanwhile = lambda: os.utime(stage.file)
        assert (await stage.push()).error is None
        assert stage.rewound == []


async def test_a_file_that_was_wrong_from_the_first_is_still_found(tmp_path: Path) -> None:
    for number, size in enumerate(SIZES.values()):
        async with staged(tmp_path / str(number), size) as stage:
            stage.rewrite()
            assert isinstance((await stage.push()).error, BlobCorrupt)
            assert await stage.has_no_manifest()
