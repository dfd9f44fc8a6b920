"""The tables `[host."HOST[:PORT]"]` of the configuration file: settings of one registry."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import click

from ..errors import InvalidSettings, printable
from ..settings import HOST_FIELDS
from ..text.registry_hosts import compared, is_host
from ..text.user_part import without_login
from .configuration import Configuration
from .option import HOSTS, Option, own

# Of these two only one can be set.
_EITHER: Final = {"chunk_size", "one_put"}
_KEYS: Final = tuple(field.replace("_", "-").replace("realms", "realm") for field in HOST_FIELDS)


def host_sections(
    sections: Mapping[str, Any] | list[Any], known: Mapping[str, Option], configuration: Configuration
) -> dict[str, dict[str, Any]]:
    """Return the values in the tables by host and option, converted. `known` are all options by key.

    Raises `InvalidSettings` that names the line.
    """
    if not isinstance(sections, dict):
        raise InvalidSettings(
            f"{configuration.where('host')}: host is no table", hint='name the registry: [host."HOST:PORT"]'
        )
    seen: dict[str, str] = {}
    for host in sections:
        if not is_host(host):
            raise InvalidSettings(
                f'{configuration.where("host")}: [host."{printable(without_login(host))}"] names no host',
                hint="write HOST or HOST:PORT",
            )
        if (other := seen.setdefault(compared(host), host)) != host:
            raise InvalidSettings(
                f'{configuration.path}: [host."{other}"] and [host."{host}"] are the same host',
                hint="put all settings of the host into one table",
            )
    return {host: _section(host, section, known, configuration) for host, section in sections.items()}


def _section(host: str, section: Any, known: Mapping[str, Option], configuration: Configuration) -> dict[str, Any]:
    if not isinstance(section, dict):
        named = "HOST" if host in _KEYS else host
        raise InvalidSettings(
            f"{configuration.where('host')}: host.{host} is a value, not a table",
            hint=f'write [host."{named}"] on a line of its own, and the settings below it',
        )
    found: dict[str, Any] = {}
    for key, value in section.items():
        if (
            isinstance(value, dict) and key not in _KEYS and "." not in host
        ):  # [host.registry.example.com]: a dot without quotes begins another table
            shown = f"{host}.{printable(without_login(key))}…"
            raise InvalidSettings(
                f"{configuration.path}: [host.{shown}] is no host, since a dot outside of quotes divides tables",
                hint=f'put the host in quotes: [host."{shown}"]',
            )
        where = f'{configuration.path}: [host."{host}"]: {key}'
        option = known.get(key)
        if key not in _KEYS or option is None:
            from ..text.suggestions import did_you_mean

            usual = f"at one registry only these can differ: {', '.join(_KEYS)}"
            raise InvalidSettings(f"{where} can't be set for a host", hint=did_you_mean(key, _KEYS) or usual)
        try:
            line = option.from_line(value)
        except InvalidSettings as error:
            raise error.about(where) from error
        found[str(option.name)] = _converted(option, line)
    if found.get("one_put") and "chunk_size" in found:
        raise InvalidSettings(
            f'{configuration.path}: [host."{host}"]: chunk-size says how long chunks are, and one-put sends none',
            hint="leave one of them out",
        )
    return found


def _converted(option: Option, line: Any) -> Any:
    values = line if isinstance(line, list) else [line]
    converted = [option.type.convert(value, option, None) for value in values]
    return tuple(converted) if option.multiple else converted[0]


def hosts_of(ctx: click.Context) -> dict[str, dict[str, Any]]:
    """Return the tables, without what a flag or a variable of the command sets: those win for every registry."""
    sections: dict[str, dict[str, Any]] = ctx.meta.get(HOSTS, {})
    if not sections:
        return {}
    mine = {option.name for option in own(ctx)}
    won = {option.name for option in own(ctx) if option.source(ctx).kind in ("command line", "environment")}
    if won & _EITHER:
        won |= _EITHER
    return {
        host: {name: value for name, value in section.items() if name in mine and name not in won}
        for host, section in sections.items()
    }


def typed_as_table(ctx: click.Context, host: str) -> list[str]:
    """Return the lines of a table that has the settings of one registry which were typed; none if there are none."""
    lines: list[str] = []
    for option in own(ctx):
        value = ctx.params.get(option.name or "")
        if option.key not in _KEYS or option.source(ctx).kind != "command line":
            continue
        values = [_as_toml(each) for each in (value if isinstance(value, tuple) else (value,))]
        joined = ", ".join(values)
        lines.append(f"{option.key} = [{joined}]" if option.multiple else f"{option.key} = {joined}")
    return [f'[host."{host}"]', *lines] if lines else []


def _as_toml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return json.dumps(str(value.absolute() if isinstance(value, Path) else value), ensure_ascii=False)
