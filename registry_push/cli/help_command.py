"""`registry-push help`."""

from __future__ import annotations

import click

from ..errors import UsageError, quoted
from ..options.grouped_help import GroupedCommand
from ..text.suggestions import did_you_mean
from .guides import Guide, events_schema, guides
from .paging import show_text


def _topics(_ctx: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    return [topic for topic in guides() if topic.startswith(incomplete)]


@click.command("help", cls=GroupedCommand)
@click.argument("topic", nargs=-1, metavar="[GUIDE]", shell_complete=_topics)
@click.option("--man", "man", is_flag=True, help="Print the manual page, for man(1).")
@click.option("--json-schema", "schema", is_flag=True, help="Print the JSON schema of the events that --json prints.")
@click.pass_context
def command(ctx: click.Context, topic: tuple[str, ...], man: bool, schema: bool) -> None:
    """Show a guide, or the help of a command. Without GUIDE, list the guides.

    The guides are part of the package: they are read without a network.

    \b
    Examples:
      registry-push help
      registry-push help exit-codes
      registry-push help push
      registry-push help --man > ~/.local/share/man/man1/registry-push.1
    """
    if man + schema + bool(topic) > 1:
        raise UsageError("a guide, --man and --json-schema exclude each other", hint="ask for one of them")
    root = ctx.find_root()
    if schema:
        show_text(events_schema())
    elif man:
        from .man_page import man_page

        show_text(man_page(root))
    elif not topic:
        show_text(_contents(guides(), root))
    else:
        _show(topic, root)


def _show(words: tuple[str, ...], root: click.Context) -> None:
    there = guides()
    if len(words) == 1 and (guide := there.get(words[0])) is not None:
        show_text(guide.text, markdown=True)
        return
    asked, at, group = root, root.command, root.command
    for word in words:
        group = at
        found = group.get_command(asked, word) if isinstance(group, click.Group) else None
        if found is None:
            known = [*there] if group is root.command else []
            known += group.list_commands(asked) if isinstance(group, click.Group) else []
            raise UsageError(
                f"no guide and no command is called {quoted(' '.join(words))}",
                hint=did_you_mean(word, known) or "list the guides: registry-push help",
            )
        at, asked = found, found.context_class(found, info_name=word, parent=asked, **found.context_settings)
    show_text(at.get_help(asked))


def _contents(there: dict[str, Guide], root: click.Context) -> str:
    formatter = root.make_formatter()
    with formatter.section("Guides"):
        formatter.write_dl([(guide.topic, guide.title) for guide in there.values()])
    formatter.write_paragraph()
    formatter.write_dl(
        [
            ("registry-push help GUIDE", "shows a guide, or the help of a command"),
            ("registry-push --help", "lists the commands"),
        ]
    )
    return formatter.getvalue()
