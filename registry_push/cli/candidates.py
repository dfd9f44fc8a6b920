"""Completions for a shell: names of models, and hosts that are known on this machine. Uses no network."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from ..errors import RegistryPushError

if TYPE_CHECKING:
    from ..content.ollama.names import StoredModel
    from ..settings import Settings

# Bytes of a file of logins that is read: some thousand hosts.
_MOST: Final = 1024 * 1024
# Docker Hub, as the key of its login and as people write it.
_SPELT: Final = {"index.docker.io": "docker.io", "registry-1.docker.io": "docker.io"}


def model_names(ctx: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    """Return the models of the local store, without those that are on the line already."""
    written = {word for value in ctx.params.values() if isinstance(value, tuple) for word in value}
    names = [model.name.short for model in _models(_settings(ctx))]
    return [name for name in names if name.startswith(incomplete) and name not in written]


def hosts(ctx: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    """Return registries as targets: those with a login, and those in the names of models."""
    settings = _settings(ctx)
    found = {*_logged_in(settings), *(model.name.host for model in _models(settings))}
    return sorted(target for host in found if (target := f"{host}/").startswith(incomplete))


def _settings(ctx: click.Context) -> Settings:
    from ..options.flags import settings_of

    given = {name: ctx.params.get(name) for name in ("models", "authfile")}
    return settings_of(given)


def _models(settings: Settings) -> tuple[StoredModel, ...]:
    from ..content.ollama.source import open_store

    try:
        return open_store(settings).scan().models
    except (RegistryPushError, OSError):  # an error must not appear in the middle of a command line
        return ()


def _logged_in(settings: Settings) -> Iterator[str]:
    from ..auth.login_places import login_places

    for place in login_places(settings.authfile, settings.environ, settings.home):
        with suppress(OSError, ValueError, RecursionError):
            yield from _hosts_in(json.loads(place if isinstance(place, str) else _read(place)))


def _hosts_in(document: Any) -> Iterator[str]:
    for key in ("auths", "credHelpers"):
        entries = document.get(key) if isinstance(document, dict) else None
        for address in entries if isinstance(entries, dict) else ():
            host = address.removeprefix("https://").removeprefix("http://").partition("/")[0]
            if host and host.isprintable() and not any(character.isspace() for character in host):
                yield _SPELT.get(host, host)


def _read(file: Path) -> str:
    from ..content.ollama.paths import read_small

    return read_small(file, _MOST).decode()
