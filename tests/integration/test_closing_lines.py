"""The last line of a run of several models: how many are new, were there, or failed, and how much moved."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pty
import sys
from pathlib import Path

import pytest

from registry_push.embedded import EmbeddedRegistry
from registry_push.embedded.sample import write_sample_store
from tests.support.command import command

NAMES = ("me/a:v1", "me/b:v1", "me/c:v1")


def written(home: Path, *names: str) -> None:
    for name in names:
        write_sample_store(home / ".ollama/models", name=name, weights=70_000)


def last(out: str) -> str:
    return out.splitlines()[-1]


@pytest.mark.parametrize(
    ("verb", "target", "done"), [("copy", "oci:{home}/l", "copied"), ("push", "{host}/x/", "pushed")]
)
async def test_a_run_of_several_ends_with_their_numbers(
    embedded: EmbeddedRegistry, tmp_path: Path, verb: str, target: str, done: str
) -> None:
    written(tmp_path, *NAMES[:1])
    to = target.format(home=tmp_path, host=embedded.host)
    line = ["copy", "ollama:", to] if verb == "copy" else ["push", "--all", "--to", to]
    one = await command(*line, home=tmp_path)
    assert one.code == 0 and "models:" not in one.out
    written(tmp_path, *NAMES[1:])
    dry = await command(*line, "--dry-run", home=tmp_path)
    assert f"3 models: 2 would be {done}, 1 there already; " in dry.out, dry.out
    (tmp_path / ".ollama/models/manifests/registry.ollama.ai/me/c/v1").write_bytes(b"{")
    several = await command(*line, home=tmp_path)
    assert several.code == 8
    assert last(several.out).startswith(f"3 models: 1 {done}, 1 there already, 1 failed; "), several.out
    again = await command(*line, "--quiet", home=tmp_path)
    assert again.code == 8 and again.out == ""


def shown(terminal: int) -> bytes:
    """All that is written to it, until the last program that has it open ends."""
    pieces = []
    with contextlib.suppress(OSError):
        while piece := os.read(terminal, 4096):
            pieces.append(piece)
    return b"".join(pieces)


async def at_a_terminal(*arguments: str, home: Path) -> tuple[int, str]:
    here, there = pty.openpty()
    environ = {"HOME": str(home), "PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(sys.path), "TERM": "xterm"}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "registry_push", *arguments, stdin=there, stdout=there, stderr=there, env=environ
    )
    os.close(there)
    screen = await asyncio.get_running_loop().run_in_executor(None, shown, here)
    os.close(here)
    return await process.wait(), screen.decode()


async def test_it_is_shown_on_a_terminal(tmp_path: Path) -> None:
    written(tmp_path, *NAMES)
    code, screen = await at_a_terminal("copy", "ollama:", f"oci:{tmp_path}/l", home=tmp_path)
    assert code == 0
    assert "3 models: 3 copied; " in screen
