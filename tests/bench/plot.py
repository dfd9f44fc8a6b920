"""What was measured, as a picture: an SVG of bars, each the ratio to ours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final
from xml.sax.saxutils import escape

from .clients import STREAM, US
from .runs import Result
from .table import Row, rows, tables

_WIDTH: Final = 900
_NAMES: Final = 200
_BAR: Final = 16
_STEP: Final = 22
_HEAD: Final = 34
# A bar that is longer is cut, and its number says how long it were.
_MOST: Final = 5.0
_OURS, _HASHES, _OTHERS, _INK = "#1f6feb", "#6e7781", "#afb8c1", "#24292f"


def plot(results: Sequence[Result]) -> str:
    """An SVG with wall, processor and memory for each table that compares clients."""
    parts: list[str] = []
    top = 64
    for title, among in tables(results):
        if among[0].scenario.unit:
            continue
        own = rows(among)
        ours = next((row for row in own if row.client == US), None)
        if ours is None:
            continue
        parts.append(_text(0, top + 20, title, weight="bold"))
        top += _HEAD
        for row in own:
            if row.client != STREAM:
                parts += _bars(top, row, ours)
                top += _STEP
        top += 10
    return "\n".join([*_frame(top), *parts, "</svg>", ""])


def _frame(height: int) -> list[str]:
    panel = (_WIDTH - _NAMES) / 3
    heads = ["time", "processor", "memory"]
    return [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="-10 0 {_WIDTH + 20} {height}" '
        f'font-family="system-ui, sans-serif" font-size="13">',
        f'<rect x="-10" width="{_WIDTH + 20}" height="{height}" fill="white"/>',
        _text(0, 20, "How much more than registry-push it takes (ours = 1; shorter is better)", weight="bold"),
        _text(0, 40, "blue: ours · dark: hashes what it sends · light: does not"),
        *(_text(_NAMES + index * panel, 60, head, weight="bold") for index, head in enumerate(heads)),
    ]


def _bars(top: int, row: Row, ours: Row) -> list[str]:
    panel = (_WIDTH - _NAMES) / 3
    colour = _OURS if row.client.startswith(US) else _HASHES if row.hashes else _OTHERS
    parts = [_text(0, top + 13, row.client)]
    figures = ((row.wall, ours.wall), (row.cpu, ours.cpu), (row.peak, ours.peak))
    for index, (figure, own) in enumerate(figures):
        ratio, left = figure / own, _NAMES + index * panel
        width = min(ratio, _MOST) / _MOST * (panel - 60)
        parts.append(f'<rect x="{left:.1f}" y="{top}" width="{width:.1f}" height="{_BAR}" rx="2" fill="{colour}"/>')
        parts.append(_text(left + width + 5, top + 13, f"{ratio:.2f}" + (" …" if ratio > _MOST else "")))
    return parts


def _text(x: float, y: float, text: str, *, weight: str = "normal") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" font-weight="{weight}" fill="{_INK}">{escape(text)}</text>'
