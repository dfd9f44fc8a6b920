"""`UploadSession`: one blob on its way into a repository. Pure: it returns the next request, and takes the answer.

    session = UploadSession(UploadState(blob, endpoints, plan, budget=Budget(5)))
    while (request := session.next_request()) is not None:
        …send it after `request.after` seconds, then session.receive(answer) or session.connection_lost(reason)…

Two machines know what to say, each in its dialect: `oci.py` and `ollama.py`. What follows from an answer is data: each
has a table of rows (`oci_table.py`, `ollama_table.py`), and the theory stands above them. The session picks the
machine, and changes over to the other one if that is what the registry turns out to want. After DONE, `placement` says
how the blob came to be there; after FAILED, `failure` is the error to raise.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...errors import NotAllowed, NotARegistry, Refused, RegistryPushError, Unavailable
from ...events import Placement
from ...model import Descriptor, HTTPOrigin
from ..cut_behaviour import CutBehaviour
from ..response import RegistryResponse
from .chunks import ChunkPlan, WholePut
from .machine import Conversation
from .oci import OCIMachine
from .parts import Parts
from .requests import UploadRecord, UploadRequest
from .states import State
from .upload_state import UploadState

if TYPE_CHECKING:
    from ..auth.challenge import Scopes
    from .ollama import OllamaMachine


class UploadSession(Conversation):
    """The upload of one blob. Not thread-safe; nothing here blocks, waits or raises because of an answer."""

    def __init__(self, upload: UploadState) -> None:
        self._upload = upload
        is_ollamas = upload.resume.is_ollamas if upload.resume is not None else upload.ollama is not None
        self._machine: OCIMachine | OllamaMachine = self._ollama_machine() if is_ollamas else OCIMachine(upload)

    # ── the conversation ──────────────────────────────────────────────────────────────────────────

    def next_request(self) -> UploadRequest | Parts | None:
        """As `Conversation.next_request`."""
        return self._machine.next_request()

    def receive(self, answer: RegistryResponse | Parts, *, sent: int | None = None) -> None:
        """As `Conversation.receive`."""
        self._machine.receive(answer, sent=sent)
        self._hand_over()

    def connection_lost(self, reason: str, *, sent: int = 0) -> None:
        """As `Conversation.connection_lost`."""
        self._machine.connection_lost(reason, sent=sent)
        self._hand_over()

    def unreachable(self, error: Unavailable | NotAllowed) -> bool:
        """As `Conversation.unreachable`."""
        is_over = self._machine.unreachable(error)
        self._hand_over()
        return is_over

    def _hand_over(self) -> None:
        """Switch to Ollama's machine if OCI's has found that the session is at Ollama's registry."""
        answer = self._upload.handed_over
        if answer is not None:
            self._upload.handed_over = None
            self._machine = machine = self._ollama_machine()
            machine.go_on(answer)

    def _ollama_machine(self) -> OllamaMachine:
        from .ollama import OllamaMachine  # most registries don't speak this dialect

        return OllamaMachine(self._upload)

    # ── what the driver has to tell besides ───────────────────────────────────────────────────────

    def share_line(self, bodies: int) -> None:
        """Note how many bodies are sent to the registry at once, this one among them."""
        self._upload.bodies = bodies

    def stored_as(self, etag: str) -> None:
        """Note the storage's `etag` of the parts, which the closing request names."""
        self._upload.etag = etag

    def others_got_through(self) -> None:
        """Wait without losing a try: the registry turns this upload away, but takes others meanwhile."""
        self._upload.budget.restore()

    def scopes(self, request: UploadRequest) -> Scopes:
        """Return the scopes that `request` needs."""
        own = f"repository:{self.repository}:pull,push"
        if not request.is_offer:
            return (own,)
        # The target's scope last: GitLab counts only the last of several.
        others = (source for source in self._upload.mount_from if source != self.repository)
        return (*(f"repository:{source}:pull" for source in others), own)

    # ── where it stands ───────────────────────────────────────────────────────────────────────────

    @property
    def state(self) -> State:
        """The state of the upload."""
        return self._upload.state

    @property
    def blob(self) -> Descriptor:
        """What is uploaded."""
        return self._upload.blob

    @property
    def repository(self) -> str:
        """Where it goes."""
        return self._upload.endpoints.repository

    @property
    def plan(self) -> ChunkPlan:
        """The plan of requests, as far as the registry's limits are known."""
        return self._upload.plan

    @property
    def offset(self) -> int:
        """How many bytes of the blob are acknowledged."""
        return self._upload.offset

    @property
    def trouble(self) -> str:
        """Why the last request failed, for messages."""
        return self._upload.trouble

    @property
    def restarts(self) -> int:
        """How often the upload began again."""
        return self._upload.restarts

    @property
    def is_left_by_another(self) -> bool:
        """Whether an earlier process has opened the session."""
        return self._upload.resume is not None

    @property
    def is_done(self) -> bool:
        """Whether the blob is there."""
        return self.state is State.DONE

    @property
    def placement(self) -> Placement | None:
        """How the blob got there; None until it has."""
        return self._upload.placement

    @property
    def failure(self) -> RegistryPushError | None:
        """The error to raise; None unless the upload has failed."""
        return self._upload.failure

    # ── what is to be remembered of the host ──────────────────────────────────────────────────────

    @property
    def kept(self) -> CutBehaviour:
        """What the registry keeps of a cut chunk, as far as it has shown."""
        return self._upload.kept

    @property
    def is_at_ollama(self) -> bool:
        """Whether the registry is one of Ollama's, as far as is known."""
        return self._upload.ollama is not None

    @property
    def learned_whole(self) -> WholePut | None:
        """Which blobs are sent in one PUT here, if the upload has learned that."""
        return self._upload.learned_whole

    @property
    def has_learned(self) -> bool:
        """Whether the upload may have learned something to remember for the host."""
        upload = self._upload
        is_plain = upload.kept is CutBehaviour.UNKNOWN and upload.ollama is None and upload.plan.limit is None
        return not is_plain or upload.limit_failed or upload.learned_whole is not None or upload.plan.last_in_put

    def learned_limit(self, known: int | None) -> int | None:
        """Return the most bytes that the host takes in one chunk; `known` is what was known of it before.

        A limit counts only if a chunk within it was accepted, and none was refused for good.
        """
        upload = self._upload
        if upload.limit_failed or isinstance(self.failure, Refused) or (self.failure and self._machine.was_refused):
            return None
        limits = [limit for limit in (known, upload.plan.limit) if limit]
        return min(limits, default=None) if upload.limit_holds else known

    # ── what is to be kept, and what is to be given back ──────────────────────────────────────────

    @property
    def record(self) -> UploadRecord | None:
        """The record to store; None while the registry holds nothing that could be continued."""
        upload, uploads = self._upload, self._upload.endpoints.uploads
        # An expired login does not mean that bytes are lost, except in a session elsewhere, which gets none of ours.
        is_ours = HTTPOrigin.of(upload.location or uploads) == HTTPOrigin.of(uploads)
        # Nor does a captive portal in front of the registry.
        passes = Unavailable | NotARegistry | NotAllowed if is_ours else Unavailable | NotARegistry
        is_worth_it = upload.state is not State.FAILED or isinstance(upload.failure, passes)
        if upload.state in (State.DONE, State.MEASURING) or not is_worth_it:
            return None
        own = self._machine.own_record
        # Until a fresh session holds something, the old one may still be the better.
        return own if upload.before is None or upload.has_bytes(own) else upload.before

    @property
    def got_nowhere(self) -> bool:
        """Whether nothing got through although the registry works, not even in a fresh session."""
        upload = self._upload
        return upload.is_fresh and not self.is_done and not upload.has_bytes(self._machine.own_record)

    @property
    def cancel_request(self) -> UploadRequest | None:
        """The request to delete the session; None if there is none. Ollama's registry knows no DELETE."""
        if not self._upload.location or self.placement is not None or self.is_at_ollama:
            return None
        return UploadRequest("DELETE", self._upload.location, {})

    @property
    def left_over(self) -> list[UploadRequest]:
        """The requests to delete unused fresh sessions. Ollama's registry knows no DELETE."""
        if self.is_at_ollama:
            return []
        upload = self._upload
        is_useless = upload.before is not None and self.record is upload.before and upload.location
        urls = [*upload.left, *([upload.location] if is_useless else ())]
        return [UploadRequest("DELETE", url, {}) for url in urls]
