"""A damaged layout or archive: one bad model stops no other, and nobody is sent to `ollama pull`."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from registry_push.embedded.sample import write_sample_store
from registry_push.model import Digest
from registry_push.settings import Settings
from registry_push.verbs.copy import copy
from tests.support.command import command

BAD = "registry.ollama.ai/me/bad:v1"


def two_sizes(layout: Path) -> None:
    """Let the manifest of the bad model give its first blob two sizes."""
    index = json.loads((layout / "index.json").read_text())
    entry = index["manifests"][0]
    manifest = json.loads((layout / "blobs/sha256" / entry["digest"].removeprefix("sha256:")).read_text())
    manifest["layers"].append(manifest["layers"][0] | {"size": manifest["layers"][0]["size"] + 1})
    raw = json.dumps(manifest).encode()
    entry |= {"digest": str(Digest.of(raw)), "size": len(raw)}
    (layout / "blobs/sha256" / Digest.of(raw).hex).write_bytes(raw)
    (layout / "index.json").write_text(json.dumps(index))


def weights(layout: Path) -> Path:
    return max((layout / "blobs/sha256").iterdir(), key=lambda file: file.stat().st_size)


def other_content(layout: Path) -> None:
    weights(layout).write_bytes(bytes(weights(layout).stat().st_size))


DAMAGE: dict[str, Callable[[Path], object]] = {
    "two sizes": two_sizes,
    "other content": other_content,
    "cut": lambda layout: weights(layout).write_bytes(b""),
    "missing": lambda layout: weights(layout).unlink(),
}


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("kind", ["oci", "oci-archive"])
async def test_the_others_are_copied_and_the_next_step_is_no_pull(tmp_path: Path, damage: str, kind: str) -> None:
    settings = Settings(home=tmp_path, models=tmp_path / "models", state_dir=None)
    for name, size in ((BAD, 90_000), ("me/good:v1", 70_000)):
        write_sample_store(tmp_path / "models", name=name, weights=size)
        await copy(f"ollama:{name}", f"oci:{tmp_path}/l", settings=settings)
    DAMAGE[damage](tmp_path / "l")
    place = f"{kind}:{tmp_path}/l"
    if kind == "oci-archive":
        place += ".tar"
        with tarfile.open(tmp_path / "l.tar", "w") as tar:
            tar.add(tmp_path / "l", ".")
    for line in (["copy", place, f"oci:{tmp_path}/to"], ["copy", f"{place}:me/bad:v1", f"oci:{tmp_path}/to"]):
        ended = await command(*line, home=tmp_path)
        assert ended.code in (3, 7, 8), ended.err
        assert "ollama pull" not in ended.err and "again from where it came" in ended.err, ended.err
    whole = await command("inspect", f"oci:{tmp_path}/to:me/good:v1", home=tmp_path)
    assert whole.code == 0 and "missing" not in whole.out
    seen = await command("inspect", f"{place}:me/bad:v1", home=tmp_path)
    assert "ollama pull" not in seen.err
