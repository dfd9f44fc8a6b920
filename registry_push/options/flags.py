"""Flags: declared once for the command and the service, with their variables, and turned into `Settings`."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import fields
from functools import wraps
from pathlib import Path
from typing import Any, Final, TypeVar, cast

import click

from ..errors import InvalidSettings, RegistryPushError, quoted
from ..events import Warned
from ..settings import (
    DEFAULT_JOBS,
    DEFAULT_RETRIES,
    DEFAULT_RETRY_FOR,
    DEFAULT_TIMEOUT,
    Settings,
)
from ..usual_folders import usual_state
from .configuration import read_configuration
from .option import CONFIGURATION, EXAMINED, HOSTS, Option, located, own, renamed, table
from .passwords import password_of
from .paths import EXISTING, FILE, LOGINS, home
from .quantity_types import Duration, Rate, Size

# The prefix of each flag's environment variable.
PREFIX: Final = "REGISTRY_PUSH_"
# Where the context keeps the error of a configuration file that is examined.
BROKEN: Final = "registry_push.options.broken"
Decorated = TypeVar("Decorated", bound=Callable[..., Any])


def option(*flags: str, env: str | None = None, **attributes: Any) -> Callable[[Decorated], Decorated]:
    """Return a click option with its environment variable: `--chunk-size` reads `REGISTRY_PUSH_CHUNK_SIZE`."""
    name = env or max(flags, key=len).lstrip("-").partition("/")[0].replace("-", "_").upper()
    return click.option(*flags, cls=Option, envvar=f"{PREFIX}{name}", show_envvar=True, **attributes)


_STORE: Final = (
    option("--models", type=FILE, metavar="DIR", help="The Ollama store. Else $OLLAMA_MODELS, else the usual places."),
)

_LOGIN: Final = (
    option(
        "-u",
        "--username",
        metavar="NAME",
        help="Log in as NAME. The password is in $REGISTRY_PUSH_PASSWORD, on standard input, or asked "
        "for. Else the logins of docker and podman are used.",
    ),
    option("--password-stdin", is_flag=True, help="Read the password from standard input; at a terminal, ask for it."),
)

_KEY: Final = (
    option("--key", type=FILE, metavar="FILE", help="The ed25519 key to sign in with. Else ~/.ollama/id_ed25519."),
)
_LOGINS: Final = (option("--authfile", type=LOGINS, metavar="FILE", help="Look for logins in FILE first."),)
_LOGINS_TO_CHANGE: Final = (
    option("--authfile", type=FILE, metavar="FILE", help="The file of logins to change, created if missing."),
)

_CONNECTION: Final = (
    option("--allow-realm", "allow_realms", multiple=True, metavar="HOST",
           help="Send the login to this token service too."),
    option("--allow-address", "allow_addresses", multiple=True, metavar="NETWORK",
           help="Let registries send uploads and redirects to these addresses, even if they are internal."),
    option("--plain-http", is_flag=True, help="Use http instead of https. Hosts on this machine need no flag."),
    option("--tls-verify", type=bool, is_flag=False, flag_value=True, default=True, metavar="BOOL",
           help="--tls-verify=false accepts any certificate."),
    option("--system-certs", is_flag=True,
           help="Trust what the system's store of certificates does (macOS, Windows). Needs the extra truststore."),
    option("--ca-file", type=EXISTING, metavar="FILE", help="Trust the certificates in FILE as well."),
    option("--cert", type=EXISTING, metavar="FILE", help="The client certificate to present, in PEM."),
    option("--key-file", type=EXISTING, metavar="FILE", help="The private key of --cert."),
    option("--dialect", type=click.Choice(["auto", "oci", "ollama"]), default="auto", show_default=True,
           help="ollama: sign in with the key first, as at Ollama's own registry."),
    option("--timeout", type=Duration(), default=f"{DEFAULT_TIMEOUT:g}s", show_default=True, metavar="DURATION",
           help="Give up on a connection if no data moves for this long."),
    option("--retries", type=int, default=DEFAULT_RETRIES, show_default=True,
           help="Give up after this many tries without progress."),
    option("--retry-for", type=Duration(), default=f"{DEFAULT_RETRY_FOR / 60:g}m", show_default=True,
           metavar="DURATION", help="Give up after this long without progress: 90s, 5m, 1h."),
    option("--ratelimit-min", type=int, metavar="N",
           help="Where a registry says how many reads of manifests it allows, as Docker Hub does, leave N unused, and "
           "wait until it allows more."),
    option("--user-agent", metavar="TEXT", help="The User-Agent header to send."),
)  # fmt: skip

_STATE: Final = (
    option(
        "--state-dir",
        type=FILE,
        metavar="DIR",
        help="Where the journal of unfinished work is kept. Else the user's state directory.",
    ),
)

_DOWNLOAD: Final = (
    option(
        "--bwlimit",
        type=Rate(),
        metavar="RATE",
        help="Bytes a second of all uploads together, and of all downloads: 20MB, 20MiB/s, or off for no limit.",
    ),
)

_TRANSFER: Final = (
    option("-j", "--jobs", type=int, default=DEFAULT_JOBS, show_default=True, help="Blobs to transfer at once."),
    *_DOWNLOAD,
    option(
        "--no-clobber",
        is_flag=True,
        help="Replace no tag: if a tag is there and names another manifest, fail with exit code 5.",
    ),
    option(
        "--recheck",
        is_flag=True,
        help="Ask for every blob, even if the manifest is there already: repairs a target that lost some.",
    ),
    option("--no-resume", is_flag=True, help="Resume nothing, and keep no journal to resume from."),
    *_STATE,
)

# What says how content is sent to a registry.
_UPLOADS: Final = (
    option(
        "--chunk-size",
        type=Size(),
        metavar="SIZE",
        help="Bytes in each request, for example 64MiB. Else as the registry allows.",
    ),
    option(
        "--one-put",
        is_flag=True,
        help="Send each blob in one request, for registries and proxies that take no chunks. "
        "Few of them can resume it after a broken connection.",
    ),
    option(
        "--verify",
        type=click.Choice(["changed", "always", "never"]),
        default="changed",
        show_default=True,
        help="Which blobs to hash here before they count as present; 'changed' skips those that are unchanged since "
        "they were last hashed.",
    ),
    option(
        "--congestion",
        default="auto",
        show_default=True,
        metavar="auto|system|NAME",
        help="TCP congestion control; auto asks for BBR if the kernel allows it to everyone.",
    ),
    option(
        "--mount",
        type=click.Choice(["auto", "never"]),
        default="auto",
        show_default=True,
        help="Whether to ask a registry to take blobs from its other repositories, instead of sending them.",
    ),
)

# Which tags of several are meant.
_TAG_FILTER: Final = (
    option("--include", multiple=True, metavar="GLOB",
           help="Take the tags that match; with a ! before it, leave them out. Can be given several times."),
    option("--exclude", "excluded_tags", env="EXCLUDE", multiple=True, metavar="GLOB",
           help="Leave out the tags that match. Can be given several times."),
    option("--semver", metavar="RANGE",
           help="Take the tags that are versions in this range, such as '>=1 <3', '^1.2' or '1.x || >=3.1'."),
    option("--latest", type=int, metavar="N", help="Of all these, take the N newest, by version or by name."),
    option("--sort", type=click.Choice(["semver", "name"]),
           help="What --latest goes by. Else semver if --semver is given, else name, with numbers by their value."),
)  # fmt: skip

_SERVICE: Final = (
    option("--host", metavar="ADDRESS", help="Listen on this address. Else on $OLLAMA_HOST, else on 127.0.0.1."),
    option("--port", type=int, metavar="PORT", help="Listen on this port. Else on $OLLAMA_HOST's, else on 11434."),
    option("--unix", type=FILE, metavar="PATH", help="Listen on a socket in the file system, for this user alone."),
    option("--allow-target", "allow_targets", multiple=True, metavar="GLOB",
           help="Push to these only: HOST[:PORT], or HOST[:PORT]/NAMESPACE/MODEL; with * and ?. Else wherever a "
           "model's own name says."),
    option("--token-file", type=FILE, metavar="FILE", help="Serve only those who send this bearer token."),
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
    option("-vv", "--debug", is_flag=True, help="Requests and answers too, without their secrets."),
    option("--json", "as_json", env="JSON", is_flag=True, help="One JSON object a line on standard output."),
    option("--no-progress", is_flag=True, help="No progress bars or progress lines."),
    option(
        "--log-file",
        type=FILE,
        metavar="FILE",
        help="Append everything that happens to FILE, with times, requests and answers.",
    ),
)


def _read_config(ctx: click.Context, config: click.Parameter, path: Path | None) -> Path | None:
    """Make the file's values the defaults of the flags; the environment and the command line win over them."""
    try:
        configuration = read_configuration(path)
    except RegistryPushError as error:
        if isinstance(config, Option) and config.source(ctx).kind == "environment":
            error.locate(f"config is set by {config.variable}")
        raise
    if configuration is None:
        return path
    ctx.meta[CONFIGURATION] = configuration
    own_options = {each.key: each for each in own(ctx)}
    lines: dict[str, object] = {}
    for key, value in configuration.values.items():
        if key == "host" and isinstance(value, dict | list):
            from .host_sections import host_sections

            ctx.meta[HOSTS] = host_sections(value, table(ctx), configuration)
            continue
        option = own_options.get(key) or table(ctx).get(key)
        where = configuration.where
        if option is None:
            from ..text.suggestions import did_you_mean

            hint = (
                did_you_mean(key, table(ctx)) or "use a flag's long name, without --: registry-push config lists them"
            )
            raise InvalidSettings(f"{where(key)}: {quoted(key)} is no setting", hint=hint)
        if key == "config":
            raise InvalidSettings(f"{where(key)}: a configuration file can't name another", hint="remove the line")
        if isinstance(value, dict) or (isinstance(value, list) and any(isinstance(each, dict) for each in value)):
            hint = f"write all lines at the top level, as: {key} = …"
            if key == "hosts":
                hint = 'for settings of one registry, write [host."HOST"]'
            raise InvalidSettings(f"{where(key)}: {key!r} is a table, not a value", hint=hint)
        try:
            lines[option.name or key] = option.from_line(value)
        except InvalidSettings as error:
            raise error.about(f"{where(key)}: {key}") from error
    ctx.default_map = {**(ctx.default_map or {}), **lines}
    return path


