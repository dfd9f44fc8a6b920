"""The list of repositories: of each registry that has one, and the error of one that has none."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest

from registry_push.errors import NoCatalog
from registry_push.events import ignore
from registry_push.model.place import CatalogPlace
from registry_push.registry.registries import Registries
from registry_push.settings import Settings

from ..support.registries import ZuulRegistry
from ..support.wire import Wire


async def test_the_repositories_below_a_prefix(wire: Wire, tmp_path: Path) -> None:
    prefix = f"catalog-{uuid.uuid4().hex}"
    below = [f"{prefix}/a", f"{prefix}/b/c", f"{prefix}/z"]
    for name in (prefix, *below, f"{prefix}x", f"{prefix}-x/a"):
        await wire.at(name).push(b"hello world")
    login = wire.registry if isinstance(wire.registry, ZuulRegistry) else None
    settings = Settings(
        home=tmp_path, retries=0, username=login.username if login else None, password=login.password if login else None
    )
    async with Registries(settings, ignore) as registries:
        catalog = registries.catalog(CatalogPlace(wire.registry.host, prefix, None))
        if not wire.facts.has_catalog:
            with pytest.raises(NoCatalog, match="does not list its repositories: HTTP 404"):
                await catalog.every(prefix)
            return
        listing = await catalog.every(prefix)
        assert sorted(each.repository for each in listing.repositories) == below and not listing.failed
        assert {f"{prefix}x", prefix} <= {each.repository for each in (await catalog.every()).repositories}
