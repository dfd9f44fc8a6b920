"""All scenarios, of all states."""

from __future__ import annotations

from . import chunks, commits, ollama, opening
from .talk import SCENARIOS

__all__ = ["SCENARIOS", "chunks", "commits", "ollama", "opening"]
