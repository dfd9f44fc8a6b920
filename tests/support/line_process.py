"""`Line` in a process of its own, for callers whose event loop must not share the interpreter with it.

python -m tests.support.line_process 127.0.0.1:5000 --rate 125000000 --delay 0.025
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from types import TracebackType
from typing import Self

from .line import Line


class LineProcess:
    """As `Line`, in a process of its own; `up` and `down` ask it."""

    def __init__(
        self, target: str, *, rate: float | None = None, back_rate: float | None = None, delay: float = 0.0
    ) -> None:
        self._command = [sys.executable, "-m", "tests.support.line_process", target, "--delay", str(delay)]
        if rate:
            self._command += ["--rate", str(rate)]
        if back_rate:
            self._command += ["--back-rate", str(back_rate)]

    def __enter__(self) -> Self:
        """Starts it."""
        self._process = subprocess.Popen(self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.host = self._answer()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Ends it."""
        self._process.communicate()

    @property
    def up(self) -> int:
        """Bytes given to the server's kernel."""
        return int(self._ask("counts").split()[0])

    @property
    def down(self) -> int:
        """Bytes given to the client's kernel."""
        return int(self._ask("counts").split()[1])

    def cut(self) -> None:
        """Ends all connections now."""
        self._ask("cut")

    def _ask(self, word: str) -> str:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{word}\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()


def main() -> None:
    """Prints the line's address; `counts` and `cut` on standard input are answered, its end is the line's."""
    parser = argparse.ArgumentParser(prog="python -m tests.support.line_process")
    parser.add_argument("target", help="HOST:PORT")
    parser.add_argument("--rate", type=float, help="bytes a second from client to server")
    parser.add_argument("--back-rate", type=float, help="bytes a second from server to client")
    parser.add_argument("--delay", type=float, default=0.0, help="seconds, each way")
    given = parser.parse_args()
    with Line(given.target, rate=given.rate, back_rate=given.back_rate, delay=given.delay) as line:
        print(line.host, flush=True)
        for word in sys.stdin:
            if word.strip() == "cut":
                line.cut()
            print(line.up, line.down, flush=True)


if __name__ == "__main__":
    main()
