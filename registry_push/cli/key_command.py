"""`registry-push key show` and `key create`."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import click

from ..errors import KeyNotFound, UsageError
from ..events import Warned
from ..options.flags import option, options, settings_of
from ..options.grouped_help import GroupedCommand
from ..options.paths import FILE
from ..settings import Settings
from .render import Renderer
from .render.tables import KeyView, key_lines
from .running import Outcome, run
from .suggesting import SuggestingGroup

_NO_HOME = "this user has no home folder that could hold a key"
_NAME_IT = "name the file: --key FILE; or set HOME"
_WHERE = "add the public line at https://ollama.com/settings/keys, or at your registry"


@click.group("key", cls=SuggestingGroup)
def command() -> None:
    """The ed25519 key that signs in at Ollama's registry."""


_KEY = option("--key", type=FILE, metavar="FILE", help="The key file. Else ~/.ollama/id_ed25519.")


@command.command("show", cls=GroupedCommand)
@_KEY
@options("output")
def show_key(**flags: Any) -> None:
    """Show the key's public half and fingerprint.

    \b
    Examples:
      registry-push key show
      registry-push key show --key /run/secrets/id_ed25519
    """
    settings = settings_of(flags)

    async def work(show: Renderer, _stop: asyncio.Event) -> Outcome:
        from ..auth.identity import Identity, mode_warning

        path = _path(settings)
        identity = Identity.load(path)
        if warning := mode_warning(path):
            show(Warned(warning))
        return _outcome(path, identity.public_line, identity.fingerprint)

    run(flags, work)


@command.command("create", cls=GroupedCommand)
@_KEY
@options("output")
def create_key(**flags: Any) -> None:
    """Make a key if there is none. One that is there is never overwritten.

    \b
    Examples:
      registry-push key create
      registry-push key create --key ./id_ed25519
    """
    settings = settings_of(flags)

    async def work(_: Renderer, _stop: asyncio.Event) -> Outcome:
        from ..auth.identity import Identity

        path = settings.key or (settings.home and settings.home / ".ollama" / "id_ed25519")
        if path is None:
            raise UsageError(_NO_HOME, hint=_NAME_IT)
        identity = Identity.create(path)
        return _outcome(path, identity.public_line, identity.fingerprint)

    run(flags, work)


def _path(settings: Settings) -> Path:
    from ..auth.identity import default_key_path

    path = settings.key or default_key_path(settings.home)
    if path is None:
        raise KeyNotFound(_NO_HOME, hint=_NAME_IT)
    return path


def _outcome(path: Path, public_line: str, fingerprint: str) -> Outcome:
    view = KeyView(str(path), public_line, fingerprint, path.stat().st_mode & 0o7777)
    fields = {"key": str(path), "public": public_line, "fingerprint": fingerprint}
    return Outcome([*key_lines(view), "", _WHERE], fields)
