"""The driver of an upload: sends what `UploadSession` says, and hashes what it sends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from ..errors import BlobCorrupt, Interrupted, NotAllowed, RegistryPushError, TLSFailed, Unavailable, unwrapped
from ..events import BlobProgress, BlobRewound, BlobStarted, Placement, Retrying, Sink
from ..model import Descriptor
from ..protocol.answer import NO_ANSWER, Answer
from ..protocol.chunks import ChunkPlan, Span
from ..protocol.parts import PartRequest, Parts, composite_etag
from ..protocol.retry import Budget
from ..protocol.transitions import State
from ..protocol.upload import OllamaWay, UploadSession
from ..protocol.upload_request import Endpoints, UploadRecord, UploadRequest
from ..settings import Settings
from ..stores.base import BlobBody, LocalFile, Placed
from ..stores.hashing import Hasher
from .client import Client
from .keeper import Keeper, UploadKey
from .limits import Limits
from .part_workers import send_parts
from .payload import SpanPayload
from .profile import Profile, known_profile
from .tokens import Scopes


class Uploader:
    """Uploads blobs for one run. Knows no database, only who keeps records."""

    def __init__(
        self, settings: Settings, limits: Limits, hasher: Hasher, sink: Sink, keeper: Keeper, stop: asyncio.Event
    ) -> None:
        self._stop = stop
        self._keeper = keeper
        self._settings = settings
        self._limits = limits
        self._hasher = hasher
        self._sink = sink
        self._profiles: dict[str, Profile] = {}

    async def upload(
        self,
        client: Client,
        repository: str,
        endpoints: Endpoints,
        blob: Descriptor,
        body: BlobBody,
        *,
        mount_from: Collection[str] = (),
    ) -> Placed:
        """Brings the blob into `repository`; gives how it came there.

        The content is hashed beside the sending, and the closing PUT waits for it: what hasn't the blob's digest is
        never committed and raises `BlobCorrupt` or `SourceChanged`. Cancelling leaves the session open at the
        registry, to be gone on with; a failure for good cancels it there.
        """
        if body.size != blob.size:
            raise BlobCorrupt(f"what is here for {blob.digest} has {body.size} bytes, not {blob.size}")
        host, settings = client.origin.netloc, self._settings
        profile = self._profiles.get(host) or known_profile(host)
        plan = ChunkPlan.for_blob(
            blob.size, chunk=settings.chunk_size, limit=profile.chunk_limit, one_put=profile.one_put
        )
        key = UploadKey(str(client.origin), repository, blob.digest)
        # What goes in one PUT is sent sooner than it is asked how far it came.
        resume = None if plan.single else self._keeper.load(key)
        session = UploadSession(
            blob,
            endpoints,
            plan,
            budget=Budget(settings.retries),
            mount_from=mount_from,
            ollama=self._ollama_way(blob, profile),
            negotiates=settings.dialect == "auto",
            resume=resume,
        )
        upload = _Upload(
            client,
            repository,
            tuple(mount_from),
            blob,
            body,
            session,
            self._limits,
            self._hasher,
            self._sink,
            self._stop,
            settings.timeout,
            lambda record: None if plan.single else self._keeper.save(key, blob.size, record),
            _acknowledged(resume, blob.size),
        )
        try:
            placement = await upload.run()
        except RegistryPushError as error:
            if not isinstance(error, Unavailable | Interrupted):
                await upload.forget()
                upload.save(None)
            raise
        self._profiles[host] = Profile(session.plan.limit, profile.one_put, session.ollama is not None)
        return Placed(placement, upload.sent)

    def _ollama_way(self, blob: Descriptor, profile: Profile) -> OllamaWay | None:
        """How Ollama's registry is to get the blob; None for one that isn't Ollama's, as far as is known."""
        dialect = self._settings.dialect
        if dialect == "oci" or (dialect == "auto" and not profile.ollama):
            return None
        # ollama:server/images.go: models of tensors go whole, by x/transfer; the rest in parts.
        return OllamaWay(direct=blob.kind == "tensor", part=self._settings.chunk_size)


