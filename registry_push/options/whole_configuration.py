"""Checks all that the configuration file sets, for every command."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import click

from ..content.optional_files import is_there
from ..errors import InvalidSettings, KeyNotFound
from ..settings import Settings
from .option import CONFIGURATION, HOSTS, Option, own, renamed, table
from .paths import EXISTING, LOGINS


def check_configuration(ctx: click.Context) -> None:
    """Raise `InvalidSettings` for what another command would refuse in the file that the command of `ctx` has read.

    A command itself refuses only what it uses. What was typed, or set by a variable, wins here as well. Raises
    `KeyNotFound` for a file that is named there and is missing.
    """
    configuration = ctx.meta.get(CONFIGURATION)
    if configuration is None:
        return
    missing = [words for option in own(ctx) if (words := _unusable(option, ctx)) is not None]
    if missing:
        raise KeyNotFound("; ".join(missing), hint="correct the line, or write that file")
    known = {field.name for field in fields(Settings)} - {"username"}  # which needs a password, from elsewhere
    options = {key: option for key, option in table(ctx).items() if option.name in known}
    given = {option.name: _value(option, ctx, configuration.values.get(key)) for key, option in options.items()}
    try:
        Settings(**{name: value for name, value in given.items() if value is not None}, hosts=ctx.meta.get(HOSTS, {}))
    except InvalidSettings as error:
        key = next((key for key, option in options.items() if option.name == error.setting), None)
        if key is None or error.host is not None:
            raise renamed(error) from error
        raise error.about(f"{configuration.where(key)}: {key}") from error


def _value(option: Option, ctx: click.Context, line: Any) -> Any:
    """Return the option's value: that of the command, if it has the option, else that of its line in the file."""
    if any(each.key == option.key for each in own(ctx)):
        return ctx.params.get(option.name or "")
    return option.type.convert(option.from_line(line), option, None) if line is not None else None


def _unusable(option: Option, ctx: click.Context) -> str | None:
    """Return what is wrong with the file that a line names; None if it can be read, or the option names none."""
    path = ctx.params.get(option.name or "")
    if option.type not in (EXISTING, LOGINS) or option.source(ctx).kind != "file" or not isinstance(path, Path):
        return None
    if not is_there(path):
        return f"{option.called(ctx)} {path} is not there"
    return f"{option.called(ctx)} {path} is a folder, not a file" if path.is_dir() else None
