"""The library's face: what `import registry_push` offers to programs."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence

from .events import Sink, ignore
from .settings import Settings
from .transfer.copy import Report
from .transfer.push import push as push_all


async def push(
    models: str | Sequence[str],
    *,
    to: str | None = None,
    tags: Sequence[str] = (),
    dry_run: bool = False,
    settings: Settings | None = None,
    sink: Sink = ignore,
) -> Report:
    """Pushes models by name or glob to `to` (as `--to`), or to the registry in each name.

    Gives what was done for each model. Raises the model's error if there is one model, `SomeFailed` if some of
    several failed, and what the command raises before it begins. Without `settings` it behaves as the command does
    without flags: it finds the store, the key and the logins by the environment. Cancelling is safe.
    """
    settings = settings or Settings(environ=dict(os.environ))
    names = [models] if isinstance(models, str) else models
    report = await push_all(names, to=to, tags=tags, dry_run=dry_run, settings=settings, sink=sink)
    if report.error is not None:
        raise report.error
    return report


def push_sync(
    models: str | Sequence[str],
    *,
    to: str | None = None,
    tags: Sequence[str] = (),
    dry_run: bool = False,
    settings: Settings | None = None,
    sink: Sink = ignore,
) -> Report:
    """`push` for programs without an event loop."""
    return asyncio.run(push(models, to=to, tags=tags, dry_run=dry_run, settings=settings, sink=sink))
