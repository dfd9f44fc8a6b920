"""`Told`: what all events have in common."""

from __future__ import annotations

from msgspec import Struct


class Told(Struct, frozen=True, kw_only=True):
    """The base of all events. In a `dry_run` nothing was done: `sent` is what would be sent."""

    dry_run: bool = False
