"""Over TLS a body to a registry that is far is read and encrypted in smaller pieces, and read once."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest

from registry_push.loopback import EmbeddedRegistry
from registry_push.protocol.pace import Pace
from registry_push.settings import Settings
from registry_push.stores.hashing import Hasher
from registry_push.transfer.push import push
from tests.support.stores import make_mixed_store
from tests.support.tls import self_signed

KIB = 1024
SMALL, LARGE = 300 * KIB, 20_000_000


@pytest.mark.parametrize(("near", "at_once"), [(True, 512 * KIB), (False, 160 * KIB)], ids=["near", "far"])
async def test_pieces_follow_the_round_trip(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, near: bool, at_once: int
) -> None:
    asked: list[tuple[int, int]] = []
    hashed: list[int] = []
    pieces, finish = Hasher.pieces, Hasher.finish

    def seen(
        self: Hasher, body: Any, offset: int, length: int, *more: Any, at_once: int
    ) -> AsyncGenerator[bytes, None]:
        asked.append((length, at_once))
        return pieces(self, body, offset, length, *more, at_once=at_once)

    async def finished(self: Hasher, body: Any, running: Any) -> None:
        before = running.offset
        await finish(self, body, running)
        hashed.append(running.offset - before)

    monkeypatch.setattr(Hasher, "pieces", seen)
    monkeypatch.setattr(Hasher, "finish", finished)
    monkeypatch.setattr(Pace, "is_near", near)
    made = self_signed(tmp_path / "tls")
    name = make_mixed_store(tmp_path / "models", [SMALL, LARGE])
    async with EmbeddedRegistry(tmp_path / "registry", tls=made.server) as registry:
        settings = Settings(models=tmp_path / "models", home=tmp_path, ca_file=made.cert, chunk_size=LARGE)
        report = await push([name.short], to=f"{registry.origin}/", settings=settings)
    assert report.error is None
    assert {length for length, _ in asked} >= {SMALL, LARGE}
    assert {size for _, size in asked} == {at_once}
    assert sum(hashed) < SMALL, "what is read to be encrypted is not read to be hashed before"
