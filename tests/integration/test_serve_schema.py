"""The service against its own description, by schemathesis: what it documents is what it does, whatever it is sent."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

from registry_push.embedded import EmbeddedRegistry
from tests.support.service import running, sample

EXAMPLES = 60  # for each operation, besides what the description's examples and limits give
SEED = 20260822


@pytest.mark.parametrize("targets", [[], ["registry.invalid"]], ids=["every target", "a list"])
async def test_schemathesis_finds_nothing(embedded: EmbeddedRegistry, tmp_path: Path, targets: list[str]) -> None:
    sample(tmp_path, embedded.host)  # which it takes from /api/tags and pushes
    flags = [word for target in targets for word in ("--allow-target", target)]
    async with running("--models", str(tmp_path / "models"), *flags, home=tmp_path) as service:
        tester = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "schemathesis.cli", "run", f"{service.url}/openapi.json"),
            *("--max-examples", str(EXAMPLES), "--seed", str(SEED), "--generation-database", "none"),
            *("--warnings", "off", "--no-color"),
            stdout=asyncio.subprocess.PIPE,
            cwd=tmp_path,
        )
        said, _ = await tester.communicate()
        assert tester.returncode == 0, said.decode()
        assert b"7 passed" in said, "all operations were tried"
        assert not any("ERROR" in line or "Traceback" in line for line in service.log)
