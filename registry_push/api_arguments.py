"""What programs pass to the library, checked; and its errors, worded for them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import fields
from typing import Final

from msgspec.structs import replace

from .errors import RegistryPushError, UsageError, quoted
from .events import Event, ModelFailed, Sink, Warned
from .model import ModelName
from .settings import Settings
from .text.library_words import LibraryWords

Models = str | ModelName | Iterable[str | ModelName]

_WORDS: Final = LibraryWords(
    {each.name for each in fields(Settings)},
    {each.name for each in fields(Settings) if isinstance(each.default, bool)},
)


@contextmanager
def in_our_words() -> Iterator[None]:
    """Name the arguments, instead of the command's flags, in the error that is raised, and in those of its report."""
    try:
        yield
    except RegistryPushError as error:
        for each in (error, *(failed.error for failed in getattr(getattr(error, "report", None), "failed", ()))):
            each.worded(_WORDS.text, _WORDS.part)
        raise


def wording(sink: Sink) -> Sink:
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


def names(models: Models) -> list[str]:
    """Return names, globs and places as the command takes them. Raises `UsageError`."""
    given = [models] if isinstance(models, str | ModelName) else listed("models", models)
    if not given:
        raise UsageError("no models were named", hint='give names or globs; every model is "*"')
    # Names are never taken for globs or other kinds of places, whatever their host.
    return [f"ollama:{name}" if isinstance(name, ModelName) else text("models", name) for name in given]


def listed(what: str, values: object) -> list[object]:
    """Return the argument called `what` as a list. Raises `UsageError`."""
    if isinstance(values, str):
        return [values]
    if isinstance(values, bytes) or not isinstance(values, Iterable):
        raise UsageError(f"{what} can't be {quoted(repr(values))}", hint="give text, or a list of it")
    return list(values)


def text(what: str, value: object) -> str:
    """Return the argument called `what`, which has to be text. Raises `UsageError`."""
    if not isinstance(value, str):
        raise UsageError(f"{what} can't be {quoted(repr(value))}", hint="give text, or a list of it")
    return value
