"""Flags: declared once for the command and the service, with their variables, and turned into `Settings`."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from .errors import InvalidSettings, NotAtSource, printable
from .events import Warned
from .passwords import password_of
from .settings import (
    DEFAULT_JOBS,
    DEFAULT_RETRIES,
    DEFAULT_RETRY_FOR,
    DEFAULT_TIMEOUT,
    Settings,
    parse_duration,
    parse_rate,
    parse_size,
)
from .stores.optional_files import is_there
from .usual_folders import home_of, usual_config, usual_state

Decorated = TypeVar("Decorated", bound=Callable[..., Any])

_FILE: Final = click.Path(path_type=Path)


def option(*flags: str, env: str | None = None, **attributes: Any) -> Callable[[Decorated], Decorated]:
    """A click option with its environment variable: `--chunk-size` reads `REGISTRY_PUSH_CHUNK_SIZE`."""
    name = env or max(flags, key=len).lstrip("-").partition("/")[0].replace("-", "_").upper()
    return click.option(*flags, envvar=f"REGISTRY_PUSH_{name}", show_envvar=False, **attributes)


class Size(click.ParamType[int]):
    """`64MiB`, `100MB`, `1048576`."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Bytes."""
        if isinstance(value, int):
            return value
        try:
            return parse_size(str(value))
        except InvalidSettings as error:
            self.fail(f"{error}; {error.hint}", param, ctx)


