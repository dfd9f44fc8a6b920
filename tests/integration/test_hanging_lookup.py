"""Where the name servers are silent: a command ends without waiting for them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from registry_push.embedded.sample import write_sample_store

# A lookup that never ends: if the command waited for it, the test would not end either.
HANGING = """
import socket, sys, threading
def getaddrinfo(*_, **__):
    print("looking", flush=True)
    threading.Event().wait()
socket.getaddrinfo = getaddrinfo
from registry_push.verbs.doctor import examine
examine._A_CHECK = 0.5
from registry_push.__main__ import main
main()
"""


def started(home: Path, *arguments: str) -> subprocess.Popen[str]:
    write_sample_store(home / ".ollama/models", name="me/tiny:latest", weights=70_000)
    environ = {"HOME": str(home), "PATH": os.environ["PATH"]}
    return subprocess.Popen(
        [sys.executable, "-c", HANGING, *arguments],
        env=environ,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_doctor_ends_and_names_the_lookup(tmp_path: Path) -> None:
    with started(tmp_path, "doctor", "registry.example") as process:
        out, _ = process.communicate()
    assert process.returncode == 6 and "FAIL  net.dns                no answer from the name server in" in out, out


STOPPED = {
    "push": (["push", "me/tiny", "--to", "registry.example/x"], "to resume, run the same command again"),
    "tags": (["tags", "registry.example/x"], "→ run the same command again"),
    "login": (["login", "registry.example", "--username", "me", "--password-stdin"], "→ run the same command again"),
}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("case", STOPPED)
def test_what_is_stopped_ends_and_says_how_to_go_on(tmp_path: Path, case: str, number: signal.Signals) -> None:
    """Only what moves models can be resumed."""
    arguments, step = STOPPED[case]
    with started(tmp_path, *arguments, "--quiet") as process:
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write("a-password\n" if case == "login" else "")
        process.stdin.close()
        assert process.stdout.readline() == "looking\n"
        process.send_signal(number)
        _, said = process.stdout.read(), process.stderr.read() if process.stderr else ""
    assert process.returncode == 130 and step in said, said


def test_the_timeout_bounds_a_lookup(tmp_path: Path) -> None:
    with started(
        tmp_path, "push", "me/tiny", "--to", "registry.example/x", "--timeout", "1s", "--retries", "0"
    ) as process:
        _, said = process.communicate()
    assert process.returncode == 6 and "cannot resolve registry.example: no answer from the name server in 1 s" in said
