"""`push --dry-run` says what would be done, and nothing that sounds as if it were."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from registry_push.embedded import EmbeddedRegistry
from registry_push.embedded.sample import write_sample_store
from tests.support.command import command
from tests.support.event_schema import checked


@pytest.fixture
async def registry(tmp_path: Path) -> AsyncIterator[EmbeddedRegistry]:
    async with EmbeddedRegistry(tmp_path / "registry") as server:
        yield server


async def test_a_dry_run_reads_as_one(tmp_path: Path, registry: EmbeddedRegistry) -> None:
    store, to = tmp_path / ".ollama/models", f"{registry.host}/"
    write_sample_store(store, name="me/tiny:v1", weights=70_000)
    first = await command("push", "me/tiny:v1", "--to", to, "-n", home=tmp_path)
    assert first.code == 0, first.err
    assert re.search(
        r"  would send at most 6 blobs, \d+(\.\d+)? kB; would set the tag v1 \(new\)$", first.out, re.MULTILINE
    )
    assert "It did not check:" in first.out
    said = first.out + first.err
    assert not re.search(r"\bpush(ed|ing)\b|uploaded|\d s\b|/s\b|100%", said), said

    assert (await command("push", "me/tiny:v1", "--to", to, home=tmp_path)).code == 0
    again = await command("push", "me/tiny:v1", "--to", to, "--tag", "v2", "-n", home=tmp_path)
    assert "would send no blob; 6 there already; the tag v1 is there already; would set the tag v2 (new)" in again.out

    write_sample_store(store, name="me/tiny:v1", weights=90_000)
    other = await command("push", "me/tiny:v1", "--to", to, "-n", home=tmp_path)
    assert re.search(
        r"would send at most 1 blob, .*; 5 there already; would set the tag v1 \(replaces sha256:[0-9a-f]{12}\)",
        other.out,
    )
    assert registry.log[-1].method in ("HEAD", "GET")

    for flags in (["-q"], ["-v"], ["--no-progress"]):
        told = await command("push", "me/tiny:v1", "--to", to, "-n", *flags, home=tmp_path)
        assert not re.search(r"\bpush(ed|ing)\b|uploaded", told.out + told.err)


async def test_what_may_be_mounted_from_elsewhere_is_not_promised_to_be_sent(
    tmp_path: Path, registry: EmbeddedRegistry
) -> None:
    store = tmp_path / ".ollama/models"
    for name, weights in (("me/a:v1", 70_000), ("me/b:v1", 80_000)):
        write_sample_store(store, name=name, weights=weights)
    assert (await command("push", "--all", "--to", f"{registry.host}/x/", home=tmp_path)).code == 0
    line = ["push", "--all", "--to", f"{registry.host}/y/"]
    dry = await command(*line, "-n", home=tmp_path)
    assert len(re.findall(r"  would send at most \d blobs?, \d", dry.out)) == 2, dry.out
    assert re.search(r"^2 models: 2 would be pushed; at most \d+ kB would be sent$", dry.out, re.MULTILINE), dry.out
    assert "which blobs other repositories of the registry have" in dry.out
    real = await command(*line, home=tmp_path)
    assert re.search(r"[1-9] mounted", real.out), real.out
    here = await command("copy", "ollama:", f"oci:{tmp_path}/l", "-n", home=tmp_path)
    assert "at most" not in here.out and "other repositories" not in here.out


async def test_a_push_that_moves_a_tag_says_what_it_was(tmp_path: Path, registry: EmbeddedRegistry) -> None:
    said = []
    for weights in (70_000, 90_000):
        write_sample_store(tmp_path / ".ollama/models", name="me/tiny:v1", weights=weights)
        done = await command("push", "me/tiny:v1", "--to", f"{registry.host}/", home=tmp_path)
        assert done.code == 0, done.err
        said.append(re.search(r"; v1 was sha256:[0-9a-f]{12} before$", done.out.rstrip()) is not None)
    assert said == [False, True]


async def test_each_event_of_a_dry_run_says_so(tmp_path: Path, registry: EmbeddedRegistry) -> None:
    write_sample_store(tmp_path / ".ollama/models", name="me/tiny:v1", weights=70_000)
    write_sample_store(tmp_path / ".ollama/models", name="hf.co/Me/Tiny:v1", weights=70_000)
    for names, code in ((["me/tiny:v1"], 0), (["--all"], 8), (["absent"], 3)):
        done = await command("push", *names, "--to", f"{registry.host}/", "--json", "-n", home=tmp_path)
        assert done.code == code
        events = checked(done.out)
        assert events and all(event["dry_run"] is True for event in events)
        assert not any(event.get("sent") for event in events), "nothing was sent"
        if code == 0:
            assert [event["would_send"] for event in events if event["event"] == "manifest_pushed"] == [True]
            (model,) = events[-1]["models"]
            assert model["would_send"] > 70_000 and model["tags"] == [{"tag": "v1", "previous": None}]
            assert events[-1]["not_checked"]
    real = await command("push", "me/tiny:v1", "--to", f"{registry.host}/", "--json", home=tmp_path)
    assert not any(event.get("dry_run") or event.get("would_send") for event in checked(real.out))
