"""How many bodies a registry bears at once, by its answers: additive increase, multiplicative decrease. Pure."""

from __future__ import annotations


class AIMD:
    """At most `most`, as many as were asked for; fewer while the registry turns requests away."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._well = 0  # bodies since the last change
        self._is_counted = False  # those that go now were turned away together, and that is allowed for
        self.size = most

    def turned_away(self) -> None:
        """An answer was 429 or 5xx: half as many. Those that were under way together count as one."""
        if not self._is_counted:
            self.size = max(1, self.size // 2)
        self._well, self._is_counted = 0, True

    def went_well(self) -> None:
        """A body was taken. When all that go at once were, one more may go."""
        self._well, self._is_counted = self._well + 1, False
        if self.size < self._most and self._well >= self.size:
            self.size, self._well = self.size + 1, 0
