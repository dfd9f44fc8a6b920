"""`RegistryPushError`, the root of the tree in `errors`: what all errors have in common; and `unwrapped`.

Messages are made safe for a terminal here, once, because parts of them come from registries and from files.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import ClassVar, Self
from urllib.parse import urlsplit

from .text.hint import Hint, NamedPart, step
from .text.safe_text import printable, redacted


class Origin(Enum):
    """Which side an error comes from."""

    USER = "user"
    SOURCE = "source"
    TARGET = "target"
    LOCAL = "local"


class RegistryPushError(Exception):
    """The root of everything this package raises on purpose.

    In `default_hint`, SCHEME://HOST and HOST:PORT stand for where `url` leads.

    `message` says what happened and names the thing; `url` is where it happened, its query left out. `next_step` says
    what to do about it, as data: command, service and library name a setting differently. `hint` is the same in the
    words of the command.
    """

    exit_code: ClassVar[int] = 1
    origin: Origin = Origin.LOCAL
    default_hint: ClassVar[str | Hint | None] = None

    def __init__(self, message: str, *, hint: str | Hint | None = None, url: str | None = None) -> None:
        self.message = printable(redacted(message))
        self.next_step: Hint | None = None
        self.url = printable(redacted(url)) if url else None
        self.hint = hint if hint is not None else self._usual_hint(self.url)
        super().__init__(self.message)

    def _usual_hint(self, url: str | None) -> str | Hint | None:
        usual = self.default_hint
        return _addressed(usual, url) if isinstance(usual, str) and url is not None else usual

    @property
    def hint(self) -> str | None:
        """The next step, in the words of the command; set it to text or to a `Hint`."""
        return str(self.next_step) if self.next_step is not None else None

    @hint.setter
    def hint(self, hint: str | Hint | None) -> None:
        given = step(hint) if isinstance(hint, str) else hint
        self.next_step = given.rewritten(lambda text: printable(redacted(text))) if given is not None else None

    def of_model(self, name: str | None) -> Self:
        """Put the name of an Ollama store's model into the command in the hint, and return the error.

        None: it is from another place, into which Ollama can't fetch it.
        """
        if self.next_step is not None:
            self.next_step = self.next_step.rewritten(lambda text: _about(text, name))
        return self

    def rewrite(self, changed: Callable[[str], str]) -> None:
        """Replace every text of the error by what `changed` returns for it."""
        self.message = changed(self.message)
        self.next_step = self.next_step.rewritten(changed) if self.next_step is not None else None
        self.url = changed(self.url) if self.url is not None else None
        self.args = (self.message,)

    def worded(self, text: Callable[[str], str], part: Callable[[NamedPart], str]) -> None:
        """Put the message, and the hint and its parts, into the words that `text` and `part` return for them."""
        self.message = text(self.message)
        self.args = (self.message,)
        if self.next_step is not None:
            self.next_step = step(text(self.next_step.worded(part)))

    def read_at_source(self) -> None:
        """Note that the registry at fault is the source, not the target."""
        if self.origin is Origin.TARGET:
            self.origin = Origin.SOURCE

    def locate(self, where: str) -> None:
        """Add to the message `where` the wrong value was set, once."""
        words = f" ({printable(redacted(where))})"
        self.message = self.message if words in self.message else f"{self.message}{words}"
        self.args = (self.message,)

    def __str__(self) -> str:
        return self.message


def _addressed(hint: str, url: str) -> str:
    """Return `hint` with the origin of `url` instead of SCHEME://HOST and HOST:PORT."""
    try:
        parts = urlsplit(url)
        port = parts.port or (80 if parts.scheme == "http" else 443)
    except ValueError:  # an address that can't be used is what the error is about
        return hint
    netloc = parts.netloc.rpartition("@")[2]
    if not netloc or not parts.hostname:
        return hint
    host = netloc if parts.port else f"{netloc.rstrip(':')}:{port}"
    return hint.replace("SCHEME://HOST", f"{parts.scheme}://{netloc}").replace("HOST:PORT", host)


def _about(hint: str, name: str | None) -> str:
    if name is not None:
        return hint.replace("ollama pull NAME", f"ollama pull {printable(name)}")
    for there in ("", " on the machine it came from"):
        hint = hint.replace(f"fetch the model again{there}: ollama pull NAME", "copy it again from where it came")
    return hint


def unwrapped(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return the error that ended a TaskGroup: the first typed one, or else the first.

    A cancellation from outside is never in a group; other errors in it are consequences of the first.
    """
    leaves = [unwrapped(error) if isinstance(error, BaseExceptionGroup) else error for error in group.exceptions]
    return next((error for error in leaves if isinstance(error, RegistryPushError)), leaves[0])
