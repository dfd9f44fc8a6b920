"""`registry-push tags`."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable
from typing import Any

import click

from ..errors import UsageError, printable, quoted
from ..model import Reference
from ..model.place import ArchivePlace, LayoutPlace, RegistryPlace, parse_readable
from ..model.referrers import is_attached
from ..model.tag_filter import Selected, TagFilter
from ..options.flags import options, settings_of
from ..options.grouped_help import GroupedCommand
from ..options.tag_filters import tag_filter_of
from .candidates import hosts
from .render import Renderer
from .running import Outcome, run


@click.command("tags", cls=GroupedCommand)
@click.argument("repository", metavar="REPOSITORY", shell_complete=hosts)
@options("tag_filter", "registry", "output")
def command(repository: str, **flags: Any) -> None:
    """List the tags of a repository at a registry, a line each, sorted by name, with numbers by their value.

    With filters, only those that a copy with the same filters would take; --latest lists the newest first. --verbose
    and --json also say why each tag is in or out.

    \b
    Examples:
      registry-push tags localhost:5000/me/model
      registry-push tags registry:registry.example.com/ml/deep/path/model
      registry-push tags localhost:5000/me/model --semver '>=1 <3' --latest 5
    """
    reference, tag_filter = _reference(repository), tag_filter_of(flags)
    settings = settings_of(flags)

    async def work(show: Renderer, stop: asyncio.Event) -> Outcome:
        from ..http.loading import load_aiohttp

        load_aiohttp(os.environ)
        from ..registry.registries import Registries

        async with Registries(settings, show, stop=stop) as registries:
            tags = await registries.repository(reference).every_tag()
        if tag_filter is None:
            listed = TagFilter().select(tags).kept
            return Outcome(map(printable, listed), {"repository": str(reference), "tags": listed})
        return _outcome(str(reference), tag_filter, tags, explained=flags["verbose"] or flags["debug"])

    run(flags, work)


def _outcome(repository: str, tag_filter: TagFilter, tags: Iterable[str], *, explained: bool) -> Outcome:
    from ..verbs.tag_filtering import refuse_too_few

    found: Selected = tag_filter.select(tag for tag in tags if not is_attached(tag))
    refuse_too_few(len(found.kept), found.left_out, tag_filter, repository)
    why = [(tag, tag_filter.why_in(tag)) for tag in found.kept]
    fields = {
        "repository": repository,
        "tags": found.kept,
        "kept": [{"tag": tag, "reason": reason} for tag, reason in why],
        "left_out": [{"tag": tag, "reason": reason} for tag, reason in found.left_out],
    }
    lines: Iterable[str] = found.kept
    if explained:
        longest = max(len(tag) for tag, _ in (*why, *found.left_out))
        lines = [f"{tag:<{longest}}  in   {reason}" for tag, reason in why]
        lines += [f"{tag:<{longest}}  out  {reason}" for tag, reason in found.left_out]
    return Outcome(map(printable, lines), fields)


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
