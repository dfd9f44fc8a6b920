"""`SuggestingGroup`: a group of commands that answers a mistyped one with the nearest."""

from __future__ import annotations

import click

from ..errors import UsageError, quoted


class SuggestingGroup(click.Group):
    """As click's, on all its versions."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that `args` begin with. Raises `UsageError`."""
        known = self.list_commands(ctx)
        if args[0] in known or args[0].startswith("-") or ctx.resilient_parsing:
            return super().resolve_command(ctx, args)
        from ..text.suggestions import did_you_mean

        hint = did_you_mean(args[0], known) or f"see the commands: {ctx.command_path} --help"
        raise UsageError(f"no command is called {quoted(args[0])}", hint=hint)
