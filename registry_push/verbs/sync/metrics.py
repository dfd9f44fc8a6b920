"""`RunMetrics`: how a run of `sync` ended, as a text file for Prometheus. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from msgspec import Struct

from ...events import Placement
from ...text.patterns import LazyPattern
from .totals import SyncReport, Totals

_PREFIX: Final = "registry_push_sync"
_SUCCESS: Final = LazyPattern(
    rf'{_PREFIX}_last_success_timestamp_seconds\{{plan="((?:[^"\\]|\\.)*)"\}} ([0-9]{{1,12}}(?:\.[0-9]{{1,9}})?)'
)
_ESCAPED: Final = {"\\": r"\\", '"': r"\"", "\n": r"\n"}

Sample = tuple[Mapping[str, str], float]


class RunMetrics(Struct, frozen=True, kw_only=True):
    """One run of `plan`. Times are seconds since 1970; `last_success` is None if no run has succeeded yet.

    `report` is None for a run that could not start, or was broken off.
    """

    plan: str
    started: float
    ended: float
    exit_code: int
    report: SyncReport | None = None
    last_success: float | None = None

    def text(self) -> str:
        """Return the file: gauges only, each with the label `plan`, since a file says how things are now."""
        return "".join(f"{line}\n" for line in self._lines())

    def _lines(self) -> Iterator[str]:
        succeeded = self.exit_code == 0
        last_success = self.ended if succeeded else self.last_success
        yield from self._gauge("last_start_timestamp_seconds", "When the last run began.", self.started)
        yield from self._gauge("last_end_timestamp_seconds", "When the last run ended.", self.ended)
        if last_success is not None:
            yield from self._gauge("last_success_timestamp_seconds", "When a run last succeeded.", last_success)
        took = max(self.ended - self.started, 0.0)
        yield from self._gauge("duration_seconds", "How long the last run took.", took)
        yield from self._gauge("success", "Whether the last run ended with exit code 0.", int(succeeded))
        yield from self._gauge("exit_code", "The exit code of the last run.", self.exit_code)
        totals = self.report.totals if self.report is not None else Totals()
        actions = [({"action": action.value}, count) for action, count in totals.actions.items()]
        yield from self._gauges("tags", "Tags of the last run, by what was done with them.", actions)
        yield from self._gauge("sent_bytes", "Bytes of blobs that the last run has sent.", totals.bytes)
        placed = {Placement.UPLOADED: totals.sent, Placement.MOUNTED: totals.mounted, Placement.PRESENT: totals.present}
        blobs = [({"placement": placement.value}, count) for placement, count in placed.items()]
        yield from self._gauges("blobs", "Blobs of the tags that the last run has copied.", blobs)
        yield from self._gauge("referrers", "Referrers that the last run has copied.", totals.referrers)
        failed = Counter(each.entry for each in self.report.failed) if self.report is not None else Counter[int]()
        entries = [({"entry": str(entry)}, failed[entry]) for entry in sorted(failed)]
        if entries:
            yield from self._gauges("entry_failed", "Tags that failed, by the number of the plan's entry.", entries)

    def _gauge(self, name: str, says: str, value: float) -> Iterator[str]:
        return self._gauges(name, says, [({}, value)])

    def _gauges(self, name: str, says: str, samples: Iterable[Sample]) -> Iterator[str]:
        yield f"# HELP {_PREFIX}_{name} {says}"
        yield f"# TYPE {_PREFIX}_{name} gauge"
        for labels, value in samples:
            written = ",".join(f'{label}="{escaped(text)}"' for label, text in {"plan": self.plan, **labels}.items())
            yield f"{_PREFIX}_{name}{{{written}}} {_number(value)}"


def escaped(text: str) -> str:
    """Return `text` as the value of a label; bytes of a file's name that are no UTF-8 become question marks."""
    encodable = text.encode("utf-8", "replace").decode("utf-8")
    return "".join(_ESCAPED.get(character, character) for character in encodable)


def last_success_in(text: str, plan: str, *, now: float) -> float | None:
    """Return when a run of `plan` last succeeded, as `text`, which a run or somebody else has written, has it.

    None if it has no such time, several, or one that is still to come.
    """
    found = map(_SUCCESS.compiled.fullmatch, text.split("\n"))
    times = [float(match[2]) for match in found if match is not None and match[1] == escaped(plan)]
    return times[0] if len(times) == 1 and 0 < times[0] <= now else None


def _number(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:.3f}"
