"""A machine and a registry for `doctor` to examine."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from registry_push.embedded import EmbeddedRegistry, Options
from registry_push.embedded.sample import write_sample_store
from registry_push.model import Reference
from registry_push.settings import Settings
from registry_push.verbs.doctor.examination import Examination
from registry_push.verbs.doctor.examine import Subject, examine
from registry_push.verbs.doctor.finding import Finding

from .scripted import Says, Scripted

REPOSITORY = "me/tiny"


@dataclass
class SetUp:
    """A machine and a registry; what a case changes of them."""

    home: Path
    stack: AsyncExitStack
    host: str = ""
    given: dict[str, Any] = field(default_factory=dict)
    writes: bool = False

    async def embedded(self, options: Options | None = None, **given: Any) -> None:
        registry = EmbeddedRegistry(self.home / "registry", options or Options(), **given)
        self.host = (await self.stack.enter_async_context(registry)).host

    async def scripted(self, *answers: Says, tls: Any = None) -> None:
        server = await self.stack.enter_async_context(Scripted(tls=tls, otherwise=answers[-1]))
        server.on("GET", "/v2/", *answers)
        self.host = f"127.0.0.1:{server.port}"

    async def examine(self, *only: str, also: tuple[str, ...] = (), patience: float = 60.0) -> Examination:
        """Examine them, and the registries `also`, with more time than a busy machine takes."""
        given = {"state_dir": self.home / "state", **self.given}
        settings = Settings(home=self.home, models=self.home / "models", **given)
        subject = Subject(Reference.parse(f"{self.host}/{REPOSITORY}"), is_repository=self.writes, writes=self.writes)
        subjects = [subject, *(Subject(Reference.parse(f"{host}/{REPOSITORY}")) for host in also)]
        return await examine(
            subjects, settings=settings, only=only, tell=lambda _: None, patience=patience, deadline=2 * patience
        )

    async def found(self, *only: str) -> dict[str, Finding]:
        """What each check has found."""
        return {each.id: each.finding for each in (await self.examine(*only)).checks}


@asynccontextmanager
async def prepared(home: Path) -> AsyncIterator[SetUp]:
    """A machine with a store in `home`, and no registry yet."""
    async with AsyncExitStack() as stack:
        write_sample_store(home / "models", name=f"{REPOSITORY}:latest", weights=70_000)
        yield SetUp(home, stack)
