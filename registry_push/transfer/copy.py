"""Copies models from one store to others: all blobs of a model first, its manifest last."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from ..content.base import Target
from ..errors import Interrupted, RegistryPushError, unwrapped
from ..events import ModelDone, ModelFailed, ModelStarted, RunStarted, Sink
from ..model import Descriptor
from ..pauses import Pauses
from ..state.journal import Journal
from .context import BlobSource, Context
from .holders import Holders
from .in_flight import InFlight
from .job import AnyJob, AnyReference, total
from .model_copy import ModelCopy
from .report import Report


class Copier:
    """One run. `target_of` opens the repository that a reference names, `source_of` what a model is copied from; the
    rest is as in `Context`.

    `in_flight` is what the runs of a process share.
    """

    def __init__(
        self,
        source_of: Callable[[AnyJob], BlobSource],
        target_of: Callable[[AnyReference], Target],
        sink: Sink,
        *,
        journal: Journal | None = None,
        stop: asyncio.Event | None = None,
        pauses: Pauses | None = None,
        in_flight: InFlight | None = None,
        recheck: bool = False,
        mounts: bool = True,
        begins: Callable[[AnyJob], None] = lambda _: None,
    ) -> None:
        self._target_of = target_of
        self._at_once: dict[str, asyncio.Semaphore] = {}  # models of a target, by its origin
        self._context = Context(
            source_of=source_of,
            sink=sink,
            journal=journal,
            stop=stop or asyncio.Event(),
            pauses=pauses or Pauses(0, 0.0),
            holders=Holders(in_flight or InFlight()),
            recheck=recheck,
            mounts=mounts,
            begins=begins,
            began=journal.now() if journal is not None else 0.0,
        )

    async def copy(self, models: Sequence[AnyJob]) -> Report:
        """Copy every model; if one fails, continue with the others.

        Cancelling is safe: acknowledged content stays at the targets, and no manifest is put early.
        """
        sink = self._context.sink
        blobs, size = total(models)
        sink(RunStarted(len(models), blobs, size))
        begun = await self._copy_in_order(models)
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self.copy_one(model, begun.get(model.target))) for model in models]
        except BaseExceptionGroup as error:
            raise unwrapped(error) from None
        return Report(tuple(task.result() for task in tasks))

    async def copy_one(self, model: AnyJob, begun: ModelCopy | None = None) -> ModelDone | ModelFailed:
        """Copy `model` when its turn at its target comes, and return the result; its failure is no exception.

        Cancelling is safe, as with `copy`.
        """
        target = begun.target if begun is not None else self._target_of(model.target)
        async with self._at_once.setdefault(target.origin, asyncio.Semaphore(target.traits.models)):
            if self._context.stop.is_set():
                event: ModelDone | ModelFailed = self._left(model)
            else:
                event = await self._copied(begun or self._begin(model, target))
        self._context.sink(event)
        return event

    async def _copy_in_order(self, models: Sequence[AnyJob]) -> dict[AnyReference, ModelCopy]:
        """Copy the blobs of all models in the order of their digests, where the target wants that.

        Return what was begun so. Raises what keeps one of them from it: an archive has all models or does not appear.
        """
        if not models or not self._target_of(models[0].target).traits.in_order:
            return {}
        begun = {model.target: self._begin(model, self._target_of(model.target)) for model in models}
        owners: dict[Descriptor, ModelCopy] = {}
        for copy in begun.values():
            with _explained(copy.model):
                await copy.check()
            self._context.begins(copy.model)
            for blob in copy.model.blobs:
                owners.setdefault(blob, copy)
        for blob, copy in sorted(owners.items(), key=lambda each: each[0].digest):
            with _explained(copy.model):
                await copy.copy_blob(blob)
        return begun

    def _begin(self, model: AnyJob, target: Target) -> ModelCopy:
        self._context.sink(ModelStarted(model.called, model.target, len(model.blobs), model.size))
        return ModelCopy(self._context, model, target)

    async def _copied(self, copy: ModelCopy) -> ModelDone | ModelFailed:
        model = copy.model
        try:
            return await copy.run()
        except RegistryPushError as error:
            return ModelFailed(model.called, model.target, error.of_model(model.in_ollama))

    def _left(self, model: AnyJob) -> ModelFailed:
        """Leave a model whose turn comes when the run is stopped to a later run."""
        self._context.begins(model)
        return ModelFailed(model.called, model.target, Interrupted("stopped before it was begun"), begun=False)


@contextmanager
def _explained(model: AnyJob) -> Iterator[None]:
    """Give an error the next step for `model`."""
    try:
        yield
    except RegistryPushError as error:
        error.of_model(model.in_ollama)
        raise
