"""The manual page, built from the help of the commands."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator

import click

from ..options.grouped_help import in_sections
from ..options.option import UNBROKEN
from ..version import __version__
from .guides import guides

_FILES = (
    ("registry-push/config.toml", "In the configuration folder (~/.config): defaults for flags, a line each."),
    ("registry-push/", "In the state folder (~/.local/state): the journal of uploads under way."),
    ("~/.ollama/models", "The local Ollama store, unless OLLAMA_MODELS or --models names another."),
    ("~/.ollama/id_ed25519", "The key that signs in at Ollama's registry."),
    ("~/.docker/config.json", "Logins of docker, which are used; podman's auth.json too."),
)


def man_page(root: click.Context) -> str:
    """Return the page in the language of man(7)."""
    return "\n".join(_page(root)) + "\n"


def _page(root: click.Context) -> Iterator[str]:
    group = root.command
    assert isinstance(group, click.Group)
    summary, _, text = inspect.cleandoc(group.help or "").partition("\n\n")
    yield f'.TH REGISTRY\\-PUSH 1 "" "registry\\-push {_plain(__version__)}"'
    yield from (".SH NAME", f"registry\\-push \\- {_plain(summary[:1].lower() + summary[1:].rstrip('.'))}")
    yield from (".SH SYNOPSIS", "\\fBregistry\\-push\\fR \\fICOMMAND\\fR [\\fIOPTION\\fR]... [\\fIARGUMENT\\fR]...")
    yield from (".SH DESCRIPTION", *_prose(text), ".SH COMMANDS")
    for name in group.list_commands(root):
        command = group.get_command(root, name)
        assert command is not None
        yield from _command(command, click.Context(command, info_name=name, parent=root))
    yield from (".SH EXIT STATUS", *_exit_codes())
    yield ".SH ENVIRONMENT"
    yield "Every flag has a variable: \\fBREGISTRY_PUSH_\\fR and the flag's name, for example"
    yield "\\fBREGISTRY_PUSH_CHUNK_SIZE\\fR for \\fB\\-\\-chunk\\-size\\fR. A flag on the command line goes before it."
    yield from _entries([("REGISTRY_PUSH_PASSWORD", "The password that goes with --username.")])
    yield from (".SH FILES", *_entries(_FILES))
    yield ".SH SEE ALSO"
    yield "\\fBregistry\\-push help\\fR lists the guides, which are part of the program."


def _command(command: click.Command, ctx: click.Context) -> Iterator[str]:
    if isinstance(command, click.Group):
        for name in command.list_commands(ctx):
            below = command.get_command(ctx, name)
            assert below is not None
            yield from _command(below, click.Context(below, info_name=name, parent=ctx))
        return
    path = ctx.command_path.partition(" ")[2]
    yield f".SS {_plain(' '.join([path, *command.collect_usage_pieces(ctx)]))}"
    yield from _prose(inspect.cleandoc(command.help or ""))
    for heading, options in in_sections(command.get_params(ctx)).items():
        records = [record for each in options if (record := each.get_help_record(ctx)) is not None]
        if records:
            yield from (".PP", f"\\fI{_plain(heading)}\\fR", *_entries(records))


def _exit_codes() -> Iterator[str]:
    """Yield the rows of the table in the guide to exit codes."""
    for line in guides()["exit-codes"].text.splitlines():
        if line.startswith("| ") and line[2].isdigit():
            cells = line.replace("\\|", "\0").strip("|").split("|")
            code, meaning, action = (cell.replace("\0", "|").replace("`", "").strip() for cell in cells)
            yield from _entries([(code, f"{meaning} {action}".strip())])


def _entries(pairs: Iterable[tuple[str, str]]) -> Iterator[str]:
    for term, text in pairs:
        yield from (".TP", f"\\fB{_plain(term)}\\fR", _line(text))


def _prose(text: str) -> Iterator[str]:
    """Yield the paragraphs of a help text: one that begins with `\\b` keeps its lines."""
    for paragraph in filter(None, text.split("\n\n")):
        lines = paragraph.split("\n")
        if lines[0] == "\b":
            yield from (".PP", ".nf", *map(_line, lines[1:]), ".fi")
        else:
            yield from (".PP", *map(_line, lines))


def _line(text: str) -> str:
    """Return a line of text, escaped so that it can't be a roff request."""
    text = _plain(text)
    return f"\\&{text}" if text.startswith((".", "'")) else text


def _plain(text: str) -> str:
    text = text.replace(UNBROKEN, " ")
    return text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq").replace("…", "...")
