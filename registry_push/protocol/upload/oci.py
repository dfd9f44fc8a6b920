"""`OCIMachine`: an upload as the OCI specification has it, in chunks or in one PUT. Pure."""

from __future__ import annotations

from ..cut_behaviour import CutBehaviour
from ..response import NO_ANSWER, Kind, RegistryResponse
from .chunks import MiB, Span
from .machine import Row
from .oci_steps import OCISteps
from .oci_table import row_of
from .parts import Parts
from .requests import UploadRecord, UploadRequest
from .states import Event, State


class OCIMachine(OCISteps):
    """The requests of chunks and of one PUT. What follows from the answers is in `oci_table.py`."""

    def row_of(self, what: Kind | Event) -> Row[OCISteps]:
        """Return the row for `what` in the present state."""
        return row_of(self.upload.state, what)

    @property
    def own_record(self) -> UploadRecord | None:
        """What to keep of this session; None if none is open."""
        upload = self.upload
        if not upload.location:
            return None
        first = min(self._trail.first, upload.blob.size)
        return UploadRecord(upload.location, upload.offset, chunk=first, is_equal=upload.plan.is_equal and first > 0)

    def _request(self, after: float) -> UploadRequest | Parts | None:
        upload = self.upload
        if upload.state is State.OPEN:
            span = self._next_span()
            if not (upload.plan.last_in_put and span.start and span.stop == upload.blob.size):
                upload.attempted = span.stop
                return self._body(UploadRequest.chunk(upload.location, span, after=after))
            self.take(Event.LAST_CHUNK, RegistryResponse(NO_ANSWER, upload.location))
        match upload.state:
            case State.UNCERTAIN:
                return UploadRequest("GET", upload.location, {}, after=after)
            case State.MEASURING:
                return UploadRequest("HEAD", upload.endpoints.blob, {}, after=after)
            case _:
                return super()._request(after)

    def receive(self, answer: RegistryResponse | Parts, *, sent: int | None = None) -> None:
        """Take the answer to the last request, of whose body `sent` bytes were sent (None: all)."""
        if isinstance(answer, RegistryResponse) and answer.kind is Kind.BUSY:
            self._note_unanswered()
        super().receive(answer, sent=sent)

    def connection_lost(self, reason: str, *, sent: int = 0) -> None:
        """Note that the last request got no answer that can be relied on, after `sent` bytes of its body."""
        upload = self.upload
        self._cut = sent if upload.state is State.OPEN else self._cut
        self._put_cuts += upload.state is State.COMMITTING and sent < upload.attempted - upload.offset
        self._note_unanswered()
        super().connection_lost(reason, sent=sent)

    def _note_unanswered(self) -> None:
        """Return whether the chunk may have been taken whole, without an answer that says so."""
        if self.upload.state is State.OPEN:
            self._trail.unanswered = self.upload.attempted

    def _next_span(self) -> Span:
        self._choose_chunk()
        upload = self.upload
        is_costly = upload.kept in (CutBehaviour.UNKNOWN, CutBehaviour.ACKNOWLEDGED)  # others keep all, or nothing
        plan = upload.plan.shared(upload.bodies) if is_costly else upload.plan
        return plan.span(upload.offset)

    def _choose_chunk(self) -> None:
        upload = self.upload
        if upload.kept is CutBehaviour.EVERYTHING:
            upload.plan = upload.plan.paced(upload.blob.size + MiB)
        elif (chunk := upload.pace.chunk(upload.plan.chunk)) is not None:
            upload.plan = upload.plan.paced(chunk)
