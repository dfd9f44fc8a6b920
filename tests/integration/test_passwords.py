"""The password of `--username`: typed at a terminal, without an echo, or what is missing is named."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pty
import sys
import termios
from pathlib import Path

import pytest

from registry_push.embedded import Basic, EmbeddedRegistry, Options
from registry_push.embedded.sample import write_sample_store
from tests.support.command import command
from tests.support.registries import EmbeddedFactory
from tests.support.secrets import PASSWORD


async def at_a_terminal(*arguments: str, typed: bytes, home: Path) -> tuple[int, str, bool]:
    """Runs the command at a terminal, types at the prompt; gives its code, what the screen shows, and whether the
    terminal echoes afterwards."""
    here, there = pty.openpty()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", _AS_SESSION, *arguments),
        stdin=there,
        stdout=there,
        stderr=there,
        start_new_session=True,
        env={"HOME": str(home), "PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(sys.path), "TERM": "dumb"},
    )
    screen, answered = b"", False
    while True:
        readable = asyncio.get_running_loop().run_in_executor(None, _read, here)
        if not (piece := await readable):
            break
        screen += piece
        if not answered and b"Password for me: " in screen:
            answered = True
            os.write(here, typed)
        if process.returncode is not None:
            break
        if _END in screen:
            break
    code = await process.wait()
    echoes = bool(termios.tcgetattr(there)[3] & termios.ECHO)
    os.close(there)
    os.close(here)
    assert answered
    return code, screen.decode(), echoes


_END = b"<end>"
# The terminal becomes this session's own, as a login shell's is; Ctrl-C typed there reaches the command.
_AS_SESSION = """
import fcntl, os, subprocess, sys, signal, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
done = subprocess.Popen([sys.executable, "-m", "registry_push", *sys.argv[1:]])
signal.signal(signal.SIGINT, signal.SIG_IGN)
code = done.wait()
print("<end>", flush=True)
sys.exit(code)
"""


def _read(terminal: int) -> bytes:
    with contextlib.suppress(OSError):
        return os.read(terminal, 4096)
    return b""


async def _registry(embedded_with: EmbeddedFactory, home: Path) -> EmbeddedRegistry:
    write_sample_store(home / ".ollama/models", weights=70_000)
    return await embedded_with(Options(auth=Basic({"me": PASSWORD})))


@pytest.mark.parametrize("flags", [(), ("--password-stdin",)], ids=["asked", "stdin"])
async def test_at_a_terminal_the_password_is_asked_for_without_echo(
    embedded_with: EmbeddedFactory, tmp_path: Path, flags: tuple[str, ...]
) -> None:
    registry = await _registry(embedded_with, tmp_path)
    line = ("push", "me/tiny", "--to", f"{registry.host}/", "--username", "me", *flags)
    code, screen, echoes = await at_a_terminal(*line, typed=f"{PASSWORD}\n".encode(), home=tmp_path)
    assert code == 0, screen
    assert PASSWORD not in screen and echoes


async def test_ctrl_c_at_the_prompt_ends_with_130_and_the_terminal_echoes_again(tmp_path: Path) -> None:
    write_sample_store(tmp_path / ".ollama/models", weights=70_000)
    line = ("push", "me/tiny", "--to", "localhost:1/", "--username", "me")
    code, screen, echoes = await at_a_terminal(*line, typed=b"\x03", home=tmp_path)
    assert (code, echoes) == (130, True)
    assert "Traceback" not in screen and "Password for me: \r\n" in screen


async def test_ctrl_d_at_the_prompt_says_what_is_missing(tmp_path: Path) -> None:
    write_sample_store(tmp_path / ".ollama/models", weights=70_000)
    line = ("push", "me/tiny", "--to", "localhost:1/", "--username", "me")
    code, screen, _ = await at_a_terminal(*line, typed=b"\x04", home=tmp_path)
    assert code == 2 and "no password for me was typed" in screen


async def test_what_is_typed_and_is_not_utf_8_is_an_error_without_it(tmp_path: Path) -> None:
    write_sample_store(tmp_path / ".ollama/models", weights=70_000)
    line = ("push", "me/tiny", "--to", "localhost:1/", "--username", "me")
    code, screen, echoes = await at_a_terminal(*line, typed=b"secret\xff\n", home=tmp_path)
    assert (code, echoes) == (2, True), screen
    assert "the password from the terminal is not UTF-8" in screen
    assert "Traceback" not in screen and "secret" not in screen


async def test_what_follows_the_password_s_line_needs_not_be_utf_8(
    embedded_with: EmbeddedFactory, tmp_path: Path
) -> None:
    registry = await _registry(embedded_with, tmp_path)
    line = ("push", "me/tiny", "--to", f"{registry.host}/", "--username", "me", "--password-stdin")
    done = await command(*line, home=tmp_path, stdin=f"{PASSWORD}\n".encode() + b"\xff\n")
    assert done.code == 0, done.err


async def test_without_a_terminal_the_error_names_both_ways(tmp_path: Path) -> None:
    done = await command("push", "me/tiny", "--to", "localhost:1/", "--username", "me", home=tmp_path)
    assert done.code == 2
    assert "--password-stdin" in done.err and "REGISTRY_PUSH_PASSWORD" in done.err


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (("copy", "registry:a.example/me/x:v1", "registry:b.example/y/"), "one registry's login"),
        (("copy", "a.example//", "registry:b.example/y/"), "error"),
        (("copy", "registry:a.example/me/x", "ollama:", "--referrers", "all"), "no place for referrers"),
        (("pull", "a.example/me/x", "b.example/me/x"), "one registry's login"),
        (("pull", "a.example/me/x", "a.example/me/y", "--as", "z"), "--as names one model"),
        (("pull", "oci:x"), "pull reads from a registry"),
        (("tags", "a.example/me/x:v1"), "names one manifest"),
        (("inspect", "ollama:"), "whole store"),
        (("inspect", "registry:a.example/me/x", "--raw", "--json"), "exclude each other"),
        (("resume", "--list", "--cancel"), "exclude each other"),
    ],
)
async def test_no_password_is_asked_for_where_the_command_is_refused_anyway(
    tmp_path: Path, line: tuple[str, ...], said: str
) -> None:
    """Here nobody could type one, so an attempt would be the error."""
    done = await command(*line, "--username", "me", home=tmp_path)
    assert done.code == 2
    assert said in done.err + done.out and "there is no password" not in done.err + done.out


async def test_an_empty_password_is_none_wherever_it_comes_from(tmp_path: Path) -> None:
    line = ("push", "me/tiny", "--to", "localhost:1/", "--username", "me")
    by_stdin = await command(*line, "--password-stdin", home=tmp_path)
    by_variable = await command(*line, home=tmp_path, REGISTRY_PUSH_PASSWORD="")
    assert (by_stdin.code, by_variable.code) == (2, 2)
    assert "standard input is empty" in by_stdin.err and "REGISTRY_PUSH_PASSWORD is empty" in by_variable.err


async def test_a_password_without_a_name_asks_for_the_name(tmp_path: Path) -> None:
    done = await command("push", "me/tiny", "--to", "localhost:1/", "--password-stdin", home=tmp_path, stdin="x\n")
    assert done.code == 2 and "--username NAME" in done.err
