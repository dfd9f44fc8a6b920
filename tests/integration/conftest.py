"""Fixtures for the integration tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from ..support.pulls import Stage
from ..support.registries import Registry


@pytest.fixture(params=["embedded", pytest.param("docker-registry", marks=pytest.mark.real)])
def registry(request: pytest.FixtureRequest) -> Registry:
    """Each of the registries that let anyone in, so that a test can look at what is there.

    zuul-registry wants a token for everything; the tests that push to it name it.
    """
    found: Registry = request.getfixturevalue(request.param.replace("-", "_"))
    return found


@pytest.fixture
def pulls(tmp_path: Path) -> Stage:
    """A home into which models are pulled, and a store that they are pushed from."""
    return Stage(tmp_path)
