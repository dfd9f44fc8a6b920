"""Runs the real command in a process of its own, with a home of its own."""

from __future__ import annotations

import asyncio
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import leaks
from .event_schema import checked


@dataclass(frozen=True, slots=True)
class Finished:
    """How the command ended. `peak` is its largest resident size in bytes."""

    code: int
    out: str
    err: str
    peak: int

    @property
    def events(self) -> list[dict[str, Any]]:
        """What `--json` printed, held against the schema."""
        return checked(self.out)


async def start_command(
    *arguments: str, home: Path, module: str = "registry_push", **variables: str
) -> asyncio.subprocess.Process:
    """`registry-push arguments…`, under way; `module` is what runs it."""
    environment = {"HOME": str(home), "PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(sys.path), **variables}
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        module,
        *arguments,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=environment,
    )


async def command(*arguments: str, home: Path, stdin: str | bytes = "", **variables: str) -> Finished:
    """Runs `registry-push arguments…` to its end."""
    process = await start_command(*arguments, home=home, **variables)
    watching = asyncio.create_task(_peak(process.pid))
    out, err = await process.communicate(stdin.encode() if isinstance(stdin, str) else stdin)
    assert process.returncode is not None
    finished = Finished(process.returncode, out.decode(), err.decode(), await watching)
    leaks.current().note("what the command printed", f"{finished.out}\n{finished.err}")
    leaks.current().folders.add(home)
    return finished


async def _peak(pid: int) -> int:
    """The kernel's own high-water mark, read until the process has gone."""
    peak = 0
    status = Path(f"/proc/{pid}/status")
    while True:
        try:
            text = status.read_text()
        except (FileNotFoundError, ProcessLookupError):
            return peak
        marks = [line for line in text.splitlines() if line.startswith("VmHWM:")]
        if not marks:  # a zombie has no memory any more
            return peak
        peak = int(marks[0].split()[1]) * 1024
        await asyncio.sleep(0.01)  # the mark only grows: looking rarely loses the last instants at most
