"""Locations that lead away from the registry, and how to configure a proxy in front of it. Pure."""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

from ..errors import Denied, ProtocolViolation, RegistryPushError, Unauthorized, Unavailable
from ..model import HTTPOrigin
from .response import Kind, RegistryResponse

# How to stop a registry from naming an internal address, or from leaving out the prefix that a proxy adds.
CHECK_PROXY: Final = (
    "a proxy before the registry has to pass on how it is reached: Host or X-Forwarded-Host, X-Forwarded-Proto, and"
    " the whole path; in the configuration of docker's registry, set http.host, or http.relativeurls: true"
)


class Whereabouts:
    """Where the newest session of an upload is, and whether anything has ever worked there."""

    def __init__(self, uploads: str) -> None:
        self._uploads = uploads
        self._location = ""
        self._trouble: str | None = None  # what the last request there came to, if there or nowhere
        self._has_worked = False

    def led_to(self, location: str) -> str:
        """Note that the registry has opened a session at `location`, and return it."""
        self._location, self._trouble = location, None
        return location

    def saw(self, answer: RegistryResponse, trouble: str) -> None:
        """Learn from an answer, or from its absence; `trouble` says in words what went wrong."""
        if answer.url.partition("?")[0] == self._location.partition("?")[0]:
            self._has_worked = self._has_worked or answer.kind in (Kind.CREATED, Kind.ACCEPTED, Kind.WRONG_OFFSET)
            self._trouble = None if answer.kind is Kind.BUSY else trouble  # being busy passes
        elif answer.kind in (Kind.LOST, Kind.BUSY):
            self._trouble = None  # the registry itself is in trouble

    def broke_in_body(self) -> None:
        """Note that something there has taken a part of a body."""
        self._has_worked = True

    @property
    def is_astray(self) -> bool:
        """Whether the session is not at the registry, and no request there has worked."""
        return bool(self._location) and self._trouble is not None and not self._has_worked and self._leads_elsewhere

    @property
    def _leads_elsewhere(self) -> bool:
        here, there = HTTPOrigin.of(self._uploads), HTTPOrigin.of(self._location)
        path = urlsplit(self._uploads).path.rstrip("/")
        return there != here or not urlsplit(self._location).path.startswith(path)

    def judged(self, error: RegistryPushError) -> RegistryPushError:
        """Return `error`, or an error that names the wrong address if that is why the upload failed."""
        if not self.is_astray or not isinstance(error, Unavailable | Unauthorized | Denied):
            return error
        here, there = HTTPOrigin.of(self._uploads), HTTPOrigin.of(self._location)
        if there == here and isinstance(error, Denied):  # it knows who we are
            return error
        where = str(there) if there != here else f"{here}{urlsplit(self._location).path}"
        return ProtocolViolation(
            f"{here.netloc} sends the upload to {where} (its Location), and that does not work: {self._trouble}",
            hint=CHECK_PROXY,
            url=self._location,
        )
