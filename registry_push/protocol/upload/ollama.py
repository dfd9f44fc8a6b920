"""`OllamaMachine`: an upload as Ollama's registry wants it, in parts or whole to its storage. Pure."""

from __future__ import annotations

from ...errors import Unavailable
from ..response import NO_ANSWER, Kind, RegistryResponse
from .machine import Row
from .ollama_steps import OllamaSteps
from .ollama_table import row_of
from .parts import Parts
from .requests import UploadRecord, UploadRequest
from .states import Event, State


class OllamaMachine(OllamaSteps):
    """The requests of parts and of a PUT to the storage. What follows from the answers is in `ollama_table.py`."""

    def row_of(self, what: Kind | Event) -> Row[OllamaSteps]:
        """Return the row for `what` in the present state."""
        return row_of(self.upload.state, what)

    @property
    def own_record(self) -> UploadRecord | None:
        """What to keep of this session; None if none is open, or if it has no part and not all of the blob."""
        upload = self.upload
        if not upload.location:
            return None
        if self._parts is not None:
            return self._parts.record
        # The registry reports no status. Only a blob that is all in the storage can be continued: by the commit.
        return UploadRecord(upload.location, upload.offset, direct=True) if upload.offset == upload.blob.size else None

    def go_on(self, answer: RegistryResponse) -> None:
        """Take over from OCI's machine, to which `answer` has opened a session."""
        self.take(answer.kind, answer)

    def _request(self, after: float) -> UploadRequest | Parts | None:
        match self.upload.state:
            case State.PARTS:
                self._parts = self._next_parts()
                return self._parts
            case State.DIRECT:
                return self._direct
            case _:
                return super()._request(after)

    def receive(self, answer: RegistryResponse | Parts, *, sent: int | None = None) -> None:
        """Take the answer to the last request, of whose body `sent` bytes were sent, or all; or the parts, answered."""
        if isinstance(answer, Parts):
            self._parts_over(answer)
        else:
            super().receive(answer, sent=sent)

    def _parts_over(self, parts: Parts) -> None:
        """Take the outcome of the parts."""
        upload = self.upload
        upload.location, upload.trouble = parts.location, parts.trouble
        if len(parts.done) > len(upload.resume.done if upload.resume else ()):  # the old session continues after all
            upload.leave_beside()
        answer = parts.lost or RegistryResponse(NO_ANSWER, parts.location)
        if isinstance(parts.failure, Unavailable):
            self.take(Event.PARTS_GIVEN_UP, answer)
        elif parts.failure is not None:
            self.take(Event.PARTS_REFUSED, answer)
        elif parts.lost is not None:
            upload.trouble = str(parts.lost)
            self.take(Event.PARTS_LOST, answer)
        else:
            self.take(Event.PARTS_PLACED, answer)

    def _next_parts(self) -> Parts:
        """Return all parts except those that an earlier process has stored in this session."""
        upload, before = self.upload, self.upload.resume
        if before is None or not before.part:
            wanted = upload.ollama.part if upload.ollama else None
            return Parts(upload.blob, upload.location, wanted=wanted, budget=upload.budget)
        return Parts(
            upload.blob,
            upload.location,
            wanted=before.part,
            budget=upload.budget,
            done=before.done,
            first=before.first,
            is_resumed=True,
        )
