"""`registry-push list`."""

from __future__ import annotations

import asyncio
import sys
import time
from typing import Any

import click

from ..errors import RegistryPushError, Unavailable, UsageError, quoted
from ..events import Warned
from ..options.flags import options, settings_of
from ..options.grouped_help import GroupedCommand
from ..text.user_part import without_login
from .candidates import model_names
from .render import Renderer
from .render.tables import ModelRow, list_lines, terminal_width
from .running import Outcome, run


@click.command("list", cls=GroupedCommand)
@click.argument("pattern", required=False, shell_complete=model_names)
@options("store", "output")
def command(pattern: str | None, **flags: Any) -> None:
    """List the models in the local Ollama store; those that match the glob PATTERN, if one is given.

    \b
    Examples:
      registry-push list
      registry-push list 'llama3*'
      registry-push list --json --models /srv/ollama/models
    """
    settings = settings_of(flags)
    if pattern and pattern.startswith(("registry:", "docker://")):
        raise UsageError(
            "list shows the local store, and that is a registry",
            hint=f"see its tags: registry-push tags {without_login(pattern)}",
        )
    if pattern and pattern.startswith(("oci:", "oci-archive:")):
        raise UsageError(
            f"list shows the local store, and {quoted(pattern)} is none",
            hint=f"see what is in it: registry-push inspect {pattern}",
        )

    async def work(show: Renderer, _stop: asyncio.Event) -> Outcome:
        from ..content.ollama.source import open_store

        store = open_store(settings)
        listing = await store.listing()
        for problem in listing.problems:
            show(Warned(problem))
        wanted = set(await store.match(pattern)) if pattern else None
        rows = []
        for model in listing.models:
            if wanted is not None and model.name not in wanted:
                continue
            try:
                manifest = await store.resolve(model.name)
                size = manifest.size + sum(child.size for child in await store.children(manifest))
                remote = await store.remote_of(manifest)
                rows.append(ModelRow(model.name.short, manifest.digest, size, model.modified, remote))
            except Unavailable:  # a shortage here: to leave the model out would be to say that it is not there
                raise
            except RegistryPushError as error:
                error.of_model(model.name.short)
                is_named = model.name.short in error.message or str(model.path) in error.message
                show(Warned(error.message if is_named else f"{model.name.short}: {error.message}", error.hint))
        fields = [
            {
                "name": row.name,
                "digest": str(row.digest),
                "size": row.size,
                "modified": row.modified,
                "remote": row.remote,
            }
            for row in rows
        ]
        lines = list_lines(rows, now=time.time(), width=terminal_width(sys.stdout))
        return Outcome(lines, {"store": str(store.root), "models": fields})

    run(flags, work)
