"""`HelpFormatter`: click's, for terminals of any width."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from typing import Final

import click

from .option import UNBROKEN

# Columns. In narrower terminals what an option does is explained below it, instead of beside it.
_WITH_TWO_COLUMNS: Final = 60
# Columns that click itself leaves free at the right.
_MARGIN: Final = 2
# Columns: where there are fewer, the terminal has to break lines.
_NARROWEST: Final = 20


class HelpFormatter(click.HelpFormatter):
    """Breaks lines between words even where click, which takes no terminal for narrower than 50 columns, does not."""

    def __init__(self, indent_increment: int = 2, width: int | None = None, max_width: int | None = None) -> None:
        if width is None:
            columns = min(shutil.get_terminal_size().columns, max_width or 80)
            width = max(columns - _MARGIN, _NARROWEST)
        super().__init__(indent_increment, width, max_width)

    def write_dl(self, rows: Iterable[tuple[str, str]], col_max: int = 30, col_spacing: int = 2) -> None:
        """Write terms with their explanations."""
        if self.width < _WITH_TWO_COLUMNS:
            rows, col_max = [(term, text.replace(UNBROKEN, " ")) for term, text in rows], 0
        super().write_dl(list(rows), col_max, col_spacing)


class HelpContext(click.Context):
    """A context whose help is written by `HelpFormatter`."""

    formatter_class = HelpFormatter
