"""`--bwlimit`, by a clock that jumps where nothing moves."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from registry_push.loopback import EmbeddedRegistry
from registry_push.loopback.sample import write_sample_store
from registry_push.settings import Settings
from registry_push.transfer.push import push
from tests.faults.clock import run
from tests.support.tls import self_signed

LARGE = 20_000_000
LIMIT = 2_000_000


@pytest.mark.parametrize("secure", [False, True], ids=["by the kernel", "in pieces"])
def test_a_push_keeps_to_the_limit_within_five_percent(tmp_path: Path, secure: bool) -> None:
    async def main() -> float:
        write_sample_store(tmp_path / "models", weights=LARGE)
        made = self_signed(tmp_path) if secure else None
        async with EmbeddedRegistry(tmp_path / "registry", tls=made.server if made else None) as registry:
            ca_file = made.cert if made else None
            settings = Settings(models=tmp_path / "models", home=tmp_path, bwlimit=LIMIT, ca_file=ca_file)
            loop = asyncio.get_running_loop()
            began = loop.time()
            report = await push(["me/tiny"], to=f"{registry.origin}/", settings=settings)
            assert report.error is None
            return report.done[0].sent / (loop.time() - began)

    assert run(main()) == pytest.approx(LIMIT, rel=0.05)
