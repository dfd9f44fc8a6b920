"""`registry-push export`."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Any

import click

from ..errors import UsageError
from ..options.flags import option, options, settings_of
from ..options.grouped_help import GroupedCommand
from ..options.option import was_typed
from ..options.quantity_types import Size
from ..text.hint import Setting, step
from .candidates import model_names
from .render import EXPORT, Renderer
from .render.volumes import file_fields, volume_lines
from .reporting import outcome_of
from .running import Outcome, run

if TYPE_CHECKING:
    from ..verbs.export import Export


@click.command("export", cls=GroupedCommand)
@click.argument("names", nargs=-1, metavar="[MODEL]…", shell_complete=model_names)
@option(
    "--to",
    metavar="FILE.tar|DIR",
    help="The archive to write, or the folder.",
    shell_complete=lambda *_: [click.shell_completion.CompletionItem("", type="file")],
)
@option("--all", "every", env="ALL", is_flag=True, help="Every model in the store.")
@option("--exclude", multiple=True, metavar="GLOB", help="Leave out the models that match. Can be given several times.")
@option(
    "--since",
    multiple=True,
    metavar="FILE",
    help="Leave out the blobs that the receiver has: an inventory made there, or the archive that it got before. Can "
    "be given several times.",
)
@option("--split", type=Size(), metavar="SIZE", help="Write volumes of at most SIZE: NAME.v001.tar and so on.")
@option(
    "--referrers",
    metavar="all|none|TYPE",
    help="Which signatures, and other manifests that refer to a model, to export: all, none, or those of one artifact "
    "type. Without this option, all of them.",
)
@option("--verify", "--verify-medium", "verify_medium", is_flag=True, help="Read all of it again from the medium.")
@option("-n", "--dry-run", is_flag=True, help="Say what would be in each file, write nothing.")
@options("store", "registry", "transfer", "output")
def command(names: tuple[str, ...], **flags: Any) -> None:
    """Export models into an archive, volumes or a folder, to be carried where there is no network.

    MODEL is a name as Ollama has it (llama3.2:3b, me/model:tag), a glob in quotes ('llama3*'), or another place
    (registry:HOST/PATH:TAG, or registry:HOST/PREFIX/ for all repositories below it). What is written is a plain OCI
    image layout, and the same models make the same bytes. Beside it, NAME.sha256 has the sums of all files, for
    sha256sum -c. An export that was interrupted is continued by the same command.

    \b
    Examples:
      registry-push export llama3.2:3b --to /media/usb/llama.tar --verify
      registry-push export --all --to /media/usb/all.tar --split 4GB
      registry-push export 'me/*' --to delta.tar --since inventory.json
    """
    from ..verbs.export import export_target

    if not was_typed("to"):  # a line of the configuration, or a variable, is where push goes
        raise UsageError("export needs a file or a folder", hint=step("name one: ", Setting("to", "FILE.tar")))
    if any(not name.startswith("!") for name in names) and not was_typed("every"):
        flags["every"] = False  # names on the command line win over "all" in a variable or the file
    export_target(flags["to"], flags["split"])
    settings = settings_of(flags)

    async def work(show: Renderer, stop: asyncio.Event) -> Outcome:
        from ..http.loading import load_aiohttp

        load_aiohttp(os.environ)
        from ..verbs.export import export

        done = await export(
            names,
            flags["to"],
            every=flags["every"],
            exclude=flags["exclude"],
            since=flags["since"],
            split=flags["split"],
            verify_medium=flags["verify_medium"],
            referrers=flags["referrers"],
            dry_run=flags["dry_run"],
            settings=settings,
            sink=show,
            stop=stop,
        )
        return _with_files(
            outcome_of(done.report, EXPORT, dry_run=flags["dry_run"], quiet=flags["quiet"]),
            done,
            dry_run=flags["dry_run"],
            quiet=flags["quiet"],
        )

    run(flags, work, verb=EXPORT, finishes=True)


def _with_files(outcome: Outcome, done: Export, *, dry_run: bool, quiet: bool) -> Outcome:
    """Return the outcome with the files that were written, or would be."""
    if done.plan is None or outcome.error is not None:
        return outcome
    fields = {**(outcome.fields or {}), "files": file_fields(done.plan, done.folder)}
    lines = [] if quiet else volume_lines(done.plan, done.folder, dry_run=dry_run)
    return Outcome([*lines, *outcome.lines], fields)
