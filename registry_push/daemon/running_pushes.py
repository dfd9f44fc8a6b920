"""`RunningPushes`: clients that request the same push share it. It ends when the last of them leaves."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self

from msgspec import Struct

from ..errors import Interrupted, RegistryPushError, unwrapped
from ..events import Event
from ..model import HTTPOrigin
from ..verbs.push import push_planned
from ..verbs.shared import Shared
from .bounds import Bounds
from .failures import TooBusy
from .job import Job
from .log import LOG, tell
from .metrics import Metrics
from .planned_push import Key, PlannedPush


class _Running(Struct):
    job: Job
    task: asyncio.Task[None]
    registry: HTTPOrigin
    clients: int = 0


class RunningPushes:
    """An async context manager; leaving it waits for the pushes under way."""

    def __init__(self, shared: Shared, bounds: Bounds | None = None) -> None:
        self.metrics = Metrics(pushes=lambda: len(self._running), clients=self._clients)
        self._shared = shared
        self._bounds = bounds or Bounds()
        self._stop = asyncio.Event()
        self._group = asyncio.TaskGroup()
        self._waited_for: dict[Key, _Running] = {}
        self._running: dict[asyncio.Task[None], HTTPOrigin] = {}  # each push, and the registry it goes to

    async def __aenter__(self) -> Self:
        await self._group.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            await self._group.__aexit__(kind, error, traceback)
        except BaseExceptionGroup as group:  # pushes don't raise: it is the one error from inside the `with`
            raise unwrapped(group) from None

    @property
    def is_stopping(self) -> bool:
        """Whether no new push may begin."""
        return self._stop.is_set()

    def stop(self) -> None:
        """Let every push finish the chunks under way, and then end with `Interrupted`."""
        self._stop.set()

    def cancel(self) -> None:
        """End every push at once."""
        self._stop.set()
        for task in self._running:
            task.cancel()

    async def idle(self) -> None:
        """Wait until no push is under way."""
        if self._running:
            await asyncio.wait(self._running)

    @contextmanager
    def joined(self, push: PlannedPush) -> Iterator[Job]:
        """Yield the running push for `push`, starting it if needed; leaving the context stops waiting for it.

        Raises `Interrupted` if no new push may begin, `TooBusy` at the limit of running pushes or waiting clients.
        """
        if self.is_stopping:
            raise Interrupted("the service is stopping")
        target = push.plan.target
        registry = target.origin(plain_http=push.settings.at(target.host).plain_http)
        running = self._waited_for.get(push.key)
        self._check_clients(registry, running.clients if running is not None else 0)
        running = running or self._begin(push, registry)
        running.clients += 1
        try:
            yield running.job
        finally:
            running.clients -= 1
            if not running.clients and not running.job.is_over:
                LOG.info("nobody waits for %s any more: its push is stopped", push.plan.name.short)
                self._forget(push.key, running.job)
                running.task.cancel()

    def _clients(self) -> int:
        return sum(running.clients for running in self._waited_for.values())

    def _begin(self, push: PlannedPush, registry: HTTPOrigin) -> _Running:
        self._check_pushes(registry)
        job = Job()
        task = self._group.create_task(self._push(push, job))
        self._running[task] = registry
        task.add_done_callback(self._running.pop)
        running = self._waited_for[push.key] = _Running(job, task, registry)
        return running

    def _check_pushes(self, registry: HTTPOrigin) -> None:
        """Raise `TooBusy` if its registry has too many pushes: one that hangs must not block the others."""
        bounds, there = self._bounds, sum(each == registry for each in self._running.values())
        left = bounds.pushes - len(self._running)
        if left <= 0:
            raise self._too_busy(f"{len(self._running)} pushes are under way already")
        if there >= min(bounds.pushes_per_registry, left):
            raise self._too_busy(f"{there} pushes to {registry.netloc} are under way already")

    def _check_clients(self, registry: HTTPOrigin, here: int) -> None:
        """Raise `TooBusy` if too many clients wait for one registry or, `here`, for one push."""
        there = sum(running.clients for running in self._waited_for.values() if running.registry == registry)
        if here >= self._bounds.clients_per_push:
            raise self._too_busy(f"{here} clients wait for this push already")
        if there and there >= self._bounds.clients - self._clients():
            raise self._too_busy(f"{there} clients wait for pushes to {registry.netloc} already")

    def _too_busy(self, message: str) -> TooBusy:
        return TooBusy(message, retry_after=self._bounds.retry_after)

    def _forget(self, key: Key, job: Job) -> None:
        """Forget the push, so that later requests start another."""
        if key in self._waited_for and self._waited_for[key].job is job:
            del self._waited_for[key]

    async def _push(self, push: PlannedPush, job: Job) -> None:
        def sink(event: Event) -> None:
            job(event)
            self.metrics(event)
            tell(event)

        error: RegistryPushError | None = Interrupted("the push was stopped")
        try:
            report = await push_planned(
                [push.plan], push.store, self._shared, settings=push.settings, sink=sink, stop=self._stop
            )
            error = report.error
        except RegistryPushError as failure:
            error = failure
        except Exception:  # a bug: tell its clients and continue
            LOG.exception("a bug in the push of %s", push.plan.name.short)
            error = RegistryPushError("a bug in registry-push", hint="the service's log says where")
        finally:
            self._forget(push.key, job)
            job.end(error)
