"""The dialects of Ollama's registry at the sizes that they are for; strict rules, none broken."""

from __future__ import annotations

from pathlib import Path

import pytest

from registry_push.auth.identity import Identity
from registry_push.content.ollama.source import OllamaStore
from registry_push.embedded import Ollama, Options, Token
from registry_push.settings import Settings
from registry_push.verbs.push import push
from tests.support.registries import EmbeddedFactory
from tests.support.stores import make_big_store, make_many_store

pytestmark = pytest.mark.big


async def test_two_gigabytes_in_parts_and_1500_tensors_directly(embedded_with: EmbeddedFactory, tmp_path: Path) -> None:
    store = tmp_path / "models"
    identity = Identity.create(tmp_path / "key")
    names = [
        make_big_store(store, size=2_000_000_000, name="me/big"),
        make_many_store(store, layers=1500, layer_size=20_000, name="me/many"),
    ]
    registry = await embedded_with(Options(auth=Token(keys=frozenset({identity.public_wire})), ollama=Ollama()))
    settings = Settings(models=store, home=tmp_path, key=tmp_path / "key", dialect="ollama")
    report = await push([name.short for name in names], to=f"{registry.host}/", settings=settings)
    assert report.error is None
    assert registry.breaches == []
    assert registry.most_parallel_puts >= 2
    total = sum(OllamaStore(store).read_manifest(name).size for name in names)
    received = sum(exchange.received for exchange in (*registry.log, *registry.storage_log))
    assert total * 0.999 <= received <= total * 1.01
