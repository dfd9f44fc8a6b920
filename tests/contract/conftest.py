"""Fixtures of the suites that hold one implementation against another."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator

import aiohttp
import pytest

from ..support.registries import Registry
from ..support.wire import Wire, authorized


@pytest.fixture
async def wire(registry: Registry) -> AsyncIterator[Wire]:
    """Requests to each of the registries, in a repository of the test's own."""
    async with aiohttp.ClientSession(headers=authorized(registry)) as session:
        yield Wire(session, registry, f"wire/{uuid.uuid4().hex}")
