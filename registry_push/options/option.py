"""`Option`: a flag, with its environment variable, its line in the configuration file, and where its value is from."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from shlex import quote
from typing import Final

import click
from click.core import ParameterSource

from ..errors import InvalidSettings, RegistryPushError, UsageError, printable, redacted
from ..text.user_part import without_login
from .configuration import Configuration
from .source import Source

# A space at which help is not wrapped, so that it can be searched for; printed as any other.
UNBROKEN: Final = "\N{NO-BREAK SPACE}"
# Where the context keeps the configuration that was read.
CONFIGURATION: Final = "registry_push.options.configuration"
# Where the context keeps the tables of hosts: for each host, converted values by the names of their options.
HOSTS: Final = "registry_push.options.hosts"
# Whether the command examines the file itself: its lines are not refused before.
EXAMINED: Final = "registry_push.options.examined"


class Option(click.Option):
    """A flag of the table. `key` is its long name, without the dashes: what its line begins with."""

    @property
    def key(self) -> str:
        """The long name, as in the configuration file."""
        return max(self.opts, key=len).lstrip("-")

    @property
    def variable(self) -> str:
        """The environment variable."""
        assert isinstance(self.envvar, str)
        return self.envvar

    def source(self, ctx: click.Context) -> Source:
        """Return where the value that the option has in `ctx` comes from."""
        found = ctx.get_parameter_source(self.name) if self.name else None
        if found is ParameterSource.ENVIRONMENT:
            return Source("environment", self.variable)
        if found is ParameterSource.DEFAULT_MAP:
            configuration: Configuration = ctx.meta[CONFIGURATION]
            return Source("file", str(configuration.path), configuration.line_of(self.key))
        return Source("command line" if found is ParameterSource.COMMANDLINE else "default")

    def called(self, ctx: click.Context) -> str:
        """Return the option's name for a message: the flag, the variable or the line that set it."""
        source = self.source(ctx)
        match source.kind:
            case "environment":
                return self.variable
            case "file":
                return f"{source}: {self.key}"
            case _:
                return f"--{self.key}"

    def get_error_hint(self, ctx: click.Context | None) -> str:
        """Return the option's name in click's own errors."""
        return f"'{self.called(ctx)}'" if ctx is not None else super().get_error_hint(ctx)

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        """Return the flag and its help, which ends with the variable's name."""
        record = super().get_help_record(ctx)
        return record and (record[0], record[1].replace("[env var: ", f"[env:{UNBROKEN}"))

    def from_line(self, value: object) -> object:
        """Return the value that a line of the configuration sets. Raises `InvalidSettings` if the option refuses it."""
        values = value if self.multiple and isinstance(value, list) else [value]
        try:
            fits = all(self._has_type(each) and self.type.convert(each, self, None) is not None for each in values)
        except click.BadParameter:
            fits = False
        if not fits:
            raise InvalidSettings(f"can't be {_spelt(value)}", hint=f"write {self._wanted()}")
        return values if self.multiple else int(value) if self.count and isinstance(value, bool) else value

    def _has_type(self, value: object) -> bool:
        """Return whether a value in the file has the option's type; a number may be written as a string."""
        if self._is_switch:
            return isinstance(value, bool)
        if self.count and isinstance(value, bool):
            return True
        if isinstance(value, float):
            return isinstance(self.type, type(click.FLOAT)) or self.type.name == "duration"
        if isinstance(value, int):
            numbers = (type(click.INT), type(click.FLOAT))
            is_number = isinstance(self.type, numbers) or self.type.name in ("size", "rate", "duration")
            return is_number and not isinstance(value, bool)
        return isinstance(value, str) and "\0" not in value

    @property
    def _is_switch(self) -> bool:
        return (self.is_flag and not self.count) or self.type is click.BOOL

    def _wanted(self) -> str:
        if self._is_switch:
            return "true or false"
        if isinstance(self.type, click.Choice):
            return f"one of {', '.join(map(str, self.type.choices))}, in quotes"
        kinds = {
            "integer": "a whole number",
            "float": "a number",
            "size": 'a size, as "64MiB"',
            "rate": 'bytes a second, as "20MB"',
            "duration": '"5m"',
        }
        if self.type.name in kinds:
            return kinds[self.type.name]
        text = "a path in quotes" if isinstance(self.type, click.Path) else "text in quotes"
        return f"{text}, or a list of it" if self.multiple else text


def options_of(command: click.Command, ctx: click.Context) -> Iterator[Option]:
    """Yield every option of `command` and its subcommands, in the order of the help, shared ones more than once."""
    yield from (each for each in command.params if isinstance(each, Option))
    if isinstance(command, click.Group):
        for name in command.list_commands(ctx):
            found = command.get_command(ctx, name)
            if found is not None:
                yield from options_of(found, ctx)


def table(ctx: click.Context) -> dict[str, Option]:
    """Return every option that any command has, by its key. Imports all commands."""
    found: dict[str, Option] = {}
    for each in options_of(ctx.find_root().command, ctx):
        found.setdefault(each.key, each)
    return found


def own(ctx: click.Context) -> list[Option]:
    """Return the options of the command that `ctx` is of."""
    return [each for each in ctx.command.get_params(ctx) if isinstance(each, Option)]


