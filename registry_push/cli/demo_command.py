"""`registry-push demo`."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import Any, Final

import click

from ..errors import RegistryPushError
from ..events import Event, ModelDone, Retrying
from ..options.flags import options, settings_of
from ..options.grouped_help import GroupedCommand
from .render import Renderer
from .render.units import size as shown
from .running import Outcome, run

# Large enough to be sent in a PATCH and cut in its middle, small enough to take no time.
_WEIGHTS: Final = 24 * 1024 * 1024
_CUT_AFTER: Final = _WEIGHTS // 2


@click.command("demo", cls=GroupedCommand)
@options("output")
def command(**flags: Any) -> None:
    """Push a tiny model to a registry inside this process, and see that it got there.

    The registry lets in only who signs with the right key, and breaks the connection once in the middle of the
    weights. No network, no configuration; nothing stays on the disk.

    \b
    Examples:
      registry-push demo
      registry-push demo --json
    """
    settings = settings_of(flags)

    async def work(show: Renderer, _stop: asyncio.Event) -> Outcome:
        with tempfile.TemporaryDirectory(prefix="registry-push-demo-") as folder:
            return await _Demo(Path(folder), show).run(settings.jobs)

    run(flags, work)


class _Demo:
    def __init__(self, folder: Path, show: Renderer) -> None:
        self._store = folder / "models"
        self._key = folder / "id_ed25519"
        self._registry = folder / "registry"
        self._show = show
        self._cuts: list[Retrying] = []
        self._done: ModelDone | None = None

    async def run(self, jobs: int) -> Outcome:
        from ..auth.identity import Identity
        from ..embedded import EmbeddedRegistry, Options, Token
        from ..embedded.sample import write_sample_store
        from ..settings import Settings
        from ..verbs.push import push

        name = write_sample_store(self._store, name="demo/tiny:latest", weights=_WEIGHTS)
        identity = Identity.create(self._key)
        settings = Settings(models=self._store, key=self._key, jobs=jobs, home=self._store.parent)
        sign_in = Token(keys=frozenset({identity.public_wire}))
        async with EmbeddedRegistry(self._registry, Options(auth=sign_in, cut_after=_CUT_AFTER)) as server:
            to = f"{server.host}/"
            report = await push([name.short], to=to, settings=settings, sink=self._watch)
            if report.error is not None:
                raise report.error
            again = await push([name.short], to=to, settings=settings, sink=lambda _: None)
            model = _only(again.models[0])
            blobs = await _verified(self._store, name.short, server.host, settings)
            received = sum(exchange.received for exchange in server.log)
        done = _only(self._done)
        if not self._cuts:
            raise RegistryPushError("the connection was to be cut in the middle, and was not")
        return Outcome(
            [
                f"signed in       with a new key, {identity.fingerprint}",
                f"cut             in the weights, and resumed: {shown(done.sent)} given to the line, "
                f"{shown(received)} received, for {shown(_total(self._store))} of content",
                f"verified        {blobs} blobs read back and hashed, the manifest byte for byte",
                f"pushed again    {shown(model.sent)} sent, {model.present} blobs there already",
                "",
                "Now yours:      registry-push list; registry-push push MODEL --to HOST/",
            ],
            {
                "fingerprint": identity.fingerprint,
                "cuts": len(self._cuts),
                "sent": done.sent,
                "received": received,
                "verified": blobs,
                "sent_again": model.sent,
            },
        )

    def _watch(self, event: Event) -> None:
        match event:
            case Retrying():
                self._cuts.append(event)
            case ModelDone():
                self._done = event
        self._show(event)


def _only(event: object) -> ModelDone:
    assert isinstance(event, ModelDone), "a push that did not raise and did not fail is done"
    return event


def _total(store: Path) -> int:
    return sum(file.stat().st_size for file in (store / "blobs").iterdir())


async def _verified(store: Path, model: str, host: str, settings: Any) -> int:
    """Compare the manifest's bytes, and return how many blobs at the registry have the right digest."""
    from ..content.hashing import Hasher
    from ..content.ollama.source import OllamaStore
    from ..errors import RemoteMismatch
    from ..events import ignore
    from ..model import ModelName, Reference
    from ..registry.registries import Registries

    name = ModelName.parse(model)
    here = await OllamaStore(store).resolve(name)
    hasher = Hasher()
    async with Registries(settings, ignore) as registries:
        repository = registries.repository(Reference.below(host, "", name))
        there = await repository.resolve(name.tag)
        if there.raw != here.raw:
            raise RemoteMismatch("the registry's manifest is not the one that was pushed")
        for blob in there.blobs:
            if await hasher.sha256(await repository.open(blob)) != blob.digest:
                raise RemoteMismatch(f"the registry's {blob.digest} is something else")
    hasher.close()
    return len(there.blobs)
