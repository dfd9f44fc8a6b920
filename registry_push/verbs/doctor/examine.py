"""Runs the checks of this machine and of each registry side by side, and reports them in order."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from msgspec import Struct

from ...errors import RegistryPushError
from ...events import Sink, ignore
from ...http.proxies import Proxies, without_proxies
from ...model import HTTPOrigin, Reference
from ...registry.registries import Registries
from ...settings import Settings, with_ports
from .examination import Examination, Examined, place
from .finding import Finding
from .here import Here, Misconfiguration
from .run import Clock, Run, Word, as_it_is
from .table import BY_ID, About, Check, chosen
from .there import There
from .upload import Upload

# Seconds for one check, and for all of them.
_A_CHECK: Final = 5.0
_ALL: Final = 10.0
# Seconds to delete an upload, after all checks.
_LAST: Final = 1.0


class Subject(Struct, frozen=True):
    """A registry to examine. `is_repository`: the reference's repository was named, and is read; `writes`: to it."""

    reference: Reference
    is_repository: bool = False
    writes: bool = False


async def examine(
    subjects: Sequence[Subject],
    *,
    settings: Settings,
    only: Sequence[str] = (),
    config: Misconfiguration | None = None,
    tell: Callable[[Examined], object],
    word: Word = as_it_is,
    sink: Sink = ignore,
    patience: float = _A_CHECK,
    deadline: float = _ALL,
) -> Examination:
    """Run the checks and call `tell` with each in the table's order as soon as it and those before it have ended.

    `config` is what is wrong with the configuration file; `word` puts an error into the words of the command. A check
    may take `patience` seconds, all of them `deadline`. Raises `UsageError` for an unknown check. Cancelling is safe:
    an upload that a check has opened is deleted.
    """
    first = subjects[0].reference.host if subjects else None
    checks = chosen(only, host=first, writes=any(subject.writes for subject in subjects))
    if config is not None and BY_ID["config.valid"] not in checks:  # which is why others may fail
        checks = (BY_ID["config.valid"], *checks)
    # A request outlives its check a little, so that an upload which opens late can be deleted.
    patient = replace(settings, timeout=min(settings.timeout, patience + _LAST), retries=0)
    unusable: RegistryPushError | None = None
    try:
        Proxies.of(settings.environ)
    except RegistryPushError as error:
        unusable = error  # `proxy.used` tells it, and nothing is asked
        patient = replace(patient, environ=without_proxies(settings.environ))
    clock = Clock(patience=patience, ends=asyncio.get_running_loop().time() + deadline)
    async with Registries(patient, sink) as registries:
        examinees = _examinees(subjects, patient, registries, unusable)
        # A table can name another key.
        own = examinees[0].there.settings if len({each.host for each in examinees}) == 1 else settings
        wants_key = partial(_want_key, [each.there for each in examinees])
        here = Here(own, config, unusable if not subjects else None, wants_key=wants_key)
        mine = [check for check in checks if check.about is About.HERE]
        runs = [Run(host=None, checks=mine, subject=lambda _: here, clock=clock, word=word)]
        for of_host in _by_host(examinees):
            beside = _of_other_ports(settings.hosts, of_host[0].there.reference.host)
            runs += _runs_of(of_host, checks, clock, misconfigured=config is not None, word=word, beside=beside)
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
            for examinee in examinees:
                await examinee.end()
    reading = (str(each.reference.at()) for each in subjects if each.is_repository and not each.writes)
    hosts = tuple(dict.fromkeys(each.host for each in examinees))
    return Examination(
        tuple(found),
        hosts=hosts,
        places=tuple(each.place for each in examinees),
        is_whole=not only,
        written=tuple(each.place for each in examinees if each.upload is not None),
        to_try=next(reading, f"{hosts[0]}/REPOSITORY" if hosts else "HOST/REPOSITORY"),
    )


@dataclass(frozen=True)
class _Examinee:
    """A registry, or one of several repositories there, that is examined; `upload` is for those that are written."""

    there: There
    upload: Upload | None
    repository: str | None

    @property
    def host(self) -> str:
        return self.there.host

    @property
    def place(self) -> str:
        return place(self.host, self.repository)

    def subject_of(self, check: Check) -> object:
        """Return whose method the check is."""
        return self.upload if check.about is About.UPLOADS else self.there

    async def end(self) -> None:
        """Stop what is still asked, and delete the upload."""
        if self.upload is not None:
            with suppress(TimeoutError):  # the registry will expire it
                async with asyncio.timeout(_LAST):
                    await self.upload.end()
        await self.there.end()


def _examinees(
    subjects: Sequence[Subject], settings: Settings, registries: Registries, unusable: RegistryPushError | None
) -> list[_Examinee]:
    found: list[_Examinee] = []
    origins = [registries.origin(subject.reference) for subject in subjects]
    for subject, origin in zip(subjects, origins, strict=True):
        beside = next((each.there for each in found if each.there.origin == origin), None)
        there = There(
            subject.reference,
            settings,
            registries,
            is_repository=subject.is_repository,
            unusable_proxy=unusable,
            beside=beside,
        )
        repository = there.repository.name if origins.count(origin) > 1 else None
        found.append(_Examinee(there, Upload(there) if subject.writes else None, repository))
    return found


def _by_host(examinees: Iterable[_Examinee]) -> Iterator[list[_Examinee]]:
    found: dict[HTTPOrigin, list[_Examinee]] = {}
    for each in examinees:
        found.setdefault(each.there.origin, []).append(each)
    yield from found.values()


def _runs_of(
    of_host: Sequence[_Examinee], checks: Sequence[Check], clock: Clock, *, misconfigured: bool, word: Word, beside: str
) -> Iterator[Run]:
    """Yield the runs for the repositories of one host: what is about the host itself is done once."""
    first = of_host[0]
    shared = [check for check in checks if check.about is About.THERE and not check.of_repository]
    make = partial(Run, host=first.host, clock=clock, misconfigured=misconfigured, word=word, beside=beside)
    before: dict[str, asyncio.Task[Finding]] = {}
    if len(of_host) > 1:
        run = make(checks=shared, subject=first.subject_of)
        before = run.tasks
        yield run
    for each in of_host:
        about = {About.THERE, About.UPLOADS} if each.upload is not None else {About.THERE}
        mine = [check for check in checks if check.about in about and (len(of_host) == 1 or check not in shared)]
        yield make(repository=each.repository, checks=mine, subject=each.subject_of, before=before)


def _of_other_ports(tables: Mapping[str, object], host: str) -> str:
    """Return which tables are for other ports of `host`, if none is for it: a user may have meant it. Else nothing."""
    if any(each in tables for each in with_ports(host.lower())):
        return ""
    others = [each for each in tables if _without_port(each) == _without_port(host.lower())]
    return f"the configuration has a table for {', '.join(others)}, and none for {host}" if others else ""


def _without_port(host: str) -> str:
    name, colon, port = host.rpartition(":")
    return name if colon and port.isdigit() else host


async def _want_key(theres: Sequence[There]) -> bool:
    """Return whether a key is known to be wanted: by one of the registries, or by any if none was named."""
    return not theres or any([await there.wants_key() for there in theres])