class Rate(click.ParamType[int]):
    """`20MB`, `20MiB/s`, `off`."""

    name = "rate"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Bytes a second; 0 for no limit."""
        if isinstance(value, int):
            return value
        try:
            return parse_rate(str(value))
        except InvalidSettings as error:
            self.fail(f"{error}; {error.hint}", param, ctx)


class Duration(click.ParamType[float]):
    """`90s`, `5m`, `1h30m`, or seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Seconds."""
        try:
            return parse_duration(str(value))
        except InvalidSettings as error:
            self.fail(f"{error}; {error.hint}", param, ctx)


# Bytes. A configuration has some lines; this bounds what a wrong file can make us parse.
_MAX_CONFIG: Final = 256 * 1024

_STORE: Final = (
    option("--models", type=_FILE, metavar="DIR", help="The Ollama store. Else $OLLAMA_MODELS, else the usual places."),
)

_LOGIN: Final = (
    option(
        "--username",
        metavar="NAME",
        help="Log in as NAME. The password is in $REGISTRY_PUSH_PASSWORD, on standard input, or asked "
        "for. Else the logins of docker and podman are used.",
    ),
    option("--password-stdin", is_flag=True, help="Read the password from standard input; at a terminal, ask for it."),
)

_REGISTRY: Final = (
    option("--key", type=_FILE, metavar="FILE", help="The ed25519 key to sign in with. Else ~/.ollama/id_ed25519."),
    option("--authfile", type=_FILE, metavar="FILE", help="Read logins from FILE only."),
    option("--allow-realm", "allow_realms", multiple=True, metavar="HOST",
           help="Send the login to this token service too."),
    option("--allow-address", "allow_addresses", multiple=True, metavar="NETWORK",
           help="Let registries send uploads and redirects to these addresses, though they are internal."),
    option("--plain-http", is_flag=True, help="Talk http. Hosts on this machine need no flag."),
    option("--tls-verify", type=bool, default=True, metavar="BOOL", help="--tls-verify=false takes any certificate."),
    option("--ca-file", type=_FILE, metavar="FILE", help="Trust the certificates in FILE as well."),
    option("--cert", type=_FILE, metavar="FILE", help="Show this client certificate …"),
    option("--key-file", type=_FILE, metavar="FILE", help="… with this key."),
    option("--dialect", type=click.Choice(["auto", "oci", "ollama"]), default="auto", show_default=True,
           help="ollama: sign in with the key first, as at Ollama's own registry."),
    option("--timeout", type=float, default=DEFAULT_TIMEOUT, show_default=True, metavar="SECONDS",
           help="Give up on a line on which nothing moves."),
    option("--retries", type=int, default=DEFAULT_RETRIES, show_default=True, help="Tries without progress."),
    option("--retry-for", type=Duration(), default=f"{DEFAULT_RETRY_FOR / 60:g}m", show_default=True,
           metavar="DURATION", help="Give up after so long without progress: 90s, 5m, 1h."),
    option("--user-agent", metavar="TEXT", help="How to call ourselves."),
)  # fmt: skip

_TRANSFER: Final = (
    option("-j", "--jobs", type=int, default=DEFAULT_JOBS, show_default=True, help="Blobs that are sent at once."),
    option(
        "--chunk-size", type=Size(), metavar="SIZE", help="Bytes a request, e.g. 64MiB. Else what the registry takes."
    ),
    option(
        "--one-put",
        is_flag=True,
        help="Send each blob in one request, for registries and proxies that take no chunks. "
        "After a cut few of them can resume it.",
    ),
    option(
        "--bwlimit",
        type=Rate(),
        metavar="RATE",
        help="Bytes a second of all uploads together: 20MB, 20MiB/s, or off for no limit.",
    ),
    option(
        "--verify",
        type=click.Choice(["changed", "always", "never"]),
        default="changed",
        show_default=True,
        help="Which blobs are hashed here before they count: what was hashed and is unchanged since is not again.",
    ),
    option(
        "--congestion",
        default="auto",
        show_default=True,
        metavar="auto|system|NAME",
        help="TCP congestion control; auto asks for BBR where the kernel lets anyone have it.",
    ),
    option(
        "--no-clobber",
        is_flag=True,
        help="Replace no tag: one that is there and is another manifest's ends the push with 5.",
    ),
    option(
        "--recheck",
        is_flag=True,
        help="Ask for every blob, even where the manifest is there already: mends a registry that lost some.",
    ),
    option("--no-resume", is_flag=True, help="Note nothing, and go on with nothing that was noted."),
    option("--state-dir", type=_FILE, metavar="DIR", help="Where uploads under way are noted, to be gone on with."),
)

_SERVICE: Final = (
    option("--host", metavar="ADDRESS", help="Listen on this address. Else on $OLLAMA_HOST, else on 127.0.0.1."),
    option("--port", type=int, metavar="PORT", help="Listen on this port. Else on $OLLAMA_HOST's, else on 11434."),
    option("--unix", type=_FILE, metavar="PATH", help="Listen on a socket in the file system, for this user alone."),
    option("--allow-target", "allow_targets", multiple=True, metavar="GLOB",
           help="Push to these only: HOST[:PORT], or HOST[:PORT]/NAMESPACE/MODEL; with * and ?. Else wherever a "
           "model's own name says."),
    option("--token-file", type=_FILE, metavar="FILE", help="Serve only those who send this bearer token."),
    option("--allow-anonymous", is_flag=True, help="Serve everyone who can reach an address beyond this machine."),
    option("--wait-for-store", is_flag=True, help="Start even if there is no store yet, for example on a volume that "
           "is mounted later. Until then /readyz answers 503."),
    option("-q", "--quiet", is_flag=True, help="Log warnings and errors only."),
    option("-v", "--verbose", is_flag=True, help="Log every request, not only pushes."),
    option("--json", "as_json", env="JSON", is_flag=True, help="Log one JSON object a line on standard output."),
)  # fmt: skip

_OUTPUT: Final = (
    option("-q", "--quiet", is_flag=True, help="Warnings and errors only."),
    option("-v", "--verbose", is_flag=True, help="A line for each blob."),
    option("-vv", "--debug", is_flag=True, help="Each request and answer too, without what is secret in them."),
    option("--json", "as_json", env="JSON", is_flag=True, help="One JSON object a line on standard output."),
    option("--no-progress", is_flag=True, help="No bars and no lines in between."),
    option(
        "--log-file",
        type=_FILE,
        metavar="FILE",
        help="Append all that happens to FILE, with times, each request and answer too.",
    ),
)


def _read_config(ctx: click.Context, _: click.Parameter, path: Path | None) -> Path | None:
    """Makes the file's lines the defaults of the flags: the environment and the command line go before them."""
    named = path is not None
    file = path or usual_config()
    if file is None or (not named and not is_there(file)):
        return path
    import tomllib  # 2 ms, which those without a file need not wait

    from .stores.ollama_paths import read_small
    from .stores.read_errors import passes, read_error, unreadable

    try:
        content = tomllib.loads(read_small(file, _MAX_CONFIG).decode())
    except (FileNotFoundError, NotADirectoryError) as error:
        if named:
            raise NotAtSource(f"the configuration file {file} is not there", hint="check --config") from error
        return path
    except PermissionError as error:
        raise unreadable(file, what="the configuration file") from error
    except (OSError, ValueError, RecursionError) as error:
        if isinstance(error, OSError) and passes(error):
            raise read_error(error, "the configuration file", path=file) from error
        raise InvalidSettings(f"the configuration file {file} can't be used: {error}", hint="check --config") from error
    known = {each.lstrip("-"): parameter for parameter in ctx.command.params for each in parameter.opts}
    for key, value in content.items():
        if key not in _EVERY_FLAG:
            raise InvalidSettings(f"{file} sets {key!r}, which is no flag", hint="use the long names, without --")
        if isinstance(value, dict):
            raise InvalidSettings(f"{file}: {key!r} is a table, not a value")
        parameter = known.get(key)
        if parameter is None or parameter.name is None:
            continue
        values = value if parameter.multiple and isinstance(value, list) else [value]
        if not all(_is_usable(each, parameter) for each in values):
            wanted = "a list of strings" if parameter.multiple else _word_for(parameter)
            raise InvalidSettings(f"{file}: {key} is {printable(repr(value), limit=60)}; it has to be {wanted}")
        ctx.default_map = {**(ctx.default_map or {}), parameter.name: value}
    return path


