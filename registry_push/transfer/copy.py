"""Copies models from one store to others: all blobs of a model first, its manifest last."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Protocol

from msgspec import Struct, field

from ..content.base import BlobBody, Target
from ..errors import RegistryPushError, SomeFailed, unwrapped
from ..events import ModelDone, ModelFailed, ModelStarted, RunStarted, Sink
from ..model import Descriptor, Digest, Manifest
from ..pauses import Pauses
from ..state.journal import Journal
from .in_flight import BlobInFlight, InFlight
from .job import AnyJob, AnyReference, total
from .model_copy import ModelCopy

# Mounts that are refused in a row, after which none is asked for: at ECR nothing is mounted from a repository without a
# manifest, and in the same run others have none yet.
_REFUSED_MOUNTS = 2


class Report(Struct, frozen=True):
    """How a run ended, a model each, in the order they were asked for.

    `outcome` says what was done with a model that is at its target: it was `pushed`, `pulled` or `copied`.
    """

    models: tuple[ModelDone | ModelFailed, ...]
    outcome: str = "pushed"

    @property
    def failed(self) -> tuple[ModelFailed, ...]:
        """The models that are not at their target."""
        return tuple(model for model in self.models if isinstance(model, ModelFailed))

    @property
    def done(self) -> tuple[ModelDone, ...]:
        """The models that are at their target."""
        return tuple(model for model in self.models if isinstance(model, ModelDone))

    @property
    def error(self) -> RegistryPushError | None:
        """What the run failed of: the one model's error, `SomeFailed` for a run of several; None if all is well."""
        failed = self.failed
        if not failed or len(self.models) == 1:
            return failed[0].error if failed else None
        names, was = ", ".join(model.model for model in failed), "was" if len(failed) == 1 else "were"
        return SomeFailed(
            f"{len(failed)} of {len(self.models)} models {was} not {self.outcome}: {names}",
            hint=f"mend what is named above and run the same command again: what is there is not {self.outcome} again",
            report=self,
        )


class BlobSource(Protocol):
    """What is copied from; see `Source` and `Checker`."""

    async def open(self, blob: Descriptor) -> BlobBody:
        """As `Source.open`."""
        ...

    async def check(self, manifest: Manifest) -> None:
        """As `Checker.check`; nothing if the source can't see."""
        ...


class Copier(Struct):
    """One run. `target_of` opens the repository that a reference names."""

    source: BlobSource
    target_of: Callable[[AnyReference], Target]
    sink: Sink
    journal: Journal | None = None
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    recheck: bool = False
    places: InFlight = field(default_factory=InFlight)
    pauses: Pauses = field(default_factory=lambda: Pauses(0, 0.0))  # between the tries of a manifest
    _places: dict[tuple[str, Digest], BlobInFlight] = field(default_factory=dict)  # those that this run needs
    _confirmed: set[tuple[str, str, Digest]] = field(default_factory=set)
    _refused_mounts: Counter[str] = field(default_factory=Counter)  # since one was done
    began: float = 0.0  # by the journal's clock

    async def copy(self, models: Sequence[AnyJob]) -> Report:
        """Copies every model; one that fails does not keep the others back.

        Cancelling is safe: what the targets acknowledged stays there, and no manifest is put early.
        """
        self.began = self.journal.now() if self.journal is not None else 0.0
        blobs, size = total(models)
        self.sink(RunStarted(len(models), blobs, size))
        at_once: dict[str, asyncio.Semaphore] = {}

        async def copied(model: AnyJob) -> ModelDone | ModelFailed:
            target = self.target_of(model.target)
            async with at_once.setdefault(target.origin, asyncio.Semaphore(target.traits.models)):
                event = await self._copied(model, target)
            self.sink(event)
            return event

        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(copied(model)) for model in models]
        except BaseExceptionGroup as error:
            raise unwrapped(error) from None
        return Report(tuple(task.result() for task in tasks))

    async def _copied(self, model: AnyJob, target: Target) -> ModelDone | ModelFailed:
        self.sink(ModelStarted(model.called, model.target, len(model.blobs), model.size))
        copy = ModelCopy(self, model, target)
        try:
            return await copy.run()
        except RegistryPushError as error:
            return ModelFailed(model.called, model.target, error.of_model(model.called))

    def place(self, origin: str, digest: Digest) -> BlobInFlight:
        """What is known of `digest` at `origin`, kept until the run ends."""
        return self._places.setdefault((origin, digest), self.places.at(origin, digest))

    def is_confirmed(self, origin: str, repository: str, digest: Digest) -> bool:
        """Whether this run has seen the blob in `repository`. What others saw may be gone: it is asked for."""
        return (origin, repository, digest) in self._confirmed

    def mounts(self, origin: str) -> bool:
        """Whether it may help to ask for a mount from a repository that is known to hold the blob."""
        return self._refused_mounts[origin] < _REFUSED_MOUNTS

    def mount_refused(self, origin: str) -> None:
        """Notes that such a mount was refused."""
        self._refused_mounts[origin] += 1

    def mounts_again(self, origin: str) -> None:
        """Notes that one was done, or that a manifest was put: from its repository others can be."""
        self._refused_mounts[origin] = 0

    def confirm(self, origin: str, repository: str, digest: Digest) -> None:
        """The blob is in `repository`."""
        self._confirmed.add((origin, repository, digest))
        self.place(origin, digest).holders[repository] = None

    def lost(self, origin: str, repository: str, digest: Digest) -> None:
        """The blob is not in `repository` any more."""
        self._confirmed.discard((origin, repository, digest))
        self.place(origin, digest).holders.pop(repository, None)