def _try_config(ctx: click.Context, config: click.Parameter, path: Path | None) -> Path | None:
    """As `_read_config`, but keep the error for a command that examines it."""
    ctx.meta[EXAMINED] = True
    try:
        return _read_config(ctx, config, path)
    except RegistryPushError as error:
        ctx.meta[BROKEN] = error
        return path


_CONFIG: Final = (
    option("--config", type=FILE, metavar="FILE", is_eager=True, callback=_read_config,
           help="Read defaults from FILE. Else from registry-push/config.toml in the configuration folder."),
)  # fmt: skip
_CONFIG_TO_EXAMINE: Final = (
    option("--config", type=FILE, metavar="FILE", is_eager=True, callback=_try_config,
           help="Read defaults from FILE. Else from registry-push/config.toml in the configuration folder."),
)  # fmt: skip
_GROUPS: Final = {
    "store": _STORE,
    "registry": (*_LOGIN, *_KEY, *_LOGINS, *_CONNECTION),
    "registries": (*_KEY, *_LOGINS, *_CONNECTION),
    "state": _STATE,
    "login": (*_LOGIN, *_LOGINS_TO_CHANGE, *_KEY, *_CONNECTION),
    "logout": _LOGINS_TO_CHANGE,
    "download": _DOWNLOAD,
    "transfer": _TRANSFER,
    "uploads": _UPLOADS,
    "service": _SERVICE,
    "tag_filter": _TAG_FILTER,
    "output": _OUTPUT,
    "config": _CONFIG,
    "config_to_examine": _CONFIG_TO_EXAMINE,
}


