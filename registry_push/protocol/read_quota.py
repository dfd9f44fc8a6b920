"""`ReadQuota`: whether another manifest may be read, by what the registry says is left. Pure."""

from __future__ import annotations

from .rate_limit import RateLimit


class ReadQuota:
    """Leaves `least` reads unused. What is under way may not be counted by the registry yet, so it is counted here."""

    def __init__(self, least: int) -> None:
        self.under_way = 0
        self.limit: RateLimit | None = None  # the last one that was told; None: not known
        self._least = least
        self._told = 0  # how often the limit was told

    @property
    def allows(self) -> bool:
        """Whether another read may begin."""
        return self.limit is None or self.limit.remaining - self.under_way > self._least

    def begin(self) -> int:
        """Count a read that begins, and return its ticket."""
        self.under_way += 1
        return self._told

    def end(self, ticket: int, limit: RateLimit | None) -> None:
        """Note the end of a read, and what its answer says.

        Answers overtake each other: of those to reads that began before the last news, only less is news.
        """
        self.under_way -= 1
        if ticket == self._told:
            self.asked(limit)
        else:
            self.saw(limit)

    def saw(self, limit: RateLimit | None) -> None:
        """Note what an answer to something else says, which may have been overtaken by one to a read."""
        if limit is not None and (self.limit is None or limit.remaining < self.limit.remaining):
            self.asked(limit)

    def asked(self, limit: RateLimit | None) -> None:
        """Note what the registry says when nothing else is under way."""
        if limit is not None:
            self.limit = limit
            self._told += 1

    def forget(self) -> None:
        """Forget the limit: its time is over."""
        self.limit = None
