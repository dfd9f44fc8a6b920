"""Progress, speed and time left: the state of every progress display. Pure; the time is an argument.

Speed counts only bytes that moved in this run. Bytes that were at the target before are progress only.
"""

from __future__ import annotations

from collections import deque
from enum import Enum
from typing import Final

from msgspec import Struct, field
from msgspec.structs import asdict

from ...events import (
    Action,
    BlobDone,
    BlobProgress,
    BlobRewound,
    BlobStarted,
    BlobWaiting,
    Event,
    ModelDone,
    ModelFailed,
    ModelStarted,
    Placement,
    RunGrew,
    RunStarted,
    TagSettled,
)
from ...model import Descriptor, Digest, LocalReference, Reference

# Seconds over which speed is measured: long enough to smooth chunks, short enough to show that a line got slow.
WINDOW: Final = 10.0
# Seconds. Events come by the thousand; they are summed in bins, so that a speed is the sum of 40 numbers.
_BIN: Final = 0.25
_BINS: Final = round(WINDOW / _BIN)
# Seconds. Over a shorter time, the first buffer that the kernel takes would look like a speed.
_SETTLING: Final = 0.5
# Seconds without a byte after which a blob counts as waiting.
_STALL: Final = 5.0

Key = tuple[str, Digest]


class SpeedMeter:
    """Bytes a second over the last `WINDOW` seconds."""

    __slots__ = ("_began", "_bins")

    def __init__(self) -> None:
        self._began: float | None = None
        self._bins: deque[tuple[int, int]] = deque()

    def begin(self, now: float) -> None:
        """Start counting at this time, unless counting has begun."""
        if self._began is None:
            self._began = now

    def add(self, now: float, count: int) -> None:
        """Note that `count` bytes moved just before `now`."""
        self.begin(now)
        index = int(now / _BIN)
        if self._bins and self._bins[-1][0] == index:
            self._bins[-1] = (index, self._bins[-1][1] + count)
        else:
            self._bins.append((index, count))
            self._forget(index)

    def speed(self, now: float) -> float | None:
        """Return bytes a second; None while there is too little data."""
        if self._began is None or now - self._began < _SETTLING:
            return None
        index = int(now / _BIN)
        self._forget(index)
        since = max(self._began, (index - _BINS + 1) * _BIN)
        return sum(count for _, count in self._bins) / (now - since)

    def _forget(self, index: int) -> None:
        while self._bins and self._bins[0][0] <= index - _BINS:
            self._bins.popleft()


class Phase(Enum):
    """What a blob under way is doing; the values are the words on the display."""

    PREPARING = "preparing"  # before its first byte: the local file is hashed, or a session is asked for
    MOVING = "moving"
    WAITING = "waiting"
    CONFIRMING = "confirming"  # every byte is sent, and the registry has not confirmed it yet


class BlobState(Struct):
    """One blob under way. `offset` is its progress, `moved` what was sent for it in this run, both in bytes."""

    blob: Descriptor
    started: float
    offset: int
    last_moved: float
    moved: int = 0
    heard: bool = False
    meter: SpeedMeter = field(default_factory=SpeedMeter)

    def advance(self, offset: int, now: float) -> int:
        """Take the new offset and return the bytes that moved to get there.

        The first offset only says where the blob is: it may include 30 GB that an earlier run sent. `BlobDone.sent`
        corrects for bytes missed by that.
        """
        step = max(0, offset - self.offset) if self.heard else 0
        if step or not self.heard:
            self.last_moved = now
        self.offset, self.heard = offset, True
        self.moved += step
        self.meter.add(now, step)
        return step

    def phase(self, now: float) -> Phase:
        """Return what the blob is doing."""
        if not self.heard:
            return Phase.PREPARING
        if self.offset >= self.blob.size:
            return Phase.CONFIRMING
        return Phase.MOVING if now - self.last_moved < _STALL else Phase.WAITING