def _is_usable(value: object, parameter: click.Parameter) -> bool:
    """Whether a line of the configuration has the type of its flag; a number may be written as a string."""
    is_flag = isinstance(parameter, click.Option) and parameter.is_flag
    if is_flag or parameter.type is click.BOOL:
        return isinstance(value, bool)
    if isinstance(parameter.type, (Size, Rate, type(click.INT), type(click.FLOAT))) and isinstance(value, int | float):
        return not isinstance(value, bool)
    return isinstance(value, str) and "\0" not in value


def _word_for(parameter: click.Parameter) -> str:
    if (isinstance(parameter, click.Option) and parameter.is_flag) or parameter.type is click.BOOL:
        return "true or false"
    return "a string" if isinstance(parameter.type, click.Path | click.Choice) else f"a {parameter.type.name}"


_CONFIG: Final = (
    option("--config", type=_FILE, metavar="FILE", is_eager=True, callback=_read_config,
           help="Read defaults from FILE. Else from registry-push/config.toml in the configuration folder."),
)  # fmt: skip
_GROUPS: Final = {
    "store": _STORE,
    "registry": (*_LOGIN, *_REGISTRY),
    "registries": _REGISTRY,
    "transfer": _TRANSFER,
    "service": _SERVICE,
    "output": _OUTPUT,
    "config": _CONFIG,
}


def options(*groups: str) -> Callable[[Decorated], Decorated]:
    """Adds groups of flags to a command, in the order given; `config` always last."""

    def add(function: Decorated) -> Decorated:
        for group in reversed((*groups, "config")):
            for each in reversed(_GROUPS[group]):
                function = each(function)
        return function

    return add


def _flags_of_all() -> frozenset[str]:
    @options("store", "registry", "transfer", "service", "output")
    def probe(**_: Any) -> None: ...

    parameters: list[click.Option] = probe.__click_params__  # type: ignore[attr-defined]  # where click keeps them
    return frozenset(flag.lstrip("-") for parameter in parameters for flag in parameter.opts)


_EVERY_FLAG: Final = _flags_of_all()


def settings_of(flags: Mapping[str, Any]) -> Settings:
    """The `Settings` that a command's flags mean. Reads the environment, and the password.

    Raises `InvalidSettings`.
    """
    known = {field.name for field in fields(Settings)}
    given = {name: value for name, value in flags.items() if name in known and value is not None}
    if flags.get("log_file"):
        given["debug"] = True
    if "state_dir" in flags:
        given["state_dir"] = None if flags["no_resume"] else given.get("state_dir") or usual_state()
    return Settings(**given, environ=dict(os.environ), home=_home(), password=password_of(flags, os.environ))


def homeless_warning(flags: Mapping[str, Any]) -> Warned | None:
    """What a command with these `flags` does without because its user has no home; None if there is one."""
    if _home() is not None:
        return None
    lost = "no configuration, login or key is looked for there"
    named = [flag for name, flag in (("key", "--key FILE"), ("authfile", "--authfile FILE")) if name in flags]
    if "state_dir" in flags and not flags["no_resume"] and (flags["state_dir"] or usual_state()) is None:
        lost += ", and an interrupted push can't be resumed"
        named.append("--state-dir DIR")
    return Warned(f"this user has no home folder: {lost}", f"set HOME{'; or give ' if named else ''}{', '.join(named)}")


def _home() -> Path | None:
    return home_of(os.environ, posix=os.name == "posix")
