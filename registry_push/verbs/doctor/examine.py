"""Runs the checks: each when what it needs is well, those of several registries side by side, told in their order."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from fnmatch import fnmatchcase
from functools import partial
from typing import Final

from msgspec import Struct, structs

from ...errors import RegistryPushError, UsageError, quoted
from ...events import Sink, ignore
from ...http.proxies import Proxies, without_proxies
from ...model import Reference
from ...registry.registries import Registries
from ...settings import Settings
from ...text.suggestions import did_you_mean
from .finding import OUT_OF_TIME, Finding, State, crashed, failed, kept_back, slow
from .here import Here
from .table import BY_ID, CHECKS, WAITS_FOR, About, Check, with_needs
from .there import There
from .upload import Upload

# Seconds for one check, and for all of them.
_A_CHECK: Final = 5.0
_ALL: Final = 10.0
# Seconds. A check that would get less says more of this machine than of the registry.
_LEAST: Final = 1.0
# Seconds to delete an upload, after all checks.
_LAST: Final = 1.0
# Problems that the verdict quotes.
_QUOTED: Final = 3


class Subject(Struct, frozen=True):
    """A registry to examine. `is_repository`: the reference's repository was named, and is read; `writes`: to it."""

    reference: Reference
    is_repository: bool = False
    writes: bool = False


class Examined(Struct, frozen=True):
    """A check that has ended; `host` is the registry that it is about, None for this machine.

    `repository` is given where several of one registry are examined.
    """

    id: str
    host: str | None
    finding: Finding
    repository: str | None = None

    @property
    def about(self) -> str:
        """What it is about, as messages name it."""
        return "this machine" if self.host is None else _place(self.host, self.repository)


class Examination(Struct, frozen=True):
    """All that was found about this machine and `hosts`; `places` are these, or repositories of one host."""

    checks: tuple[Examined, ...]
    hosts: tuple[str, ...]
    places: tuple[str, ...]
    is_whole: bool = True  # whether all checks were wanted
    written: tuple[str, ...] = ()  # the places at which an upload was tried
    to_try: str = "HOST/REPOSITORY"  # where one could be tried, as far as that was named

    @property
    def troubles(self) -> tuple[Examined, ...]:
        """The checks that found what stops a push."""
        return tuple(each for each in self.checks if each.finding.state in (State.FAIL, State.CRASHED))

    @property
    def exit_code(self) -> int:
        """0 if nothing stops a push, else the code of the first trouble's error."""
        return next((each.finding.exit_code for each in self.troubles), 0)

    @property
    def verdict(self) -> str:
        """The last line."""
        if self.troubles:
            return self._troubled
        where = self._named(self.places)
        if any(each.finding is OUT_OF_TIME for each in self.checks):
            return f"nothing that stops pushes {where} was found, but there was no time for all checks"
        if not self.is_whole:
            return "nothing that stops pushes was found by these checks"
        if any(each.id == "store.found" and each.finding.state is State.WARN for each in self.checks):
            return f"there is no store to push from; nothing else stops pushes {where}"
        return f"ready to push {where}"

    @property
    def untried(self) -> str | None:
        """What the verdict does not say; None if it says all."""
        reading = [place for place in self.places if place not in self.written]
        if self.troubles or not self.is_whole or not reading:
            return None
        return f"Whether you may write at {', '.join(reading)} was not tried; to try it: --write {self.to_try}"

    @property
    def _troubled(self) -> str:
        """What was found, and the registries that it concerns: all of them if it is this machine's."""
        here = any(each.host is None for each in self.troubles)
        concerned = self.places if here else tuple(dict.fromkeys(each.about for each in self.troubles))
        # What is wrong at a host is found once for each of its repositories.
        summaries = [words for _, words in dict.fromkeys((each.host, each.finding.summary) for each in self.troubles)]
        more = len(summaries) - _QUOTED
        words = "; ".join(summaries[:_QUOTED]) + (f"; and {more} more" if more > 0 else "")
        count = "1 problem stops" if len(summaries) == 1 else f"{len(summaries)} problems stop"
        return f"{count} pushes {self._named(concerned)}: {words}"

    @staticmethod
    def _named(places: Sequence[str]) -> str:
        return f"to {', '.join(places)}" if places else "from this machine"


def chosen(only: Sequence[str], *, there: bool, writes: bool) -> tuple[Check, ...]:
    """Return the checks to run: all, or those with the ids `only` and what they need; `tls` and `tls.*` are a group.

    `there`: a registry was named; `writes`: a repository to write to was. Raises `UsageError`.
    """
    asked = [each for name in only for each in _expanded(name, there=there, writes=writes)]
    for each in asked:
        if BY_ID[each].about is About.UPLOADS and not writes:
            raise UsageError(f"{each} opens an upload", hint="say where it may: --write HOST/REPOSITORY")
        if BY_ID[each].about is About.THERE and not there:
            raise UsageError(
                f"{each} is about a registry, and none was named",
                hint=f"name one: registry-push doctor HOST --only {each}",
            )
    wanted = with_needs(tuple(asked)) if only else frozenset(BY_ID)
    return tuple(check for check in CHECKS if check.id in wanted and (writes or check.about is not About.UPLOADS))


def _expanded(name: str, *, there: bool, writes: bool) -> list[str]:
    """Return the check called `name`, or those of a group that can be run. Raises `UsageError` if there is none."""
    if name in BY_ID:
        return [name]
    checks = [check for check in CHECKS if fnmatchcase(check.id, name) or check.id.startswith(f"{name}.")]
    if not checks:
        raise UsageError(
            f"no check is called {quoted(name)}",
            hint=did_you_mean(name, BY_ID) or "see them: registry-push doctor --list",
        )
    possible = {About.HERE, *([About.THERE] if there else []), *([About.UPLOADS] if writes else [])}
    return [check.id for check in checks if check.about in possible] or [check.id for check in checks]


