"""The bar of a row. Only imported where rich is."""

from __future__ import annotations

from rich.text import Text


def bar(done: int, size: int, length: int) -> Text:
    """Return a bar of `length` columns, filled as far as `done` of `size` bytes."""
    halves = 2 * length * min(done, size) // size if size else 2 * length
    full, half = divmod(halves, 2)
    colour = "green" if full == length else "cyan"
    # Heavy and light strokes, so that the bar is readable without colour too.
    return Text.assemble(("━" * full + "╾" * half, colour), ("─" * (length - full - half), "bright_black"))
