"""`Run`: the checks of one registry, of a repository there, or of this machine, done side by side."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from msgspec import structs

from ...errors import RegistryPushError
from .examination import Examined
from .finding import OUT_OF_TIME, Finding, State, crashed, failed, kept_back, slow
from .table import WAITS_FOR, About, Check

# Seconds. A check that would get less says more of this machine than of the registry.
_LEAST: Final = 1.0
# Seconds. Who does not answer in less has not been given the time.
_FAIR: Final = 2.5
# What these find depends on the configuration: if it could not be read, what they miss may be in it.
_CONFIGURED: Final = (
    *("http.instead-of-https", "tls.version", "tls.chain", "tls.name"),
    *("auth.challenge", "auth.source", "auth.token"),
)


# Adds to an error about a registry, None: this machine, what only the command line knows.
Word = Callable[[RegistryPushError, str | None], RegistryPushError]


def as_it_is(error: RegistryPushError, _: str | None) -> RegistryPushError:
    """Return the error."""
    return error


@dataclass(frozen=True, kw_only=True)
class Clock:
    """What checks may take: `patience` seconds each, and all of them until `ends`, in the loop's time."""

    patience: float
    ends: float


@dataclass(eq=False, kw_only=True)
class Run:
    """The checks of `host`, None for this machine, or of a `repository` there. Each waits for those that it needs.

    `subject` returns whose method a check is. `before` has the tasks of the checks that others do for this run, by id.
    `misconfigured`: the configuration is wrong. `beside` is a word on its tables, for what fails. `word` puts an error
    into the words of the command.
    """

    host: str | None
    repository: str | None = None
    checks: Sequence[Check]
    subject: Callable[[Check], object]
    clock: Clock
    before: Mapping[str, asyncio.Task[Finding]] = field(default_factory=dict)
    misconfigured: bool = False
    word: Word = as_it_is
    beside: str = ""
    tasks: dict[str, asyncio.Task[Finding]] = field(default_factory=dict, init=False)

    def start(self) -> None:
        """Begin all of them."""
        for check in self.checks:
            self.tasks[check.id] = asyncio.create_task(self._finding(check))

    def __aiter__(self) -> Run:
        self._left = list(self.checks)
        return self

    async def __anext__(self) -> Examined:
        if not self._left:
            raise StopAsyncIteration
        check = self._left.pop(0)
        return Examined(check.id, self.host, await self.tasks[check.id], self.repository)

    async def stop(self) -> None:
        """Cancel those that have not ended."""
        for task in self.tasks.values():
            task.cancel()
        await asyncio.gather(*self.tasks.values(), return_exceptions=True)

    def _task(self, check: str) -> asyncio.Task[Finding] | None:
        return self.tasks.get(check) or self.before.get(check)

    async def _finding(self, check: Check) -> Finding:
        for need in check.needs:
            if (task := self._task(need)) is not None:
                found = await asyncio.shield(task)
                if found.needs is not None:
                    return found
                if found.blocks or found.state in (State.FAIL, State.CRASHED):
                    return kept_back(need)
        found = await self._looked(check)
        if found.error is not None:
            found = structs.replace(failed(self.word(found.error, self.host)), evidence=found.evidence)
        if check.id not in _CONFIGURED or found.state is not State.FAIL:
            return found
        if self.misconfigured:
            return kept_back("config.valid")
        if not self.beside:
            return found
        evidence = "; ".join(each for each in (found.evidence, self.beside) if each)
        meant = f'if a table there is meant for this registry, name it [host."{self.host}"]'
        return structs.replace(
            found, evidence=evidence, fix="; else ".join(each for each in (meant, found.fix) if each)
        )

    async def _looked(self, check: Check) -> Finding:
        stops = check.about is About.THERE or check.id == "auth.push"
        left = self.clock.ends - asyncio.get_running_loop().time()
        if left < _LEAST:
            return OUT_OF_TIME
        seconds = min(self.clock.patience, left)
        look: Callable[[object], Awaitable[Finding]] = check.look
        try:
            async with asyncio.timeout(seconds):
                return await look(self.subject(check))
        except RegistryPushError as error:
            return failed(error)
        except TimeoutError:
            if seconds < min(self.clock.patience, _FAIR):
                return OUT_OF_TIME
            if check.told_by is not None and self._task(check.told_by) is not None:
                return kept_back(check.told_by)
            return slow(seconds, stops=stops, waits_for=check.waits_for or WAITS_FOR[check.about])
        except Exception as error:  # a check that fails itself must not end the others
            return crashed(error)
