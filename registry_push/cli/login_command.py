"""`registry-push login`."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import TYPE_CHECKING, Any

import click

from ..errors import UsageError
from ..events import Warned
from ..options.flags import option, options, settings_of
from ..options.grouped_help import GroupedCommand
from ..usual_folders import usual_config
from .candidates import hosts
from .render import Renderer
from .running import Outcome, run

if TYPE_CHECKING:
    from ..settings import Settings
    from ..verbs.login import LoginHost

COMPAT = option(
    "--compat",
    type=click.Choice(["docker", "podman"]),
    help="Whose file keeps the login. Else the first one that is there, else docker's.",
)


@click.command("login", cls=GroupedCommand)
@click.argument("host", metavar="[HOST]", required=False, shell_complete=hosts)
@option("--list", "lists", is_flag=True, help="Show the registries that there are logins for, and where they are kept.")
@option("--no-check", is_flag=True, help="Keep the login without asking the registry whether it is right.")
@COMPAT
@options("login", "output")
@click.pass_context
def command(ctx: click.Context, /, host: str | None, lists: bool, no_check: bool, **flags: Any) -> None:
    """Log in to a registry: check the user name and the password there, and keep them where docker or podman would.

    HOST is HOST[:PORT], or HOST/PATH for a part of a registry, which podman's file can have a login of its own for. If
    the file names a credential helper, the helper keeps the password. With --authfile, the login is kept in that file.

    Ollama's registry knows you by a key instead: this shows the line to add to your account there.

    \b
    Examples:
      registry-push login registry.example.com
      echo "$TOKEN" | registry-push login ghcr.io --username me --password-stdin
      registry-push login --list
    """
    if lists == (host is not None):
        if lists:
            raise UsageError("--list shows every login; it takes no host", hint="leave the host out")
        raise UsageError("name the registry to log in to", hint="for example: registry-push login registry.example.com")
    if host is None:
        run(flags, _listing(settings_of({**flags, "username": None, "password_stdin": False})))
        return
    from ..verbs.login import LoginHost

    registry = LoginHost.parse(host)
    if registry.reference.is_ollama:
        _show_key(registry, settings_of({**flags, "username": None, "password_stdin": False}), flags)
        return
    settings = settings_of({**flags, "username": flags["username"] or _asked_name(registry)})

    async def work(show: Renderer, stop: asyncio.Event) -> Outcome:
        from ..http.loading import load_aiohttp

        load_aiohttp(os.environ)
        from ..verbs.login import log_in

        assert settings.username is not None and settings.password is not None, "settings_of has asked for them"
        done = await log_in(
            registry,
            settings.username,
            settings.password,
            settings=settings,
            compat=flags["compat"],
            check=not no_check,
            sink=show,
            stop=stop,
        )
        if done.kept.helper is None:
            words = f"the password is in {done.kept.path}, only in base64"
            show(
                Warned(words, 'to have docker-credential-NAME keep it, add "credsStore": "NAME" there and log in again')
            )
        fields = {
            "host": str(registry),
            "username": done.username,
            "checked": done.is_checked,
            "file": str(done.kept.path),
            "helper": done.kept.helper,
        }
        words = f"logged in to {registry} as {done.username}; kept in {done.kept}"
        if not done.is_checked:
            words = f"kept the login of {done.username} for {registry}, unchecked, in {done.kept}"
        return Outcome([] if flags["quiet"] else [words, *_table_for(ctx, registry)], fields)

    run(flags, work)


def _table_for(ctx: click.Context, registry: LoginHost) -> list[str]:
    """Return how to have the flags that were typed for the registry used by other commands too."""
    from ..options.host_sections import typed_as_table

    table, file = typed_as_table(ctx, registry.host), ctx.params.get("config") or usual_config()
    if not table or file is None:
        return []
    return [
        "",
        f"Only the login is kept. For other commands to use the same flags there, add this to {file}:",
        "",
        *table,
    ]


def _asked_name(registry: LoginHost) -> str:
    """Ask for the user name at the terminal. Raises `UsageError` without one."""
    if sys.stdin is None or not sys.stdin.isatty():
        raise UsageError(f"no user name was given for {registry}", hint="give --username NAME and --password-stdin")
    answer: str = click.prompt(f"User name for {registry}", err=True)
    return answer


def _show_key(registry: LoginHost, settings: Settings, flags: dict[str, Any]) -> None:
    async def work(_: Renderer, _stop: asyncio.Event) -> Outcome:
        from ..auth.identity import Identity, default_key_path
        from ..errors import KeyNotFound

        path = settings.key or default_key_path(settings.home)
        if path is None:
            raise KeyNotFound(f"{registry} takes a key, and there is none")
        identity = Identity.load(path)
        lines = [
            f"{registry} takes a key and no password. Add this line at https://ollama.com/settings/keys:",
            "",
            identity.public_line,
        ]
        fields = {"host": str(registry), "public": identity.public_line, "fingerprint": identity.fingerprint}
        return Outcome(lines, fields)

    run(flags, work)


def _listing(settings: Settings) -> Any:
    async def work(show: Renderer, _stop: asyncio.Event) -> Outcome:
        from ..verbs.login import every_login
        from .render.tables import login_lines, terminal_width

        found = await every_login(settings, show)
        lines = login_lines(
            [(each.host, each.username or "", each.source) for each in found], width=terminal_width(sys.stdout)
        )
        fields = [{"host": each.host, "username": each.username, "source": each.source} for each in found]
        return Outcome(lines or ["no logins are kept"], {"logins": fields})

    return work
