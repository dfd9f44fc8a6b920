"""`Uploader`: uploads blobs to one registry, using what was learned of it."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import suppress
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from ..content.base import BlobBody, BodyInParts, LocalFile, Placed
from ..content.progress import Progress
from ..errors import (
    BlobCorrupt,
    Interrupted,
    NotAllowed,
    NotARegistry,
    Origin,
    ProtocolViolation,
    RegistryPushError,
    RemoteMismatch,
    SourceChanged,
    Unavailable,
    VolumeMissing,
)
from ..events import Placement
from ..model import Descriptor, UploadKey
from ..protocol.upload.chunks import ChunkPlan, WholePut
from ..protocol.upload.parts import part_on
from ..protocol.upload.requests import Endpoints, OllamaWay, UploadRecord
from ..protocol.upload.session import UploadSession
from ..protocol.upload.upload_state import UploadState
from .freeing import freed
from .hash_cache import HashCache
from .host import Host
from .record_writer import WORTH_A_RECORD, RecordWriter
from .run import Run
from .upload import Upload
from .verification import InDoubt

# How often a file that is touched while it is sent is sent again. The second time, a body that is sent in order is
# hashed on its way and is settled; parts that are sent side by side, and bodies that are cut, may need more.
_MOST_DOUBTS: Final = 3


class _Task(Struct, frozen=True, eq=False):
    """One blob on its way into a repository; the tries of it share this."""

    key: UploadKey
    endpoints: Endpoints
    blob: Descriptor
    body: BlobBody
    progress: Progress


class Uploader:
    """Uploads blobs to `host`, storing records in a keeper."""

    def __init__(self, host: Host, run: Run) -> None:
        self._host = host
        self._run = run
        self._trust = HashCache(run.settings.verify, run.keeper)

    async def upload(
        self,
        endpoints: Endpoints,
        blob: Descriptor,
        body: BlobBody,
        *,
        mount_from: Collection[str] = (),
    ) -> Placed:
        """Upload the blob to the repository of `endpoints`, and return how it got there.

        The content is hashed while it is sent, and the closing PUT waits for that: wrong content is never committed and
        raises `BlobCorrupt` or `SourceChanged`. A file that was touched meanwhile, but is right, is sent again.
        Cancelling leaves the session open at the registry, to be continued; a final failure deletes it there.
        """
        self._host.limits.counts = True
        if body.size != blob.size:
            raise BlobCorrupt(f"what is here for {blob.digest} has {body.size} bytes, not {blob.size}")
        key = UploadKey(str(self._host.origin), endpoints.repository, blob.digest)
        plan = self._plan(blob)
        is_worth_it = blob.size >= WORTH_A_RECORD or not plan.single
        resume = await self._left_behind(key, blob, body) if is_worth_it else None
        begun = resume.acknowledged(blob.size) if resume else 0
        progress = Progress(self._run.sink, endpoints.repository, blob, begun=begun if resume else None)
        task = _Task(key, endpoints, blob, body, progress)
        upload = self._begin(task, plan, tuple(mount_from), resume)
        sent, doubts = 0, 0
        while True:
            try:
                return Placed(await self._carried_out(upload, key, begun), sent + upload.sent)
            except InDoubt as doubt:
                doubts, sent = doubts + 1, sent + upload.sent
                if doubts > _MOST_DOUBTS:
                    raise SourceChanged(f"{doubt.message}, {doubts} times") from doubt
                await self._check_again(blob, body, doubt)
                # Not by a mount, which may find what was sent before.
                upload = self._begin(task, self._plan(blob), (), None, after=doubt)

    async def _left_behind(self, key: UploadKey, blob: Descriptor, body: BlobBody) -> UploadRecord | None:
        """Return the record of an upload that can be continued.

        Another file, or another registry, may have had something else, and the registry may not verify what it
        commits: what was sent of that is deleted there. A file that was only touched can't be told from a changed one.
        """
        record = self._run.keeper.load(key)
        if record is None or (record.fits(blob.size) and record.file == _mark(body)):
            return record
        self._run.keeper.save(key, blob.size, None)
        if record.fits(blob.size):
            with suppress(RegistryPushError):
                await freed(self._host.client, record.location, (f"repository:{key.repository}:pull,push",))
        return None

    async def _check_again(self, blob: Descriptor, body: BlobBody, doubt: InDoubt) -> None:
        """Raise `SourceChanged` if the content is no longer the blob's, so that the file was not just touched."""
        digest = await self._run.hasher.sha256(body)
        if digest != blob.digest:
            raise SourceChanged(f"{doubt.message}, and its content hashes to {digest} now") from doubt

    def _plan(self, blob: Descriptor) -> ChunkPlan:
        settings, profile, throughput = self._host.settings, self._host.profile, self._host.throughput
        plan = ChunkPlan.for_blob(
            blob.size,
            chunk=settings.chunk_size,
            limit=profile.chunk_limit,
            one_put=settings.one_put,
            whole=profile.whole,
            soon=throughput.soon,
        )
        if profile.ecr:
            plan = plan.at_ecr()
        if not plan.single and (chunk := throughput.chunk(plan.chunk)) is not None:
            plan = plan.paced(chunk)
        return plan

    def _begin(
        self,
        task: _Task,
        plan: ChunkPlan,
        mount_from: tuple[str, ...],
        resume: UploadRecord | None,
        *,
        after: InDoubt | None = None,
    ) -> Upload:
        """Return a new upload, with its session. `after` says why the one before does not count."""
        host, blob = self._host, task.blob
        if isinstance(task.body, BodyInParts) and not plan.single:
            plan = replace(plan, until=task.body.until(resume.offset if resume is not None else 0))
        if resume is not None and resume.offset and plan.whole is WholePut.FIRST:  # its line kept breaking
            plan = plan.in_chunks(WholePut.FIRST)
        writer = RecordWriter(
            self._run.keeper, host, task.key, blob.size, file=_mark(task.body), is_there=resume is not None
        )
        session = UploadSession(
            UploadState(
                blob,
                task.endpoints,
                plan,
                budget=host.client.transport.pauses.budget(),
                mount_from=mount_from,
                ollama=self._ollama_way(blob),
                negotiates=self._host.settings.dialect == "auto",
                resume=resume,
                pace=host.throughput,
                kept=host.profile.kept,
                trouble=after.message if after is not None else "",
            )
        )
        return Upload(
            host,
            self._run,
            session,
            task.body,
            progress=task.progress,
            trust=self._trust,
            save=lambda record: writer.write(session, record),
            exact=after is not None,
        )

    async def _carried_out(self, upload: Upload, key: UploadKey, begun: int) -> Placement:
        """Run the upload, and note if it got no further than the `begun` bytes of an earlier run."""
        session = upload.session
        try:
            with self._host.counted(session):
                placement = await upload.run()
        except RegistryPushError as error:
            await upload.tidy()
            if not _may_pass(error) or session.record is None:
                await upload.forget()
                upload.save(None)
            elif session.got_nowhere and session.record.acknowledged(upload.blob.size) <= begun:
                self._run.keeper.got_nowhere(key)
            raise
        else:
            await upload.tidy()
            return placement
        finally:
            self._host.learn_from(session)

    def _ollama_way(self, blob: Descriptor) -> OllamaWay | None:
        """Return how to send the blob to Ollama's registry; None if it is, as far as known, another kind."""
        settings = self._host.settings
        if settings.dialect == "oci" or (settings.dialect == "auto" and not self._host.profile.ollama):
            return None
        # ollama:server/images.go: models of tensors are sent whole, by x/transfer; others in parts.
        part = settings.chunk_size or part_on(self._host.throughput, blob.size)
        return OllamaWay(direct=blob.kind == "tensor", part=part)


def _mark(body: BlobBody) -> tuple[int, int] | None:
    # No device: it may have another number after a restart. No time of status: a link to the file changes it.
    return (body.opened_as.inode, body.opened_as.modified) if isinstance(body, LocalFile) else None


def _may_pass(error: RegistryPushError) -> bool:
    """Return whether the record is worth keeping after `error`: not if the content is wrong or the refusal final.

    A wrong answer of the source says nothing about the bytes before it.
    """
    if isinstance(error, RemoteMismatch | ProtocolViolation) and error.origin is Origin.SOURCE:
        return True
    return isinstance(error, Interrupted | Unavailable | NotARegistry | NotAllowed | VolumeMissing)
