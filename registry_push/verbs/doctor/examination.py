"""`Examination`: what the checks have found, and the verdict. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from .finding import OUT_OF_TIME, Finding, State

# Problems that the verdict quotes.
_QUOTED: Final = 3


class Examined(Struct, frozen=True):
    """A check that has ended; `host` is the registry that it is about, None for this machine.

    `repository` is given where several of one registry are examined.
    """

    id: str
    host: str | None
    finding: Finding
    repository: str | None = None

    @property
    def about(self) -> str:
        """What it is about, as messages name it."""
        return "this machine" if self.host is None else place(self.host, self.repository)


class Examination(Struct, frozen=True):
    """All that was found about this machine and `hosts`; `places` are these, or repositories of one host."""

    checks: tuple[Examined, ...]
    hosts: tuple[str, ...]
    places: tuple[str, ...]
    is_whole: bool = True  # whether all checks were wanted
    written: tuple[str, ...] = ()  # the places at which an upload was tried
    to_try: str = "HOST/REPOSITORY"  # where one could be tried, as far as that was named

    @property
    def troubles(self) -> tuple[Examined, ...]:
        """The checks that found what stops a push."""
        return tuple(each for each in self.checks if each.finding.state in (State.FAIL, State.CRASHED))

    @property
    def exit_code(self) -> int:
        """0 if nothing stops a push, else the code of the first trouble's error."""
        return next((each.finding.exit_code for each in self.troubles), 0)

    @property
    def verdict(self) -> str:
        """The last line."""
        if self.troubles:
            return self._troubled
        where = self._named(self.places)
        if any(each.finding is OUT_OF_TIME for each in self.checks):
            return f"nothing that stops pushes {where} was found, but there was no time for all checks"
        if not self.is_whole:
            return "nothing that stops pushes was found by these checks"
        if any(each.id == "store.found" and each.finding.state is State.WARN for each in self.checks):
            return f"there is no store to push from; nothing else stops pushes {where}"
        return f"ready to push {where}"

    @property
    def untried(self) -> str | None:
        """What the verdict does not say; None if it says all."""
        reading = [place for place in self.places if place not in self.written]
        if self.troubles or not self.is_whole or not reading:
            return None
        return f"Whether you may write at {', '.join(reading)} was not tried; to try it: --write {self.to_try}"

    @property
    def _troubled(self) -> str:
        """What was found, and the registries that it concerns: all of them if it is this machine's."""
        here = any(each.host is None for each in self.troubles)
        concerned = self.places if here else tuple(dict.fromkeys(each.about for each in self.troubles))
        # What is wrong at a host is found once for each of its repositories.
        summaries = [words for _, words in dict.fromkeys((each.host, each.finding.summary) for each in self.troubles)]
        more = len(summaries) - _QUOTED
        words = "; ".join(summaries[:_QUOTED]) + (f"; and {more} more" if more > 0 else "")
        count = "1 problem stops" if len(summaries) == 1 else f"{len(summaries)} problems stop"
        return f"{count} pushes {self._named(concerned)}: {words}"

    @staticmethod
    def _named(places: Sequence[str]) -> str:
        return f"to {', '.join(places)}" if places else "from this machine"


def place(host: str, repository: str | None) -> str:
    """Return a registry, or a repository there, as messages name it."""
    return host if repository is None else f"{host}/{repository}"
