"""Real peers: programs of other people that the tests talk to."""

from __future__ import annotations

import os
import shutil

import pytest


def require(program: str) -> str:
    """The path of `program`. Where it is absent the test is skipped with the reason; in CI it fails."""
    path = shutil.which(program)
    if path is not None:
        return path
    reason = f"{program} is not installed"
    if os.environ.get("CI") == "true":
        pytest.fail(f"{reason}, and in CI the real peers must be there")
    pytest.skip(reason)
