"""`registry-push tags`."""

from __future__ import annotations

import asyncio
import os
from typing import Any

import click

from ..errors import UsageError, printable, quoted
from ..model import Reference
from ..model.place import ArchivePlace, LayoutPlace, RegistryPlace, parse_readable
from ..options.flags import options, settings_of
from ..options.grouped_help import GroupedCommand
from .candidates import hosts
from .render import Renderer
from .running import Outcome, run


@click.command("tags", cls=GroupedCommand)
@click.argument("repository", metavar="REPOSITORY", shell_complete=hosts)
@options("registry", "output")
def command(repository: str, **flags: Any) -> None:
    """List the tags of a repository at a registry, a line each, sorted.

    \b
    Examples:
      registry-push tags localhost:5000/me/model
      registry-push tags registry:registry.example.com/ml/deep/path/model
    """
    reference, settings = _reference(repository), settings_of(flags)

    async def work(show: Renderer, stop: asyncio.Event) -> Outcome:
        from ..http.loading import load_aiohttp

        load_aiohttp(os.environ)
        from ..registry.registries import Registries

        async with Registries(settings, show, stop=stop) as registries:
            tags = sorted(await registries.repository(reference).every_tag())
        return Outcome(map(printable, tags), {"repository": str(reference), "tags": tags})

    run(flags, work)


def _reference(text: str) -> Reference:
    place = parse_readable(text)
    if isinstance(place, LayoutPlace | ArchivePlace):
        raise UsageError(
            f"{quoted(text)} is no repository at a registry",
            hint=f"see what is in it: registry-push inspect {text}",
        )
    reference = place.reference if isinstance(place, RegistryPlace) else Reference.parse(text)
    if reference.tag is not None or reference.digest is not None:
        raise UsageError(f"{quoted(text)} names one manifest", hint=f"leave out what follows {reference.at()}")
    return reference.at()
