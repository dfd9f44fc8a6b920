"""The library: what `import registry_push` offers to programs."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Final, TypeVar

from msgspec.structs import replace

from .conversions import as_environ, as_path
from .errors import RegistryPushError, UsageError, quoted
from .events import Event, ModelFailed, Sink, Warned, ignore
from .model import ModelName
from .setting import Setting
from .settings import PathText
from .settings import Settings as _Settings
from .text.library_words import LibraryWords
from .transfer.report import Report
from .usual_folders import home_of, usual_state
from .verbs.copy import copy as copy_all
from .verbs.open_store import OpenStore
from .verbs.open_store import open_store as open_place
from .verbs.pull import pull as pull_all
from .verbs.push import push as push_all
from .verbs.verify import verify as verify_all
from .verbs.verify_report import VerifyReport as VerifyReport

Models = str | ModelName | Iterable[str | ModelName]


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
        with _in_our_words():
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
    with _in_our_words():
        report = await push_all(
            _names(models),
            to=None if to is None else _text("to", to),
            tags=[_text("tags", tag) for tag in _listed("tags", tags)],
            dry_run=dry_run,
            settings=_checked(settings),
            sink=_wording(sink),
        )
        return _without_error(report)


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
    return _run("push", lambda: push(models, to=to, tags=tags, dry_run=dry_run, settings=settings, sink=sink))


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
    texts = [_text("references", each) for each in _listed("references", references)]
    name = None if name is None else _text("name", name)
    with _in_our_words():
        report = await pull_all(texts, name=name, dry_run=dry_run, settings=_checked(settings), sink=_wording(sink))
        return _without_error(report)


async def copy(
    source: str,
    target: str,
    *,
    tags: str | Iterable[str] = (),
    referrers: str | None = None,
    require_referrer: str | None = None,
    dry_run: bool = False,
    settings: _Settings | None = None,
    sink: Sink = ignore,
) -> Report:
    """Copy from any place to any other, as the command does: `ollama:…`, `registry:…`, `oci:…`, `oci-archive:…`.

    Returns and raises as `push`. Cancelling is safe: copied content is kept, and every manifest is put last.
    """
    with _in_our_words():
        report = await copy_all(
            _text("source", source),
            _text("target", target),
            tags=[_text("tags", tag) for tag in _listed("tags", tags)],
            referrers=None if referrers is None else _text("referrers", referrers),
            require_referrer=None if require_referrer is None else _text("require_referrer", require_referrer),
            dry_run=dry_run,
            settings=_checked(settings),
            sink=_wording(sink),
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
    texts = [_text("places", each) for each in _listed("places", places)]
    repair = None if repair is None else _text("repair", repair)
    with _in_our_words():
        report = await verify_all(texts, repair=repair, settings=_checked(settings), sink=_wording(sink))
        _without_error(report)
        return report


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


def open_store(
    place: str, *, settings: _Settings | None = None, sink: Sink = ignore
) -> AbstractAsyncContextManager[OpenStore]:
    """Open a place for reading: `async with rp.open_store("oci:./models") as store`. See `OpenStore`."""
    return _opened(open_place(_text("place", place), settings=_checked(settings), sink=_wording(sink)))


@asynccontextmanager
async def _opened(place: AbstractAsyncContextManager[OpenStore]) -> AsyncIterator[OpenStore]:
    with _in_our_words():
        async with place as store:
            yield store


def pull_sync(
    references: str | Iterable[str],
    *,
    name: str | None = None,
    dry_run: bool = False,
    settings: _Settings | None = None,
    sink: Sink = ignore,
) -> Report:
    """`pull` for programs without an event loop."""
    return _run("pull", lambda: pull(references, name=name, dry_run=dry_run, settings=settings, sink=sink))


def copy_sync(
    source: str,
    target: str,
    *,
    tags: str | Iterable[str] = (),
    referrers: str | None = None,
    require_referrer: str | None = None,
    dry_run: bool = False,
    settings: _Settings | None = None,
    sink: Sink = ignore,
) -> Report:
    """`copy` for programs without an event loop."""
    return _run(
        "copy",
        lambda: copy(
            source,
            target,
            tags=tags,
            referrers=referrers,
            require_referrer=require_referrer,
            dry_run=dry_run,
            settings=settings,
            sink=sink,
        ),
    )


def verify_sync(
    places: str | Iterable[str],
    *,
    repair: str | None = None,
    settings: _Settings | None = None,
    sink: Sink = ignore,
) -> VerifyReport:
    """`verify` for programs without an event loop."""
    return _run("verify", lambda: verify(places, repair=repair, settings=settings, sink=sink))


Ended = TypeVar("Ended", bound=Report)


def _run(name: str, work: Callable[[], Coroutine[Any, Any, Ended]]) -> Ended:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work())
    raise UsageError(
        f"{name}_sync was called inside a running event loop, as notebooks have one: use await rp.{name}(…)"
    )


_WORDS: Final = LibraryWords(
    {each.name for each in fields(_Settings)},
    {each.name for each in fields(_Settings) if isinstance(each.default, bool)},
)


@contextmanager
def _in_our_words() -> Iterator[None]:
    """Name the arguments, instead of the command's flags, in the error that is raised, and in those of its report."""
    try:
        yield
    except RegistryPushError as error:
        for each in (error, *(failed.error for failed in getattr(getattr(error, "report", None), "failed", ()))):
            each.worded(_WORDS.text, _WORDS.part)
        raise


def _wording(sink: Sink) -> Sink:
    """Return `sink`, told of errors and warnings in the same words."""

    def told(event: Event) -> None:
        match event:
            case ModelFailed():
                event.error.worded(_WORDS.text, _WORDS.part)
            case Warned(message=message, hint=hint):
                event = replace(event, message=_WORDS.text(message), hint=_WORDS.text(hint) if hint else hint)
            case _:
                pass
        sink(event)

    return told


def _without_error(report: Report) -> Report:
    if report.error is not None:
        raise report.error
    return report


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
    # Names are never taken for globs or other kinds of places, whatever their host.
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


# The room `transfer/` has the same name. Importing it, which has happened by now, makes it an attribute of the package.
vars(sys.modules[__package__])["transfer"] = transfer
