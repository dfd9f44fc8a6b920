"""`registry-push copy`."""

from __future__ import annotations

import asyncio
import os
from typing import Any

import click

from ..options.flags import option, options, settings_of
from ..options.grouped_help import GroupedCommand
from ..options.tag_filters import tag_filter_of
from .candidates import model_names
from .render import COPY, Renderer
from .reporting import outcome_of
from .running import Outcome, run


@click.command("copy", cls=GroupedCommand)
@click.argument("source", metavar="SRC", shell_complete=model_names)
@click.argument("target", metavar="DST")
@option("--tag", "tags", multiple=True, metavar="TAG", help="Set this tag as well. Can be given several times.")
@option(
    "--referrers",
    metavar="all|none|TYPE",
    help="Which signatures, and other manifests that refer to a model, to copy: all, none, or those of one artifact "
    "type. Without this option, all of them if the model is new at DST; with it, also those made since it was copied.",
)
@option("--require-referrer", "required", metavar="TYPE", help="Copy nothing that lacks a referrer of this type.")
@option("-n", "--dry-run", is_flag=True, help="Ask what is there, say what would be copied, write nothing.")
@options("tag_filter", "store", "registry", "transfer", "uploads", "output")
def command(
    source: str, target: str, tags: tuple[str, ...], referrers: str | None, required: str | None, **flags: Any
) -> None:
    """Copy models between any two places: stores, registries, OCI layouts and archives.

    SRC and DST are ollama:NAME or ollama: (the whole store), registry:HOST/PATH:TAG or registry:HOST/PATH (all its
    tags), oci:DIR[:REF], oci-archive:FILE.tar[:REF]. A SRC registry:HOST/PREFIX/ is all repositories below the prefix,
    registry:HOST/ all there are; a DST that ends in a slash keeps the names below it. Between registries nothing is
    written to disk. What is at the target already is not copied again, and each manifest goes last.

    \b
    Examples:
      registry-push copy registry:localhost:5000/llama:8b registry:example.com/ai/
      registry-push copy registry:example.com/ai/llama registry:localhost:5000/
      registry-push copy registry:example.com/ai/llama oci:./llama --semver '>=3'
      registry-push copy registry:localhost:5000/ml/ oci:./ml
      registry-push copy ollama: oci:./models
    """
    from ..model.place import parse_source
    from ..verbs.copy_request import check_copy, names_several

    # One for all commands, in the environment or the configuration, has nothing to say about a single manifest.
    tag_filter = tag_filter_of(flags, only_typed=not names_several(parse_source(source)))
    check_copy(
        source,
        target,
        tags=tags,
        referrers=referrers,
        required=required,
        tag_filter=tag_filter,
        username=flags["username"],
    )  # before a password is asked for
    settings = settings_of(flags)

    async def work(show: Renderer, stop: asyncio.Event) -> Outcome:
        from ..http.loading import load_aiohttp

        load_aiohttp(os.environ)
        from ..verbs.copy import copy

        report = await copy(
            source,
            target,
            tags=tags,
            referrers=referrers,
            require_referrer=required,
            tag_filter=tag_filter,
            dry_run=flags["dry_run"],
            settings=settings,
            sink=show,
            stop=stop,
        )
        return outcome_of(report, COPY, dry_run=flags["dry_run"], quiet=flags["quiet"])

    run(flags, work, verb=COPY, finishes=True)
