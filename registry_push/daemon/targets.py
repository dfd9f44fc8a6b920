"""Where pushes may go (CVE-2026-7482: a push to an attacker's registry)."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import Self

from msgspec import Struct

from ..errors import InvalidSettings, RegistryPushError, quoted
from ..model import ModelName
from ..text.hint import Setting, step


class TargetNotAllowed(RegistryPushError):
    """The target is not among those that the service was started with."""


class AllowedTargets(Struct, frozen=True):
    """Globs on `HOST[:PORT]` and on the repository below it. Without any, every target is allowed.

    Even then clients can't choose a target: it is part of the name of a model in the store, to which the service does
    not write.
    """

    globs: tuple[tuple[str, str], ...] = ()

    @classmethod
    def parse(cls, globs: Iterable[str]) -> Self:
        """Parse the values of `--allow-target`. Raises `InvalidSettings`."""
        parsed = []
        for glob in globs:
            host, slash, path = glob.strip().lower().partition("/")
            if not host or "://" in glob or (slash and not path):
                raise InvalidSettings(
                    f"--allow-target {quoted(glob, limit=80)} is no target",
                    hint="write HOST[:PORT] or HOST[:PORT]/NAMESPACE/MODEL; * and ? stand for any characters",
                )
            parsed.append((host, path if slash else "*"))
        return cls(tuple(parsed))

    def __str__(self) -> str:
        return " or ".join(f"{at}/{below}" for at, below in self.globs) or "the registry in each model's name"

    def check(self, name: ModelName) -> None:
        """Raise `TargetNotAllowed` if no glob matches the registry and repository in `name`."""
        host, path = name.host.lower(), f"{name.namespace}/{name.model}".lower()
        if self.globs and not any(fnmatchcase(host, at) and fnmatchcase(path, below) for at, below in self.globs):
            raise TargetNotAllowed(
                f"this service does not push to {name.host}/{name.namespace}/{name.model}",
                hint=step("its operator can allow that with ", Setting("allow_target", "HOST"), " or HOST/NAMESPACE/*"),
            )
