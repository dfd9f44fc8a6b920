"""A line that breaks again and again before Debian's docker-registry, which loses an upload with each cut."""

from __future__ import annotations

from pathlib import Path

import pytest

from registry_push.content.ollama.source import OllamaStore
from registry_push.embedded.sample import write_sample_store
from registry_push.errors import Unavailable
from registry_push.events import Event, Retrying
from registry_push.protocol import retry
from registry_push.settings import Settings
from registry_push.transfer.report import Report
from registry_push.verbs.push import push
from tests.support.line import Line
from tests.support.registries import DockerRegistry
from tests.support.stores import weights_of

pytestmark = pytest.mark.real

SIZE = 24_000_000


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """How long they are is test_retry.py's matter; here they are next to nothing."""
    monkeypatch.setattr(retry, "BASE_SECONDS", 1e-6)


class Cuts:
    """Cuts the line each time that so many bytes have passed, `left` times."""

    def __init__(self, line: Line, every: int, left: int) -> None:
        self._line, self._every, self.left = line, every, left
        line.at(every, self._cut)

    def _cut(self) -> None:
        self.left -= 1
        self._line.cut()
        if self.left:
            self._line.at(self._line.up + self._every, self._cut)


async def pushed(registry: DockerRegistry, folder: Path, name: str, *, cuts: int, **told: int) -> tuple[Report, int]:
    """What came of it, and how many tries the large blob took; the small ones are cut off too."""
    write_sample_store(folder / "models", name=name, weights=SIZE + len(name))  # a size that no other test has
    blob, _ = weights_of(OllamaStore(folder / "models"), name)
    settings = Settings(home=folder, models=folder / "models", state_dir=folder / "state", **told)  # type: ignore[arg-type]  # any of its numbers
    events: list[Event] = []
    with Line(registry.host) as line:
        cut = Cuts(line, SIZE * 3 // 10, cuts)
        report = await push([name], to=f"{line.host}/", settings=settings, sink=events.append)
        assert report.error is not None or cut.left == 0
    return report, sum(isinstance(event, Retrying) and blob.digest.short in event.what for event in events)


@pytest.mark.parametrize("cuts", [3, 5])
async def test_docker_registry_bears_as_many_cuts_of_one_blob_as_there_are_tries(
    docker_registry: DockerRegistry, tmp_path: Path, cuts: int
) -> None:
    name = f"cut/times-{cuts}"
    report, tries = await pushed(docker_registry, tmp_path, name, cuts=cuts)
    assert report.error is None
    assert tries == cuts, "a cut costs one"
    blob, _ = weights_of(OllamaStore(tmp_path / "models"), name)
    there = docker_registry.root / f"docker/registry/v2/blobs/sha256/{blob.digest.hex[:2]}/{blob.digest.hex}/data"
    assert there.stat().st_size == blob.size


async def test_a_line_that_always_breaks_is_named(docker_registry: DockerRegistry, tmp_path: Path) -> None:
    report, _ = await pushed(docker_registry, tmp_path, "cut/always", cuts=1000, retries=2)
    assert isinstance(report.error, Unavailable)
    assert "the body could not be sent" in report.error.message or "the connection" in report.error.message
    assert "keeps nothing of an upload that is cut inside a chunk" in report.error.message
