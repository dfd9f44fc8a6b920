"""`registry-push completion`."""

from __future__ import annotations

import click

from ..options.grouped_help import GroupedCommand
from .paging import show_text


@click.command("completion", cls=GroupedCommand)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def command(ctx: click.Context, shell: str) -> None:
    """Print the script that completes commands, flags, models and hosts in a shell.

    \b
    Examples:
      eval "$(registry-push completion bash)"    # in ~/.bashrc
      eval "$(registry-push completion zsh)"     # in ~/.zshrc, after compinit
      registry-push completion fish | source     # in ~/.config/fish/config.fish
    """
    from click.shell_completion import get_completion_class

    from . import shells  # noqa: F401  # registers what it mends
    from .main import COMPLETE_VARIABLE

    found = get_completion_class(shell)
    assert found is not None, "click knows these three"
    root = ctx.find_root()
    show_text(found(root.command, {}, "registry-push", COMPLETE_VARIABLE).source())
