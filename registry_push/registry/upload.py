"""`Upload`: one blob under way. Sends what its session says; the hash of what it sends is settled before the commit."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, nullcontext, suppress
from functools import partial
from typing import Final

from ..content.base import BlobBody, BodyInParts
from ..content.progress import Progress
from ..errors import (
    ConnectionLost,
    Interrupted,
    NotAllowed,
    Origin,
    RegistryPushError,
    SourceUnavailable,
    TimedOut,
    TLSFailed,
    Unavailable,
    unwrapped,
)
from ..events import Placement, Retrying
from ..http.body.encryption import encrypted_at_once
from ..http.body.payload import SpanPayload
from ..http.body.thread_sender import nothing
from ..protocol.cut_behaviour import CutBehaviour
from ..protocol.response import NO_ANSWER, Kind, RegistryResponse
from ..protocol.throughput import StallDetector
from ..protocol.upload.chunks import SINGLE_PUT, MiB, Span
from ..protocol.upload.commit import SLOWEST_COMMIT
from ..protocol.upload.parts import MOST_AT_ONCE, PartRequest, Parts, begins_a_body, composite_etag
from ..protocol.upload.requests import UploadRecord, UploadRequest
from ..protocol.upload.session import UploadSession
from ..protocol.upload.states import State
from .freeing import freed
from .hash_cache import HashCache
from .host import Host
from .part_workers import send_parts
from .run import Run
from .verification import Verification

_TAKEN: Final = (Kind.CREATED, Kind.ACCEPTED)
# Bytes of a body that kernels and proxies on the way may still hold when all of it was sent.
_ON_THE_WAY: Final = 8 * MiB
# Where hanging up costs the whole upload, an answer is waited for this many times as long.
_PATIENCE: Final = 5


class Upload:
    """One blob under way to `host`, into the repository that its session names.

    `save` keeps or forgets its record. With `exact`, what is sent is hashed as it passes: before, the file was touched
    meanwhile. `sent` counts the body bytes that were given to the line.
    """

    _content: Verification

    def __init__(
        self,
        host: Host,
        run_of: Run,
        session: UploadSession,
        body: BlobBody,
        *,
        progress: Progress,
        trust: HashCache,
        save: Callable[[UploadRecord | None], None],
        exact: bool = False,
    ) -> None:
        self.host = host
        self.run_of = run_of
        self.session = session
        self.body = body
        self.progress = progress
        self.trust = trust
        self.save = save
        self.exact = exact
        self.blob = session.blob
        self.stall = run_of.settings.timeout  # seconds in which a line that works moves something
        self.sent = 0
        self._taken = 0  # bodies of the run that had been taken when this one was turned away
        self._here: Unavailable | None = None  # the last trouble, if it was on this side

    async def run(self) -> Placement:
        """Upload the blob. Raises the error that prevents it; cancelling leaves the session open."""
        try:
            async with asyncio.TaskGroup() as group:
                self._content = Verification(
                    group, self.blob, self.body, self.run_of.hasher, self.trust, exact=self.exact
                )
                while (request := self.session.next_request()) is not None:
                    self._refuse_to_begin(request)
                    if isinstance(request, Parts):
                        self._content.hash_beside([span.stop for span in request.spans])
                        try:
                            await self._send_parts(request)
                        except (TLSFailed, NotAllowed) as error:
                            if not self._is_sessions_fault(error):
                                raise
                            continue
                        if not request.over:
                            continue  # told to stop
                        self.session.receive(request)
                        self.save(self.session.record)
                        if self.session.state is State.COMMITTING:
                            await self._content.settle()
                            self.session.stored_as(composite_etag(self._content.md5s))
                        continue
                    if self.session.restarts:  # it may have been the content
                        self._content.distrust()
                    if request.span is not None:
                        await self._content.go_back(request.span.start)
                    if request.closes and not self._settles_along(request):
                        await self._content.settle()
                    await self._step(request)
                if self.session.failure is not None:
                    raise self.host.client.explained(self._failure(self.session.failure))
        except BaseExceptionGroup as group_error:
            raise unwrapped(group_error) from None
        await self._content.confirm()
        self._content.remember()
        assert self.session.placement is not None, "an upload that did not fail is done"
        return self.session.placement

    async def forget(self) -> None:
        """Delete the failed upload at the registry; ignore a registry that refuses."""
        request = self.session.cancel_request
        if request is not None:
            with suppress(RegistryPushError):
                await freed(self.host.client, request.url, self.session.scopes(request))

    async def tidy(self) -> None:
        """Delete the unused sessions that were opened beside the upload's own."""
        for request in self.session.left_over:
            with suppress(RegistryPushError):
                await self.host.client.attempt(
                    request.method, request.url, self.session.scopes(request), request.headers
                )

    # ── requests ──────────────────────────────────────────────────────────────────────────────────

    async def _measure(self, request: UploadRequest) -> None:
        """Ask for the length of the committed blob; a failure of this request does not undo the commit."""
        await self._rest(request, self.session.trouble)
        try:
            answer = await self._send(request, None)
        except RegistryPushError as error:
            passes = isinstance(error, Unavailable) and not isinstance(error, TLSFailed)
            answer = RegistryResponse(NO_ANSWER if passes else 403, request.url)
        self.session.receive(answer)
        self.save(self.session.record)

    async def _step(self, request: UploadRequest) -> None:
        if self.session.state is State.MEASURING:
            return await self._measure(request)
        await self._rest(request, self.session.trouble)
        payload: SpanPayload | None = None
        try:
            # Only a body takes a slot.
            async with self._slot(request):
                self._refuse_to_begin(request)  # it may have waited for its slot until now
                if request.span is not None:
                    self.progress.goes_on(request.span.start, self.session.trouble, anew=self.session.restarts > 0)
                    payload = self._payload(
                        request.span, self.progress.moved, request.span.start, closes=request.closes
                    )
                answer = await self._send(request, payload)
                if payload is not None and request.span is not None:
                    self.progress.reached(request.span.start + payload.sent)
        except TLSFailed as error:  # no certificate gets better by asking again, but the next session may be elsewhere
            if not self._is_sessions_fault(error):
                raise
        except Unavailable as error:
            if self._is_over_at_source(error):
                raise
            self._here = error if error.origin is not Origin.TARGET else None
            if payload is not None and request.span is not None:
                self.progress.reached(request.span.start + payload.sent)
            self.session.connection_lost(error.message, sent=payload.sent if payload else 0)
        except NotAllowed as error:
            if request.is_offer:  # who may not read the other repository can still send the bytes
                self.session.receive(RegistryResponse(403, request.url))
            elif not self._is_sessions_fault(error):
                raise
        else:
            if payload is not None and answer.kind is Kind.BUSY:
                # Others are finite, and come to an end: so do the tries.
                if self.host.limits.taken > self._taken:
                    self.session.others_got_through()
                self._taken = self.host.limits.taken
            if payload is not None:
                self._here = None
            self.session.receive(answer, sent=payload.sent if payload is not None else None)
        self.save(self.session.record)
        return None

    def _refuse_to_begin(self, request: UploadRequest | Parts) -> None:
        """Raise `Interrupted`, or the error of a part that is missing: before a request that would be cut."""
        span = request.span if isinstance(request, UploadRequest) else None
        if span is not None and isinstance(self.body, BodyInParts) and self.body.until(span.start) < span.stop:
            raise self.body.missing(span.start)
        if self.run_of.stop.is_set() and begins_a_body(request):
            raise Interrupted(f"the upload of {self.blob.digest.short} was stopped between two requests")

    def _slot(self, request: UploadRequest) -> AbstractAsyncContextManager[object]:
        return nullcontext() if request.span is None else self.host.limits.body(self.blob.size)

    def _is_sessions_fault(self, error: TLSFailed | NotAllowed) -> bool:
        """Return whether another session may work: missing permissions are final, except for an old session."""
        is_candidate = isinstance(error, TLSFailed) or self.session.is_left_by_another
        return is_candidate and self.session.unreachable(error)

    def _is_over_at_source(self, error: Unavailable) -> bool:
        """Return whether a source that is read over a line has given up, after tries of its own."""
        return isinstance(error, SourceUnavailable) and self._content.is_streamed

    def _failure(self, failure: RegistryPushError) -> RegistryPushError:
        """Return the error for an upload that was given up; an error on this side has its own hint."""
        if self._here is None or not isinstance(failure, Unavailable):
            return failure
        self._here.__cause__ = failure
        return self._here

    async def _rest(self, request: UploadRequest, reason: str) -> None:
        if request.after:
            self.run_of.sink(Retrying(f"upload of {self.blob.digest.short}", reason, request.after))
            await self.host.client.transport.pauses.rest(request.after, self.run_of.stop)
        await self.host.client.rates.until_uploads()

    async def _send(self, request: UploadRequest, payload: SpanPayload | None) -> RegistryResponse:
        clock = asyncio.get_running_loop().time
        began = clock()
        try:
            with self.run_of.under_way.body(payload, self.session, self.host.throughput) if payload else nullcontext():
                response = await self.host.client.attempt(
                    request.method,
                    request.url,
                    () if request.is_anonymous else self.session.scopes(request),
                    request.headers,
                    payload,
                    patience=self._patience(request),
                )
        finally:
            self.sent += payload.end() if payload else 0
        if payload is None:
            self.host.throughput.asked(response.waited)
        elif payload.complete:
            self.host.throughput.took(payload.sent, clock() - began)
        answer = self.host.client.read(response)
        if payload is not None and not request.is_anonymous and answer.kind in (*_TAKEN, Kind.BUSY):
            self.host.limits.answered(well=answer.kind is not Kind.BUSY)
        return answer

    def _patience(self, request: UploadRequest) -> float:
        """Return the seconds beyond the usual timeout for an answer that takes work, or that must not be missed."""
        work = self.blob.size / SLOWEST_COMMIT if request.closes else 0.0
        if request.span is not None and self.host.throughput.rate:
            work += _ON_THE_WAY / self.host.throughput.rate
        is_dear = request.span is not None and self.session.kept is CutBehaviour.NOTHING
        return work + (_PATIENCE - 1) * self.stall * is_dear

    def _payload(
        self, span: Span, moved: Callable[[int], None], start: int = 0, *, closes: bool = False
    ) -> SpanPayload:
        """Return the body for `span`; `closes`: of the closing request. `moved` is called with the bytes sent."""
        is_whole = closes and span.length > SINGLE_PUT and self.session.kept is not CutBehaviour.EVERYTHING
        is_dear = self.session.kept is CutBehaviour.NOTHING or is_whole
        watch = StallDetector(self.host.throughput, window=self.stall, clock=asyncio.get_running_loop().time)

        def on_sent(count: int) -> None:
            moved(start + count)
            # A new connection often has what an old one lacks; where a cut costs everything, better slow than again.
            if watch.moved(count) and not is_dear:
                self.host.throughput.starved()
                raise TimedOut("the line moved far slower than before; trying another connection")
            if self.run_of.stop.is_set() and self.session.kept is CutBehaviour.EVERYTHING:
                raise ConnectionLost("stopped in a long chunk: what arrived of it is kept")

        limits = self.host.limits
        # What fits in one request but was refused so is hashed as it passes: nothing else of it is sent then either.
        if self._has_time and not self.exact and self.blob.size > SINGLE_PUT:
            self._content.hash_beside()
        running = self._content.sending(span)
        check = self._content.check_file if running is None else partial(self._content.check, running)
        return SpanPayload(
            self.body,
            span,
            self.run_of.hasher,
            running,
            stall=self.stall,
            on_sent=on_sent,
            bandwidth=limits.bandwidth,
            check=check if closes else nothing,
            encrypted=encrypted_at_once(
                bodies=limits.under_way, is_first_chunk=span.start == 0, is_near=self.host.throughput.is_near
            ),
        )

    def _settles_along(self, request: UploadRequest) -> bool:
        """Return whether the PUT of a blob is hashed on its way: its last bytes wait until the digest is right.

        A body that ends before its Content-Length is committed by nobody (RFC 9112, section 6.3), and the PUT names the
        digest besides.
        """
        span = request.span
        if span is None:
            return False
        return (self._content.is_exact or not self._has_time) and self._content.may_settle_along(span.start)

    @property
    def _has_time(self) -> bool:
        """Return whether a file can be hashed sooner than a limit lets it go."""
        return self.host.limits.bandwidth is not None and not self._content.is_streamed

    # ── parts ─────────────────────────────────────────────────────────────────────────────────────

    async def _send_parts(self, parts: Parts) -> None:
        # Bytes of each part; their sum is the progress.
        moved = {number: span.length if number in parts.done else 0 for number, span in enumerate(parts.spans)}

        async def send(part: PartRequest) -> RegistryResponse:
            request, number = part.request, part.number
            await self._rest(request, parts.trouble)
            moved[number] = 0
            self.progress.goes_on(sum(moved.values()), self.session.trouble)

            def on_sent(count: int) -> None:
                moved[number] = count
                self.progress.moved(sum(moved.values()))

            assert request.span is not None, "a part has bytes"
            await self._content.go_back(request.span.start)
            payload = self._payload(request.span, on_sent)
            try:
                return await self._send(request, payload)
            except TLSFailed:
                raise
            except Unavailable as error:
                if self._is_over_at_source(error):
                    raise
                self._here = error if error.origin is not Origin.TARGET else None
                parts.got_no_answer(error.message)
                return RegistryResponse(NO_ANSWER, request.url)

        at_once = 1 if self._content.goes_in_order else MOST_AT_ONCE
        slot = self.host.limits.part
        await send_parts(parts, send, lambda: self.save(parts.record), slot, self.run_of.stop, at_once)
