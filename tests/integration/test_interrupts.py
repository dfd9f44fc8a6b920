"""Ctrl-C from the first import on: the documented code and no traceback, or a run that had ended anyhow."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.attack("S15")

FIXTURES = Path(__file__).parents[2] / "fixtures" / "ollama"
# Interrupts itself at the n-th import of the command's own, which is the same place each time.
SCRIPT = """
import os, signal, sys
seen, wanted = 0, int(sys.argv.pop(1))
def hook(event, arguments):
    global seen
    if event == "import" and (seen or arguments[0] == "registry_push.interrupts"):
        seen += 1
        if seen == wanted:
            os.kill(os.getpid(), signal.SIGINT)
sys.addaudithook(hook)
from registry_push.__main__ import main
main()
"""
COMMANDS = {
    "list": ["list", "--models", str(FIXTURES)],
    "push": ["push", "me/tiny", "--models", str(FIXTURES), "--to", "127.0.0.1:1/", "--retries", "0", "--no-resume"],
    "help": ["--help"],
    "usage": ["push", "--jobs", "many"],
}
ENDS = {"list": 0, "push": 6, "help": 0, "usage": 2}


def run(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, cwd=FIXTURES.parents[1], check=False
    )


@pytest.mark.parametrize("at", [1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 120, 160, 200, 250, 300, 400, 500])
@pytest.mark.parametrize("command", COMMANDS)
def test_an_interrupt_at_any_import_is_no_traceback(command: str, at: int) -> None:
    done = run(SCRIPT, str(at), *COMMANDS[command])
    assert done.returncode in (130, ENDS[command])
    assert "Traceback" not in done.stderr and "KeyboardInterrupt" not in done.stderr


@pytest.mark.parametrize("command", ["list", "push"])
def test_the_first_import_of_all_is_interrupted(command: str) -> None:
    assert run(SCRIPT, "1", *COMMANDS[command]).returncode == 130


CLOSING = """
import asyncio, os, signal, sys
close = asyncio.SelectorEventLoop.close
def closed(self):
    os.kill(os.getpid(), signal.SIGINT)
    close(self)
    os.kill(os.getpid(), signal.SIGINT) if "twice" in sys.argv[1:2] else None
asyncio.SelectorEventLoop.close = closed
sys.argv.pop(1)
from registry_push.__main__ import main
main()
"""


def test_an_interrupt_while_the_loop_is_closed_comes_too_late() -> None:
    done = run(CLOSING, "once", *COMMANDS["list"])
    assert (done.returncode, "Traceback" in done.stderr) == (0, False)
    assert "me/tiny" in done.stdout


def test_who_ignores_interrupts_has_them_ignored_while_it_starts() -> None:
    """As `sh` has it for a command in the background."""
    line = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
    assert run(line + SCRIPT, "20", *COMMANDS["help"]).returncode == 0


def test_the_package_imports_nothing_before_the_command_is_ready_for_an_interrupt() -> None:
    done = run("import sys; before = {*sys.modules}; import registry_push; print(*{*sys.modules} - before)")
    assert [name for name in done.stdout.split() if name not in ("registry_push", "__future__")] == []


HANGING = """
import asyncio, signal, sys, time
from registry_push.cli import running, signals
signals._UNUSUAL = 0.05
async def blocks(show, stop):
    print("begun", flush=True)
    signal.raise_signal(signal.SIGINT)
    time.sleep(0.2)  # as a read from a disk that hangs, on the event loop: longer than `_UNUSUAL`
    print("once", flush=True)
    signal.raise_signal(signal.SIGINT)
    print("twice", flush=True)
async def cleans_up(show, stop):
    signal.raise_signal(signal.SIGINT)
    try:
        await stop.wait()
        signal.raise_signal(signal.SIGINT)
        await asyncio.Event().wait()
    finally:
        print("cancelled", flush=True)
        await asyncio.Event().wait()  # as for a thread in a disk that hangs; only the third signal ends it
running.run({"no_progress": True}, globals()[sys.argv[1]], finishes=True)
"""


def test_a_second_interrupt_does_not_wait_for_an_event_loop_that_hangs() -> None:
    done = run(HANGING, "blocks")
    assert (done.returncode, done.stdout) == (130, "begun\nonce\n"), done.stderr


def test_stopping_that_takes_long_says_how_to_leave() -> None:
    script = [sys.executable, "-c", HANGING, "cleans_up"]
    with subprocess.Popen(script, stderr=subprocess.PIPE, text=True, cwd=FIXTURES.parents[1]) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if "press Ctrl-C again to leave without waiting" in line:
                break
        process.send_signal(signal.SIGINT)
        assert process.wait() == 130
