"""A conversation with an upload: what it has to ask, and what it is told. And which rows of the tables that takes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, TypeAlias
from unittest.mock import patch

from registry_push.errors import RegistryPushError, TLSFailed
from registry_push.events import Placement
from registry_push.model import Descriptor, Digest
from registry_push.protocol.diagnostics import Diagnosis
from registry_push.protocol.response import Kind, RegistryResponse
from registry_push.protocol.retry import Budget
from registry_push.protocol.upload import oci, oci_table, ollama, ollama_table
from registry_push.protocol.upload.chunks import ChunkPlan, MiB, Span
from registry_push.protocol.upload.machine import Key, Row
from registry_push.protocol.upload.parts import Parts
from registry_push.protocol.upload.requests import OllamaWay, UploadRecord, UploadRequest
from registry_push.protocol.upload.session import UploadSession
from registry_push.protocol.upload.states import Event, State
from registry_push.protocol.upload.upload_state import UploadState
from tests.support.simulated import ENDPOINTS

SIZE: Final = 10 * MiB
CHUNK: Final = 4 * MiB
# Sessions, in the order in which they are opened; the last is what another process has left.
FIRST, SECOND, THIRD = (f"{ENDPOINTS.uploads}{number}" for number in (1, 2, 3))
LEFT: Final = f"{ENDPOINTS.uploads}left"
STORAGE: Final = "https://storage.test"
# More tries than any of these conversations has: one that never ends is a failure, and not a test that hangs.
_ENDLESS: Final = 60


class Table(Enum):
    """Which machine's."""

    OCI = "oci"
    OLLAMA = "ollama"

    @property
    def rows(self) -> Mapping[Key, Row[Any]]:
        """Its rows."""
        return oci_table.ROWS if self is Table.OCI else ollama_table.ROWS


Scenario: TypeAlias = Callable[..., None]
# What a scenario is called with, besides: how its row's kind of answer is told.
Told: TypeAlias = int | None


