"""`Machine`: asks what the state of an upload wants asked, and does what its table says of the answer. Pure.

Each dialect is a machine of its own, with a table of its own: `oci.py` and `ollama.py`. Whoever drives one needs the
methods of `Conversation`.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, Final, Generic, Protocol, TypeAlias, TypeVar

from msgspec import Struct

from ...errors import NotAllowed, RegistryPushError, Unavailable
from ..redirects import SENT_TWICE
from ..response import NO_ANSWER, Kind, RegistryResponse
from .chunks import Span
from .parts import Parts
from .requests import UploadRecord, UploadRequest
from .states import IN_A_SESSION, POSTING, WITH_BODY, Event, State
from .upload_state import UploadState

M = TypeVar("M", contravariant=True)
Key: TypeAlias = tuple[State, Kind | Event]


class Conversation(Protocol):
    """What a driver does with an upload, until `next_request` returns None."""

    def next_request(self) -> UploadRequest | Parts | None:
        """Return what to send now; None when DONE or FAILED.

        `Parts` are many requests at once. When they are over, they are the answer to `receive`.
        """
        ...

    def receive(self, answer: RegistryResponse | Parts, *, sent: int | None = None) -> None:
        """Take the answer to the last request, of whose body `sent` bytes were sent, or all; or the parts, answered."""
        ...

    def connection_lost(self, reason: str, *, sent: int = 0) -> None:
        """Note that the last request got no answer that can be relied on, after `sent` bytes of its body."""
        ...

    def unreachable(self, error: Unavailable | NotAllowed) -> bool:
        """Note that the session can't be reached, and that another try would not help.

        Its host's certificate is wrong, or the session of an earlier process is at an address that we may not use.
        Return False if there is no other session to try: then `error` is to be raised.
        """
        ...


class Row(Struct, Generic[M], frozen=True):
    """What a machine does, and where an upload can stand after that."""

    step: Callable[[M, RegistryResponse], None]
    to: frozenset[State]


Rows: TypeAlias = Mapping[Key, Row[M]]


class NotInTable(AssertionError):
    """A step has led to a state that its row does not name: a bug in this program."""


def row(step: Callable[[M, RegistryResponse], None], *to: State | frozenset[State]) -> Row[M]:
    """Return a row that leads to the states of `to`."""
    return Row(step, frozenset[State]().union(*(each if isinstance(each, frozenset) else {each} for each in to)))


class Machine(Conversation):
    """What both machines do. Nothing here blocks, waits or raises on what a server answers."""

    upload: Final[UploadState]

    def __init__(self, upload: UploadState) -> None:
        self.upload = upload

    @abstractmethod
    def row_of(self, what: Kind | Event) -> Row[Any]:
        """Return the row of the machine's table for `what` happens now."""

    @property
    @abstractmethod
    def own_record(self) -> UploadRecord | None:
        """What to keep of this session; None if the registry holds nothing that could be resumed."""

    @property
    def was_refused(self) -> bool:
        """Whether a request of the session was refused for no reason that the registry's words tell."""
        return False

    def next_request(self) -> UploadRequest | Parts | None:
        """Return what to send now; None when DONE or FAILED."""
        upload = self.upload
        after, upload.after = upload.after, 0.0
        if upload.state in WITH_BODY:
            upload.has_paid = upload.was_cut = upload.is_torn = upload.is_spared = False
        return self._request(after)

    def _request(self, after: float) -> UploadRequest | Parts | None:
        upload = self.upload
        match upload.state:
            case State.NEW | State.MOUNTING | State.GONE | State.FRESH:
                mount = upload.mounts[0] if upload.mounts else None
                direct = upload.ollama is not None and upload.ollama.direct
                return UploadRequest.open(upload.endpoints, upload.blob, mount=mount, direct=direct, after=after)
            case State.COMMITTING:
                span = Span(upload.offset, upload.blob.size)
                upload.attempted = span.stop
                request = UploadRequest.close(upload.location, upload.blob, span, etag=upload.etag, after=after)
                return self._body(request)
            case State.CONFIRMING:
                return UploadRequest("HEAD", upload.endpoints.blob, {}, after=after)
            case _:
                return None

    def receive(self, answer: RegistryResponse | Parts, *, sent: int | None = None) -> None:
        """Take the answer to the last request, of whose body `sent` bytes were sent (None: all)."""
        assert not isinstance(answer, Parts), "no parts were asked for"
        upload = self.upload
        upload.redirect = None
        upload.hops = upload.hops if answer.keeps_body else 0
        upload.redirects |= upload.state in POSTING and answer.url.partition("?")[0] != upload.endpoints.uploads
        # After a cut, it is expected that the session is gone, and no explanation.
        is_consequence = upload.was_cut and upload.state is State.UNCERTAIN and answer.kind is not Kind.BUSY
        if answer.kind not in (Kind.CREATED, Kind.ACCEPTED) and not is_consequence:
            upload.trouble = str(answer)
        self._has_sent(sent)
        self._heed(answer)

    def connection_lost(self, reason: str, *, sent: int = 0) -> None:
        """Note that the last request got no answer that can be relied on, after `sent` bytes of its body."""
        upload = self.upload
        upload.trouble = reason
        if sent:
            upload.where.broke_in_body()
        upload.redirect = None
        upload.was_cut = upload.was_cut or upload.state in WITH_BODY
        self._has_sent(sent)
        self._heed(RegistryResponse(NO_ANSWER, upload.location or upload.endpoints.uploads))

    def unreachable(self, error: Unavailable | NotAllowed) -> bool:
        """As `Conversation.unreachable`."""
        upload = self.upload
        if isinstance(error, Unavailable):
            upload.where.saw(RegistryResponse(NO_ANSWER, upload.location), error.message)
            if upload.where.is_astray:
                upload.fail(error)
                return True
        if upload.is_fresh or upload.state not in IN_A_SESSION:
            return False
        upload.trouble = error.message
        self.take(Event.UNREACHABLE, RegistryResponse(NO_ANSWER, upload.location))
        return True

    def take(self, what: Kind | Event, answer: RegistryResponse) -> None:
        """Take the table's step for `what` in this state, and check that it led to a state that the row allows."""
        before = self.upload.state
        its_row = self.row_of(what)
        try:
            its_row.step(self, answer)
        except RegistryPushError as error:  # an answer that no version of the protocol allows
            self.upload.fail(error)
        if self.upload.state not in its_row.to:
            name = its_row.step.__name__
            raise NotInTable(f"{what.name} in {before.name} led to {self.upload.state.name}: {name}")

    def _heed(self, answer: RegistryResponse) -> None:
        self.upload.where.saw(answer, self.upload.trouble)
        self.take(answer.kind, answer)

    def _has_sent(self, count: int | None) -> None:
        """Note how many bytes of the last request's body were sent; None: all of it."""
        upload = self.upload
        if upload.state not in WITH_BODY:
            return
        whole = upload.attempted - upload.offset
        upload.sent = whole if count is None else count
        upload.is_torn = upload.sent < whole
        if upload.sent:
            upload.budget.moved()

    def _body(self, request: UploadRequest) -> UploadRequest:
        """Return `request` to the URL of its redirect, if any. If redirects are usual, a long body waits for a 100."""
        if self.upload.redirect is not None:
            request = request.led_on(self.upload.redirect)
        is_long = request.span is not None and request.span.length > SENT_TWICE
        return request.asking() if self.upload.redirects and is_long else request
