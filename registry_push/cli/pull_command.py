"""`registry-push pull`."""

from __future__ import annotations

import asyncio
import os
from typing import Any

import click

from ..options.flags import option, options, settings_of
from ..options.grouped_help import GroupedCommand
from .candidates import hosts
from .render import PULL, Renderer
from .reporting import outcome_of
from .running import Outcome, run


@click.command("pull", cls=GroupedCommand)
@click.argument("names", nargs=-1, required=True, metavar="REF…", shell_complete=hosts)
@option(
    "--as",
    "name",
    metavar="NAME[:TAG]",
    help="The model's name in the local store, instead of the one it has at the registry.",
)
@option("-n", "--dry-run", is_flag=True, help="Ask what is there, say what would be pulled, write nothing.")
@options("store", "registry", "transfer", "output")
def command(names: tuple[str, ...], name: str | None, **flags: Any) -> None:
    """Pull models from a registry into the local Ollama store, as Ollama would have written them.

    REF is a name as Ollama has it (llama3.2:3b, me/model:tag, host:5000/ns/model:tag) or registry:HOST/PATH:TAG. What
    was interrupted continues where it stopped, and a model appears in the store when all of it is there and checked.

    \b
    Examples:
      registry-push pull llama3.2:3b
      registry-push pull hf.co/bartowski/Llama-3.2-1B-Instruct-GGUF:Q4_K_M
      registry-push pull localhost:5000/me/model:v2
      registry-push pull registry:example.com/ml/deep/path/model:v2 --as model:v2
    """
    from ..verbs.copy_request import check_pull

    check_pull(names, name, username=flags["username"])  # before a password is asked for
    settings = settings_of(flags)

    async def work(show: Renderer, stop: asyncio.Event) -> Outcome:
        from ..http.loading import load_aiohttp

        load_aiohttp(os.environ)
        from ..verbs.pull import pull

        report = await pull(names, name=name, dry_run=flags["dry_run"], settings=settings, sink=show, stop=stop)
        return outcome_of(report, PULL, dry_run=flags["dry_run"], quiet=flags["quiet"])

    run(flags, work, verb=PULL, finishes=True)
