"""What the package offers, asked for in every order."""

from __future__ import annotations

import subprocess
import sys

import pytest

import registry_push


@pytest.mark.parametrize("first", ["Report", "OpenStore", "push", "OCILayout", "transfer"])
def test_transfer_is_the_function_whatever_was_asked_for_before(first: str) -> None:
    script = f"import registry_push as rp; rp.{first}; assert callable(rp.transfer), rp.transfer"
    subprocess.run([sys.executable, "-c", script], check=True)


def test_every_public_name_is_there() -> None:
    assert all(getattr(registry_push, name) is not None for name in registry_push.__all__)
