"""`Source`: where the value of a setting comes from."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct


class Source(Struct, frozen=True):
    """Where a value comes from: `name` is the variable's or the file's; `line` counts from 1, if it was found."""

    kind: Literal["command line", "environment", "file", "default"]
    name: str | None = None
    line: int | None = None

    def __str__(self) -> str:
        if self.name is None:
            return self.kind
        return self.name if self.line is None else f"{self.name}, line {self.line}"
