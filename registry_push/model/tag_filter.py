"""`TagFilter`: which tags of a repository are meant, and why. Pure.

A tag is in if a glob of `include` matches it, or if it is a version in the range `semver`; with neither of them, every
tag is. What a glob of `exclude` matches is out. Of what is left, `latest` takes the newest.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from fnmatch import translate
from functools import cached_property
from typing import Any, Final, Literal, Self, cast, get_args

from msgspec import Struct
from msgspec.structs import asdict

from ..errors import InvalidFilter, printable, quoted
from ..text.natural_order import natural_order
from .semver_range import SemverRange, Version

Sort = Literal["semver", "name"]
Globs = str | Iterable[str]

_GLOBS: Final = ("include", "exclude", "immutable")
# Characters: four times the longest tag.
_LONGEST: Final = 512
# Globs of a kind. Each is tried with each tag.
_MOST: Final = 1000
# Tags: more than any registry lists to us.
_MOST_TAGS: Final = 1_000_000
_NO_GLOB: Final = "matches none of the include globs"


class Selected(Struct, frozen=True):
    """The tags that a filter takes, in its order, and each other one, by name, with the reason why it is out.

    Those that are not among the latest come last, the newest first.
    """

    kept: tuple[str, ...]
    left_out: tuple[tuple[str, str], ...]


class TagFilter(Struct, frozen=True, dict=True):
    """Globs, a range of versions, and how many of the newest; without any of them, it takes all tags.

    `sort` is what `latest` goes by: by default versions if there is a range, else names, with numbers by their value.
    In the order of versions, tags that are none and match a glob are kept and not counted. Tags that match `immutable`
    are never moved once they are somewhere. `min` is how many tags have to be left; who uses the filter sees to it.
    Raises `InvalidFilter`, which names the part.
    """

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    semver: str | None = None
    latest: int | None = None
    sort: Sort | None = None
    immutable: tuple[str, ...] = ()
    min: int = 0

    def __post_init__(self) -> None:
        for part in _GLOBS:
            _check_globs(part, getattr(self, part))
        if self.semver is not None:
            if not isinstance(self.semver, str):
                raise InvalidFilter("semver", f"can't be {_shown(self.semver)}", hint="write a range as text")
            _ = self._range  # raises for one that can't be read
        if self.latest is not None:
            _check_count("latest", self.latest, 1)
        if self.sort is not None and self.sort not in get_args(Sort):
            raise InvalidFilter("sort", f"can't be {_shown(self.sort)}", hint="write semver or name")
        _check_count("min", self.min, 0)

    @classmethod
    def parse(
        cls,
        *,
        include: Globs = (),
        exclude: Globs = (),
        semver: str | None = None,
        latest: int | None = None,
        sort: str | None = None,
        immutable: Globs = (),
        min: int = 0,  # noqa: A002 - as the plan of a sync calls it
    ) -> Self:
        """Return the filter; one glob needs no list, and one in `include` that begins with `!` leaves out.

        Raises `InvalidFilter`.
        """
        globs = {"include": include, "exclude": exclude, "immutable": immutable}
        listed = {part: _listed(part, value) for part, value in globs.items()}
        return cls(**listed, semver=semver, latest=latest, sort=cast(Sort | None, sort), min=min)

    @classmethod
    def read(cls, fields: object) -> Self | None:
        """Return the filter in decoded JSON, as `fields` has it; None if it is none."""
        if not isinstance(fields, dict) or not fields.keys() <= {*cls.__struct_fields__}:
            return None
        try:
            return cls.parse(**fields)
        except InvalidFilter:
            return None

    @property
    def fields(self) -> dict[str, Any]:
        """What is not the default, as JSON and TOML have it; `parse` takes it."""
        given, usual = asdict(self), asdict(TagFilter())
        return {name: list(value) if name in _GLOBS else value for name, value in given.items() if value != usual[name]}

    @property
    def takes_all(self) -> bool:
        """Whether no tag is ever left out."""
        return not (self.include or self.exclude or self.semver is not None or self.latest is not None)

    def select(self, tags: Iterable[str]) -> Selected:
        """Return which of `tags` are in: the newest first if `latest` is set, else sorted by name, or as `sort` says.

        Tags that are no versions come last in the order of versions.
        """
        kept, left_out = [], []
        for tag in sorted({*tags}, key=_by_name):
            reason = self._why_out(tag)
            if reason is None:
                kept.append(tag)
            else:
                left_out.append((tag, reason))
        kept, too_old = self._ordered(kept)
        left_out += [(tag, f"not among the latest {self.latest}") for tag in too_old]
        return Selected(tuple(kept), tuple(left_out))

    def wants(self, tag: str) -> bool:
        """Return whether the filter is about `tag`: whether it is in, or is just not among the latest."""
        return self._why_out(tag) is None

    def is_immutable(self, tag: str) -> bool:
        """Return whether the tag is never moved."""
        return _matching(self._compiled["immutable"], tag) is not None

    def why_in(self, tag: str) -> str:
        """Return why a tag that was kept is in."""
        version = Version.read(tag)
        if (glob := _matching(self._compiled["include"], tag)) is not None:
            reason = f"matches {glob}"
        elif self._range is not None:
            reason = f"is in {self._range.text}"
        else:
            reason = "is one of all tags" if self.latest is None else ""
        if self.latest is None:
            return reason
        counted = f"among the latest {self.latest}" if self._counts(version) else "no version, so not counted"
        return f"{reason}, {counted}" if reason else counted

    @cached_property
    def _range(self) -> SemverRange | None:
        return SemverRange.parse(self.semver) if self.semver is not None else None

    @cached_property
    def _compiled(self) -> dict[str, tuple[tuple[str, re.Pattern[str]], ...]]:
        globs = {
            "include": [glob for glob in self.include if not glob.startswith("!")],
            "exclude": [*(glob[1:] for glob in self.include if glob.startswith("!")), *self.exclude],
            "immutable": self.immutable,
        }
        return {part: tuple((glob, re.compile(translate(glob))) for glob in each) for part, each in globs.items()}

    @property
    def _by_version(self) -> bool:
        return self.sort == "semver" or (self.sort is None and self.semver is not None)

    def _counts(self, version: Version | None) -> bool:
        return version is not None or not self._by_version

    def _why_out(self, tag: str) -> str | None:
        """Return why the tag is out, whatever others there are; None if it is not."""
        globs = self._compiled["include"]
        if _matching(globs, tag) is None:
            if globs and self._range is None:
                return _NO_GLOB
            if (reason := self._why_no_version(tag)) is not None:
                return f"{_NO_GLOB} and {reason}" if globs else reason
        glob = _matching(self._compiled["exclude"], tag)
        return None if glob is None else f"excluded by {glob}"

    def _why_no_version(self, tag: str) -> str | None:
        """Return why the tag, which no glob keeps, is not in the range; None if it is, or if there is no range."""
        if self._range is None and (self.latest is None or not self._by_version):
            return None
        version = Version.read(tag)
        if version is None:
            return "is no version" + (f", so not in {self._range.text}" if self._range is not None else "")
        if self._range is None or self._range.has(version):
            return None
        if version.is_prerelease and self._range.has(version.release):
            return f"is a pre-release, and {self._range.text} names none of that version"
        return f"is not in {self._range.text}"

    def _ordered(self, tags: list[str]) -> tuple[list[str], list[str]]:
        """Return those of `tags`, which are sorted by name, that are kept, in order; and those that are too old."""
        uncounted: list[str] = []
        if self._by_version and (self.latest is not None or self.sort is not None):
            versions = {tag: version.order for tag in tags if (version := Version.read(tag)) is not None}
            uncounted = [tag for tag in tags if tag not in versions]
            tags = sorted(versions, key=versions.__getitem__)
        if self.latest is None:
            return [*tags, *uncounted], []
        tags.reverse()
        return [*tags[: self.latest], *uncounted], tags[self.latest :]


def _by_name(tag: str) -> tuple[str, str]:
    return natural_order(tag), tag


def _matching(globs: Iterable[tuple[str, re.Pattern[str]]], tag: str) -> str | None:
    """Return the first of the globs that matches."""
    return next((glob for glob, pattern in globs if pattern.match(tag) is not None), None)


def _listed(part: str, globs: object) -> tuple[str, ...]:
    if isinstance(globs, str):
        return (globs,)
    if isinstance(globs, Mapping | bytes) or not isinstance(globs, Iterable):
        raise InvalidFilter(part, f"can't be {_shown(globs)}", hint="write a glob, or a list of them")
    return tuple(globs)


def _check_globs(part: str, globs: object) -> None:
    if not isinstance(globs, tuple):
        raise InvalidFilter(part, f"can't be {_shown(globs)}", hint="write a list of globs")
    if len(globs) > _MOST:
        raise InvalidFilter(part, f"has {len(globs)} globs; at most {_MOST} are taken")
    for glob in globs:
        if not isinstance(glob, str) or not glob:
            raise InvalidFilter(part, f"can't be {_shown(glob)}", hint="write a glob such as v1.* or *-fp16")
        if len(glob) > _LONGEST:
            raise InvalidFilter(part, f"{quoted(glob, limit=40)} is longer than {_LONGEST} characters")
        if glob == "!" or (glob.startswith("!") and part != "include"):
            hint = "! before a glob of include leaves out what it matches; no tag begins with !"
            raise InvalidFilter(part, f"can't be {_shown(glob)}", hint=hint)


def _check_count(part: str, value: object, least: int) -> None:
    if type(value) is not int or not least <= value <= _MOST_TAGS:
        raise InvalidFilter(part, f"can't be {_shown(value)}", hint=f"write a number from {least} to {_MOST_TAGS}")


def _shown(value: object) -> str:
    try:
        return quoted(value) if isinstance(value, str) else printable(repr(value), limit=60)
    except ValueError:  # a number of more than 4,300 digits
        return "a number of so many digits"
