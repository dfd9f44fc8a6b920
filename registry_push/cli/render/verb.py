"""`Verb`: how a command calls what it does, so that a pull is not said to push."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from ...events import Placement


class Verb(Struct, frozen=True):
    """The forms of a command's verb, and of the one for what happens to a blob.

    `pull`, `pulling`, `pulled`; a blob that was `pulled`, that another command is `fetching`, that a dry run would
    `fetch`, that is `fetched` again. `kept` is what is not lost if the command is stopped.
    """

    name: str
    doing: str
    done: str
    uploaded: str
    moves: str
    moving: str
    moved: str
    kept: str

    @property
    def placed(self) -> dict[Placement, str]:
        """How each blob came to be where it is."""
        return {Placement.UPLOADED: self.uploaded, Placement.MOUNTED: "mounted", Placement.PRESENT: "there already"}

    @property
    def would(self) -> dict[Placement, str]:
        """The same, of a dry run."""
        return {
            Placement.UPLOADED: f"would be {self.moved}",
            Placement.MOUNTED: "would be mounted",
            Placement.PRESENT: "there already",
        }


PUSH: Final = Verb(
    "push", "pushing", "pushed", "uploaded", "send", "sending", "sent", "what the registry has acknowledged is kept"
)
PULL: Final = Verb(
    "pull", "pulling", "pulled", "pulled", "fetch", "fetching", "fetched", "what has been fetched is kept"
)
COPY: Final = Verb(
    "copy", "copying", "copied", "copied", "copy", "copying", "copied", "what the target has acknowledged is kept"
)
