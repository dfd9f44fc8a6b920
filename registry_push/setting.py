"""`Setting`: a field of `Settings` that checks and converts its value."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

Given = TypeVar("Given", contravariant=True)
Held = TypeVar("Held")


class Setting(Generic[Given, Held]):
    """A field that takes a `Given` and holds a `Held`, to type checkers too: see "Descriptor-typed fields" in the
    documentation of `dataclasses`.

    `convert` gets the field's name and the value, and raises `InvalidSettings`. Without a value the field holds what
    `default` returns for each new instance; None without one.
    """

    def __init__(self, convert: Callable[[str, Given], Held], default: Callable[[], Held] | None = None) -> None:
        self._convert = convert
        self._default = default
        self._name = ""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, instance: object, owner: type | None = None) -> Held:
        # Asked by the class, which is by `dataclasses`, for the field's default: that comes back to `__set__`.
        found: Any = self if instance is None else instance.__dict__[self._name]
        held: Held = found
        return held

    def __set__(self, instance: object, value: Given) -> None:
        given: Any = value
        if given is not self:
            instance.__dict__[self._name] = self._convert(self._name, value)
        else:
            instance.__dict__[self._name] = self._default() if self._default is not None else None
