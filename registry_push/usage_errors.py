"""Errors of what was asked for: exit code 2."""

from __future__ import annotations

from .root_error import Origin, RegistryPushError
from .text.hint import Hint


class UsageError(RegistryPushError):
    """A request that can't be understood or can't be fulfilled."""

    exit_code = 2
    origin = Origin.USER


class InvalidName(UsageError):
    """A model name, reference or place that breaks its grammar."""


class InvalidDigest(UsageError):
    """A digest that is not `sha256:` and 64 hexadecimal digits."""


class UnsupportedDigest(InvalidDigest):
    """A digest of another algorithm than sha256, such as sha512."""

    default_hint = "have it pushed with sha256 digests, as nearly everything is"


class NameNotMappable(UsageError):
    """A model name that is no OCI repository or tag; it is never changed silently."""


class NameCollision(UsageError):
    """Two models that would have one name at the target."""


class InvalidPlan(UsageError):
    """A plan for `sync` that can't be carried out as it is written. The message begins with file, line and key."""


class InvalidFilter(UsageError):
    """A filter of tags that can't be understood. `part` is the wrong one: include, semver, latest and so on.

    The message is the part and the `complaint`.
    """

    def __init__(self, part: str, complaint: str, *, hint: str | Hint | None = None) -> None:
        super().__init__(f"{part} {complaint}", hint=hint)
        self.part = part
        self.complaint = complaint

    def about(self, name: str) -> InvalidFilter:
        """Return the same error about a part that is called `name` where the user wrote it."""
        found = InvalidFilter(name, self.complaint, hint=self.next_step)
        found.part = self.part
        return found


class InvalidSettings(UsageError):
    """An invalid value, wherever it was set. The message begins with `setting`, its field of `Settings`, if any.

    `host` is the registry that it was set for, None if it was set for all.
    """

    def __init__(
        self, message: str, *, hint: str | Hint | None = None, setting: str | None = None, host: str | None = None
    ) -> None:
        named = setting if host is None else f"{setting or 'a setting'} of the host {host}"
        super().__init__(f"{named} {message}" if named else message, hint=hint)
        self.setting = setting
        self.host = host
        self._complaint = message

    def about(self, name: str) -> InvalidSettings:
        """Return the same error about a setting that is called `name` where the user set it."""
        return InvalidSettings(f"{name} {self._complaint}", hint=self.next_step)

    def at(self, host: str) -> InvalidSettings:
        """Return the same error about the setting as it was set for `host`, where it is a line and no flag."""
        hint = self.next_step.worded(lambda part: getattr(part, "name", str(part))) if self.next_step else None
        return InvalidSettings(self._complaint, hint=hint, setting=self.setting, host=host)
