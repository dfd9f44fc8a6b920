"""Pushes to registries with the ways of real ones: what they refuse is found out once, and remembered."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest

from registry_push.embedded import (
    ECR,
    GITEA,
    QUAY,
    R2,
    EmbeddedRegistry,
    Exchange,
    Fault,
    On,
    OnCut,
    Options,
    Quirks,
    Schedule,
    What,
)
from registry_push.embedded.sample import LAYER_TYPE, Layer, config, write_model
from registry_push.errors import Interrupted
from registry_push.events import BlobProgress, Event
from registry_push.model import ModelName
from registry_push.protocol.upload.chunks import MiB, WholePut
from registry_push.registry.kinds import known_profile
from registry_push.registry.profile import Profile
from registry_push.settings import Settings
from registry_push.state.journal import Journal
from registry_push.transfer.report import Report
from registry_push.verbs.push import push
from tests.support.registries import EmbeddedFactory

SMALL = 300_000


class Stage:
    """A store, and a state folder that pushes share as processes do."""

    def __init__(self, folder: Path) -> None:
        self.store, self.state = folder / "models", folder / "state"
        self.events: list[Event] = []
        self.stop = asyncio.Event()
        self.stop_at: int | None = None  # bytes of a blob

    def write(self, name: str, size: int, *, seed: int = 1) -> None:
        write_model(
            self.store,
            ModelName.parse(name),
            config(),
            [Layer(LAYER_TYPE + "model", random.Random(seed).randbytes(size))],
        )

    async def push(self, registry: EmbeddedRegistry, name: str = "me/a", **settings: object) -> Report:
        told = Settings(models=self.store, home=self.store, state_dir=self.state, **settings)  # type: ignore[arg-type]  # any of its fields
        return await push([name], to=f"{registry.host}/", settings=told, sink=self.seen, stop=self.stop)

    async def stopped(self, registry: EmbeddedRegistry, at: int, **settings: object) -> None:
        """A push that is told to stop when so many bytes of a blob have gone."""
        self.stop_at = at
        with pytest.raises(Interrupted):
            await self.push(registry, **settings)  # type: ignore[arg-type]  # any of its fields
        self.stop_at = None
        self.stop.clear()

    def seen(self, event: Event) -> None:
        self.events.append(event)
        if self.stop_at is not None and isinstance(event, BlobProgress) and event.offset >= self.stop_at:
            self.stop.set()

    def journal(self) -> Journal:
        return Journal(self.state, self.seen)

    def profile(self, registry: EmbeddedRegistry) -> Profile:
        journal = self.journal()
        try:
            found = journal.profile(registry.origin)
        finally:
            journal.close()
        assert found is not None
        return found

    def learned(self, registry: EmbeddedRegistry, profile: Profile) -> None:
        journal = self.journal()
        journal.learn(registry.origin, profile)
        journal.close()


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


def said(registry: EmbeddedRegistry, *methods: str) -> list[tuple[str, int, int]]:
    """Method, bytes and status of each request for a session."""
    return [
        (each.method, int(each.headers.get("Content-Length", 0)), each.status)
        for each in registry.log
        if "/blobs/uploads/" in each.target and each.method in (methods or ("POST", "PATCH", "PUT", "GET"))
    ]


def bodies(registry: EmbeddedRegistry, at_least: int = SMALL) -> list[tuple[str, int, int]]:
    return [each for each in said(registry, "PATCH", "PUT") if each[1] >= at_least]


def received(registry: EmbeddedRegistry, *, since: int = 0) -> int:
    return sum(each.received for each in registry.log[since:] if "/blobs/uploads/" in each.target)


def done(report: Report) -> None:
    assert report.error is None, f"{report.error}"


# ── what goes in one PUT ──────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("status", [400, 403, 404, 405, 501])
async def test_where_patch_is_refused_one_put_does_and_the_next_push_begins_with_it(
    stage: Stage, embedded_with: EmbeddedFactory, status: int
) -> None:
    registry = await embedded_with(Options(quirks=Quirks(refuses_patch=status)))
    stage.write("me/a", 20_000_000)
    stage.write("me/b", 20_000_000, seed=2)
    done(await stage.push(registry))
    assert [size for method, size, code in bodies(registry) if (method, code) == ("PUT", 201)] == [20_000_000]
    assert stage.profile(registry).whole is WholePut.ONLY
    registry.log.clear()
    done(await stage.push(registry, "me/b"))
    assert bodies(registry) == [("PUT", 20_000_000, 201)]


async def test_one_put_is_for_people_too(stage: Stage, embedded: EmbeddedRegistry) -> None:
    stage.write("me/a", 20_000_000)
    stage.write("me/b", 20_000_000, seed=2)
    done(await stage.push(embedded, one_put=True))
    assert bodies(embedded) == [("PUT", 20_000_000, 201)]
    embedded.log.clear()
    done(await stage.push(embedded, "me/b"))
    assert bodies(embedded) == [("PATCH", 20_000_000, 202)], "nobody said that it takes no PATCH"


async def test_where_a_put_of_all_is_unknown_chunks_do_and_the_next_push_begins_with_them(
    stage: Stage, embedded_with: EmbeddedFactory
) -> None:
    """Artifactory before 6."""
    registry = await embedded_with(Options(quirks=Quirks(refuses_whole_put=404)))
    stage.write("me/a", 1_000_000)
    stage.write("me/b", 1_000_000, seed=2)
    done(await stage.push(registry))
    assert bodies(registry) == [("PUT", 1_000_000, 404), ("PATCH", 1_000_000, 202)]
    assert stage.profile(registry).whole is WholePut.NEVER
    registry.log.clear()
    done(await stage.push(registry, "me/b"))
    assert [each for each in said(registry, "PUT") if each[2] != 201] == []
    assert bodies(registry) == [("PATCH", 1_000_000, 202)]


@pytest.mark.parametrize("size", [1_000_000, 20_000_000])
async def test_where_neither_is_taken_it_ends_with_both_reasons(
    stage: Stage, embedded_with: EmbeddedFactory, size: int
) -> None:
    registry = await embedded_with(Options(quirks=Quirks(refuses_patch=405, refuses_whole_put=404)))
    stage.write("me/a", size)
    report = await stage.push(registry)
    assert report.error is not None and report.error.exit_code == 5
    assert "405" in report.error.message and "404" in report.error.message
    assert received(registry) <= 4 * size


async def test_ghcr_gets_one_put(stage: Stage, embedded: EmbeddedRegistry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("registry_push.registry.host.known_profile", lambda _: known_profile("ghcr.io"))
    stage.write("me/a", 20 * MiB)
    done(await stage.push(embedded))
    assert bodies(embedded) == [("PUT", 20 * MiB, 201)]


# ── R2 ────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("size", [40 * MiB, 40 * MiB + 1, 5 * MiB + 1, 48 * MiB + 5])
async def test_r2_gets_chunks_of_one_size_whatever_is_left_over(
    stage: Stage, embedded_with: EmbeddedFactory, size: int
) -> None:
    registry = await embedded_with(Options(quirks=R2))
    stage.write("me/a", size)
    done(await stage.push(registry))
    assert {code for _, _, code in bodies(registry)} <= {201, 202}
    assert received(registry) <= size + 10_000


async def test_r2_goes_on_with_the_same_chunk_size_in_another_process_on_a_faster_line(
    stage: Stage, embedded_with: EmbeddedFactory
) -> None:
    registry = await embedded_with(Options(quirks=R2))
    stage.write("me/a", 100 * MiB)
    stage.learned(registry, Profile(rate=1.6 * MiB))  # chunks of 6 MiB
    await stage.stopped(registry, 30 * MiB)
    assert {size for _, size, _ in bodies(registry)} == {6 * MiB}
    stage.learned(registry, Profile(rate=100.0 * MiB))
    done(await stage.push(registry))
    assert received(registry) <= 100 * MiB + 10_000
    assert not [each for each in said(registry) if each[2] == 416]


# ── a status that is one too high ─────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("quirks", [QUAY, GITEA], ids=["Quay", "Gitea"])
@pytest.mark.parametrize("on_cut", [OnCut.KEEP, OnCut.ACKNOWLEDGED])
async def test_after_a_cut_the_offset_is_corrected_and_no_limit_is_learned(
    stage: Stage, embedded_with: EmbeddedFactory, quirks: Quirks, on_cut: OnCut
) -> None:
    cuts = Schedule(tuple(Fault(What.CUT, On.PATCH, number, at=1_000_000) for number in (2, 5)))
    registry = await embedded_with(Options(quirks=quirks, on_cut=on_cut, faults=cuts))
    stage.write("me/a", 30 * MiB)
    done(await stage.push(registry, chunk_size=4 * MiB))
    assert stage.profile(registry).chunk_limit is None
    taken = sum(each.received for each in registry.log if each.method == "PATCH" and each.status == 202)
    assert taken <= 30 * MiB, "no acknowledged byte goes twice"
    assert len([each for each in said(registry) if each[2] == 416]) <= 4
    assert len(said(registry, "POST")) == 2


# ── ECR ───────────────────────────────────────────────────────────────────────────────────────────


async def test_ecr_gets_its_last_part_in_the_put(stage: Stage, embedded_with: EmbeddedFactory) -> None:
    registry = await embedded_with(Options(quirks=ECR))
    stage.write("me/a", 30 * MiB)
    stage.write("me/b", 30 * MiB, seed=2)
    for name in ("me/a", "me/b"):
        registry.log.clear()
        done(await stage.push(registry, name, chunk_size=8 * MiB))
        assert bodies(registry) == [*[("PATCH", 8 * MiB, 201)] * 3, ("PUT", 6 * MiB, 201)]
    assert stage.profile(registry).ecr


@pytest.mark.parametrize("quirks", [ECR, Quirks(last_in_put=True), Quirks(min_part=5 * MiB), Quirks(range_sticks=True)])
@pytest.mark.parametrize("chunk", [None, MiB, 8 * MiB])
async def test_each_of_ecrs_ways_is_found_out_by_itself(
    stage: Stage, embedded_with: EmbeddedFactory, quirks: Quirks, chunk: int | None
) -> None:
    registry = await embedded_with(Options(quirks=quirks))
    stage.write("me/a", 30 * MiB)
    stage.write("me/b", 30 * MiB, seed=2)
    done(await stage.push(registry, chunk_size=chunk))
    registry.log.clear()
    done(await stage.push(registry, "me/b", chunk_size=chunk))
    assert received(registry) <= 30 * MiB + 10_000


@pytest.mark.parametrize("on_cut", [OnCut.KEEP, OnCut.ACKNOWLEDGED])
@pytest.mark.parametrize("what", [What.CUT, What.LOST])
async def test_ecrs_answered_range_is_no_offset_after_a_cut(
    stage: Stage, embedded_with: EmbeddedFactory, on_cut: OnCut, what: What
) -> None:
    registry = await embedded_with(
        Options(quirks=ECR, on_cut=on_cut, faults=Schedule((Fault(what, On.PATCH, 3, at=6 * MiB),)))
    )
    stage.write("me/a", 48 * MiB)
    done(await stage.push(registry, chunk_size=8 * MiB))
    assert len(said(registry, "POST")) == 2
    taken = sum(each.received for each in registry.log if each.status in (0, 201) and _is_body(each))
    assert taken <= 48 * MiB + (6 * MiB if (what, on_cut) == (What.CUT, OnCut.ACKNOWLEDGED) else 0) + 10_000


async def test_ecrs_answered_range_is_no_offset_in_another_process(
    stage: Stage, embedded_with: EmbeddedFactory
) -> None:
    registry = await embedded_with(Options(quirks=ECR))
    stage.write("me/a", 48 * MiB)
    await stage.stopped(registry, 20 * MiB, chunk_size=8 * MiB)
    done(await stage.push(registry, chunk_size=8 * MiB))
    assert received(registry) <= 48 * MiB + 10_000


async def test_a_learned_limit_that_ecr_can_not_live_with_is_unlearned(
    stage: Stage, embedded_with: EmbeddedFactory
) -> None:
    for quirks in (ECR, Quirks(min_part=5 * MiB)):
        registry = await embedded_with(Options(quirks=quirks))
        stage.write("me/a", 30 * MiB)
        stage.learned(registry, Profile(chunk_limit=MiB))
        done(await stage.push(registry))
        assert stage.profile(registry).chunk_limit is None


def _is_body(exchange: Exchange) -> bool:
    return "/blobs/uploads/" in exchange.target and exchange.method in ("PATCH", "PUT")


# ── several chunks are measured ───────────────────────────────────────────────────────────────────


async def test_after_several_chunks_the_blob_is_measured(stage: Stage, embedded: EmbeddedRegistry) -> None:
    stage.write("me/a", 20_000_000)
    done(await stage.push(embedded, chunk_size=8_000_000))
    asked = [each.target for each in embedded.log if each.method == "HEAD" and each.status == 200]
    assert len(asked) == 1
