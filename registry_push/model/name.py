"""`ModelName`: Ollama's names, by Ollama's grammar (types/model/name.go)."""

from __future__ import annotations

import re
from typing import Final, Self

from msgspec import Struct

from ..errors import InvalidName, quoted
from ..text.user_part import without_login

DEFAULT_HOST: Final = "registry.ollama.ai"
DEFAULT_NAMESPACE: Final = "library"
DEFAULT_TAG: Final = "latest"

# isValidPart in name.go: the first character is alphanumeric or "_"; lengths are in bytes, all ASCII.
_PARTS: Final = {
    "host": (re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:-]*\Z"), 350),
    "namespace": (re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]*\Z"), 80),
    "model": (re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*\Z"), 80),
    "tag": (re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*\Z"), 80),
}
_SCHEMES: Final = ("https", "http")


class ModelName(Struct, frozen=True):
    """`[scheme://][host/][namespace/]model[:tag]`, every part filled in.

    `str()` gives the full name and `parse(str(name)) == name`; `short` what Ollama displays. Case is kept;
    `same_as` compares as Ollama does, without it.
    """

    host: str
    namespace: str
    model: str
    tag: str
    scheme: str = "https"

    def __post_init__(self) -> None:
        for part, (grammar, limit) in _PARTS.items():
            value: str = getattr(self, part)
            if len(value) > limit or not grammar.match(value):
                raise InvalidName(_explain(part, value, limit), hint="a name is [host/][namespace/]model[:tag]")
        if self.scheme not in _SCHEMES:
            raise InvalidName(f"model name has the scheme {quoted(self.scheme)}: use http:// or https://")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the name that `text` spells, defaults filled in. Raises `InvalidName`."""
        rest, tag = text, DEFAULT_TAG
        # A ":" begins the tag only after the last "/"; before it, it begins a port (ParseNameBare).
        if rest.rfind(":") > rest.rfind("/"):
            rest, _, tag = rest.rpartition(":")
        rest, _, model = rest.rpartition("/")
        rest, _, namespace = rest.rpartition("/") if rest else ("", "", DEFAULT_NAMESPACE)
        scheme, separator, host = rest.partition("://")
        if not separator:
            scheme, host = "https", rest
        if not host and not separator and not text.startswith("/"):
            host = DEFAULT_HOST
        try:
            return cls(host, namespace, model, tag, scheme)
        except InvalidName as error:
            shown = quoted(text)
            # To say which part is wrong could repeat the beginning of a login.
            why = error.message if without_login(text) == text else "no part of a name has an @"
            raise InvalidName(f"{shown} is not a model name: {why}", hint=error.next_step) from None

    @classmethod
    def from_path_parts(cls, parts: tuple[str, ...]) -> Self:
        """Return the name of `manifests/<host>/<namespace>/<model>/<tag>`. Raises `InvalidName`."""
        if len(parts) != 4:
            raise InvalidName(f"{'/'.join(parts)!r} has not the four parts host/namespace/model/tag")
        return cls(*parts)

    @property
    def path_parts(self) -> tuple[str, str, str, str]:
        """The four folder and file names below `manifests/`; none can leave it."""
        return (self.host, self.namespace, self.model, self.tag)

    @property
    def short(self) -> str:
        """As Ollama lists it: without the default host and namespace, always with the tag."""
        if self.host.lower() != DEFAULT_HOST:
            return f"{self.host}/{self.namespace}/{self.model}:{self.tag}"
        if self.namespace.lower() != DEFAULT_NAMESPACE:
            return f"{self.namespace}/{self.model}:{self.tag}"
        return f"{self.model}:{self.tag}"

    def same_as(self, other: ModelName) -> bool:
        """Return whether both mean one model to Ollama: all parts equal without case, the scheme left out."""
        return self.folded == other.folded

    @property
    def folded(self) -> tuple[str, ...]:
        """The parts in lower case, to compare and sort by."""
        return tuple(part.lower() for part in self.path_parts)

    def __str__(self) -> str:
        prefix = "" if self.scheme == "https" else f"{self.scheme}://"
        return f"{prefix}{self.host}/{self.namespace}/{self.model}:{self.tag}"


def _explain(part: str, value: str, limit: int) -> str:
    if not value:
        return f"its {part} is empty"
    if len(value) > limit:
        return f"its {part} has {len(value)} characters; at most {limit} are allowed"
    return f"its {part} is {quoted(value, limit=100)}, with a character that is not allowed there"
