"""The driver of an upload: sends what `UploadSession` says, and hashes what it sends."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass, field

from ..errors import BlobCorrupt, NotAllowed, RegistryPushError, TLSFailed, Unavailable, unwrapped
from ..events import BlobProgress, BlobRewound, BlobStarted, Placement, Retrying, Sink
from ..model import Descriptor
from ..protocol.answer import Answer
from ..protocol.chunks import ChunkPlan, Span
from ..protocol.retry import Budget
from ..protocol.upload import Endpoints, UploadRecord, UploadRequest, UploadSession
from ..settings import Settings
from ..stores.base import BlobBody, LocalFile, Placed
from ..stores.hashing import Hasher
from .client import Client
from .limits import Limits
from .payload import SpanPayload
from .profile import Profile, known_profile
from .tokens import Scopes

Save = Callable[[UploadRecord | None], None]


def keep_nothing(_: UploadRecord | None) -> None:
    """A `save` for uploads that are not gone on with."""


class Uploader:
    """Uploads blobs for one run. Knows no database: `save` is handed in with each upload."""

    def __init__(self, settings: Settings, limits: Limits, hasher: Hasher, sink: Sink) -> None:
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
        resume: UploadRecord | None = None,
        save: Save = keep_nothing,
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
        session = UploadSession(
            blob, endpoints, plan, budget=Budget(settings.retries), mount_from=mount_from, resume=resume
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
            settings.timeout,
            save,
        )
        try:
            placement = await upload.run()
        except RegistryPushError as error:
            if not isinstance(error, Unavailable):
                await upload.forget()
            raise
        if session.plan.limit is not None:
            self._profiles[host] = Profile(session.plan.limit, profile.one_put)
        return Placed(placement, upload.sent)


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
    stall: float
    save: Save
    sent: int = field(default=0, init=False)
    _verified: tuple[int, int] | None = field(default=None, init=False)  # the file's version that was hashed
    _shown: int | None = field(default=None, init=False)  # the offset the sink knows of; None: not begun

    async def run(self) -> Placement:
        try:
            async with asyncio.TaskGroup() as group:
                verification: asyncio.Task[None] | None = None
                while (request := self.session.next_request()) is not None:
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

    async def _verify(self) -> None:
        self._verified = _version(self.body)
        digest = await self.hasher.sha256(self.body)
        if digest != self.blob.digest:
            raise BlobCorrupt(f"the content of {self.blob.digest} hashes to {digest}: nothing of it was committed")

    async def _step(self, request: UploadRequest) -> None:
        if request.after:
            self.sink(Retrying(f"upload of {self.blob.digest.short}", self.session.trouble, request.after))
            await self.client.transport.sleep(request.after)
        try:
            answer = await self._send(request)
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

    async def _send(self, request: UploadRequest) -> Answer:
        commit_size = self.blob.size if request.closes else 0
        scopes = self._scopes(request)
        if request.span is None:
            response = await self.client.attempt(
                request.method, request.url, scopes, request.headers, commit_size=commit_size
            )
        else:
            async with self.limits.body(self.blob.size):
                payload = self._payload(request.span)
                try:
                    response = await self.client.attempt(
                        request.method, request.url, scopes, request.headers, payload, commit_size=commit_size
                    )
                finally:
                    self.sent += payload.sent
        now = self.client.transport.now()
        return Answer.read(response.status, response.url, response.headers, response.body, now=now)

    def _scopes(self, request: UploadRequest) -> Scopes:
        own = f"repository:{self.repository}:pull,push"
        if not request.is_offer:
            return (own,)
        # The target's scope last: GitLab counts only the last of several.
        return (*(f"repository:{source}:pull" for source in self.mount_from), own)

    def _payload(self, span: Span) -> SpanPayload:
        repository, digest, size = self.repository, self.blob.digest, self.blob.size
        if self._shown is None:
            self.sink(BlobStarted(repository, self.blob, span.start))
        elif span.start < self._shown:
            self.sink(BlobRewound(repository, digest, span.start, size, self.session.trouble))
        self._shown = span.start

        def on_sent(count: int) -> None:
            self._shown = span.start + count
            self.sink(BlobProgress(repository, digest, self._shown, size))

        return SpanPayload(self.body, span, stall=self.stall, on_sent=on_sent)


def _version(body: BlobBody) -> tuple[int, int] | None:
    return body.version if isinstance(body, LocalFile) else None
