"""`Host`: the state of one registry in a run. Nothing about one host slows another."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cached_property
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from ..content.base import Traits
from ..protocol.cut_behaviour import CutBehaviour
from ..protocol.throughput import Throughput
from ..settings import Settings
from .client import Client
from .keeper import Keeper
from .kinds import known_profile
from .limits import Limits
from .profile import Profile
from .traits import traits_at

if TYPE_CHECKING:
    from ..protocol.upload.session import UploadSession


class Host:
    """One registry: its client, its profile, the line to it, and the slots for bodies that are sent there.

    `keeper` remembers between processes what was learned.
    """

    def __init__(self, client: Client, limits: Limits, keeper: Keeper, settings: Settings) -> None:
        self.client = client
        self.origin: Final = client.origin
        self.limits = limits
        self.settings = settings
        self.jobs = settings.jobs
        # The share of `--bwlimit` of each body, if all are sent at once, in bytes a second; None: no limit.
        self._allowed = settings.bwlimit / settings.jobs if settings.bwlimit else None
        self._keeper = keeper
        self._profile: Profile | None = None
        self._chunked: set[UploadSession] = set()  # sessions under way that send chunks
        self._has_warned = False
        self.lists_referrers: bool | None = None  # whether the registry has lists of referrers; None: not asked yet
        self.listing = asyncio.Lock()  # held while an index of referrers is read and written

    @property
    def profile(self) -> Profile:
        """How the registry takes uploads, as far as known."""
        if self._profile is None:
            known, learned = known_profile(self.origin.netloc), self._keeper.profile(str(self.origin))
            self._profile = known.after(learned) if learned is not None else known
        return self._profile

    @cached_property  # asked fifteen times for each blob
    def throughput(self) -> Throughput:
        """What this run has measured of the line to the registry."""
        rates = [self.profile.rate, self._allowed]
        return Throughput(min((rate for rate in rates if rate), default=None))

    @property
    def traits(self) -> Traits:
        """How to fill the registry, by its round trip and its known behaviour."""
        return traits_at(
            self.jobs,
            is_near=self.throughput.is_near,
            is_encrypted=self.origin.scheme == "https",
            mounts_itself=bool(self.profile.mounts_itself),
        )

    def first_warning(self) -> bool:
        """Return whether this is the first call, for a warning that concerns many blobs."""
        is_first, self._has_warned = not self._has_warned, True
        return is_first

    def counted(self, session: UploadSession) -> AbstractContextManager[None]:
        """Count the session, while entered, among those that send chunks, and tell all of them the number."""
        return nullcontext() if session.plan.single else self._counted(session)

    @contextmanager
    def _counted(self, session: UploadSession) -> Iterator[None]:
        self._chunked.add(session)
        self._tell_bodies()
        try:
            yield
        finally:
            self._chunked.discard(session)
            self._tell_bodies()

    def _tell_bodies(self) -> None:
        bodies = min(len(self._chunked), self.jobs)
        for session in self._chunked:
            session.share_line(bodies)

    def learn_mounting(self, *, mounts_itself: bool) -> None:
        """Remember whether the registry mounts a blob from the repository itself."""
        self._keep(replace(self.profile, mounts_itself=mounts_itself))

    def learn_from(self, session: UploadSession) -> None:
        """Remember what an upload has shown."""
        before, rate = self.profile, self.throughput.rate
        if not session.has_learned and (before.rate or not rate or self._allowed):
            return  # as with every blob but the first few
        now = replace(
            before,
            chunk_limit=session.learned_limit(before.chunk_limit),
            whole=session.learned_whole if session.is_done and session.learned_whole is not None else before.whole,
            kept=before.kept if session.kept is CutBehaviour.UNKNOWN else session.kept,
            ollama=before.ollama or session.is_at_ollama,
            rate=before.rate if self._allowed else rate,  # a rate under --bwlimit says nothing about the line
            ecr=before.ecr or (session.is_done and session.plan.last_in_put),
        )
        # A new rate alone is not worth a write: it is written with other changes, and after the first body.
        if replace(now, rate=None) != replace(before, rate=None) or (before.rate is None and now.rate is not None):
            self._keep(now)
        else:
            self._profile = now

    def _keep(self, profile: Profile) -> None:
        self._profile = profile
        self._keeper.learn(str(self.origin), profile)
