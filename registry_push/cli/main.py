"""`registry-push`: the command, and its subcommands, which are imported when they are called.

`--version`, `--help` and a mistyped flag need only `click`; aiohttp, rich and cryptography would more than double the
time to start.
"""

from __future__ import annotations

import errno
import importlib
import os
from typing import Final

import click

from ..errors import RegistryPushError
from ..version import __version__
from .suggesting import SuggestingGroup

_COMMANDS: Final = {
    "push": "push models from the local Ollama store to a registry",
    "pull": "pull models from a registry into the local Ollama store",
    "copy": "copy models between registries, stores, OCI layouts and archives",
    "export": "export models into a file or folder, to be carried where there is no network",
    "import": "import what was exported, into a store, a registry or a layout",
    "verify": "hash all content of a store, a layout, an archive or a repository, and repair it",
    "sync": "mirror models between registries, stores and layouts, as a plan says",
    "resume": "resume what was interrupted, list it, or cancel it",
    "list": "list the models in the local Ollama store",
    "tags": "list the tags of a repository",
    "inspect": "show what a model is made of, here or at a registry",
    "inventory": "print what a place has, for an export that leaves it out",
    "doctor": "find out what keeps models from being pushed, and what mends it",
    "config": "show every setting, and where its value comes from",
    "login": "log in to a registry, as docker and podman do",
    "logout": "forget the login for a registry",
    "key": "show or create the ed25519 key that signs in to Ollama's registry",
    "serve": "serve Ollama's POST /api/push to programs that push through its API",
    "demo": "push a tiny model to a registry inside this process: signed in, cut, resumed, verified",
    "completion": "print the script that completes commands and models in bash, zsh or fish",
    "help": "show a guide, or the help of a command, without a network",
}

# The variable through which a shell asks click for completions (click's documentation, "Shell Completion").
COMPLETE_VARIABLE: Final = "_REGISTRY_PUSH_COMPLETE"

# The service is not part of this room; only its name is known here.
_ELSEWHERE: Final = {"serve": "registry_push.daemon.command"}


class _Lazy(SuggestingGroup):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module = importlib.import_module(_ELSEWHERE.get(cmd_name, f"{__package__}.{cmd_name}_command"))
        found = module.command
        assert isinstance(found, click.Command)
        return found

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):  # from the table above, so that no command is imported
            formatter.write_dl(list(_COMMANDS.items()))


@click.group(
    cls=_Lazy,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Every flag has an environment variable, REGISTRY_PUSH_<FLAG>. Exit codes: 0 done, 2 usage, 3 not at the "
    "source, 4 not allowed, 5 refused, 6 try again later, 7 content damaged, 8 some models failed, 130 interrupted.",
)
@click.version_option(__version__, "-V", "--version", prog_name="registry-push")
def group() -> None:
    """Push, pull and copy models between Ollama stores, OCI registries, layouts and archives, without Ollama.

    \b
    registry-push push llama3.2:3b --to registry.example.com/ml/
    registry-push push me/model:tag                  (to the registry in the name)
    registry-push pull registry.example.com/ml/llama3.2:3b
    registry-push copy registry:localhost:5000/ml/llama registry:example.com/ml/
    """


# The errors of writing to a full disk or to a reader that has left. They name no file, as those of opening one do.
_NOT_WRITTEN: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EPIPE)


def command() -> int:
    """Run the command line in `sys.argv` and return the exit code."""
    try:
        return _command()
    except OSError as error:  # click prints help and the version by itself
        if error.filename is not None or error.errno not in _NOT_WRITTEN:
            raise
        from .running import not_printed

        return not_printed(error)
    except SystemExit:  # click's answer to a reader that has left
        if COMPLETE_VARIABLE in os.environ:  # … and the end of a completion
            raise
        from .running import BROKEN_PIPE

        return BROKEN_PIPE


def _command() -> int:
    if COMPLETE_VARIABLE in os.environ:  # a shell asks for completions
        from . import shells  # noqa: F401  # registers what it mends
    try:
        code = group.main(prog_name="registry-push", complete_var=COMPLETE_VARIABLE, standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return error.exit_code
    except click.ClickException as error:
        from .usage import as_ours, say

        return say(as_ours(error))
    except click.Abort:
        click.echo("aborted", err=True)
        return 130
    except RegistryPushError as error:  # there is no renderer yet
        from .usage import say

        return say(error)
    except RuntimeError as error:
        from ..content.threads import no_thread
        from .usage import say

        if (short := no_thread(error)) is None:
            raise
        return say(short)
    return code if isinstance(code, int) else 0  # `main` returns the command's exit code
