"""Pull: models from registries into the local Ollama store."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from ..errors import NameNotMappable, UsageError
from ..events import Sink, ignore
from ..model import ModelName, Reference
from ..model.name import DEFAULT_TAG
from ..model.place import OllamaPlace, RegistryPlace, parse_readable
from ..settings import Settings
from ..text.hint import Setting, step
from ..transfer.report import Report
from .copy import copy_each
from .copy_options import NONE, CopyOptions


async def pull(
    names: Sequence[str],
    *,
    name: str | None = None,
    dry_run: bool = False,
    settings: Settings | None = None,
    sink: Sink = ignore,
    stop: asyncio.Event | None = None,
) -> Report:
    """Pull the models called `names` at their registries; `name` is the local name, if there is one model.

    Raises as `copy`. Cancelling is safe: fetched bytes are kept, and no model appears before it is complete.
    """
    if name is not None and len(names) != 1:
        raise UsageError("--as names one model, and several are pulled", hint="pull them one by one")
    wanted = OllamaPlace(ModelName.parse(name)) if name is not None else OllamaPlace(None)
    sources = [RegistryPlace(_reference(text)) for text in names]
    options = CopyOptions.of((), NONE, None, wanted)
    try:
        return await copy_each(
            sources, wanted, options, verb="pull", dry_run=dry_run, settings=settings, sink=sink, stop=stop
        )
    except NameNotMappable as error:
        raise NameNotMappable(
            error.message, hint=step("say what to call it here: ", Setting("as", "NAME[:TAG]"))
        ) from error


def _reference(text: str) -> Reference:
    place = parse_readable(text)
    match place:
        case RegistryPlace(reference):
            found = reference
        case OllamaPlace(ModelName() as model) if not text.startswith("ollama:"):
            found = Reference.to_read(model)
        case _:
            raise UsageError(
                "pull reads from a registry", hint="copy reads from everything: registry-push copy SRC DST"
            )
    return found if found.tag is not None or found.digest is not None else found.at(tag=DEFAULT_TAG)
