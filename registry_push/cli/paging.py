"""Shows a long text: page by page on a terminal, unchanged elsewhere."""

from __future__ import annotations

import shutil
import sys
from typing import Final

import click

from ..interrupts import raise_on_interrupt
from .render.line_writer import encodable

# Columns. Longer lines of prose are hard to read, however wide the terminal is.
_WIDEST: Final = 100


def show_text(text: str, *, markdown: bool = False) -> None:
    """Write `text` to stdout. On a terminal, format Markdown, and use a pager (`$PAGER`, else less) for long texts."""
    out = sys.stdout
    if out is None:  # closed by the shell
        return
    if not out.isatty():
        out.write(encodable(text.rstrip("\n"), out.encoding) + "\n")
        out.flush()
        return
    columns, rows = shutil.get_terminal_size()
    if markdown:
        text = _set_out(text, min(columns, _WIDEST))
    if len(text.splitlines()) < rows:
        click.echo(text, nl=not text.endswith("\n"))
        return
    raise_on_interrupt()  # waits for the pager, which restores the terminal
    click.echo_via_pager(text)


def _set_out(text: str, width: int) -> str:
    from rich.console import Console
    from rich.markdown import Markdown

    console = Console(file=sys.stdout, width=width, highlight=False)
    with console.capture() as captured:
        console.print(Markdown(text, code_theme="bw"))
    return captured.get()
