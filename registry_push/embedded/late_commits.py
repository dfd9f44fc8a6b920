"""Commits that continue after the gateway has answered that it gave up."""

from __future__ import annotations

import asyncio

from aiohttp import web
from msgspec import Struct

from ..content.oci.layout import discard
from ..content.spool import Spool
from ..model import Digest
from .answers import html
from .quirks import SlowCommit
from .receiving import break_off
from .repositories import Repositories


class _Commit(Struct, frozen=True):
    due: float
    spool: Spool
    repository: str
    digest: Digest


class LateCommits:
    """Pending commits. Those that are due are done before the next request is handled."""

    def __init__(self, slow: SlowCommit | None, repositories: Repositories) -> None:
        self._slow = slow
        self._repositories = repositories
        self._commits: list[_Commit] = []
        self._lock = asyncio.Lock()

    def takes(self, size: int) -> bool:
        """Return whether the commit of a blob of `size` bytes is a late one."""
        return self._slow is not None and size >= self._slow.min_size

    def add(self, request: web.Request, spool: Spool, repository: str, digest: Digest) -> web.StreamResponse:
        """Take the blob over, and return the gateway's answer. Raises `ConnectionResetError` if there is none."""
        assert self._slow is not None
        self._commits.append(_Commit(self._slow.clock() + self._slow.seconds, spool, repository, digest))
        if self._slow.status is None:
            break_off(request)
        return html("the registry did not answer in time", status=self._slow.status)

    async def settle(self) -> None:
        """Commit what is due."""
        if self._slow is None:
            return
        async with self._lock:
            now = self._slow.clock()
            due = [commit for commit in self._commits if commit.due <= now]
            self._commits = [commit for commit in self._commits if commit.due > now]
            for commit in due:
                await self._repositories.commit(commit.spool, commit.repository, commit.digest)

    async def close(self) -> None:
        """Drop what is not due."""
        for commit in self._commits:
            await discard(commit.spool)