@dataclass(slots=True)
class _Upload:
    """One blob under way. `sent` counts its body bytes that were given to the line."""

    client: Client
    repository: str
    mount_from: tuple[str, ...]
    blob: Descriptor
    body: BlobBody
    session: UploadSession
    limits: Limits
    hasher: Hasher
    sink: Sink
    stop: asyncio.Event
    stall: float
    save: Callable[[UploadRecord | None], None]
    begun: int  # bytes that an earlier process saw acknowledged
    sent: int = field(default=0, init=False)
    _ends: Sequence[int] = field(default=(), init=False)
    _md5s: tuple[bytes, ...] = field(default=(), init=False)
    _verified: tuple[int, int] | None = field(default=None, init=False)  # the file's version that was hashed
    _shown: int | None = field(default=None, init=False)  # the offset the sink knows of; None: not begun

    async def run(self) -> Placement:
        try:
            async with asyncio.TaskGroup() as group:
                verification: asyncio.Task[None] | None = None
                while (request := self.session.next_request()) is not None:
                    if self.stop.is_set() and _begins_a_body(request):
                        raise Interrupted(f"the upload of {self.blob.digest.short} was stopped between two requests")
                    if isinstance(request, Parts):
                        verification = group.create_task(self._verify([span.stop for span in request.spans]))
                        await self._send_parts(request)
                        if not request.over:
                            continue  # told to stop
                        self.session.parts_over(request)
                        self.save(self.session.record)
                        if self.session.state is State.COMMITTING:
                            await verification
                            self.session.etag = composite_etag(self._md5s)
                        continue
                    if verification is None and (request.span or request.closes):
                        verification = group.create_task(self._verify())
                    if request.closes and verification is not None:
                        await verification
                        if self._verified != _version(self.body):
                            await self._verify()
                    await self._step(request)
                if self.session.failure is not None:
                    raise self.session.failure
        except BaseExceptionGroup as group_error:
            raise unwrapped(group_error) from None
        assert self.session.placement is not None, "an upload that did not fail is done"
        return self.session.placement

    async def forget(self) -> None:
        """Has the registry free what the failed upload holds there; a registry that won't is left alone."""
        request = self.session.cancel_request
        if request is not None:
            with suppress(RegistryPushError):
                await self.client.attempt(request.method, request.url, self._scopes(request), request.headers)

    async def _verify(self, ends: Sequence[int] = ()) -> None:
        self._verified = _version(self.body)
        digest, self._md5s = await self.hasher.digests(self.body, ends or self._ends)
        self._ends = ends or self._ends
        if digest != self.blob.digest:
            raise BlobCorrupt(f"the content of {self.blob.digest} hashes to {digest}: nothing of it was committed")

    async def _step(self, request: UploadRequest) -> None:
        await self._rest(request, self.session.trouble)
        try:
            async with self._slot(request):
                answer = await self._send(request, self._payload(request.span) if request.span else None)
        except TLSFailed:  # no certificate gets better by asking again
            raise
        except Unavailable as error:
            self.session.connection_lost(error.message)
        except NotAllowed:
            if not request.is_offer:
                raise
            # Who may not read the other repository can still send the bytes.
            self.session.receive(Answer(403, request.url))
        else:
            self.session.receive(answer)
        self.save(self.session.record)

    @asynccontextmanager
    async def _slot(self, request: UploadRequest) -> AsyncIterator[None]:
        """Only a body takes a slot."""
        if request.span is None:
            yield
        else:
            async with self.limits.body(self.blob.size):
                yield

    async def _rest(self, request: UploadRequest, reason: str) -> None:
        if request.after:
            self.sink(Retrying(f"upload of {self.blob.digest.short}", reason, request.after))
            await self.client.transport.sleep(request.after)

    async def _send(self, request: UploadRequest, payload: SpanPayload | None) -> Answer:
        commit_size = self.blob.size if request.closes else 0
        try:
            response = await self.client.attempt(
                request.method,
                request.url,
                () if request.is_anonymous else self._scopes(request),
                request.headers,
                payload,
                commit_size=commit_size,
            )
        finally:
            self.sent += payload.sent if payload else 0
        now = self.client.transport.now()
        return Answer.read(response.status, response.url, response.headers, response.body, now=now)

    def _scopes(self, request: UploadRequest) -> Scopes:
        own = f"repository:{self.repository}:pull,push"
        if not request.is_offer:
            return (own,)
        # The target's scope last: GitLab counts only the last of several.
        return (*(f"repository:{source}:pull" for source in self.mount_from), own)

    # ── progress ──────────────────────────────────────────────────────────────────────────────────

    def _payload(self, span: Span) -> SpanPayload:
        self._show_start(span.start)
        return SpanPayload(self.body, span, stall=self.stall, on_sent=lambda count: self._show(span.start + count))

    def _show_start(self, offset: int) -> None:
        """Tells the sink from where bytes go now, and that some go again if it knew of more."""
        if self._shown is None:
            self._shown = max(offset, self.begun)
            self.sink(BlobStarted(self.repository, self.blob, self._shown))
        if offset < self._shown:
            reason = self.session.trouble
            self.sink(BlobRewound(self.repository, self.blob.digest, offset, self.blob.size, reason))
        self._shown = offset

    def _show(self, offset: int) -> None:
        self._shown = offset
        self.sink(BlobProgress(self.repository, self.blob.digest, offset, self.blob.size))

    # ── parts ─────────────────────────────────────────────────────────────────────────────────────

    async def _send_parts(self, parts: Parts) -> None:
        # Bytes of each part; their sum is the progress.
        moved = {number: span.length if number in parts.done else 0 for number, span in enumerate(parts.spans)}

        async def send(part: PartRequest) -> Answer:
            request, number = part.request, part.number
            await self._rest(request, parts.trouble)
            moved[number] = 0
            self._show_start(sum(moved.values()))

            def on_sent(count: int) -> None:
                moved[number] = count
                self._show(sum(moved.values()))

            assert request.span is not None, "a part has bytes"
            payload = SpanPayload(self.body, request.span, stall=self.stall, on_sent=on_sent)
            try:
                if not request.is_anonymous:  # asking; a registry that takes the body itself gets one at a time
                    return await self._send(request, payload)
                async with self.limits.part():
                    return await self._send(request, payload)
            except TLSFailed:
                raise
            except Unavailable as error:
                parts.trouble = error.message
                return Answer(NO_ANSWER, request.url)

        await send_parts(parts, send, lambda: self.save(parts.record), self.stop)


def _begins_a_body(request: UploadRequest | Parts) -> bool:
    """Whether this is the place to stop: not before a commit, which is small and makes all that was sent count."""
    return isinstance(request, Parts) or (not request.closes and request.method in ("POST", "PATCH"))


def _acknowledged(record: UploadRecord | None, size: int) -> int:
    if record is None or not record.part:
        return record.offset if record else 0
    return sum(min(record.part, size - number * record.part) for number in record.done)


def _version(body: BlobBody) -> tuple[int, int] | None:
    return body.version if isinstance(body, LocalFile) else None