def was_typed(name: str) -> bool:
    """Return whether the parameter `name` of the current command is from its command line."""
    return click.get_current_context().get_parameter_source(name) is ParameterSource.COMMANDLINE


def renamed(error: InvalidSettings) -> InvalidSettings:
    """Return the error about a field of `Settings` as one about the flag, variable or line that set it."""
    ctx = click.get_current_context(silent=True)
    if ctx is None or error.setting is None:
        return error
    if error.host is not None and (configuration := ctx.meta.get(CONFIGURATION)) is not None:
        found = error.about(f'{configuration.path}: [host."{error.host}"]: {_key_of(error.setting, ctx)}')
        if isinstance(error.__cause__, InvalidSettings) and (hint := error.__cause__.next_step) is not None:
            found.hint = hint.worded(lambda part: _key_of(getattr(part, "name", str(part)), ctx))
        return found
    return next((error.about(each.called(ctx)) for each in own(ctx) if each.name == error.setting), error)


def _key_of(name: str, ctx: click.Context) -> str:
    """Return a field of `Settings` as the configuration file spells it."""
    return next((each.key for each in own(ctx) if each.name == name), name.replace("_", "-"))


# Flags without which a command that is proposed would not reach the registry, or would look for logins elsewhere.
_FOR_THE_REGISTRY: Final = (
    *("config", "authfile", "plain_http", "tls_verify", "system_certs", "ca_file", "cert", "key_file"),
)


def located(error: RegistryPushError, host: str | None = None) -> RegistryPushError:
    """Add to an error what only the command line knows.

    To a local one where the value that it names was set, unless that was on the command line; to the login that a next
    step proposes, and to `doctor`, the flags that were typed for the registry. `host` is the registry that the error is
    about, if that is known; else the one of `--to`.
    """
    ctx = click.get_current_context(silent=True)
    if ctx is None:
        return error
    if error.next_step is not None and not error.next_step.is_plain:
        error.hint = error.next_step.with_flags(_typed_for_the_registry(ctx), host or _target_host(ctx))
    if error.exit_code not in _OF_VALUES:
        return error
    names: dict[str, str] = {}
    for each in own(ctx):
        source = each.source(ctx)
        if source.name is None or not _names(error, each, ctx.params.get(each.name or "")):
            continue
        names[each.name or ""] = each.variable if source.kind == "environment" else each.key
        if source.name not in error.message:
            error.locate(f"{each.key} is set {'by' if source.kind == 'environment' else 'in'} {source}")
    names |= _locate_in_tables(ctx, error)
    if error.next_step is not None:
        error.hint = error.next_step.named(names)
    return error


def _typed_for_the_registry(ctx: click.Context) -> str:
    typed: list[str] = []
    for each in own(ctx):
        value = ctx.params.get(each.name or "")
        if each.name in _FOR_THE_REGISTRY and each.source(ctx).kind == "command line" and value is not None:
            text = f"--{each.key}" if each.is_flag else f"--{each.key}={str(value).lower()}"
            typed.append(f"--{each.key} {quote(str(value))}" if isinstance(value, Path) else text)
    return " ".join(typed)


def _target_host(ctx: click.Context) -> str | None:
    """Return the host that `--to` names, as typed; None without."""
    from ..model.place import Below, after_prefix, parse_destination

    to = ctx.params.get("to")
    with suppress(UsageError):
        if isinstance(to, str):
            scheme, separator, _ = (after_prefix(to) or to).partition("://")
            target = parse_destination(to)
            host = target.host if isinstance(target, Below) else target.reference.host
            return f"{scheme}://{host}" if separator else host
    return None


def _locate_in_tables(ctx: click.Context, error: RegistryPushError) -> dict[str, str]:
    """Add the line of a host's table that names the file which the error is about; return its key, by the option."""
    names: dict[str, str] = {}
    tables: dict[str, dict[str, object]] = ctx.meta.get(HOSTS, {})
    for host, fields in tables.items():
        for name, value in fields.items():
            if isinstance(value, Path) and str(value) in error.message:
                where = getattr(ctx.meta.get(CONFIGURATION), "path", "the configuration")
                names[name] = name.replace("_", "-")
                error.locate(f'{names[name]} is set below [host."{host}"] in {where}')
    return names


# Usage, not at the source, not allowed: the errors of a wrong value. A registry's refusals name no value of ours.
_OF_VALUES: Final = (UsageError.exit_code, 3, 4)


def _names(error: RegistryPushError, option: Option, value: object) -> bool:
    if re.search(rf"--{re.escape(option.key)}(?![\w-])", error.message):
        return True
    values = value if isinstance(value, tuple) else (value,)
    texts = [printable(redacted(str(each))) for each in values if isinstance(each, str | Path) and str(each)]
    return any(re.search(rf"(?<![\w./:-]){re.escape(text)}(?![\w-]|:\w)", error.message) for text in texts)


def _spelt(value: object) -> str:
    """Return a value as TOML spells it, safe to print."""
    if isinstance(value, bool):
        return str(value).lower()
    text = f'"{value}"' if isinstance(value, str) else str(value)
    return printable(redacted(without_login(text)), limit=60)
