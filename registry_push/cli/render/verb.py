"""`Verb`: the words for what a command does, so that a pull does not report pushing."""

from __future__ import annotations

from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from ...events import Placement


class Verb(Struct, frozen=True):
    """The forms of a command's verb, and of the verb for a blob.

    `pull`, `pulling`, `pulled`; a blob that was `pulled`, that another command is `fetching`, that a dry run would
    `fetch`, that is `fetched` again. If the command is stopped, `stopping` says what it is still doing, and `kept` what
    is not lost. `present`: what a blob is that was there, or was seen before. `failed`: what a model is that is not
    `done`. `has_target`: a model gets somewhere. `unit` is what the run counts. `is_brief`: there may be thousands,
    so a line for each that has changed is enough.
    """

    name: str
    doing: str
    done: str
    uploaded: str
    moves: str
    moving: str
    moved: str
    stopping: str
    kept: str
    present: str = "there already"
    failed: str = "failed"
    has_target: bool = True
    unit: str = "model"
    is_brief: bool = False

    @property
    def placed(self) -> dict[Placement, str]:
        """The word for each way in which a blob came to its target."""
        return {
            Placement.UPLOADED: self.uploaded,
            Placement.MOUNTED: "mounted",
            Placement.PRESENT: self.present,
            Placement.PARTIAL: "in part",
            Placement.REPAIRED: "repaired",
            Placement.DAMAGED: "damaged",
        }

    @property
    def would(self) -> dict[Placement, str]:
        """The same for a dry run."""
        return {
            Placement.UPLOADED: f"would be {self.moved}",
            Placement.MOUNTED: "would be mounted",
            Placement.PRESENT: self.present,
        }


_CHUNKS: Final = "finishing the chunks under way"

PUSH: Final = Verb(
    name="push",
    doing="pushing",
    done="pushed",
    uploaded="uploaded",
    moves="send",
    moving="sending",
    moved="sent",
    stopping=_CHUNKS,
    kept="what the registry keeps is not sent again",
)
PULL: Final = Verb(
    name="pull",
    doing="pulling",
    done="pulled",
    uploaded="pulled",
    moves="fetch",
    moving="fetching",
    moved="fetched",
    stopping="stopping; what has been fetched is written",
    kept="what has been fetched is kept",
)
COPY: Final = Verb(
    name="copy",
    doing="copying",
    done="copied",
    uploaded="copied",
    moves="copy",
    moving="copying",
    moved="copied",
    stopping=_CHUNKS,
    kept="what the target keeps is not sent again",
)
EXPORT: Final = Verb(
    name="export",
    doing="exporting",
    done="exported",
    uploaded="exported",
    moves="write",
    moving="writing",
    moved="written",
    stopping="stopping; what has been written is kept",
    kept="what has been written is kept",
)
IMPORT: Final = Verb(
    name="import",
    doing="importing",
    done="imported",
    uploaded="imported",
    moves="import",
    moving="importing",
    moved="imported",
    stopping=_CHUNKS,
    kept="what the target keeps is not sent again",
)
RESUME: Final = Verb(
    name="run",
    doing="resuming",
    done="resumed",
    uploaded="transferred",
    moves="transfer",
    moving="transferring",
    moved="transferred",
    stopping="finishing what is under way",
    kept="what the target keeps is not transferred again",
)
SYNC: Final = replace(COPY, name="sync", kept="what the targets keep is not sent again", unit="tag", is_brief=True)
VERIFY: Final = Verb(
    name="verify",
    doing="verifying",
    done="whole",
    uploaded="verified",
    moves="read",
    moving="reading",
    moved="read",
    stopping="stopping",
    kept="what was repaired stays so",
    present="verified already",
    failed="damaged",
    has_target=False,
)
