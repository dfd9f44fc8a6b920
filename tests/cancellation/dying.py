"""`python -m tests.cancellation.dying ARGUMENT…`: the real command, which stops itself at a byte or at a step.

Every byte of content that it reads from a file, or writes to one, is counted, and every step: a call that makes, cuts,
renames, removes or syncs a file. At the point that is asked for it sends itself the signal: in the midst of a write, or
before a step. So a run is stopped where the seed says, however busy the machine is. What it has counted is in a file
that outlives it, whatever stops it.
"""

from __future__ import annotations

import mmap
import os
import runpy
import struct
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

_LAYOUT: Final = struct.Struct("<QQQ")
_STEPS: Final = ("rename", "replace", "link", "symlink", "unlink", "remove", "mkdir", "ftruncate", "fsync")
_MAKING: Final = os.O_CREAT | os.O_WRONLY | os.O_RDWR


@dataclass(frozen=True, slots=True)
class Counts:
    """What a run has done: bytes that it has read from files and written to them, and steps."""

    read: int = 0
    written: int = 0
    steps: int = 0

    @property
    def bytes(self) -> int:
        """Bytes in both directions."""
        return self.read + self.written

    @classmethod
    def of(cls, file: Path) -> Counts:
        """What a run has left in `file`; nothing if it did not come that far."""
        return cls(*_LAYOUT.unpack(file.read_bytes())) if file.exists() else cls()


@dataclass(frozen=True, slots=True)
class Point:
    """Where a run is stopped: after so many bytes, or before the step with this number, which counts from 0.

    `second` is how many bytes later the signal comes again; None for once.
    """

    at: int
    is_step: bool
    signal: int
    second: int | None = None

    def variables(self) -> Mapping[str, str]:
        """As the process is told."""
        second = "" if self.second is None else str(self.second)
        return {"DYING_AT": f"{self.at} {int(self.is_step)} {self.signal} {second}"}

    @classmethod
    def told(cls) -> Point | None:
        """What this process was told; None to go on to the end."""
        numbers = [int(each) for each in os.environ.get("DYING_AT", "").split()]
        return cls(numbers[0], bool(numbers[1]), *numbers[2:]) if numbers else None


class _Counter:
    """Counts in a shared file, and sends the signal."""

    def __init__(self, file: Path, point: Point | None) -> None:
        file.write_bytes(bytes(_LAYOUT.size))
        with file.open("r+b") as opened:
            self._shared = mmap.mmap(opened.fileno(), _LAYOUT.size)
        self._point = point
        self._bytes = self._written = self._steps = 0
        self._lock = threading.Lock()

    def step(self) -> None:
        """Count a step that is about to be taken."""
        with self._lock:
            if self._point is not None and self._point.is_step and self._point.at == self._steps:
                self._send()
            self._steps += 1
            self._keep()

    def room(self, count: int) -> int:
        """Return how many of `count` bytes come before the point."""
        with self._lock:
            if self._point is None or self._point.is_step:
                return count
            return max(0, min(count, self._point.at - self._bytes))

    def took(self, count: int, *, wrote: bool = False) -> None:
        """Count bytes that were read or written."""
        with self._lock:
            self._bytes += count
            self._written += count if wrote else 0
            self._keep()
            if self._point is not None and not self._point.is_step and self._bytes >= self._point.at:
                self._send()

    def _send(self) -> None:
        point, self._point = self._point, None
        assert point is not None
        if point.second is not None:
            self._point = Point(self._bytes + point.second, False, point.signal)
        os.kill(os.getpid(), point.signal)

    def _keep(self) -> None:
        _LAYOUT.pack_into(self._shared, 0, self._bytes - self._written, self._written, self._steps)


def _counted_steps(counter: _Counter, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
    def step(*given: Any, **named: Any) -> Any:
        if name != "open" or (len(given) > 1 and given[1] & _MAKING):
            counter.step()
        return call(*given, **named)

    return step


def _counted_reads(counter: _Counter, call: Callable[..., Any]) -> Callable[..., Any]:
    def read(*given: Any) -> Any:
        found = call(*given)
        counter.took(found if isinstance(found, int) else len(found))
        return found

    return read


def _counted_writes(counter: _Counter, call: Callable[..., int]) -> Callable[..., int]:
    def write(descriptor: int, content: Any, *offset: int) -> int:
        if descriptor <= 2:  # what it prints
            return call(descriptor, content)
        piece = memoryview(content)
        first = piece[: counter.room(len(piece))]
        done = call(descriptor, first, *offset) if first else 0
        counter.took(done, wrote=True)  # which may be the end
        if done < len(first) or done == len(piece):
            return done
        more = call(descriptor, piece[done:], *(each + done for each in offset))
        counter.took(more, wrote=True)
        return done + more

    return write


def count(counter: _Counter) -> None:
    """Have all of this process counted."""
    wrappers: dict[str, Callable[..., Any]] = {
        **{name: _counted_steps(counter, name, getattr(os, name)) for name in (*_STEPS, "open")},
        **{name: _counted_reads(counter, getattr(os, name)) for name in ("pread", "preadv", "sendfile")},
        **{name: _counted_writes(counter, getattr(os, name)) for name in ("write", "pwrite")},
    }
    for name, wrapper in wrappers.items():
        original = getattr(os, name)
        for able in (os.supports_dir_fd, os.supports_fd, os.supports_follow_symlinks):
            if original in able:
                able.add(wrapper)
        setattr(os, name, wrapper)


if __name__ == "__main__":
    count(_Counter(Path(os.environ["DYING_COUNTS"]), Point.told()))
    runpy.run_module("registry_push", run_name="__main__", alter_sys=True)
