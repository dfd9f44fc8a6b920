"""Pull: models from registries into the local Ollama store."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress

from ..errors import InvalidName, NameNotMappable
from ..events import Sink, ignore
from ..model import ModelName
from ..model.place import RegistryPlace
from ..settings import Settings
from ..text.hint import Setting, step
from ..transfer.report import Report
from .copy import Variant, copy_each
from .copy_options import NONE, CopyOptions
from .copy_request import pulled_from, pulled_to


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
    wanted, sources = pulled_to(names, name), pulled_from(names)
    options = CopyOptions.of((), NONE, None, wanted)
    try:
        return await copy_each(
            sources, wanted, options, variant=Variant("pull"), dry_run=dry_run, settings=settings, sink=sink, stop=stop
        )
    except NameNotMappable as error:
        called = Setting("as", _proposed(sources) or "NAME[:TAG]")
        raise NameNotMappable(error.message, hint=step("say what to call it here: ", called)) from error


def _proposed(sources: Sequence[RegistryPlace]) -> str | None:
    """Return a name for the only one of `sources`, of the last parts of its path; None if they are no model's name."""
    if len(sources) != 1:
        return None
    reference = sources[0].reference
    path = "/".join(reference.repository.split("/")[-2:])
    with suppress(InvalidName):
        return ModelName.parse(f"{path}:{reference.tag}" if reference.tag is not None else path).short
    return None
