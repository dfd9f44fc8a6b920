"""`Hint`: a next step as data, which each face puts into its own words. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

_ANY: Final = "HOST"


class Setting(Struct, frozen=True):
    """A setting that helps, by its flag's name with underscores; `value` is what to give it, such as FILE."""

    name: str
    value: str = ""


class Command(Struct, frozen=True):
    """A command of registry-push, such as `key create`."""

    words: str


class Login(Struct, frozen=True):
    """A login at `host`, as `login` keeps it; `flags` are what it takes besides, as typed."""

    host: str = _ANY
    flags: str = ""


class Examination(Struct, frozen=True):
    """An examination of `host` by `doctor`; `flags` are what it takes to get there, as typed."""

    host: str
    flags: str = ""


NamedPart = Setting | Command | Login | Examination
Part = str | NamedPart


class Hint(Struct, frozen=True):
    """Text, and parts that each face names in its own way."""

    parts: tuple[Part, ...]

    @property
    def settings(self) -> tuple[str, ...]:
        """The settings that help, by their flags' names."""
        return tuple(part.name for part in self.parts if isinstance(part, Setting))

    @property
    def is_plain(self) -> bool:
        """Whether it says the same in every face."""
        return all(isinstance(part, str) for part in self.parts)

    def __str__(self) -> str:
        return self.worded(for_the_command)

    def worded(self, word: Callable[[NamedPart], str]) -> str:
        """Return the hint as text; `word` returns a face's words for a part that is no text."""
        return "".join(part if isinstance(part, str) else word(part) for part in self.parts)

    def with_flags(self, flags: str, host: str | None) -> Hint:
        """Return the hint with `flags` for each command that it proposes for a registry; `host` where none is named."""

        def typed(part: Part) -> Part:
            if not isinstance(part, Login | Examination):
                return part
            return replace(part, flags=flags, host=host if host is not None and part.host == _ANY else part.host)

        return Hint(tuple(map(typed, self.parts)))

    def named(self, names: Mapping[str, str]) -> Hint:
        """Return the hint with the settings in `names` called so: they were set elsewhere than on the command line."""
        return Hint(tuple(names.get(part.name, part) if isinstance(part, Setting) else part for part in self.parts))

    def without_login_flags(self) -> Hint:
        """Return the hint without the advice to give a user name, for a command that talks to many registries."""
        names = [part.name if isinstance(part, Setting) else "" for part in self.parts]
        if "username" not in names[1:] or "password_stdin" not in names:
            return self
        first, last = names.index("username") - 1, names.index("password_stdin")  # with the words before it
        return Hint((*self.parts[:first], *self.parts[last + 1 :]))

    def rewritten(self, changed: Callable[[str], str]) -> Hint:
        """Return the hint with all its text put through `changed`."""
        return Hint(tuple(_rewritten(part, changed) for part in self.parts))


def step(*parts: Part) -> Hint:
    """Return the hint of these parts, in their order."""
    return Hint(parts)


def joined(between: str, hints: Sequence[str | Hint]) -> Hint:
    """Return one hint of several, with `between` between them."""
    parts: list[Part] = []
    for hint in hints:
        parts += [*([between] if parts else []), *((hint,) if isinstance(hint, str) else hint.parts)]
    return Hint(tuple(parts))


def for_the_command(part: NamedPart) -> str:
    """Return a part as it is typed on the command line."""
    match part:
        case Setting(name, value):
            return f"--{name.replace('_', '-')}{f' {value}' if value else ''}"
        case Command(words):
            return f"registry-push {words}"
        case Login(host, flags):
            return f"registry-push login {host}{f' {flags}' if flags else ''}"
        case Examination(host, flags):
            return f"registry-push doctor {host}{f' {flags}' if flags else ''}"


def _rewritten(part: Part, changed: Callable[[str], str]) -> Part:
    match part:
        case str():
            return changed(part)
        case Setting(name, value):
            return Setting(name, changed(value))
        case Login(host, flags):
            return Login(changed(host), changed(flags))
        case Examination(host, flags):
            return Examination(changed(host), changed(flags))
        case Command():
            return part
