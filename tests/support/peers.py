"""Real peers: programs of other people that the tests talk to."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

import pytest


def require(program: str) -> str:
    """The path of `program`, or of the one beside this Python if it came with the `dev` extra.

    If it is absent the test is skipped with the reason; in CI it fails.
    """
    path = shutil.which(program) or shutil.which(program, path=str(Path(sys.executable).parent))
    if path is None:
        absent(f"{program} is not installed")
    return path


def require_node_package(name: str) -> Path:
    """The folder of node's global packages, which has `name`; absent, as `require`."""
    npm = require("npm")
    root = Path(subprocess.run([npm, "root", "--global"], capture_output=True, text=True, check=True).stdout.strip())
    if not (root / name).is_dir():
        absent(f"the npm package {name} is not installed (npm install --global {name})")
    return root


def absent(reason: str) -> NoReturn:
    """Skip the test for `reason`; in CI, fail it."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"{reason}, and in CI the real peers must be there")
    pytest.skip(reason)
