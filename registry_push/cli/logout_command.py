"""`registry-push logout`."""

from __future__ import annotations

import asyncio
from typing import Any

import click

from ..options.flags import options, settings_of
from ..options.grouped_help import GroupedCommand
from .candidates import hosts
from .login_command import COMPAT
from .render import Renderer
from .running import Outcome, run


@click.command("logout", cls=GroupedCommand)
@click.argument("host", metavar="HOST", shell_complete=hosts)
@COMPAT
@options("logout", "output")
def command(host: str, **flags: Any) -> None:
    """Forget the login for a registry: in the file, or the helper, in which login would keep it.

    \b
    Examples:
      registry-push logout registry.example.com
      registry-push logout registry.example.com --authfile ./logins.json
    """
    settings = settings_of(flags)

    async def work(show: Renderer, _stop: asyncio.Event) -> Outcome:
        from ..verbs.login import LoginHost, log_out

        registry = LoginHost.parse(host)
        was = await log_out(registry, settings=settings, compat=flags["compat"], sink=show)
        words = (
            f"logged out of {registry}; the login was in {was}"
            if was is not None
            else f"there was no login for {registry}"
        )
        return Outcome(
            [] if flags["quiet"] else [words], {"host": str(registry), "was": str(was) if was is not None else None}
        )

    run(flags, work)
