"""The library's face: what `import registry_push` offers to programs."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from .errors import UsageError, quoted
from .events import Sink, ignore
from .model import ModelName
from .setting import Setting
from .settings import PathText, as_environ, as_path
from .settings import Settings as _Settings
from .transfer.copy import Report
from .usual_folders import home_of, usual_state
from .verbs.push import push as push_all

Models = str | ModelName | Iterable[str | ModelName]


@dataclass(frozen=True)
class Settings(_Settings):
    """All that can be set, by the names of the command's flags; what is not given is as without the flag.

    Paths may be text, in which `~` is expanded; sizes and durations may be too: `chunk_size="64MiB"`,
    `retry_for="10m"`. Like the command, a push with them looks at this process' environment (`OLLAMA_MODELS`,
    docker's and podman's logins, proxies) and notes uploads under way in the user's state folder, from where it, or
    `registry-push resume`, goes on. To opt out, name them: `Settings(environ={}, state_dir=None)`.

    The configuration file and `REGISTRY_PUSH_…` are the command's alone. Raises `InvalidSettings`.
    """

    home: Setting[PathText | None, Path | None] = Setting(
        as_path, lambda: home_of(os.environ, posix=os.name == "posix")
    )
    environ: Setting[Mapping[str, str], Mapping[str, str]] = field(
        default=Setting(as_environ, lambda: dict(os.environ)), repr=False
    )
    state_dir: Setting[PathText | None, Path | None] = Setting(as_path, usual_state)


async def push(
    models: Models,
    *,
    to: str | None = None,
    tags: str | Iterable[str] = (),
    dry_run: bool = False,
    settings: _Settings | None = None,
    sink: Sink = ignore,
) -> Report:
    """Pushes models by name or glob to `to` (as `--to`), or to the registry in each name.

    Returns what was done for each model. Raises the model's error if there is one model; `SomeFailed`, which carries
    the report, if some of several failed; and what the command raises before it begins. Without `settings` it behaves
    as the command does without flags: it finds the store, the key and the logins by the environment, and what is
    interrupted is resumed when it is pushed again. Cancelling is safe.
    """
    report = await push_all(
        _names(models),
        to=None if to is None else _text("to", to),
        tags=[_text("tags", tag) for tag in _listed("tags", tags)],
        dry_run=dry_run,
        settings=_checked(settings),
        sink=sink,
    )
    if report.error is not None:
        raise report.error
    return report


def push_sync(
    models: Models,
    *,
    to: str | None = None,
    tags: str | Iterable[str] = (),
    dry_run: bool = False,
    settings: _Settings | None = None,
    sink: Sink = ignore,
) -> Report:
    """`push` for programs without an event loop."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(push(models, to=to, tags=tags, dry_run=dry_run, settings=settings, sink=sink))
    raise UsageError("push_sync was called inside a running event loop, as notebooks have one: use await rp.push(…)")


def _checked(settings: object) -> _Settings:
    if settings is None:
        return Settings()
    if not isinstance(settings, _Settings):
        raise UsageError(f"settings can't be {quoted(repr(type(settings).__name__))}", hint="give rp.Settings(…)")
    return settings


def _names(models: Models) -> list[str]:
    names = [models] if isinstance(models, str | ModelName) else _listed("models", models)
    if not names:
        raise UsageError("no models were named to be pushed", hint='give names or globs; every model is "*"')
    # A name is no glob and no other kind of place, whatever its host is called.
    return [f"ollama:{name}" if isinstance(name, ModelName) else _text("models", name) for name in names]


def _listed(what: str, values: object) -> list[object]:
    if isinstance(values, str):
        return [values]
    if isinstance(values, bytes) or not isinstance(values, Iterable):
        raise UsageError(f"{what} can't be {quoted(repr(values))}", hint="give text, or a list of it")
    return list(values)


def _text(what: str, value: object) -> str:
    if not isinstance(value, str):
        raise UsageError(f"{what} can't be {quoted(repr(value))}", hint="give text, or a list of it")
    return value
