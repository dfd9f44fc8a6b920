"""`inspect` of a layout or an archive with several models: they are listed, and how to ask for one is said."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from registry_push.embedded.sample import write_sample_store
from registry_push.settings import Settings
from registry_push.verbs.copy import copy
from tests.support.command import command

NAMES = ("registry.ollama.ai/me/a:v1", "registry.ollama.ai/me/b:v2")


async def filled(home: Path, target: str, *, alike: bool = False) -> None:
    for weights, name in zip((70_000, 90_000), NAMES, strict=True):
        write_sample_store(home / "models", name=name, weights=70_000 if alike else weights)
    settings = Settings(home=home, models=home / "models", state_dir=None)
    assert (await copy("ollama:", target, settings=settings)).error is None


@pytest.mark.parametrize("place", ["oci:{}/l", "oci-archive:{}/a.tar"])
async def test_several_models_are_listed(tmp_path: Path, place: str) -> None:
    place = place.format(tmp_path)
    await filled(tmp_path, place)
    shown = await command("inspect", place, home=tmp_path)
    assert shown.code == 0, shown.err
    assert [line.split()[0] for line in shown.out.splitlines()[1:3]] == list(NAMES)
    assert f"registry-push inspect {place}:REF" in shown.out
    listed = json.loads((await command("inspect", place, "--json", home=tmp_path)).out)
    assert [model["name"] for model in listed["models"]] == list(NAMES)
    assert all(model["size"] > 70_000 and model["digest"].startswith("sha256:") for model in listed["models"])
    one = await command("inspect", f"{place}:{NAMES[0]}", home=tmp_path)
    assert one.code == 0 and "present" in one.out
    raw = await command("inspect", place, "--raw", home=tmp_path)
    assert raw.code == 3 and NAMES[1] in raw.err


async def test_models_without_names_are_listed_by_their_digests(tmp_path: Path) -> None:
    await filled(tmp_path, f"oci:{tmp_path}/l")
    index = json.loads((tmp_path / "l/index.json").read_text())
    for entry in index["manifests"]:
        del entry["annotations"]
    (tmp_path / "l/index.json").write_text(json.dumps(index))
    shown = await command("inspect", f"oci:{tmp_path}/l", home=tmp_path)
    digests = [line.split()[0] for line in shown.out.splitlines()[1:3]]
    assert digests == sorted(entry["digest"] for entry in index["manifests"])
    assert f"registry-push inspect oci:{tmp_path}/l/:DIGEST" in shown.out
    one = await command("inspect", f"oci:{tmp_path}/l/:{digests[0]}", home=tmp_path)
    assert one.code == 0 and "present" in one.out


async def test_one_model_under_two_names_is_shown(tmp_path: Path) -> None:
    await filled(tmp_path, f"oci:{tmp_path}/l", alike=True)
    shown = await command("inspect", f"oci:{tmp_path}/l", home=tmp_path)
    assert shown.code == 0 and "present" in shown.out


async def test_a_damaged_one_is_named_and_the_others_are_listed(tmp_path: Path) -> None:
    await filled(tmp_path, f"oci:{tmp_path}/l")
    index = json.loads((tmp_path / "l/index.json").read_text())
    (entry,) = [each for each in index["manifests"] if NAMES[0] in each["annotations"].values()]
    (tmp_path / "l/blobs/sha256" / entry["digest"].partition(":")[2]).unlink()
    shown = await command("inspect", f"oci:{tmp_path}/l", home=tmp_path)
    assert shown.code == 8
    assert "warning" in shown.err and f"1 of 2 models can't be read: {NAMES[0]}" in shown.err
    assert [line.split()[0] for line in shown.out.splitlines()[1:2]] == [NAMES[1]]
    listed = (await command("inspect", f"oci:{tmp_path}/l", "--json", home=tmp_path)).events[-1]
    assert listed["exit_code"] == 8 and [model["name"] for model in listed["models"]] == [NAMES[1]]


async def test_if_all_are_damaged_it_ends_as_for_one_of_them(tmp_path: Path) -> None:
    await filled(tmp_path, f"oci:{tmp_path}/l")
    shutil.rmtree(tmp_path / "l/blobs")
    shown = await command("inspect", f"oci:{tmp_path}/l", home=tmp_path)
    one = await command("inspect", f"oci:{tmp_path}/l:{NAMES[0]}", home=tmp_path)
    assert (shown.code, shown.out) == (one.code, "") and one.code == 3
    assert one.err in shown.err
    assert shown.err.count("warning") == 1 and f"warning: {NAMES[1]}" in shown.err


@pytest.mark.parametrize("place", ["oci:{}/l", "oci-archive:{}/a.tar"])
async def test_a_short_name_is_enough_for_whoever_reads(tmp_path: Path, place: str) -> None:
    """`inspect` and `copy` read the same names."""
    place = place.format(tmp_path)
    write_sample_store(tmp_path / "models", name="registry.ollama.ai/me/c:latest")
    await filled(tmp_path, place)
    for short, name in (("a:v1", NAMES[0]), ("me/b:v2", NAMES[1]), ("c", "registry.ollama.ai/me/c:latest")):
        shown = await command("inspect", f"{place}:{short}", home=tmp_path)
        assert shown.code == 0 and f"{place}:{name}" in shown.out, shown.err
        copied = await command("copy", "--dry-run", f"{place}:{short}", f"oci:{tmp_path}/to", home=tmp_path)
        assert copied.code == 0 and f"→ oci:{tmp_path}/to:{name} " in copied.out, copied.err


@pytest.mark.parametrize("verb", [["inspect"], ["copy", "oci:to"]], ids=["inspect", "copy"])
async def test_a_short_name_of_several_is_answered_with_them(tmp_path: Path, verb: list[str]) -> None:
    for name in ("me/c:v1", "you/c:v1", "you/d:v1"):
        write_sample_store(tmp_path / "models", name=name)
    settings = Settings(home=tmp_path, models=tmp_path / "models", state_dir=None)
    await copy("ollama:", f"oci:{tmp_path}/l", settings=settings)
    asked = await command(verb[0], f"oci:{tmp_path}/l:c:v1", *verb[1:], home=tmp_path)
    assert asked.code == 3 and "'c:v1' is short for 2 models" in asked.err
    assert "you/c:v1" in asked.err and "me/c:v1" in asked.err and "you/d:v1" not in asked.err
    none = await command(verb[0], f"oci:{tmp_path}/l:c:v2", *verb[1:], home=tmp_path)
    assert none.code == 3 and "there is no 'c:v2'" in none.err and "you/d:v1" in none.err
    assert not (tmp_path / "to").exists()
