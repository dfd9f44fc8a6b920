"""click's types for sizes, rates and durations."""

from __future__ import annotations

from typing import Any

import click

from ..errors import InvalidSettings
from ..text.quantities import parse_duration, parse_rate, parse_size


class Size(click.ParamType[int]):
    """`64MiB`, `100MB`, `1048576`."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Bytes."""
        if isinstance(value, int):
            return value
        try:
            return parse_size(str(value))
        except InvalidSettings as error:
            self.fail(f"{error}; {error.hint}", param, ctx)


class Rate(click.ParamType[int]):
    """`20MB`, `20MiB/s`, `off`."""

    name = "rate"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return bytes a second; 0 for no limit."""
        if isinstance(value, int):
            return value
        try:
            return parse_rate(str(value))
        except InvalidSettings as error:
            self.fail(f"{error}; {error.hint}", param, ctx)


class Duration(click.ParamType[float]):
    """`90s`, `5m`, `1h30m`, or seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Seconds."""
        try:
            return parse_duration(str(value))
        except InvalidSettings as error:
            self.fail(f"{error}; {error.hint}", param, ctx)
