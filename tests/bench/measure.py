"""What one command costs, from its start to its end, as the kernel accounts for it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_PIPE = subprocess.PIPE
_CHILD = Path(__file__).with_name("child.py")


@dataclass(frozen=True, slots=True)
class Sample:
    """Seconds by the clock, seconds of the processor (user and system, with all descendants), peak memory in bytes.

    `peak` is of the largest process, and can't be below `floor`: what the process had that started it.
    """

    wall: float
    cpu: float
    peak: int
    floor: int = 0


class CommandFailed(Exception):
    """A command that was to be measured did not end well."""


def run(
    command: Sequence[str], environment: Mapping[str, str], *, folder: Path, log: Path, timeout: int = 900
) -> Sample:
    """Runs `command`, its output in `log`. Raises `CommandFailed` with the end of that where it fails."""
    order = {
        "command": list(command),
        "environment": dict(environment),
        "folder": str(folder),
        "log": str(log),
        "timeout": timeout,
    }
    script = [sys.executable, "-I", "-S", str(_CHILD)]
    with subprocess.Popen(script, stdin=_PIPE, stdout=_PIPE, stderr=_PIPE, text=True) as child:
        try:
            told, trouble = child.communicate(json.dumps(order))
        except BaseException:  # the command is ended with us, and only the script knows it
            child.terminate()
            raise
    if child.returncode != 0:
        raise CommandFailed(f"{command[0]} could not be started: {trouble[-2000:]}")
    cost = json.loads(told)
    if cost.pop("code") != 0:
        raise CommandFailed(f"{' '.join(command)[:400]} failed: {log.read_text(errors='replace')[-2000:]}")
    return Sample(**cost)