class RunState(Struct):
    """A run, from its events. `active` are the blobs under way, in the order they began."""

    models: int = 0
    blobs: int = 0
    models_done: int = 0
    models_failed: int = 0
    moved: int = 0
    active: dict[Key, BlobState] = field(default_factory=dict)
    running: dict[tuple[str, str], tuple[ModelStarted, float]] = field(default_factory=dict)
    meter: SpeedMeter = field(default_factory=SpeedMeter)
    waiting: set[Key] = field(default_factory=set)  # for another push that sends them
    dry_run: bool = False
    phase: str = ""
    counts: dict[Placement, int] = field(default_factory=lambda: dict.fromkeys(Placement, 0))
    _size: int = 0
    _abandoned: int = 0
    _began: float | None = None
    _settled: dict[Key, BlobDone] = field(default_factory=dict)
    _settled_bytes: int = 0

    def apply(self, event: Event, now: float) -> None:
        """Take one event. `BlobProgress`, which come by the thousand, cost a look-up and an addition."""
        match event:
            case BlobProgress():
                self._move((event.repository, event.digest), event.offset, now)
            case BlobStarted():
                self.waiting.discard((event.repository, event.blob.digest))
                self._start(event, now)
            case BlobDone():
                self.waiting.discard((event.repository, event.blob.digest))
                self._settle(event, now)
            case BlobWaiting():
                self.waiting.add((event.repository, event.blob.digest))
            case BlobRewound():
                # What is sent again from here moves again: it counts for the speed, as it costs time.
                if state := self.active.get((event.repository, event.digest)):
                    state.offset, state.heard, state.last_moved = event.offset, True, now
            case RunStarted():
                for name, value in asdict(RunState(dry_run=event.dry_run, phase=event.phase)).items():
                    setattr(self, name, value)  # what was before it, a check perhaps, is over
                self.models, self.blobs, self._size, self._began = event.models, event.blobs, event.size, now
            case RunGrew():
                self.models, self.blobs, self._size = (
                    self.models + event.models,
                    self.blobs + event.blobs,
                    self._size + event.size,
                )
            case TagSettled():
                if event.action in (Action.PRESENT, Action.KEPT) or (event.dry_run and event.action is Action.COPIED):
                    self.models_done += 1
            case ModelStarted():
                self.running[event.model, str(event.target)] = (event, now)
            case ModelDone():
                self.running.pop((event.model, str(event.target)), None)
                self.models_done += 1
            case ModelFailed():
                self._abandon(event)
            case _:
                pass

    @property
    def done(self) -> int:
        """Bytes that are at the target or on the way."""
        return self._settled_bytes + sum(state.offset for state in self.active.values())

    @property
    def size(self) -> int:
        """Bytes of the run, less those of failed models."""
        return max(self._size - self._abandoned, self.done)

    @property
    def shown(self) -> tuple[int, int]:
        """Bytes done and in all, for the display: equal only when every model is at its target.

        Sent bytes may still be refused, and failed models never finish.
        """
        done = self.done
        total = max(self._size, done)
        return (done, total) if self.models_done >= self.models else (max(0, min(done, total - 1)), max(total, 1))

    @property
    def has_begun(self) -> bool:
        """Whether the work is known."""
        return self._began is not None

    @property
    def only_compares(self) -> bool:
        """Whether nothing has been found yet that has to move."""
        return not self._size

    @property
    def blobs_done(self) -> int:
        """Blobs that are confirmed at the target."""
        return len(self._settled)

    @property
    def only_waits(self) -> bool:
        """Whether there is nothing to do at present but wait for another push."""
        return bool(self.waiting) and not self.active

    def speed(self, now: float) -> float | None:
        """Return bytes a second, smoothed; None while there is too little data."""
        return None if self.only_waits else self.meter.speed(now)

    def remaining(self, now: float) -> float | None:
        """Return seconds to go at this speed; None if nothing moves or too little is known."""
        return seconds_left(self.size - self.done, self.speed(now))

    def run_elapsed(self, now: float) -> float:
        """Return seconds since the run began."""
        return now - self._began if self._began is not None else 0.0

    def elapsed(self, event: ModelDone | ModelFailed, now: float) -> float:
        """Return seconds since the model began. Call it before `event` is applied."""
        began = self.running.get((event.model, str(event.target)))
        return now - (began[1] if began else self._began if self._began is not None else now)

    def _start(self, event: BlobStarted, now: float) -> None:
        key = (event.repository, event.blob.digest)
        if before := self._settled.pop(key, None):  # the registry has lost it again (Quay, after an hour)
            self.counts[before.placement] -= 1
            self._settled_bytes -= before.blob.size
        if state := self.active.get(key):
            state.offset, state.last_moved = event.offset, now
        else:
            self.active[key] = BlobState(event.blob, now, event.offset, now)

    def _move(self, key: Key, offset: int, now: float) -> None:
        if state := self.active.get(key):
            step = state.advance(offset, now)
            self.moved += step
            self.meter.add(now, step)

    def _settle(self, event: BlobDone, now: float) -> None:
        key = (event.repository, event.blob.digest)
        state = self.active.pop(key, None)
        unseen = 0 if event.dry_run else event.sent - (state.moved if state else 0)
        self.moved += unseen
        if unseen > 0:
            self.meter.begin(state.started if state else now)
            self.meter.add(now, unseen)
        if key not in self._settled:
            self._settled[key] = event
            self._settled_bytes += event.blob.size
            self.counts[event.placement] += 1

    def _abandon(self, event: ModelFailed) -> None:
        self.models_failed += 1
        target = event.target
        if target is None:
            return  # it never began
        began = self.running.pop((event.model, str(target)), None)
        self.waiting = {key for key in self.waiting if not _is_in(key[0], target)}
        if any(_is_in(target.repository, other.target) for other, _ in self.running.values()):
            return  # another tag of the same repository may still need the same blobs
        for key in [key for key in self.active if _is_in(key[0], target)]:
            del self.active[key]
        if began:
            there = sum(done.blob.size for key, done in self._settled.items() if _is_in(key[0], target))
            self._abandoned += max(0, began[0].size - there)


def seconds_left(size: int, rate: float | None) -> float | None:
    """Return seconds for `size` bytes at `rate`; None if nothing moves."""
    return size / rate if rate else None


def _is_in(repository: str, target: Reference | LocalReference) -> bool:
    return repository in (target.repository, f"{target.host}/{target.repository}")
