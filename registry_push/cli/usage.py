"""Errors in a command line, reported like every other error, whether click has found them or we."""

from __future__ import annotations

import io
import os
import re
import sys
from collections.abc import Sequence
from typing import Final

import click

from ..errors import RegistryPushError, UsageError, quoted
from ..text.user_part import without_login
from .render import Kind, renderer

# What other tools call our options (ollama, docker, podman, skopeo, curl, crane).
_TO_TRUST: Final = "for http: --plain-http; to accept any certificate: --tls-verify=false"
_CREDENTIALS: Final = "write --username NAME, and pipe the password to --password-stdin"
_MEANT: Final = {
    "--insecure": _TO_TRUST,
    "-k": _TO_TRUST,
    "--http": "write --plain-http",
    "--no-tls-verify": "write --tls-verify=false",
    "--skip-tls-verify": "write --tls-verify=false",
    "--insecure-skip-tls-verify": "write --tls-verify=false",
    **dict.fromkeys(("--cacert", "--ca", "--ca-cert", "--cafile", "--cert-dir"), "write --ca-file FILE"),
    **dict.fromkeys(("--creds", "--src-creds", "--dest-creds", "--user"), _CREDENTIALS),
    "--password-file": "write --password-stdin <FILE",
    **dict.fromkeys(("--proxy", "-x"), "set HTTPS_PROXY=http://HOST:PORT"),
    "--all-tags": "write --all",
    "--host": "write the registry's host without a flag: registry-push doctor HOST",
}
# What docker login calls a password.
_PASSWORDS: Final = ("-p", "--password")


def as_ours(error: click.ClickException) -> RegistryPushError:
    """Return our error for one of click's."""
    context = error.ctx if isinstance(error, click.UsageError) else None
    path = context.command_path if context is not None else "registry-push"
    if isinstance(error, click.NoSuchOption):
        from ..text.suggestions import did_you_mean

        known = error.possibilities or ()
        if error.option_name in _PASSWORDS and "--password-stdin" in _options(context):
            hint = "a command line is seen by others: pipe the password to --password-stdin, or let it be asked for"
            return UsageError(f"{path} has no option {quoted(error.option_name)}", hint=hint)
        hint = (
            _MEANT.get(error.option_name) or did_you_mean(error.option_name, known) or f"see the options: {path} --help"
        )
        return UsageError(f"{path} has no option {quoted(error.option_name)}", hint=hint)
    # click quotes what it does not understand, which may be an address with a login.
    said = re.sub(r"\S+", lambda word: without_login(word[0]), error.format_message()).strip().removesuffix(".")
    said = re.sub(r"\. Recognized values: .*", "; write true or false", said)
    said = said.partition(". Choose from:")[0]  # the choices are in the name already
    return UsageError(said[:1].lower() + said[1:], hint=f"see how it is used: {path} --help")


def _options(context: click.Context | None) -> frozenset[str]:
    """Return the options that the command takes."""
    parameters = context.command.params if context is not None else ()
    return frozenset(name for each in parameters for name in each.opts)


def say(error: RegistryPushError) -> int:
    """Print an error from before the renderer was chosen, with `--json` as an event. Returns the exit code."""
    out, err = sys.stdout or io.StringIO(), sys.stderr or io.StringIO()
    flags = _flags(sys.argv[1:])
    kind = Kind.JSON if "--json" in flags or _is_set("JSON") else Kind.QUIET
    dry_run = not flags.isdisjoint({"-n", "--dry-run"}) or _is_set("DRY_RUN")
    with renderer(kind, err, out, dry_run=dry_run) as show:
        show.error(error)
    return error.exit_code


def _flags(arguments: Sequence[str]) -> frozenset[str]:
    """Return the arguments that may be flags: all before a `--`."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    return frozenset(arguments[:end])


def _is_set(flag: str) -> bool:
    return os.environ.get(f"REGISTRY_PUSH_{flag}", "").strip().lower() in ("1", "true", "t", "yes", "y", "on")
