"""`Renaming`: models that are called something else at their target."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Self

from msgspec import Struct
from msgspec.structs import replace

from ..errors import InvalidName, UsageError, quoted
from ..text.hint import Setting, step
from .name import DEFAULT_NAMESPACE, ModelName


class Rule(Struct, frozen=True):
    """`PATTERN=REPLACEMENT`: a regular expression, and what replaces its first match (`\\1`: its group)."""

    pattern: re.Pattern[str]
    replacement: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the rule that `text` spells. Raises `UsageError`."""
        pattern, separator, replacement = text.rpartition("=")  # no name has one; a pattern may
        if not separator or not pattern:
            raise UsageError(
                f"--rename {quoted(text)} is not PATTERN=REPLACEMENT",
                hint=step("for example: ", Setting("rename"), " 'Bartowski/(.*)=bartowski/\\1'"),
            )
        try:
            return cls(re.compile(pattern), replacement)
        except (re.error, RecursionError, OverflowError) as error:
            raise UsageError(
                f"--rename {quoted(text)}: {quoted(pattern)} is not a regular expression: {error}",
                hint=r"escape what is meant as it stands with a backslash: \( \. \+",
            ) from error

    def matches(self, name: ModelName) -> bool:
        """Return whether the pattern matches the name without its tag, with or without its host."""
        short = f"{name.namespace}/{name.model}"
        return any(self.pattern.search(path) for path in (short, f"{name.host}/{short}"))

    def applied(self, path: str) -> str | None:
        """Return `path` renamed; None if the pattern does not match. Raises `UsageError`."""
        found = self.pattern.search(path)
        if found is None:
            return None
        try:
            return path[: found.start()] + found.expand(self.replacement) + path[found.end() :]
        except (re.error, IndexError) as error:
            raise UsageError(
                f"--rename: {quoted(self.replacement)} can't replace {quoted(self.pattern.pattern)}: {error}",
                hint=r"\1 stands for what the first pair of parentheses in PATTERN matched",
            ) from error


class Renaming(Struct, frozen=True):
    """What models are called at their target: by the first of `rules` that matches, then in lower case if wanted."""

    rules: tuple[Rule, ...] = ()
    lowercase: bool = False

    @classmethod
    def parse(cls, rules: Sequence[str], *, lowercase: bool = False) -> Self:
        """Return the renaming that the flags ask for. Raises `UsageError`."""
        return cls(tuple(Rule.parse(text) for text in rules), lowercase)

    def idle(self, names: Sequence[ModelName]) -> tuple[str, ...]:
        """Return the patterns that match none of `names`."""
        return tuple(rule.pattern.pattern for rule in self.rules if not any(map(rule.matches, names)))

    def renamed(self, name: ModelName) -> ModelName:
        """Return what `name` is called at its target; its tag stays. Raises `UsageError`, `InvalidName`.

        A rule is matched with `namespace/model`, and, if that does not match, with `host/namespace/model`.
        """
        path = short = f"{name.namespace}/{name.model}"
        for rule in self.rules:
            changed = rule.applied(short)
            if changed is None and (whole := rule.applied(f"{name.host}/{short}")) is not None:
                changed = whole.removeprefix(f"{name.host}/")
            if changed is not None:
                path = changed
                break
        namespace, slash, model = (path.lower() if self.lowercase else path).rpartition("/")
        try:
            return replace(name, namespace=namespace if slash else DEFAULT_NAMESPACE, model=model)
        except InvalidName as error:
            raise InvalidName(
                f"--rename makes {quoted(path)} of {name.short}: {error}",
                hint="REPLACEMENT has to leave MODEL or NAMESPACE/MODEL",
            ) from error
