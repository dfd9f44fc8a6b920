"""`Target`: a reader of foreign bytes; `examine`: what one input does to it."""

from __future__ import annotations

import asyncio
import inspect
import re
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import click

from registry_push.errors import RegistryPushError

# Seconds of processor time, and bytes, that one input may cost.
MOST_SECONDS: Final = 0.1
MOST_BYTES: Final = 100 * 1000 * 1000
# Seconds of processor time for making a failing input shorter.
_SHORTENING: Final = 5.0
# click's own usage errors end the command with 2, as ours do.
TYPED: Final = (RegistryPushError, click.ClickException)
# What may never reach a terminal or a log, whoever wrote it.
_CONTROL: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f]")
# proc_pid_status(5), proc_pid_clear_refs(5): the most memory ever held, and how it is begun anew.
_STATUS: Final = Path("/proc/self/status")
_CLEAR_REFS: Final = Path("/proc/self/clear_refs")

Call = Callable[[bytes], Any]


@dataclass(frozen=True, slots=True)
class Target:
    """A row. `prepare` makes the callable, with a folder of its own; what it returns may be a coroutine.

    `words` are put into inputs besides the usual ones; no input is longer than `most` bytes.
    """

    name: str
    seeds: tuple[bytes, ...]
    prepare: Callable[[Path], Call]
    words: tuple[bytes, ...] = ()
    most: int = 64 * 1024


@dataclass(frozen=True, slots=True)
class Failure:
    """What an input did: `kind` is `error`, `slow`, `large` or `unprintable`; `where` tells it from others."""

    kind: str
    where: str
    data: bytes

    @property
    def signature(self) -> str:
        """Equal for failures that have one cause."""
        return f"{self.kind}: {self.where.splitlines()[0]}"


class Bench:
    """A target set up in a folder, which inputs are tried on. A context manager."""

    def __init__(self, target: Target, folder: Path, *, most_seconds: float = MOST_SECONDS) -> None:
        self.target = target
        self._most_seconds = most_seconds
        self.slowest = 0.0
        self.examples = 0
        self._folder = folder
        self._runner = asyncio.Runner()

    def __enter__(self) -> Bench:
        self._call = self.target.prepare(self._folder)
        return self

    def __exit__(self, *_: object) -> None:
        self._runner.close()

    def examine(self, data: bytes) -> Failure | None:
        """Try one input. What is slow once is tried twice more: another process may have had the caches."""
        self.examples += 1
        before, failure, seconds = _peak_from_now(), *self._try(data)
        for _ in range(2):
            if self._most_seconds < seconds < 10 * self._most_seconds:
                seconds = min(seconds, self._try(data)[1])
        self.slowest = max(self.slowest, seconds)
        if failure is not None:
            return failure
        if (grown := _peak() - before) > MOST_BYTES:
            return Failure("large", f"{self.target.name} takes over {MOST_BYTES} bytes\n{grown} bytes", data)
        if seconds > self._most_seconds:
            return Failure("slow", f"{self.target.name} takes over {self._most_seconds} s\n{seconds:.3f} s", data)
        return None

    def shortened(self, failure: Failure) -> Failure:
        """A short input with the same failure: pieces are left out, large ones first."""
        best, size = failure, len(failure.data) // 2
        ends = time.process_time() + _SHORTENING
        while size and time.process_time() < ends:
            place = 0
            while place < len(best.data) and time.process_time() < ends:
                found = self.examine(best.data[:place] + best.data[place + size :])
                if found is not None and found.signature == failure.signature:
                    best = found
                else:
                    place += size
            size //= 2
        return best

    def _try(self, data: bytes) -> tuple[Failure | None, float]:
        began = time.process_time()
        try:
            result = self._call(data)
            if inspect.iscoroutine(result):
                self._runner.run(result)
        except TYPED as error:
            spent = time.process_time() - began
            said = f"{error} {getattr(error, 'hint', '')} {getattr(error, 'url', '')}"
            if isinstance(error, RegistryPushError) and _CONTROL.search(said):
                return Failure("unprintable", f"{type(error).__name__} shows control characters\n{said!r}", data), spent
            return None, spent
        except Exception as error:
            return Failure("error", _where(error), data), time.process_time() - began
        return None, time.process_time() - began


def _where(error: Exception) -> str:
    """The error's type and our last line under it; then the traceback."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if "registry_push" in Path(frame.filename).parts] or list(frames)
    at = f"{Path(ours[-1].filename).name}:{ours[-1].lineno} {ours[-1].name}" if ours else "?"
    return f"{type(error).__name__} at {at}\n{''.join(traceback.format_exception(error))[-1500:]}"


def _peak_from_now() -> int:
    """The memory held now, in bytes. `_peak` forgets what was held before: other tests of this process hold more."""
    _CLEAR_REFS.write_text("5")
    return _peak()


def _peak() -> int:
    held = re.search(r"VmHWM:\s+(\d+) kB", _STATUS.read_text())
    assert held is not None
    return int(held[1]) * 1024


def text_of(data: bytes) -> str:
    """As arguments and headers come: bytes that are no UTF-8 are lone surrogates."""
    return data.decode("utf-8", "surrogateescape")


def pure(function: Callable[[str], Any]) -> Callable[[Path], Call]:
    """For a reader of text that needs no folder."""
    return lambda _: lambda data: function(text_of(data))


def raw(function: Call) -> Callable[[Path], Call]:
    """For a reader of bytes that needs no folder."""
    return lambda _: function
