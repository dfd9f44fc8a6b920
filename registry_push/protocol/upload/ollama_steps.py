"""`OllamaSteps`: what answers do to an upload in Ollama's dialect, in parts or whole to its storage. Pure.

Ollama's registry has no status of a session. After a commit without an answer there is only HEAD, and then the same PUT
again: it has no body, and the parts stay where they are.
"""

from __future__ import annotations

from ..location import absolute
from ..response import RegistryResponse
from .commit_steps import CommitSteps
from .parts import Parts
from .requests import UploadRequest
from .states import State
from .upload_state import UploadState


class OllamaSteps(CommitSteps):
    """The steps of parts, and of a PUT to the storage."""

    def __init__(self, upload: UploadState) -> None:
        super().__init__(upload)
        self._parts: Parts | None = None
        self._direct: UploadRequest | None = None  # the PUT to the storage
        self._knows_no_session = False  # whether the registry has answered so to a commit

    def _enter(self, answer: RegistryResponse) -> None:
        upload = self.upload
        self._knows_no_session = False
        if upload.blob.size == 0:
            upload.state = State.COMMITTING
        elif answer.direct_url is None:
            upload.state = State.PARTS
        else:
            url = absolute(answer.url, answer.direct_url)
            self._direct = UploadRequest.direct(url, upload.blob, answer.signed_headers)
            upload.state = State.DIRECT

    def _look_again(self) -> None:
        if not self.upload.location or self._parts is None:
            self._change_session()
        else:
            self.upload.resume, self.upload.state = self._parts.record, State.PARTS

    def _forget_session(self) -> None:
        super()._forget_session()
        self._parts = self._direct = None

    # ── a session that is open ────────────────────────────────────────────────────────────────────

    def all_placed(self, _: RegistryResponse) -> None:
        """Close: the whole blob is in the storage of Ollama's registry."""
        self.upload.offset, self.upload.state = self.upload.blob.size, State.COMMITTING

    def parts_refused(self, _: RegistryResponse) -> None:
        """Fail with the error of the parts."""
        assert self._parts is not None and self._parts.failure is not None, "these parts were refused"
        self.upload.fail(self._parts.failure)

    def leave_session(self, answer: RegistryResponse) -> None:
        """Go on in another session: this one can't be reached. Its parts have it at another URL since it was opened."""
        if self._parts is not None:
            self.upload.location = self._parts.location
        super().leave_session(answer)

    # ── PUT and HEAD ──────────────────────────────────────────────────────────────────────────────

    def session_unknown(self, answer: RegistryResponse) -> None:
        """Ask whether the blob is there, after which the session may be unknown."""
        self._knows_no_session = True
        self.confirm_later(answer)

    def _not_coming(self, answer: RegistryResponse) -> None:
        if not self.upload.location:  # a POST was answered by 201
            self._no_registry(answer)
        elif self.upload.beside is not None:
            self._change_session()
        elif self._knows_no_session:
            self.session_lost(answer)
        elif self._pause(answer):
            self.upload.state = State.COMMITTING
