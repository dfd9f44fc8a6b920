"""A damaged layout or archive: one bad model does not stop the others, and no hint says `ollama pull`."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from registry_push.content.oci.layout import OCILayout
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


INDEXES: dict[str, str] = {"empty": "", "null": "null", "no list": '{"schemaVersion": 2, "manifests": null}'}


@pytest.mark.parametrize("index", INDEXES)
@pytest.mark.parametrize("line", [["inspect"], ["copy", "oci:to"]], ids=["inspect", "copy"])
async def test_an_index_that_is_none_is_to_be_copied_again(tmp_path: Path, index: str, line: list[str]) -> None:
    (tmp_path / "index.json").write_text(INDEXES[index])
    ended = await command(line[0], f"oci:{tmp_path}", *line[1:], home=tmp_path)
    assert ended.code == 7 and "ollama pull" not in ended.err and "copy it again" in ended.err, ended.err


@pytest.mark.parametrize("digest", [[], {}, None, 5])
async def test_a_digest_of_another_type_is_damage(tmp_path: Path, digest: object) -> None:
    settings = Settings(home=tmp_path, models=tmp_path / "models", state_dir=None)
    for name in ("me/a:v1", "me/b:v1"):
        write_sample_store(tmp_path / "models", name=name, weights=1000)
    await copy("ollama:", f"oci:{tmp_path}/l", settings=settings)
    index = json.loads((tmp_path / "l/index.json").read_text())
    index["manifests"][0]["digest"] = digest
    (tmp_path / "l/index.json").write_text(json.dumps(index))
    for line in (["inspect"], ["copy", f"oci:{tmp_path}/to"]):
        ended = await command(line[0], f"oci:{tmp_path}/l", *line[1:], home=tmp_path)
        assert ended.code in (0, 8) and "Traceback" not in ended.err, ended.err
    assert (await OCILayout(tmp_path / "l").index()).without(Digest("0" * 64)).refs


async def test_a_name_can_not_write_to_the_terminal(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, models=tmp_path / "models", state_dir=None)
    evil, said = "a\x1b[31m\nb", ""
    for weights in (1000, 2000):  # the second one replaces the first, which is said too
        write_sample_store(tmp_path / "models", name="me/a:v1", weights=weights)
        await copy("ollama:me/a:v1", f"oci:{tmp_path}/l:x", settings=settings)
        index = json.loads((tmp_path / "l/index.json").read_text())
        for entry in index["manifests"]:
            entry["annotations"] = {"org.opencontainers.image.ref.name": evil}
        (tmp_path / "l/index.json").write_text(json.dumps(index | {"manifests": index["manifests"][-1:]}))
        ended = await command("copy", "-v", f"oci:{tmp_path}/l", f"oci:{tmp_path}/to", home=tmp_path)
        said += ended.out + ended.err
        assert ended.code == 0, said
    assert "\x1b" not in said and " before" in said, said
