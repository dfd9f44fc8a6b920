"""`Profile`: how a registry takes uploads, as it is known (`kinds.py`) or was learned. Each quirk is one line here."""

from __future__ import annotations

from msgspec import Struct
from msgspec.structs import replace

from ..protocol.cut_behaviour import CutBehaviour
from ..protocol.upload.chunks import WholePut


class Profile(Struct, frozen=True):
    """How a registry takes uploads. `chunk_limit` in bytes; `whole`: what is sent in one PUT; `ollama`: Ollama's way.

    `ecr`: Amazon's, whose Range is no offset, which takes no short part but the last, and that one in the PUT. `kept`
    is what it keeps of a cut chunk, `rate` the last bytes a second of one body. `mounts_itself`: a mount from the
    repository itself works if the blob is there, which saves asking first; None: not tried.
    """

    chunk_limit: int | None = None
    whole: WholePut = WholePut.SMALL
    ollama: bool = False
    kept: CutBehaviour = CutBehaviour.UNKNOWN
    rate: float | None = None
    mounts_itself: bool | None = None
    ecr: bool = False

    def after(self, learned: Profile) -> Profile:
        """Return the profile, updated by what was `learned` of this host."""
        return replace(
            learned,
            chunk_limit=learned.chunk_limit or self.chunk_limit,
            whole=self.whole if learned.whole is WholePut.SMALL else learned.whole,
            ollama=self.ollama,
            ecr=self.ecr or learned.ecr,
        )

    @property
    def words(self) -> tuple[str, ...]:
        """What it says, for people; nothing for what is usual."""
        kept = {
            CutBehaviour.NOTHING: "forgets an upload that was cut",
            CutBehaviour.ACKNOWLEDGED: "keeps the answered chunks of an upload that was cut",
            CutBehaviour.EVERYTHING: "keeps every byte of an upload that was cut",
        }
        whole = {
            WholePut.ONLY: "takes each blob in one request",
            WholePut.FIRST: "takes each blob in one request, chunks after a broken connection",
            WholePut.NEVER: "takes no blob in one request",
        }
        limit = self.chunk_limit
        found = (
            f"takes chunks of at most {limit:,} bytes" if limit is not None else None,
            whole.get(self.whole),
            kept.get(self.kept),
            "says nothing of use about the offset" if self.ecr else None,
            {True: "mounts blobs from the repository itself", False: None, None: None}[self.mounts_itself],
            f"took {self.rate / 1e6:.0f} MB/s a body" if self.rate else None,
        )
        return tuple(each for each in found if each is not None)
