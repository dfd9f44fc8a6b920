"""Pushes to one registry of the table: while its ways are learned, afterwards, and with a cut in the middle."""

from __future__ import annotations

import hashlib
import random
from pathlib import Path
from typing import Final
from unittest.mock import patch

from msgspec import Struct
from msgspec.structs import replace

from registry_push.embedded import EmbeddedRegistry, Fault, On, Schedule, What
from registry_push.embedded.sample import LAYER_TYPE, Layer, config, write_model
from registry_push.errors import RegistryPushError
from registry_push.events import ignore
from registry_push.model import ModelName, Reference
from registry_push.registry.registries import Registries
from registry_push.settings import Settings
from registry_push.transfer.report import Report
from registry_push.verbs.push import push
from tests.support.secrets import PASSWORD

from .rows import Row

MiB: Final = 1024 * 1024
CHUNK: Final = 6 * MiB
SIZE: Final = 4 * CHUNK


class Pushed(Struct, frozen=True):
    """One push: its exit code, whether the registry has what was sent, and the bytes that went for nothing."""

    code: int
    is_right: bool
    wasted: int


class Outcome(Struct, frozen=True):
    """The three pushes to a registry."""

    row: Row
    learning: Pushed
    next: Pushed
    cut: Pushed

    @property
    def faults(self) -> list[str]:
        """What should not be."""
        allowed = SIZE if self.row.at_a_cut is None else self.row.at_a_cut * CHUNK
        found = []
        for name, each, most in (
            ("learning", self.learning, CHUNK),
            ("next", self.next, 0),
            ("cut", self.cut, allowed),
        ):
            if each.code:
                found.append(f"{name}: ends with {each.code}")
            if not each.is_right:
                found.append(f"{name}: the content is wrong")
            if each.wasted > most:
                found.append(f"{name}: {each.wasted:,} bytes went for nothing, {most:,} may")
        return found


async def tried(row: Row, folder: Path) -> Outcome:
    """Push three models to the registry of `row`, each by a run of its own that knows what the last one learned."""
    with patch("registry_push.registry.host.known_profile", lambda _: row.known.profile):
        async with EmbeddedRegistry(folder / "registry", row.options) as registry:
            port = int(registry.host.rpartition(":")[2])
            learning = await _pushed(registry, folder, 1, row)
            following = await _pushed(registry, folder, 2, row)
        # Nearly all of it is the large blob's.
        options = replace(row.options, cut_after=SIZE // 2)
        if row.options.ollama is not None:  # its bodies go to the storage
            options = replace(row.options, faults=Schedule((Fault(What.CUT, On.STORAGE, at=CHUNK // 2),)))
        async with EmbeddedRegistry(folder / "registry", options, port=port) as registry:
            cut = await _pushed(registry, folder, 3, row)
            assert registry.fired or any(each.status == 0 for each in registry.log), f"{row.name}: nothing was cut"
    return Outcome(row, learning, following, cut)


async def _pushed(registry: EmbeddedRegistry, folder: Path, number: int, row: Row) -> Pushed:
    name, content = ModelName.parse(f"me/model{number}"), random.Random(number).randbytes(SIZE)
    models = folder / f"models{number}"
    write_model(models, name, config() | {"number": number}, [Layer(LAYER_TYPE + "model", content)])
    login = {"username": "me", "password": PASSWORD} if row.options.auth is not None else {}
    settings = Settings(
        home=folder, models=models, state_dir=folder / "state", chunk_size=CHUNK,
        dialect="ollama" if row.options.ollama is not None else "auto", **login,  # type: ignore[arg-type]  # two texts
    )  # fmt: skip
    before = len(registry.log)
    report = await push([name.short], to=f"{registry.host}/", settings=settings)
    received = sum(each.received for each in registry.log[before:] if "/manifests/" not in each.target)
    sent = sum(path.stat().st_size for path in (models / "blobs").iterdir())
    return Pushed(_code(report), await _is_right(registry, name, content, settings), max(0, received - sent))


def _code(report: Report) -> int:
    return report.error.exit_code if report.error is not None else 0


async def _is_right(registry: EmbeddedRegistry, name: ModelName, content: bytes, settings: Settings) -> bool:
    wanted, found = hashlib.sha256(content).hexdigest(), hashlib.sha256()
    async with Registries(settings, ignore) as registries:
        repository = registries.repository(Reference.parse(f"{registry.host}/{name.namespace}/{name.model}"))
        try:
            manifest = await repository.resolve(name.tag)
            body = await repository.open(next(layer for layer in manifest.layers if layer.digest.hex == wanted))
            async for piece in body.open(0, len(content)):
                found.update(piece)
        except (RegistryPushError, StopIteration):
            return False
    return found.hexdigest() == wanted