class Talk:
    """An upload of ten MiB, in chunks of four if nothing else is said."""

    def __init__(
        self,
        *,
        single: bool = False,
        retries: int = 5,
        seconds: float = math.inf,
        mounts: Sequence[str] = (),
        resume: UploadRecord | None = None,
        ollama: OllamaWay | None = None,
        plan: ChunkPlan | None = None,
    ) -> None:
        plan = plan or ChunkPlan(SIZE, CHUNK, single=single)
        self.size = plan.size
        self.session = UploadSession(
            UploadState(
                Descriptor("a/b", Digest.of(b"x"), plan.size),
                ENDPOINTS,
                plan,
                budget=Budget(retries, seconds=seconds, clock=lambda: 0.0, dice=lambda: 0.5),
                mount_from=mounts,
                resume=resume,
                ollama=ollama,
            )
        )
        self._asked: UploadRequest | None = None

    def asks(
        self,
        method: str,
        url: str | None = None,
        *,
        span: tuple[int, int] | None = None,
        offers: bool = False,
        waits: bool | None = None,
    ) -> Talk:
        """The next request is this, with the bytes of `span` as its body, after a pause or not."""
        request = self.session.next_request()
        assert isinstance(request, UploadRequest), f"{method} is to be asked, not {request}"
        assert request.method == method, f"{method} is to be asked, not {request.method}"
        if url is not None:
            assert request.url.partition("?")[0] == url
        assert request.span == (Span(*span) if span is not None else None)
        assert request.is_offer == offers
        assert waits is None or (request.after > 0) == waits
        self._asked = request
        return self

    def is_told(
        self,
        status: Told,
        *codes: str,
        location: str | None = None,
        end: int | None = None,
        length: int | None = None,
        digest: Digest | None = None,
        is_page: bool = False,
        direct_url: str | None = None,
        sent: int | None = None,
    ) -> Talk:
        """The answer, after `sent` bytes of the body or all of them.

        `None` for a status is a broken line; `end` is where the `Range` ends, not included.
        """
        assert self._asked is not None
        if status is None:
            self.session.connection_lost("the line broke", sent=sent or 0)
            return self
        answer = RegistryResponse(
            status,
            self._asked.url,
            location=location,
            range_end=end - 1 if end else None,
            length=length,
            digest=digest,
            is_page=is_page,
            direct_url=direct_url,
            diagnosis=Diagnosis(codes, "the registry's words" if codes else ""),
        )
        self.session.receive(answer, sent=sent)
        return self

    def opens(self, location: str = FIRST, *, direct_url: str | None = None) -> Talk:
        """A session is asked for without a mount, and opened at `location`."""
        return self.asks("POST", ENDPOINTS.uploads).is_told(202, location=location, direct_url=direct_url)

    def shows_itself_as_ollamas(self, location: str, *, direct_url: str | None = None) -> Talk:
        """A session is opened at `location`, in the words of Ollama's registry."""
        assert self._asked is not None
        answer = RegistryResponse(
            202, self._asked.url, location=location, upload_location=location, direct_url=direct_url
        )
        self.session.receive(answer)
        return self

    def has_parts(
        self, location: str, *answers: int, retry_after: float | None = None, count: int | None = None
    ) -> Talk:
        """Its parts are asked for at `location`, as many as `count` says.

        These are the answers, the last one for all that is left.
        """
        parts = self.session.next_request()
        assert isinstance(parts, Parts), f"parts are to be asked for, not {parts}"
        assert parts.location == location
        told = iter(answers)
        status = next(told)
        asked = 0
        while (question := parts.take()) is not None:
            answer = RegistryResponse(status, question.request.url, retry_after=retry_after)
            parts.asked(question.number, answer)
            asked += 1
            status = next(told, status)
        assert count in (None, asked)
        self.session.receive(parts)
        return self

    def can_not_be_reached(self) -> bool:
        """The host of the session has a wrong certificate. Whether the upload goes on elsewhere."""
        return self.session.unreachable(TLSFailed("no trusted TLS connection"))

    def is_done(self, placement: Placement = Placement.UPLOADED) -> None:
        """It ends well, with nothing more to ask or to keep."""
        assert self.session.next_request() is None
        assert (self.session.state, self.session.placement, self.session.failure) == (State.DONE, placement, None)
        assert self.session.record is None

    def has_failed(self, error: type[RegistryPushError]) -> RegistryPushError:
        """It ends with this error, not with a class of it, and the blob does not count as uploaded."""
        assert self.session.next_request() is None
        failure = self.session.failure
        assert type(failure) is error, failure
        assert self.session.placement is None and self.session.state is State.FAILED
        return failure

    def until_it_ends(self, method: str, status: Told, *, location: str = SECOND) -> list[str]:
        """Answer each `method` with `status`, and all else well. Return the methods, in order."""
        methods: list[str] = []
        while (request := self.session.next_request()) is not None:
            assert isinstance(request, UploadRequest)
            methods.append(request.method)
            assert len(methods) < _ENDLESS, "it never ends"
            self._asked = request
            if request.method == method:
                self.is_told(status)
            elif request.method == "POST":
                self.is_told(202, location=location, direct_url=f"{STORAGE}/{len(methods)}")
            else:
                self.is_told(404 if request.method == "HEAD" else 202)
        return methods


# ── rows ──────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Taking:
    """A scenario, and the row that it is told for."""

    table: Table
    key: Key
    scenario: Scenario
    arguments: tuple[object, ...]

    def run(self) -> None:
        """Run it; AssertionError if its row is not taken or something else is wrong."""
        with recorded() as taken:
            self.scenario(*self.arguments)
        assert (self.table, self.key) in taken, "this scenario does not take its row"

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.table.value}-{self.key[0].name}-{self.key[1].name}-{self.scenario.__name__}"


SCENARIOS: Final[list[Taking]] = []


def takes(
    state: State, what: Kind | Event, *arguments: object, table: Table = Table.OCI
) -> Callable[[Scenario], Scenario]:
    """Tell that a scenario takes this row if it is called with `arguments`."""

    def told(scenario: Scenario) -> Scenario:
        SCENARIOS.append(Taking(table, (state, what), scenario, arguments))
        return scenario

    return told


def takes_at_ollama(state: State, what: Kind | Event, *arguments: object) -> Callable[[Scenario], Scenario]:
    """Tell that a scenario takes this row of Ollama's table if it is called with `arguments`."""
    return takes(state, what, *arguments, table=Table.OLLAMA)


@contextmanager
def recorded() -> Iterator[set[tuple[Table, Key]]]:
    """Collect the rows that are looked up."""
    taken: set[tuple[Table, Key]] = set()

    def oci_row_of(state: State, what: Kind | Event) -> Row[Any]:
        taken.add((Table.OCI, (state, what)))
        return oci_table.row_of(state, what)

    def ollama_row_of(state: State, what: Kind | Event) -> Row[Any]:
        taken.add((Table.OLLAMA, (state, what)))
        return ollama_table.row_of(state, what)

    with patch.object(oci, "row_of", oci_row_of), patch.object(ollama, "row_of", ollama_row_of):
        yield taken
