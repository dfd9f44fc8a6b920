"""`Uploader`: uploads blobs for one run, by what each host has taught us."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Final

from msgspec.structs import replace

from ..content.base import BlobBody, Placed
from ..content.hashing import Hasher
from ..content.progress import Progress
from ..errors import BlobCorrupt, Interrupted, NotAllowed, NotARegistry, RegistryPushError, SourceChanged, Unavailable
from ..events import Placement, Sink, Warned
from ..model import Descriptor, UploadKey
from ..protocol.cut_behaviour import CutBehaviour
from ..protocol.throughput import Throughput
from ..protocol.upload.chunks import ChunkPlan, WholePut
from ..protocol.upload.parts import part_on
from ..protocol.upload.requests import Endpoints, OllamaWay, UploadRecord
from ..protocol.upload.session import UploadSession
from ..settings import Settings
from .client import Client
from .hash_cache import HashCache
from .keeper import Keeper
from .limits import Limits
from .profile import Profile, known_profile
from .record_writer import WORTH_A_RECORD, RecordWriter
from .under_way import UnderWay
from .upload import Upload
from .verification import InDoubt

# How many times a file that is touched while it is sent is sent again. What goes in one piece or in order is hashed as
# it passes then, and needs no second time; parts side by side, and what is cut meanwhile, may.
_MOST_DOUBTS: Final = 3


class Uploader:
    """Uploads blobs for one run. Knows no database, only who keeps records."""

    def __init__(
        self, settings: Settings, limits: Limits, hasher: Hasher, sink: Sink, keeper: Keeper, stop: asyncio.Event
    ) -> None:
        self.stop = stop
        self._keeper = keeper
        self._settings = settings
        self._limits = limits
        self._hasher = hasher
        self.sink = sink
        self.jobs = settings.jobs
        self._profiles: dict[str, Profile] = {}
        self._warned = False
        # Bytes a second that each body may have, if all go at once; None: any number.
        self._allowed = settings.bwlimit / settings.jobs if settings.bwlimit else None
        self._paces: dict[str, Throughput] = {}
        self._under_way = UnderWay(asyncio.get_running_loop().time)
        self._large: set[UploadSession] = set()  # those under way that go in chunks

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
        never committed and raises `BlobCorrupt` or `SourceChanged`. A file that was touched meanwhile and is right is
        sent again. Cancelling leaves the session open at the registry, to be gone on with; a failure for good cancels
        it there.
        """
        self._limits.counts = True
        if body.size != blob.size:
            raise BlobCorrupt(f"what is here for {blob.digest} has {body.size} bytes, not {blob.size}")
        key = UploadKey(str(client.origin), repository, blob.digest)
        is_worth_it = blob.size >= WORTH_A_RECORD or not self._plan(client, blob).single
        resume = self._keeper.load(key) if is_worth_it else None
        if resume is not None and not resume.fits(blob.size):
            resume = None
        begun = resume.acknowledged(blob.size) if resume else 0
        progress = Progress(self.sink, repository, blob, begun=begun if resume else None)
        upload = self._begin(client, repository, endpoints, blob, body, progress, tuple(mount_from), resume)
        sent, doubts = 0, 0
        while True:
            try:
                return Placed(await self._carried_out(upload, key, begun), sent + upload.sent)
            except InDoubt as doubt:
                doubts, sent = doubts + 1, sent + upload.sent
                if doubts > _MOST_DOUBTS:
                    raise SourceChanged(f"{doubt.message}, {doubts} times") from doubt
                await self._check_again(blob, body, doubt)
                # Not by a mount: what there is may be what was sent before.
                upload = self._begin(client, repository, endpoints, blob, body, progress, (), None, after=doubt)

    async def _check_again(self, blob: Descriptor, body: BlobBody, doubt: InDoubt) -> None:
        """Raises `SourceChanged` if the content is no longer the blob's; what is left is a touched file."""
        digest = await self._hasher.sha256(body)
        if digest != blob.digest:
            raise SourceChanged(f"{doubt.message}, and its content hashes to {digest} now") from doubt

    def _plan(self, client: Client, blob: Descriptor) -> ChunkPlan:
        profile, pace = self.profile(client), self.pace(client)
        plan = ChunkPlan.for_blob(
            blob.size,
            chunk=self._settings.chunk_size,
            limit=profile.chunk_limit,
            one_put=self._settings.one_put,
            whole=profile.whole,
            soon=pace.soon,
        )
        if profile.ecr:
            plan = plan.at_ecr()
        if not plan.single and (chunk := pace.chunk(plan.chunk)) is not None:
            plan = plan.paced(chunk)
        return plan

    def _begin(
        self,
        client: Client,
        repository: str,
        endpoints: Endpoints,
        blob: Descriptor,
        body: BlobBody,
        progress: Progress,
        mount_from: tuple[str, ...],
        resume: UploadRecord | None,
        *,
        after: InDoubt | None = None,
    ) -> Upload:
        """One upload, with its session. `after` says why the one before does not count."""
        settings, profile, pace, plan = (
            self._settings,
            self.profile(client),
            self.pace(client),
            self._plan(client, blob),
        )
        if resume is not None and resume.offset and plan.whole is WholePut.FIRST:  # its line kept breaking
            plan = plan.in_chunks(WholePut.FIRST)
        key = UploadKey(str(client.origin), repository, blob.digest)
        writer = RecordWriter(self._keeper, client, key, blob.size, pace, is_there=resume is not None)
        session = UploadSession(
            blob,
            endpoints,
            plan,
            budget=client.transport.pauses.budget(),
            mount_from=mount_from,
            ollama=self._ollama_way(blob, profile, pace),
            negotiates=settings.dialect == "auto",
            resume=resume,
            pace=pace,
            kept=profile.kept,
        )
        if after is not None:
            session.trouble = after.message
        return Upload(
            client,
            repository,
            mount_from,
            blob,
            body,
            session,
            self._limits,
            self._hasher,
            self.sink,
            self.stop,
            settings.timeout,
            pace,
            progress,
            HashCache(settings.verify, self._keeper),
            self._under_way,
            lambda record: writer.write(session, record),
            exact=after is not None,
        )

    async def _carried_out(self, upload: Upload, key: UploadKey, begun: int) -> Placement:
        """Bring it there. If nothing is beyond the `begun` bytes of an earlier run afterwards, that is noted."""
        session = upload.session
        try:
            with self._counted(session):
                placement = await upload.run()
        except RegistryPushError as error:
            await upload.tidy()
            if not isinstance(error, Interrupted | Unavailable | NotARegistry | NotAllowed) or session.record is None:
                await upload.forget()
                upload.save(None)
            elif session.got_nowhere and session.record.acknowledged(upload.blob.size) <= begun:
                self._keeper.got_nowhere(key)
            raise
        else:
            await upload.tidy()
            return placement
        finally:
            self._learn_from(upload.client, session, upload.pace)

    @contextmanager
    def _counted(self, session: UploadSession) -> Iterator[None]:
        """Tells all that go in chunks how many they are."""
        if session.plan.single:
            yield
            return
        self._large.add(session)
        self._tell_bodies()
        try:
            yield
        finally:
            self._large.discard(session)
            self._tell_bodies()

    def _tell_bodies(self) -> None:
        bodies = min(len(self._large), self._settings.jobs)
        for session in self._large:
            session.bodies = bodies

    def tell_of_stop(self) -> None:
        """Tell the sink what is waited for, now that the run is told to stop."""
        if (stopping := self._under_way.stopping()) is not None:
            self.sink(stopping)

    def profile(self, client: Client) -> Profile:
        """What is known of the registry."""
        origin = str(client.origin)
        if origin not in self._profiles:
            known = known_profile(client.origin.netloc)
            learned = self._keeper.profile(origin)
            self._profiles[origin] = known.after(learned) if learned is not None else known
        return self._profiles[origin]

    def warn_once(self, message: str) -> None:
        """Warn of something that holds for many blobs of a registry: once a run."""
        if not self._warned:
            self._warned = True
            self.sink(Warned(message))

    def pace(self, client: Client) -> Throughput:
        """What this run has seen of the line to the registry."""
        origin = str(client.origin)
        if origin not in self._paces:
            rates = [self.profile(client).rate, self._allowed]
            self._paces[origin] = Throughput(min((rate for rate in rates if rate), default=None))
        return self._paces[origin]

    def learn(self, client: Client, *, mounts_itself: bool) -> None:
        """Keeps what was found out about the registry."""
        origin = str(client.origin)
        self._profiles[origin] = replace(self.profile(client), mounts_itself=mounts_itself)
        self._keeper.learn(origin, self._profiles[origin])

    def _learn_from(self, client: Client, session: UploadSession, pace: Throughput) -> None:
        origin, before = str(client.origin), self.profile(client)
        if not session.has_learned and (before.rate or not pace.rate or self._allowed):
            return  # as with every blob but the first few
        self._profiles[origin] = now = replace(
            before,
            chunk_limit=session.learned_limit(before.chunk_limit),
            whole=session.learned_whole if session.is_done and session.learned_whole is not None else before.whole,
            kept=before.kept if session.kept is CutBehaviour.UNKNOWN else session.kept,
            ollama=before.ollama or session.ollama is not None,
            rate=before.rate if self._allowed else pace.rate,  # what was allowed is not what the line can do
            ecr=before.ecr or (session.is_done and session.plan.last_in_put),
        )
        # The rate alone is worth no write: it is written with what else is learned, and after the first body.
        if replace(now, rate=None) != replace(before, rate=None) or (before.rate is None and now.rate is not None):
            self._keeper.learn(origin, now)

    def _ollama_way(self, blob: Descriptor, profile: Profile, pace: Throughput) -> OllamaWay | None:
        """How Ollama's registry is to get the blob; None for one that isn't Ollama's, as far as is known."""
        dialect = self._settings.dialect
        if dialect == "oci" or (dialect == "auto" and not profile.ollama):
            return None
        # ollama:server/images.go: models of tensors go whole, by x/transfer; the rest in parts.
        return OllamaWay(direct=blob.kind == "tensor", part=self._settings.chunk_size or part_on(pace, blob.size))
