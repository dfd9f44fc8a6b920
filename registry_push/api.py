"""The library: what `import registry_push` offers to programs."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from .api_arguments import Models, in_our_words, listed, names, text, wording
from .conversions import as_environ, as_path
from .errors import UsageError, quoted
from .events import Event, Sink, ignore
from .model.inventory import Inventory
from .model.tag_filter import TagFilter
from .setting import Setting
from .settings import PathText
from .settings import Settings as _Settings
from .text.quantities import parse_size
from .transfer.report import Report
from .usual_folders import home_of, usual_state
from .verbs.copy import copy as copy_all
from .verbs.export import export as export_all
from .verbs.importing import Import as Import
from .verbs.importing import import_models as import_all
from .verbs.inventory import inventory as inventory_of
from .verbs.open_store import OpenStore
from .verbs.open_store import open_store as open_place
from .verbs.pull import pull as pull_all
from .verbs.push import push as push_all
from .verbs.verify import verify as verify_all
from .verbs.verify_report import VerifyReport as VerifyReport

Result = TypeVar("Result")
Arguments = ParamSpec("Arguments")


@dataclass(frozen=True)
class Settings(_Settings):
    """All settings, by the names of the command's flags; each default is that of the flag.

    Paths may be text, in which `~` is expanded; sizes and durations may be too: `chunk_size="64MiB"`,
    `retry_for="10m"`. Like the command, a push with them reads this process's environment (`OLLAMA_MODELS`, docker's
    and podman's logins, proxies) and records uploads in the user's state folder, from where it, or `registry-push
    resume`, continues them. To opt out: `Settings(environ={}, state_dir=None)`.

    The configuration file and `REGISTRY_PUSH_…` are used by the command only. Raises `InvalidSettings`.
    """

    home: Setting[PathText | None, Path | None] = Setting(
        as_path, lambda: home_of(os.environ, posix=os.name == "posix")
    )
    environ: Setting[Mapping[str, str], Mapping[str, str]] = field(
        default=Setting(as_environ, lambda: dict(os.environ)), repr=False
    )
    state_dir: Setting[PathText | None, Path | None] = Setting(as_path, usual_state)

    def __post_init__(self) -> None:
        with in_our_words():
            super().__post_init__()


async def push(
    models: Models,
    *,
    to: str | None = None,
    tags: str | Iterable[str] = (),
    dry_run: bool = False,
    settings: _Settings | None = None,
    sink: Sink = ignore,
) -> Report:
    """Push models by name or glob to `to` (as `--to`), or to the registry in each name.

    Returns the result for each model. Raises the model's error if there is one model; `SomeFailed`, which carries the
    report, if some of several failed; and what the command raises before it begins. Without `settings` it behaves as
    the command does without flags: it finds the store, the key and the logins by the environment, and an interrupted
    push is resumed when it is repeated. Cancelling is safe.
    """
    with in_our_words():
        report = await push_all(
            names(models),
            to=None if to is None else text("to", to),
            tags=[text("tags", tag) for tag in listed("tags", tags)],
            dry_run=dry_run,
            settings=checked_settings(settings),
            sink=wording(sink),
        )
        return _without_error(report)


async def pull(
    references: str | Iterable[str],
    *,
    name: str | None = None,
    dry_run: bool = False,
    settings: _Settings | None = None,
    sink: Sink = ignore,
) -> Report:
    """Pull models from registries into the local Ollama store, as the command does; `name` is the local name of one.

    Returns and raises as `push`. Cancelling is safe: fetched bytes are kept, and no model appears before it is
    complete.
    """
    texts = [text("references", each) for each in listed("references", references)]
    name = None if name is None else text("name", name)
    with in_our_words():
        report = await pull_all(
            texts, name=name, dry_run=dry_run, settings=checked_settings(settings), sink=wording(sink)
        )
        return _without_error(report)


async def copy(
    source: str,
    target: str,
    *,
    tags: str | Iterable[str] = (),
    referrers: str | None = None,
    require_referrer: str | None = None,
    tag_filter: TagFilter | None = None,
    dry_run: bool = False,
    settings: _Settings | None = None,
    sink: Sink = ignore,
) -> Report:
    """Copy from any place to any other, as the command does: `ollama:…`, `registry:…`, `oci:…`, `oci-archive:…`.

    Of a repository or a whole store, only the tags that `tag_filter` takes are copied, and what is about them.
    Returns and raises as `push`. Cancelling is safe: copied content is kept, and every manifest is put last.
    """
    with in_our_words():
        report = await copy_all(
            text("source", source),
            text("target", target),
            tags=[text("tags", tag) for tag in listed("tags", tags)],
            referrers=None if referrers is None else text("referrers", referrers),
            require_referrer=None if require_referrer is None else text("require_referrer", require_referrer),
            tag_filter=_checked_filter(tag_filter),
            dry_run=dry_run,
            settings=checked_settings(settings),
            sink=wording(sink),
        )
        return _without_error(report)


async def verify(
    places: str | Iterable[str],
    *,
    repair: str | None = None,
    settings: _Settings | None = None,
    sink: Sink = ignore,
) -> VerifyReport:
    """Read and hash all content of `places`; fetch what is broken, and nothing else, from the place `repair`.

    Returns the report if every model is whole. Raises `ContentDamaged`, which carries it, if one is damaged; for a
    place or model that can't be read as `push`. Cancelling is safe.
    """
    texts = [text("places", each) for each in listed("places", places)]
    repair = None if repair is None else text("repair", repair)
    with in_our_words():
        report = await verify_all(texts, repair=repair, settings=checked_settings(settings), sink=wording(sink))
        _without_error(report)
        return report


async def export(
    models: Models,
    to: str | Path,
    *,
    since: str | Iterable[str] = (),
    split: int | str | None = None,
    verify_medium: bool = False,
    referrers: str | None = None,
    dry_run: bool = False,
    settings: _Settings | None = None,
    sink: Sink = ignore,
) -> Report:
    """Export models to the archive or folder `to`, as the command does.

    `since` are paths of inventories, or of earlier archives: what they name is left out. `split` is the most bytes of a
    volume, or a text such as "4GB". Returns and raises as `push`. Cancelling is safe: the same call continues.
    """
    with in_our_words():
        done = await export_all(
            names(models),
            str(to),
            since=[text("since", each) for each in listed("since", since)],
            split=parse_size(split) if isinstance(split, str) else split,
            verify_medium=verify_medium,
            referrers=referrers,
            dry_run=dry_run,
            settings=checked_settings(settings),
            sink=wording(sink),
        )
        return _without_error(done.report)


async def import_(
    files: str | Iterable[str],
    to: str,
    *,
    partial: bool = False,
    check: bool = True,
    referrers: str | None = None,
    dry_run: bool = False,
    settings: _Settings | None = None,
    sink: Sink = ignore,
) -> Import:
    """Import what was exported, as the command does: archives, volumes or folders, read as one, to a place.

    `Import.report` is as that of `push`; with `partial`, `Import.missing` names the volumes that models still wait for.
    Raises as `push`. Cancelling is safe: copied content is kept.
    """
    with in_our_words():
        done = await import_all(
            [text("files", each) for each in listed("files", files)],
            text("to", to),
            partial=partial,
            check=check,
            referrers=referrers,
            dry_run=dry_run,
            settings=checked_settings(settings),
            sink=wording(sink),
        )
        _without_error(done.report)
        return done


async def transfer(source: str, target: str, **options: Any) -> AsyncIterator[Event]:
    """`copy`, with each event as it comes; `options` are those of `copy`, but for `sink`.

    The last event is the last model's. Raises what `copy` raises, after the events. Leaving the loop early stops the
    copy, and keeps copied content.
    """
    events: asyncio.Queue[Event | None] = asyncio.Queue()

    async def run() -> None:
        try:
            await copy(source, target, sink=events.put_nowait, **options)
        finally:
            events.put_nowait(None)

    task = asyncio.create_task(run())
    try:
        while (event := await events.get()) is not None:
            yield event
        await task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def inventory(place: str, *, settings: _Settings | None = None, sink: Sink = ignore) -> Inventory:
    """Return what `place` has, as the command does; `encode()` is the document that an export takes.

    Raises `StoreNotFound`, `ModelNotFound`, `UsageError`; cancelling is safe.
    """
    with in_our_words():
        return await inventory_of(text("place", place), settings=checked_settings(settings), sink=wording(sink))


def open_store(
    place: str, *, settings: _Settings | None = None, sink: Sink = ignore
) -> AbstractAsyncContextManager[OpenStore]:
    """Open a place for reading: `async with rp.open_store("oci:./models") as store`. See `OpenStore`."""
    return _opened(open_place(text("place", place), settings=checked_settings(settings), sink=wording(sink)))


@asynccontextmanager
async def _opened(place: AbstractAsyncContextManager[OpenStore]) -> AsyncIterator[OpenStore]:
    with in_our_words():
        async with place as store:
            yield store


def blocking(function: Callable[Arguments, Coroutine[Any, Any, Result]]) -> Callable[Arguments, Result]:
    """Return `function` for programs without an event loop."""
    name = function.__name__

    @wraps(function)
    def call(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return asyncio.run(function(*args, **kwargs))
        raise UsageError(
            f"{name}_sync was called inside a running event loop, as notebooks have one: use await rp.{name}(…)"
        )

    call.__name__ = call.__qualname__ = f"{name}_sync"
    call.__doc__ = f"`{name}` for programs without an event loop."
    return call


push_sync = blocking(push)
pull_sync = blocking(pull)
copy_sync = blocking(copy)
export_sync = blocking(export)
import_sync = blocking(import_)
inventory_sync = blocking(inventory)
verify_sync = blocking(verify)


def _without_error(report: Report) -> Report:
    if report.error is not None:
        raise report.error
    return report


def _checked_filter(tag_filter: object) -> TagFilter | None:
    if tag_filter is not None and not isinstance(tag_filter, TagFilter):
        raise UsageError(f"tag_filter can't be {quoted(repr(tag_filter))}", hint="give a TagFilter")
    return tag_filter


def checked_settings(settings: object) -> _Settings:
    if settings is None:
        return Settings()
    if not isinstance(settings, _Settings):
        raise UsageError(f"settings can't be {quoted(repr(type(settings).__name__))}", hint="give rp.Settings(…)")
    return settings


# The room `transfer/` has the same name. Importing it, which has happened by now, makes it an attribute of the package.
vars(sys.modules[__package__])["transfer"] = transfer
