"""`registry-push serve`."""

from __future__ import annotations

from typing import Any

import click

from ..options.flags import options, settings_of
from ..options.grouped_help import GroupedCommand


@click.command("serve", cls=GroupedCommand)
@options("service", "store", "registries", "transfer", "uploads")
def command(**flags: Any) -> None:
    """Serve Ollama's POST /api/push: programs that push through Ollama's API work unchanged.

    It listens on $OLLAMA_HOST, else on 127.0.0.1:11434, as Ollama does. Beyond this machine it starts only with
    --token-file FILE (clients send it as a bearer token) or --allow-anonymous. The first Ctrl-C or SIGTERM finishes the
    chunks under way and tells the clients, then exits with 0; the second stops at once, with 130.

    \b
    Examples:
      registry-push serve
      registry-push serve --port 8080 --allow-target 'registry.example.com/ml/*'
      registry-push serve --host 0.0.0.0 --token-file /run/secrets/token
    """
    settings = settings_of(flags)

    from .serve import run

    raise click.exceptions.Exit(run(settings, flags))
