"""Runs one command and tells what it cost. Run as a script, by `measure.run`, never imported.

The kernel counts a child's peak memory from what its parent had when it was started. So the parent is this small
script and not the benchmark: nothing is imported that it does not need.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time


def main() -> None:
    """Reads the order from standard input, and writes the cost to standard output, both JSON."""
    order = json.load(sys.stdin)
    os.chdir(order["folder"])
    null = os.open(os.devnull, os.O_RDONLY)
    log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    files = [(os.POSIX_SPAWN_DUP2, null, 0), (os.POSIX_SPAWN_DUP2, log, 1), (os.POSIX_SPAWN_DUP2, log, 2)]
    command = order["command"]
    begin = time.perf_counter()
    child = os.posix_spawn(command[0], command, order["environment"], file_actions=files, setpgroup=0)
    # One that hangs, or that nobody waits for any more, is ended, and its group with it.
    for reason in (signal.SIGALRM, signal.SIGTERM):
        signal.signal(reason, lambda *_: os.killpg(child, signal.SIGKILL))
    signal.alarm(order["timeout"])
    # wait4 counts the child and all the descendants that were waited for.
    _, status, usage = os.wait4(child, 0)
    wall = time.perf_counter() - begin
    cost = {
        "code": os.waitstatus_to_exitcode(status),
        "wall": wall,
        "cpu": usage.ru_utime + usage.ru_stime,
        "peak": usage.ru_maxrss * 1024,
        "floor": _own_peak(),
    }
    print(json.dumps(cost))


def _own_peak() -> int:
    """Bytes. Not `getrusage` of ourselves, where what our own parent had counts too."""
    with open("/proc/self/status") as status:  # noqa: PTH123  # pathlib takes a megabyte
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM:"))


if __name__ == "__main__":
    main()
