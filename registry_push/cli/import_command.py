"""`registry-push import`."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Any

import click

from ..errors import UsageError
from ..options.flags import option, options, settings_of
from ..options.grouped_help import GroupedCommand
from ..options.option import was_typed
from ..text.hint import Setting, step
from .candidates import hosts
from .render import IMPORT, Renderer
from .reporting import outcome_of
from .running import Outcome, run

if TYPE_CHECKING:
    from ..verbs.importing import Import


@click.command("import", cls=GroupedCommand)
@click.argument("files", nargs=-1, required=True, metavar="FILE|DIR…", type=click.Path())
@option(
    "--to",
    metavar="PLACE",
    help="Where to: ollama: for the local store, registry:HOST/NS/, oci:DIR, oci-archive:FILE.tar.",
    shell_complete=hosts,
)
@option(
    "--partial",
    is_flag=True,
    help="Import what is in these volumes, and the rest later: a model appears with the last volume that it needs.",
)
@option(
    "--check/--no-check",
    "check",
    default=True,
    help="Hash all content before anything is written, which reads it twice. It is hashed while it is written anyway.",
)
@option(
    "--referrers",
    metavar="all|none|TYPE",
    help="Which signatures, and other manifests that refer to a model, to import: all, none, or those of one artifact "
    "type. Without this option, all of them.",
)
@option("-n", "--dry-run", is_flag=True, help="Check everything, say what would be imported, write nothing.")
@options("store", "registry", "transfer", "uploads", "output")
def command(files: tuple[str, ...], **flags: Any) -> None:
    """Import what was exported, into a store, a registry or a layout.

    FILE is an archive, or a volume of one, in any order; DIR is a folder that was exported, or one with archives.
    Volumes that are missing or damaged are named before anything is written, and so is what the target would have to
    have already. A model appears when all of it is there and checked. Archives of skopeo, umoci, oras and docker save
    are read too.

    \b
    Examples:
      registry-push import /media/usb/llama.tar --to ollama:
      registry-push import /media/usb --to registry:registry.example.com/ml/
      registry-push import all.v001.tar --to ollama: --partial
    """
    if not was_typed("to"):  # a line of the configuration, or a variable, is where push goes
        raise UsageError("import needs a place", hint=step("name one: ", Setting("to", "ollama:")))
    from ..verbs.importing import import_places

    import_places(files)
    settings = settings_of(flags)

    async def work(show: Renderer, stop: asyncio.Event) -> Outcome:
        from ..http.loading import load_aiohttp

        load_aiohttp(os.environ)
        from ..verbs.importing import import_models

        done = await import_models(
            files,
            flags["to"],
            partial=flags["partial"],
            check=flags["check"],
            referrers=flags["referrers"],
            dry_run=flags["dry_run"],
            settings=settings,
            sink=show,
            stop=stop,
        )
        outcome = outcome_of(done.report, IMPORT, dry_run=flags["dry_run"], quiet=flags["quiet"], hashed=flags["check"])
        return _with_missing(outcome, done, quiet=flags["quiet"])

    run(flags, work, verb=IMPORT, finishes=True)


def _with_missing(outcome: Outcome, done: Import, *, quiet: bool) -> Outcome:
    """Return the outcome with what is still missing, model by model."""
    fields = {**(outcome.fields or {}), "missing": {model: list(files) for model, files in done.missing.items()}}
    lines = ["import the other volumes too; what is there is kept"] if done.missing and not quiet else []
    return Outcome([*outcome.lines, *lines], fields, outcome.error)
