"""zuul-registry answers no status, cancels nothing, mounts nothing, and takes a cut chunk for a whole one.

What it holds after a cut is not what it was sent, and nothing tells: every way back leads through a new session, and
the digest in the closing PUT decides.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from registry_push.embedded.sample import write_sample_store
from registry_push.model import Manifest, ModelName
from tests.support.command import Finished, command, start_command
from tests.support.line import Line
from tests.support.registries import ZuulRegistry, free_port, zuul_registry_at
from tests.support.stores import make_mixed_store

pytestmark = pytest.mark.real

CHUNK = 1_000_000


@dataclass(frozen=True)
class Far:
    """A registry of the test's own, and the line that leads to it."""

    registry: ZuulRegistry
    line: Line
    home: Path

    @property
    def flags(self) -> list[str]:
        return ["--to", f"{self.line.host}/", "--chunk-size", str(CHUNK), "--json"]

    @property
    def login(self) -> dict[str, str]:
        return {"REGISTRY_PUSH_USERNAME": self.registry.username, "REGISTRY_PUSH_PASSWORD": self.registry.password}

    async def push(self, model: str) -> Finished:
        return await command("push", model, *self.flags, home=self.home, **self.login)

    @property
    def steps(self) -> list[str]:
        """What it was asked, by its own log: `Start`, `chunk`, `final`."""
        return re.findall(r"(Start) upload POST|Upload (chunk|final)", self.registry.log.read_text())

    def check(self, name: ModelName) -> None:
        """It has every blob of the model, whole, and the manifest."""
        raw = self.home.joinpath(".ollama/models/manifests", *name.path_parts).read_bytes()
        manifest = Manifest.parse(raw)
        held = self.registry.root / "_local"
        for blob in manifest.blobs:
            source = self.home / ".ollama/models/blobs" / blob.digest.path_name
            assert (held / "blobs" / str(blob.digest) / "data").read_bytes() == source.read_bytes()
        tags: dict[str, Any] = json.loads((held / f"repos/{name.namespace}/{name.model}/manifests/latest").read_bytes())
        assert tags == {manifest.media_type: str(manifest.digest)}


@pytest.fixture
def far(tmp_path: Path) -> Iterator[Far]:
    port = free_port()
    with (
        Line(f"127.0.0.1:{port}") as line,
        # Its challenges lead to the line too: a realm at another origin gets no password.
        zuul_registry_at(tmp_path, port=port, public_url=f"http://{line.host}") as registry,
    ):
        yield Far(registry, line, tmp_path)


@pytest.mark.parametrize("size", [6_500_000, 400_000], ids=["in chunks", "in one PUT"])
async def test_a_cut_upload_arrives_whole(far: Far, size: int) -> None:
    name = make_mixed_store(far.home / ".ollama/models", [size], name="me/cut:latest")
    far.line.at(size // 2, far.line.cut)
    done = await far.push("me/cut")
    assert done.code == 0, done.err
    assert far.line.up > size * 1.4, "the line was cut"
    far.check(name)


async def test_several_cuts(far: Far) -> None:
    name = make_mixed_store(far.home / ".ollama/models", [6_500_000], name="me/cuts:latest")
    for up in (1_500_000, 4_000_000, 9_000_000):
        far.line.at(up, far.line.cut)
    done = await far.push("me/cuts")
    assert done.code == 0, done.err
    far.check(name)


@pytest.mark.parametrize("end", ["terminate", "kill"])
async def test_a_stopped_push_is_finished_by_the_next(far: Far, end: str) -> None:
    name = write_sample_store(far.home / ".ollama/models", name="me/stopped", weights=24_000_000)
    await stopped(far, "me/stopped", end)
    done = await far.push("me/stopped")
    assert done.code == 0, done.err
    far.check(name)


async def test_what_cannot_be_cancelled_is_forgotten_and_said_so(far: Far) -> None:
    write_sample_store(far.home / ".ollama/models", name="me/given-up", weights=24_000_000)
    await stopped(far, "me/given-up", "terminate")
    done = await command("resume", "--cancel", "--json", home=far.home, **far.login)
    assert (done.events[-1]["freed"], done.events[-1]["forgotten"]) == (0, 1), done.err


async def test_two_models_share_a_blob(far: Far) -> None:
    names = [write_sample_store(far.home / ".ollama/models", name=f"me/{each}") for each in ("one", "two")]
    done = await command("push", "--all", *far.flags, home=far.home, **far.login)
    assert done.code == 0, done.err
    for name in names:
        far.check(name)


async def test_dry_run_asks_and_leaves_nothing(far: Far) -> None:
    write_sample_store(far.home / ".ollama/models", name="me/dry")
    done = await command("push", "me/dry", *far.flags, "--dry-run", home=far.home, **far.login)
    assert done.code == 0, done.err
    assert far.steps == []
    assert not list(far.registry.root.rglob("data"))


async def test_inspect(far: Far) -> None:
    write_sample_store(far.home / ".ollama/models", name="me/seen")
    assert (await far.push("me/seen")).code == 0
    seen = await command("inspect", f"registry:{far.line.host}/me/seen:latest", home=far.home, **far.login)
    assert seen.code == 0, seen.err
    absent = await command("inspect", f"registry:{far.line.host}/me/absent:latest", home=far.home, **far.login)
    assert absent.code == 3


async def stopped(far: Far, model: str, end: str) -> None:
    """Begin a push, and end it once more than a chunk has gone."""
    arguments = ["push", model, *far.flags, "--bwlimit", "8MB"]
    process = await start_command(*arguments, home=far.home, **far.login)
    assert process.stdout is not None
    while json.loads(await process.stdout.readline()).get("offset", 0) <= 2 * CHUNK:
        pass
    getattr(process, end)()
    await process.communicate()
