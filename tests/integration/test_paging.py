"""`help` on a terminal: set out for its width, and paged if it is longer than the screen."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest


def on_a_terminal(*arguments: str, rows: int, columns: int, home: Path) -> str:
    """What the command writes to a terminal of that size; what a pager shows is marked."""
    here, there = pty.openpty()
    fcntl.ioctl(there, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    variables = {"HOME": str(home), "PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen(
        [sys.executable, "-m", "registry_push", *arguments],
        stdin=there,
        stdout=there,
        stderr=there,
        env={**variables, "TERM": "xterm", "PAGER": "sed s/^/paged:/"},
    )
    os.close(there)
    shown = b""
    while True:
        try:
            piece = os.read(here, 65536)
        except OSError:  # Linux: the other end is closed
            break
        if not piece:
            break
        shown += piece
    os.close(here)
    assert process.wait() == 0
    return shown.decode().replace("\r\n", "\n")


@pytest.mark.parametrize("columns", [45, 80, 200])
def test_a_long_guide_is_set_out_and_paged(tmp_path: Path, columns: int) -> None:
    shown = on_a_terminal("help", "exit-codes", rows=24, columns=columns, home=tmp_path)
    lines = shown.splitlines()
    assert all(line.startswith("paged:") for line in lines)
    assert max(len(line) for line in lines) <= len("paged:") + min(columns, 100)
    assert "# Exit codes" not in shown and "|---|" not in shown and "Exit codes" in shown


def test_what_fits_the_screen_is_not_paged(tmp_path: Path) -> None:
    assert "paged:" not in on_a_terminal("help", "exit-codes", rows=200, columns=80, home=tmp_path)


def test_a_pipe_gets_the_guide_as_it_is(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "registry_push", "help", "exit-codes"],
        capture_output=True,
        check=True,
        env={**os.environ, "HOME": str(tmp_path), "PYTHONIOENCODING": "ascii"},
    )
    assert done.stdout.startswith(b"# Exit codes\n") and done.stderr == b""
