"""How many bodies a registry bears at once, by its answers: additive increase, multiplicative decrease. Pure."""

from __future__ import annotations


class AIMD:
    """The number of bodies at once: at most `most`, as asked for; fewer while the registry turns requests away."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._well = 0  # bodies since the last change
        self._is_counted = False  # whether a refusal of the bodies now under way has been counted
        self.size = most

    def turned_away(self) -> None:
        """Halve the number after a 429 or 5xx; refusals of bodies under way together count once."""
        if not self._is_counted:
            self.size = max(1, self.size // 2)
        self._well, self._is_counted = 0, True

    def went_well(self) -> None:
        """Note that a body was taken; once as many have been as may go at once, allow one more."""
        self._well, self._is_counted = self._well + 1, False
        if self.size < self._most and self._well >= self.size:
            self.size, self._well = self.size + 1, 0
