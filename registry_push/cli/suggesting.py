"""`SuggestingGroup`: a group of commands that suggests the nearest one for a mistyped name."""

from __future__ import annotations

from typing import Final

import click

from ..errors import UsageError, quoted
from ..options.help_formatter import HelpContext

_RENAME: Final = "give a model another name with: registry-push copy ollama:OLD ollama:NEW"
_COPY: Final = "copy reads and writes every kind of place: registry-push copy --help"
_REMOVE: Final = "nothing is removed here: remove a model with ollama rm NAME"
# Commands of other tools, and the command that does the same here.
_ELSEWHERE: Final = {
    **dict.fromkeys(("cp", "mv", "rename"), _RENAME),
    **dict.fromkeys(("export", "import", "load", "migrate", "mirror", "save", "sync"), _COPY),
    **dict.fromkeys(("delete", "remove", "rm"), _REMOVE),
    "whoami": "see your logins: registry-push login --list; your key: registry-push key show",
    "signin": "did you mean login?",
    "ls": "did you mean list?",
    "show": "did you mean inspect?",
    "images": "did you mean list?",
    **dict.fromkeys(("ps", "status"), "see what is unfinished: registry-push resume --list"),
    "version": "did you mean --version?",
    "tag": _RENAME,
    "auth": "did you mean login?",
}


class SuggestingGroup(click.Group):
    """As click's, for all its versions."""

    context_class = HelpContext

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that `args` begin with. Raises `UsageError`."""
        known = self.list_commands(ctx)
        if args[0] in known or args[0].startswith("-") or ctx.resilient_parsing:
            return super().resolve_command(ctx, args)
        from ..text.suggestions import did_you_mean

        hint = _ELSEWHERE.get(args[0]) if ctx.parent is None else None
        hint = hint or did_you_mean(args[0], known) or f"see the commands: {ctx.command_path} --help"
        raise UsageError(f"no command is called {quoted(args[0])}", hint=hint)
