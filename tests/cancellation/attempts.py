"""One start of the real command, with a signal at a byte on its way, and what it told."""

from __future__ import annotations

import asyncio
import json
import random
import signal
from asyncio.subprocess import Process
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, Final

from tests.support.command import start_command
from tests.support.line import Line

MiB: Final = 1024 * 1024
# Seconds in which any start must have ended: a push of 1 GB takes five.
PATIENCE: Final = 120.0


class Stop(Enum):
    """How the command is stopped."""

    KILL = "SIGKILL"
    TERM = "SIGTERM"
    INT = "Ctrl-C"
    TWICE = "Ctrl-C twice"

    @property
    def word(self) -> str:
        """For the command line."""
        return self.name.lower()

    @property
    def number(self) -> signal.Signals:
        """What is sent."""
        return {Stop.KILL: signal.SIGKILL, Stop.TERM: signal.SIGTERM}.get(self, signal.SIGINT)

    @property
    def code(self) -> int:
        """How a process ends by it."""
        return -signal.SIGKILL if self is Stop.KILL else 130

    @property
    def cuts(self) -> bool:
        """Whether bodies break off; else chunks are finished."""
        return self in (Stop.KILL, Stop.TWICE)


@dataclass(frozen=True, slots=True)
class Attempt:
    code: int
    events: list[dict[str, Any]]
    err: str

    def digests(self, event: str) -> set[str]:
        """Of the blobs that an event of this name was told of."""
        told = [each for each in self.events if each["event"] == event]
        return {hex_of(each) for each in told}

    def begun_at_zero(self) -> set[str]:
        """Blobs of which nothing was thought to be there."""
        return {hex_of(each) for each in self.events if each["event"] == "blob_started" and each["offset"] == 0}

    def said_to_be_lost(self) -> set[str]:
        """Blobs that are begun anew, as the output says, with the reason."""
        rewound = [each for each in self.events if each["event"] == "blob_rewound"]
        return {hex_of(each) for each in rewound if each["reason"] and each["offset"] == 0}

    def acknowledged(self, chunk: int | None) -> set[str]:
        """Blobs of which the registry had acknowledged something for certain: a second chunk was under way."""
        begun: dict[str, int] = {}
        found: set[str] = set()
        for each in self.events:
            match each["event"]:
                case "blob_started" | "blob_rewound":
                    begun[hex_of(each)] = each["offset"]
                    (found.add if each["offset"] else found.discard)(hex_of(each))
                case "blob_progress" if chunk and each["offset"] > begun[hex_of(each)] + chunk:
                    found.add(hex_of(each))
        return found


def hex_of(event: dict[str, Any]) -> str:
    digest = event["blob"]["digest"] if "blob" in event else event["digest"]
    return str(digest).partition(":")[2]


@dataclass(frozen=True, slots=True)
class Meter:
    """Counts the bytes that go one way on a line; `at` calls something at a byte."""

    passed: Callable[[], int]
    at: Callable[[int, Callable[[], None]], None]

    @classmethod
    def up(cls, line: Line) -> Meter:
        """Those that the server was given."""
        return cls(lambda: line.up, line.at)

    @classmethod
    def down(cls, line: Line) -> Meter:
        """Those that the client was given."""
        return cls(lambda: line.down, line.at_down)


def points(draw: random.Random, size: int) -> list[int]:
    """At which of `size` bytes the signal is sent: one, sometimes two or three."""
    return sorted(draw.randrange(size) for _ in range(draw.choice((1, 1, 1, 2, 3))))


async def start(
    arguments: Sequence[str],
    home: Path,
    meter: Meter,
    how: Stop,
    points: Sequence[int],
    second: Callable[[], int],
    patience: float = PATIENCE,
) -> Attempt | None:
    """Start the command, with a signal at each of `points`; return how it ended, None if it did not in time.

    `second` says how many bytes after Ctrl-C the second one comes.
    """
    process = await start_command(*arguments, home=home)
    loop = asyncio.get_running_loop()

    def send() -> None:
        loop.call_soon_threadsafe(_send, process, how.number)

    def stop() -> None:
        send()
        if how is Stop.TWICE:
            meter.at(meter.passed() + second(), send)

    # A byte of this start must have passed: then the command is under way, with its signals in its own hands.
    for point in points:
        meter.at(max(point, meter.passed() + 1), stop)
    try:
        async with asyncio.timeout(patience):
            out, err = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.communicate()
        return None
    assert process.returncode is not None
    # A killed process may leave half a line behind.
    events = [json.loads(each) for each in out.decode().splitlines() if each.endswith("}")]
    return Attempt(process.returncode, events, err.decode())


def _send(process: Process, number: signal.Signals) -> None:
    if process.returncode is None:
        process.send_signal(number)