def options(*groups: str, config: str = "config") -> Callable[[Decorated], Decorated]:
    """Add groups of flags to a command, in the order given; the group `config` always last.

    An error that the command raises for a value says where that value was set.
    """

    def add(function: Decorated) -> Decorated:
        function = _locating(function)
        for group in reversed((*groups, config)):
            for each in reversed(_GROUPS[group]):
                function = each(function)
        return function

    return add


def _locating(function: Decorated) -> Decorated:
    @wraps(function)
    def call(*arguments: Any, **flags: Any) -> Any:
        try:
            return function(*arguments, **flags)
        except RegistryPushError as error:
            raise located(error) from error.__cause__

    return cast(Decorated, call)


def settings_of(flags: Mapping[str, Any]) -> Settings:
    """Return the `Settings` for a command's flags. Reads the environment and the password.

    Raises `InvalidSettings`.
    """
    known = {field.name for field in fields(Settings)}
    given = {name: value for name, value in flags.items() if name in known and value is not None}
    if flags.get("log_file"):
        given["debug"] = True
    if "state_dir" in flags:
        given["state_dir"] = None if flags.get("no_resume") else given.get("state_dir") or usual_state()
    if (ctx := click.get_current_context(silent=True)) is not None and HOSTS in ctx.meta:
        from .host_sections import hosts_of

        given["hosts"] = hosts_of(ctx)
    try:
        return Settings(**given, environ=dict(os.environ), home=home(), password=password_of(flags, os.environ))
    except InvalidSettings as error:
        raise renamed(error) from error


def homeless_warning(flags: Mapping[str, Any]) -> Warned | None:
    """Return what a command with these flags can't do because its user has no home; None if there is a home."""
    if home() is not None:
        return None
    lost = "no configuration, login or key is looked for there"
    named = [flag for name, flag in (("key", "--key FILE"), ("authfile", "--authfile FILE")) if name in flags]
    if "state_dir" in flags and not flags.get("no_resume") and (flags["state_dir"] or usual_state()) is None:
        lost += ", and an interrupted push can't be resumed"
        named.append("--state-dir DIR")
    return Warned(f"this user has no home folder: {lost}", f"set HOME{'; or give ' if named else ''}{', '.join(named)}")
