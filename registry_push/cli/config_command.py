"""`registry-push config`."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import click

from ..errors import redacted
from ..events import Warned
from ..options.flags import PREFIX, settings_of
from ..options.grouped_help import GroupedCommand
from ..options.option import CONFIGURATION, HOSTS, Option, own, table
from ..options.passwords import PASSWORD_VARIABLE
from ..options.source import Source
from ..settings import Settings
from ..text.suggestions import did_you_mean
from ..text.user_part import without_login
from ..usual_folders import usual_config
from .render import Renderer
from .render.tables import SettingRow, setting_lines
from .running import Outcome, run

# The flags that the help of `config` shows; its output has all of them.
_SHOWN: Final = ("json", "config")
# Shown instead of a secret.
_SET: Final = "(set, not shown)"


class _EveryFlag(GroupedCommand):
    """A command that takes the flags of all commands, to show each value as the command would see it."""

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """Return the options of all commands, and `--help`."""
        return [*map(_optional, table(ctx).values()), *super().get_params(ctx)]


def _optional(option: Option) -> Option:
    """Return the option for `config`: never required, and in the help only if it is about the output."""
    found = copy.copy(option)
    found.required, found.hidden = False, option.key not in _SHOWN
    return found


@click.command("config", cls=_EveryFlag)
def command(**flags: Any) -> None:
    """Show every setting: its value, and whether it is from the command line, a variable, a file or the default.

    A flag goes before its variable, REGISTRY_PUSH_<FLAG>, the variable before a line of the configuration file, which
    is the flag's long name: jobs = 4. Takes the flags of all commands, to see what they would change.

    \b
    Examples:
      registry-push config
      registry-push config --config ./mine.toml --json
    """
    ctx = click.get_current_context()
    settings = settings_of({**flags, "username": None, "password_stdin": False})  # nobody is asked for a password
    rows = list(_rows(ctx, settings))

    async def work(show: Renderer, _stop: asyncio.Event) -> Outcome:
        for warning in _misspelt(ctx, settings.environ):
            show(warning)
        return Outcome(setting_lines(rows, home=settings.home), {"settings": [_fields(row) for row in rows]})

    run(flags, work)


def _rows(ctx: click.Context, settings: Settings) -> Iterator[SettingRow]:
    for option in own(ctx):
        value, source = ctx.params[option.name or ""], option.source(ctx)
        if value is None or value == ():
            value, source = _usual(option.key, ctx.params, settings, source)
        absent = option.key == "config" and CONFIGURATION not in ctx.meta
        yield SettingRow(option.key, _safe(option, value), option.type.name, source, absent)
        if option.key == "username" and PASSWORD_VARIABLE in settings.environ:
            yield SettingRow("password", _SET, "text", Source("environment", PASSWORD_VARIABLE))
    by_name = {option.name: option for option in own(ctx)}
    for host, section in ctx.meta.get(HOSTS, {}).items():
        for name, value in section.items():
            option, file = by_name[name], str(ctx.meta[CONFIGURATION].path)
            yield SettingRow(
                f'host."{host}".{option.key}', _safe(option, value), option.type.name, Source("file", file)
            )


def _usual(key: str, flags: Mapping[str, Any], settings: Settings, source: Source) -> tuple[object, Source]:
    """Return the effective value of a setting that is not set."""
    from ..auth.identity import default_key_path
    from ..content.ollama.paths import usual_root

    variable = {"models": "OLLAMA_MODELS", "host": "OLLAMA_HOST", "port": "OLLAMA_HOST"}.get(key)
    if variable is not None and settings.environ.get(variable):
        return settings.environ[variable], Source("environment", variable)
    match key:
        case "models":
            return usual_root(settings.home), source
        case "key":
            return default_key_path(settings.home), source
        case "state-dir":
            return settings.state_dir, source
        case "config":
            return usual_config(), source
    return flags.get(key), source


def _safe(option: Option, value: object) -> object:
    """Return the value for JSON, without secrets."""
    if isinstance(value, Path):
        return redacted(str(value))
    if isinstance(value, str):
        # A user name may be an address; nothing else with an @ in it is without a login.
        return redacted(value if option.key == "username" else without_login(value))
    if isinstance(value, tuple):
        return [_safe(option, each) for each in value]
    return value


def _misspelt(ctx: click.Context, environ: Mapping[str, str]) -> Iterator[Warned]:
    """Yield warnings for variables with our prefix that are probably misspelt."""
    known = [each.variable.removeprefix(PREFIX) for each in own(ctx)]
    for variable in environ:
        typed = variable.removeprefix(PREFIX)
        if typed == variable or typed in known or variable == PASSWORD_VARIABLE:
            continue
        if hint := did_you_mean(typed, known):
            yield Warned(f"{variable} is no setting", hint.replace("did you mean ", f"did you mean {PREFIX}"))


def _fields(row: SettingRow) -> dict[str, object]:
    source = row.source
    names = {"environment": "variable", "file": "file"}
    where = {names[source.kind]: source.name} if source.kind in names else {}
    line = {"line": source.line} if source.line is not None else {}
    return {"name": row.name, "value": row.value, "source": source.kind, **where, **line}
