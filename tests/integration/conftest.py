"""Fixtures for the integration tests."""

from __future__ import annotations

import pytest

from ..support.registries import Registry


@pytest.fixture(params=["embedded", pytest.param("docker-registry", marks=pytest.mark.real)])
def registry(request: pytest.FixtureRequest) -> Registry:
    """Each of the registries that let anyone in, so that a test can look at what is there.

    zuul-registry wants a token for everything; the tests that push to it name it.
    """
    found: Registry = request.getfixturevalue(request.param.replace("-", "_"))
    return found
