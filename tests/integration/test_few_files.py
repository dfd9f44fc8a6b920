"""A process that may open few files says so, instead of breaking where it imports what only trouble needs."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest

from registry_push.embedded import EmbeddedRegistry
from tests.support.stores import make_many_store


@pytest.mark.parametrize("files", [16, 24, 32])
async def test_a_push_that_runs_out_of_files_says_what_to_do(
    tmp_path: Path, embedded: EmbeddedRegistry, files: int
) -> None:
    make_many_store(tmp_path / "models", layers=60, layer_size=20_000)
    command = [sys.executable, "-m", "registry_push", "push", "bench/many", "--to", f"{embedded.host}/", "--jobs", "40"]
    process = await asyncio.create_subprocess_exec(
        "sh", "-c", f'ulimit -n {files}; exec "$@"', "sh", *command, "--retries", "0", "--no-progress",
        stderr=asyncio.subprocess.PIPE,
        env={
            "HOME": str(tmp_path),
            "PATH": os.environ["PATH"],
            "PYTHONPATH": os.pathsep.join(sys.path),
            "OLLAMA_MODELS": str(tmp_path / "models"),
        },
    )  # fmt: skip
    _, err = await process.communicate()
    assert process.returncode == 6
    assert b"Too many open files" in err and b"ulimit -n" in err and b"Traceback" not in err