async def examine(
    subjects: Sequence[Subject],
    *,
    settings: Settings,
    only: Sequence[str] = (),
    config: RegistryPushError | None = None,
    tell: Callable[[Examined], object],
    sink: Sink = ignore,
    patience: float = _A_CHECK,
    deadline: float = _ALL,
) -> Examination:
    """Run the checks and call `tell` with each in the table's order as soon as it and those before it have ended.

    `config` is what reading the configuration file raised. A check may take `patience` seconds, all of them `deadline`.
    Raises `UsageError` for an unknown check. Cancelling is safe: an upload that a check has opened is deleted.
    """
    checks = chosen(only, there=bool(subjects), writes=any(subject.writes for subject in subjects))
    # A request outlives its check a little, so that an upload which opens late can be deleted.
    patient = replace(settings, timeout=min(settings.timeout, patience + _LAST), retries=0)
    unusable: RegistryPushError | None = None
    try:
        Proxies.of(settings.environ)
    except RegistryPushError as error:
        unusable = error  # `proxy.used` tells it, and nothing is asked
        patient = replace(patient, environ=without_proxies(settings.environ))
    ends = asyncio.get_running_loop().time() + deadline
    async with Registries(patient, sink) as registries:
        theres = [
            There(subject.reference, patient, registries, is_repository=subject.is_repository, unusable_proxy=unusable)
            for subject in subjects
        ]
        uploads = [Upload(there) if subject.writes else None for subject, there in zip(subjects, theres, strict=True)]
        # A table can name another key.
        own = theres[0].settings if len({there.host for there in theres}) == 1 else settings
        here = Here(own, config, unusable if not subjects else None, wants_key=partial(_want_key, theres))
        mine = [check for check in checks if check.about is About.HERE]
        runs, places = [_Run(None, None, mine, lambda _: here, patience, ends)], list[str]()
        for there, upload in zip(theres, uploads, strict=True):
            about = {About.THERE, About.UPLOADS} if upload is not None else {About.THERE}
            mine = [check for check in checks if check.about in about]
            is_alone = sum(each.host == there.host for each in theres) == 1
            repository = None if is_alone else there.repository.name
            places.append(_place(there.host, repository))
            runs.append(_Run(there.host, repository, mine, _subject_of(there, upload), patience, ends))
        try:
            found: list[Examined] = []
            for run in runs:
                run.start()
            for run in runs:
                async for each in run:
                    found.append(each)
                    tell(each)
        finally:
            for run in runs:
                await run.stop()
            for upload, there in zip(uploads, theres, strict=True):
                if upload is not None:
                    with suppress(TimeoutError):  # the registry will expire it
                        async with asyncio.timeout(_LAST):
                            await upload.end()
                await there.end()
    written = tuple(place for place, upload in zip(places, uploads, strict=True) if upload is not None)
    hosts = tuple(dict.fromkeys(there.host for there in theres))
    done = Examination(tuple(found), hosts, tuple(places), is_whole=not only, written=written)
    to_try = (str(each.reference.at()) for each in subjects if each.is_repository and not each.writes)
    return structs.replace(done, to_try=next(to_try, done.to_try))


def _place(host: str, repository: str | None) -> str:
    return host if repository is None else f"{host}/{repository}"


async def _want_key(theres: Sequence[There]) -> bool:
    """Return whether a key is known to be wanted: by one of the registries, or by any if none was named."""
    return not theres or any([await there.wants_key() for there in theres])


def _subject_of(there: There, upload: Upload | None) -> Callable[[Check], object]:
    return lambda check: upload if check.about is About.UPLOADS else there


class _Run:
    """The checks of one registry, or of this machine: each waits for those that it needs."""

    def __init__(
        self,
        host: str | None,
        repository: str | None,
        checks: Sequence[Check],
        subject: Callable[[Check], object],
        patience: float,
        ends: float,
    ) -> None:
        self._host = host
        self._repository = repository
        self._checks = checks
        self._subject = subject
        self._patience = patience
        self._ends = ends
        self._tasks: dict[str, asyncio.Task[Finding]] = {}

    def start(self) -> None:
        """Begin all of them."""
        for check in self._checks:
            self._tasks[check.id] = asyncio.create_task(self._finding(check))

    def __aiter__(self) -> _Run:
        self._left = list(self._checks)
        return self

    async def __anext__(self) -> Examined:
        if not self._left:
            raise StopAsyncIteration
        check = self._left.pop(0)
        return Examined(check.id, self._host, await self._tasks[check.id], self._repository)

    async def stop(self) -> None:
        """Cancel those that have not ended."""
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def _finding(self, check: Check) -> Finding:
        for need in check.needs:
            if need in self._tasks:
                before = await asyncio.shield(self._tasks[need])
                if before.needs is not None:
                    return before
                if before.blocks or before.state in (State.FAIL, State.CRASHED):
                    return kept_back(need)
        stops = check.about is About.THERE or check.id == "auth.push"
        left = self._ends - asyncio.get_running_loop().time()
        if left < _LEAST:
            return OUT_OF_TIME
        seconds = min(self._patience, left)
        look: Callable[[object], Awaitable[Finding]] = check.look
        try:
            async with asyncio.timeout(seconds):
                return await look(self._subject(check))
        except RegistryPushError as error:
            return failed(error)
        except TimeoutError:
            if check.told_by in self._tasks:
                return kept_back(check.told_by)
            return slow(seconds, stops=stops, waits_for=check.waits_for or WAITS_FOR[check.about])
        except Exception as error:  # a check that fails itself must not end the others
            return crashed(error)
