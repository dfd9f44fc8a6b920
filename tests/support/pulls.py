"""The stage of tests of `pull`: a registry's models, and a home into which they are pulled."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from registry_push.content.ollama.source import OllamaStore
from registry_push.embedded import EmbeddedRegistry
from registry_push.events import Event, ignore
from registry_push.model import Digest, Manifest, ModelName, Reference
from registry_push.model.manifest import OCI_INDEX
from registry_push.registry.registries import Registries
from registry_push.settings import Settings
from registry_push.transfer.report import Report
from registry_push.verbs.pull import pull
from registry_push.verbs.push import push

from .registries import Registry
from .stores import make_mixed_store

SIZES: Final = (12_000_000, 300_000, 5_000)
_HERE: Final = ".ollama/models"


class Stage:
    """A store that models were pushed from, and a home with none, into which they are pulled."""

    def __init__(self, folder: Path) -> None:
        self.origin, self.home = folder / "origin", folder / "home"
        self.home.mkdir()
        self.store = self.home / _HERE
        self.events: list[Event] = []

    async def push(self, registry: Registry, *names: str, sizes: tuple[int, ...] = SIZES, **given: Any) -> None:
        """Have models of these names there, each with content of its own."""
        for name in names:
            make_mixed_store(self.origin, sizes, name=name)
        settings = Settings(**{"home": self.home, "models": self.origin, "state_dir": None, **given})
        report = await push(list(names), to=f"{registry.host}/", settings=settings)
        assert report.error is None

    async def push_list(
        self, registry: EmbeddedRegistry, repository: str, tag: str, children: list[tuple[str, bytes]]
    ) -> None:
        """Have a list of manifests there, which are there already."""
        entries = [
            {"mediaType": media_type, "digest": str(Digest.of(raw)), "size": len(raw)} for media_type, raw in children
        ]
        document = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries}
        async with Registries(Settings(home=self.home), ignore) as registries:
            opened = registries.repository(Reference.parse(f"{registry.host}/{repository}"))
            await opened.put_manifest(Manifest.parse(json.dumps(document).encode()), tag)

    async def pull(self, *names: str, **given: Any) -> Report:
        verb = {key: given.pop(key) for key in ("name", "dry_run", "stop") if key in given}
        settings = Settings(**{"home": self.home, "models": self.store, "state_dir": None, "retries": 3, **given})
        return await pull(names, settings=settings, sink=self.events.append, **verb)

    def manifest(self, name: str, root: Path | None = None) -> bytes:
        return (root or self.store).joinpath("manifests", *ModelName.parse(name).path_parts).read_bytes()

    async def check(self, name: str, pushed: str) -> None:
        """Hold the model `name` that was pulled against the one that was `pushed`: every byte of it.

        And the store against what Ollama does at its start: it deletes what is no digest in `blobs/` or is named by no
        manifest, and leaves that if anything four levels below `manifests/` is none.
        """
        self._check_rules()
        assert self.manifest(name) == self.manifest(pushed, self.origin)
        for blob in OllamaStore(self.store).read_manifest(ModelName.parse(name)).blobs:
            path = self.store / "blobs" / blob.digest.path_name
            assert path.read_bytes() == (self.origin / "blobs" / blob.digest.path_name).read_bytes()

    def _check_rules(self) -> None:
        manifests = [path for path in self.store.glob("manifests/*/*/*/*") if not path.name.startswith(".")]
        named = {blob.digest.path_name for path in manifests for blob in Manifest.parse(path.read_bytes()).blobs}
        assert {path.name for path in (self.store / "blobs").iterdir()} <= named
        assert all(len(path.relative_to(self.store).parts) == 5 for path in self.store.rglob("latest"))
        assert {path.name for path in self.store.iterdir()} <= {"blobs", "manifests", ".registry-push"}


def asked(registry: EmbeddedRegistry, what: str = "/v2/") -> list[tuple[str, str]]:
    return [(each.method, each.target) for each in registry.log if what in each.target]


def partials(stage: Stage) -> dict[str, int]:
    work = stage.store / ".registry-push"
    return {path.name: path.stat().st_size for path in work.iterdir()} if work.exists() else {}
