"""Over TLS a body is read once, and in smaller pieces where it is one of many that wait for a line."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest

from registry_push.content.hashing import Hasher
from registry_push.embedded import EmbeddedRegistry
from registry_push.http.body import encryption
from registry_push.protocol.throughput import Throughput
from registry_push.settings import Settings
from registry_push.verbs.push import push
from tests.support.stores import make_mixed_store
from tests.support.tls import self_signed

KIB = 1024
SMALL, LARGE = 300 * KIB, 20_000_000
# More than the bodies of the model: whether the small ones are still on their way makes no difference then.
MANY = 10


@pytest.mark.parametrize(
    ("near", "few", "first", "later"),
    [
        (True, MANY, 384 * KIB, 512 * KIB),
        (True, 0, 384 * KIB, 384 * KIB),
        (False, MANY, 128 * KIB, 512 * KIB),
        (False, 0, 128 * KIB, 128 * KIB),
    ],
    ids=["near", "near, beside others", "far", "far, beside others"],
)
async def test_pieces_follow_the_round_trip(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, near: bool, few: int, first: int, later: int
) -> None:
    asked: list[tuple[int, int, int]] = []
    hashed: list[int] = []
    pieces, finish = Hasher.pieces, Hasher.finish

    def seen(
        self: Hasher, body: Any, offset: int, length: int, *more: Any, at_once: int
    ) -> AsyncGenerator[bytes, None]:
        asked.append((offset, length, at_once))
        return pieces(self, body, offset, length, *more, at_once=at_once)

    async def finished(self: Hasher, body: Any, running: Any, **more: Any) -> None:
        before = running.offset
        await finish(self, body, running, **more)
        hashed.append(running.offset - before)

    monkeypatch.setattr(Hasher, "pieces", seen)
    monkeypatch.setattr(Hasher, "finish", finished)
    monkeypatch.setattr(Throughput, "is_near", near)
    monkeypatch.setattr(encryption, "_FEW", few)
    made = self_signed(tmp_path / "tls")
    name = make_mixed_store(tmp_path / "models", [SMALL, LARGE])
    async with EmbeddedRegistry(tmp_path / "registry", tls=made.server) as registry:
        settings = Settings(models=tmp_path / "models", home=tmp_path, ca_file=made.cert, chunk_size=LARGE // 4)
        report = await push([name.short], to=f"{registry.origin}/", settings=settings)
    assert report.error is None
    assert {size for _, length, size in asked if length == SMALL} == {2 * 1024 * KIB}, "a small one takes few turns"
    parts = [(offset, size) for offset, length, size in asked if length == LARGE // 4]
    assert len(parts) == 4
    assert {size for offset, size in parts if offset == 0} == {first}
    assert {size for offset, size in parts if offset} == {later}
    assert sum(hashed) < SMALL, "what is read to be encrypted is not read to be hashed before"
