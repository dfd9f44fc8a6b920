"""Errors with exit code 5: the registry refuses something for good, or does not keep to the protocol.

They are part of the tree in `errors`, which is where they are imported from.
"""

from __future__ import annotations

from .root_error import Origin, RegistryPushError
from .text.hint import Hint


class Refused(RegistryPushError):
    """The registry refuses this for good: trying again does not help."""

    exit_code = 5
    origin = Origin.TARGET
    default_hint = "the registry's words say why: ask who runs it, or push to another; trying again will not help"


class ManifestRefused(Refused):
    """Every blob is at the registry, but the manifest was refused.

    `lacks_blobs`: because the registry reports missing blobs, which may pass.
    """

    def __init__(
        self, message: str, *, hint: str | Hint | None = None, url: str | None = None, lacks_blobs: bool = False
    ) -> None:
        super().__init__(message, hint=hint, url=url)
        self.lacks_blobs = lacks_blobs


class TagTaken(Refused):
    """The tag exists and names another manifest, which must stay (`--no-clobber`)."""


class PlanOutdated(Refused):
    """What a reviewed plan of `sync` says is not so any more: a tag has moved since."""

    default_hint = "look at what has changed, and write the plan anew: sync PLAN.toml --dry-run --plan-out FILE"


class TooManyDeletions(Refused):
    """A `sync` would delete more than it may: nothing was deleted."""

    default_hint = "look at what they are with --dry-run; if they may go, give a larger --max-delete"


class NoCatalog(Refused):
    """The registry has no list of its repositories."""

    default_hint = "name its repositories one by one, in a plan with an entry for each: registry:HOST/PATH"


class ProtocolViolation(Refused):
    """The registry's answer is not allowed by any version of the protocol."""

    default_hint = "check that the address is a registry's: curl -i SCHEME://HOST/v2/"


class ForeignAddress(ProtocolViolation):
    """A registry sent us to an address inside a network that is not its own."""

    default_hint = "nothing was sent there; ask the registry's owner where its storage and token service are"


class NotARegistry(ProtocolViolation):
    """Something answers at the address, but it is no registry: a web page, a captive portal, a catch-all server."""
