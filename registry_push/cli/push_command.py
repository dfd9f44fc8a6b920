"""`registry-push push`."""

from __future__ import annotations

import asyncio
import os
from typing import Any

import click

from ..options.flags import option, options, settings_of
from ..options.grouped_help import GroupedCommand
from ..options.option import was_typed
from .candidates import hosts, model_names
from .render import PUSH, Renderer
from .reporting import outcome_of
from .running import Outcome, run


@click.command("push", cls=GroupedCommand)
@click.argument("names", nargs=-1, metavar="[MODEL]…", shell_complete=model_names)
@option(
    "--to",
    metavar="TARGET",
    help="Where to: HOST/ or HOST/NS/ keeps names below it, HOST/NS/MODEL:TAG renames one.",
    shell_complete=hosts,
)
@option("--tag", "tags", multiple=True, metavar="TAG", help="Set this tag as well. Can be given several times.")
@option("--all", "every", env="ALL", is_flag=True, help="Every model in the store.")
@option("--exclude", multiple=True, metavar="GLOB", help="Leave out the models that match. Can be given several times.")
@option(
    "--rename",
    multiple=True,
    metavar="PATTERN=REPLACEMENT",
    help="Change NAMESPACE/MODEL for the target, by a regular expression: 'Bartowski/(.*)=bartowski/\\1'.",
)
@option(
    "--lowercase", is_flag=True, help="Put NAMESPACE/MODEL in lower case for the target, as OCI registries want it."
)
@option("-n", "--dry-run", is_flag=True, help="Ask the registry what is there, say what would be sent, send nothing.")
@options("store", "registry", "transfer", "uploads", "output")
def command(names: tuple[str, ...], **flags: Any) -> None:
    """Push models from the local Ollama store to a registry.

    MODEL is a name as Ollama has it (llama3.2:3b, me/model:tag, host:5000/ns/model:tag) or a glob in quotes
    ('llama3*', 'me/*'); with a ! before it ('!*-fp16') a glob leaves models out. Without --to a model goes to the
    registry in its name. What is at the registry already is not sent again, and the manifest goes last.

    \b
    Examples:
      registry-push push llama3.2:3b --to localhost:5000/
      registry-push push 'me/*' --to registry.example.com/ml/ --dry-run
      registry-push push me/model:v2 --to localhost:5000/ml/model:v2 --tag latest
    """
    if any(not name.startswith("!") for name in names) and not was_typed("every"):
        flags["every"] = False  # names on the command line win over "all" in a variable or the file
    settings = settings_of(flags)

    async def work(show: Renderer, stop: asyncio.Event) -> Outcome:
        from ..http.loading import load_aiohttp

        load_aiohttp(os.environ)
        from ..verbs.push import push

        report = await push(
            names,
            to=flags["to"],
            tags=flags["tags"],
            every=flags["every"],
            exclude=flags["exclude"],
            rename=flags["rename"],
            lowercase=flags["lowercase"],
            dry_run=flags["dry_run"],
            settings=settings,
            sink=show,
            stop=stop,
        )
        return outcome_of(report, PUSH, dry_run=flags["dry_run"], quiet=flags["quiet"])

    run(flags, work, finishes=True)
