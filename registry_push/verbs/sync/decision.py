"""What is done with a tag, by what the source and the target have under it. Pure."""

from __future__ import annotations

from collections.abc import Collection

from msgspec import Struct

from ...errors import RegistryPushError, TagTaken
from ...events import Action
from ...model import Digest
from .plan import Entry


class Verdict(Struct, frozen=True):
    """The action, and why. `backs_up`: the manifest that the target has gets another tag first."""

    action: Action
    reason: str
    backs_up: bool = False
    error: RegistryPushError | None = None


def at_once(entry: Entry, tag: str, target_has: Collection[str]) -> Verdict | None:
    """Return the verdict if no digest is needed for it: the target lists an immutable tag."""
    if tag in target_has and entry.tags.is_immutable(tag):
        return Verdict(Action.KEPT, "immutable, and at the target")
    return None


def decided(entry: Entry, tag: str, digest: Digest, there: Digest | None, target: object) -> Verdict:
    """Return what is done with `tag`, which is `digest` at the source and `there` at the `target`."""
    why = "" if entry.tags.takes_all else f"; {entry.tags.why_in(tag)}"
    if there is None:
        return Verdict(Action.COPIED, f"new{why}")
    if there == digest:
        return Verdict(Action.PRESENT, "the target has the same manifest")
    if entry.tags.is_immutable(tag):
        return Verdict(Action.KEPT, "immutable, and at the target")
    match entry.on_exists:
        case "keep":
            return Verdict(Action.KEPT, "the target has another manifest under this tag, and on_exists is keep")
        case "error":
            error = TagTaken(
                f"{target} is there already, and is {there}",
                hint='to replace what is there, write on_exists = "update"; to leave it, "keep"',
            )
            return Verdict(Action.FAILED, error.message, error=error)
        case "update":
            return Verdict(Action.COPIED, f"moved from {there.short}{why}", backs_up=entry.backup is not None)
