"""`registry-push inventory`."""

from __future__ import annotations

import asyncio
import os
from typing import Any

import click

from ..options.flags import options, settings_of
from ..options.grouped_help import GroupedCommand
from .candidates import model_names
from .render import Renderer
from .running import Outcome, run


@click.command("inventory", cls=GroupedCommand)
@click.argument("place", shell_complete=model_names)
@options("store", "registry", "output")
def command(place: str, **flags: Any) -> None:
    """Print what PLACE has as a JSON document, so that an export elsewhere can leave it out.

    PLACE is ollama: (the whole local store) or one model, registry:HOST/PATH (all tags) or one tag, a layout
    (oci:DIR) or an archive (oci-archive:FILE.tar). Nothing of the content is read. The same content gives the same
    document. Of a model that is not whole, the blobs that are there are listed, and a warning says what is missing. A
    store or a repository that does not exist yet gives an empty one.

    \b
    Examples:
      registry-push inventory ollama: > far.json
      registry-push inventory registry:localhost:5000/ml/llama3.2 > far.json
      registry-push inventory oci:./models --json
    """
    from ..model.place import parse_readable

    parse_readable(place)  # before a password is asked for
    settings = settings_of(flags)

    async def work(show: Renderer, _stop: asyncio.Event) -> Outcome:
        from ..http.loading import load_aiohttp

        load_aiohttp(os.environ)
        from ..verbs.inventory import inventory

        found = await inventory(place, settings=settings, sink=show)
        return Outcome(fields=found.fields) if flags["as_json"] else Outcome(raw=found.encode())

    run(flags, work)
