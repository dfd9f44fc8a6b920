"""Registries that need longer than somebody waits, and say so in ways of their own: the whole push, in no time."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from aiohttp import web

from registry_push.content.ollama.source import OllamaStore
from registry_push.embedded import EmbeddedRegistry, Fault, On, OnCut, Options, Schedule, What
from registry_push.embedded.quirks import Quirks, SlowCommit
from registry_push.embedded.sample import write_sample_store
from registry_push.errors import ManifestRefused, Unavailable
from registry_push.events import Event, Retrying, Warned
from registry_push.model import ModelName
from registry_push.settings import Settings
from registry_push.transfer.report import Report
from registry_push.verbs.push import push
from tests.support.registries import free_port
from tests.support.stores import weights_of

from .clock import run

LARGE = 9_000_000
CHUNK = 2_000_000

Around = Callable[[EmbeddedRegistry, list[Event]], None]


class Pushed:
    """One push of the sample model, with what was told and what the registry saw."""

    def __init__(self, folder: Path, options: Options, *, weights: int = LARGE, **settings: object) -> None:
        write_sample_store(folder / "models", weights=weights)
        self.blob, _ = weights_of(OllamaStore(folder / "models"))
        self.size = OllamaStore(folder / "models").read_manifest(ModelName.parse("me/tiny")).size
        self.events: list[Event] = []
        told = {"chunk_size": CHUNK, **settings}

        async def main() -> Report:
            async with EmbeddedRegistry(folder / "registry", options) as registry:
                self.registry = registry
                mine = Settings(home=folder, models=folder / "models", state_dir=folder / "state", **told)  # type: ignore[arg-type]  # any of its fields
                return await push(["me/tiny"], to=f"{registry.host}/", settings=mine, sink=self.events.append)

        self.report = run(main())

    def count(self, method: str, part: str) -> int:
        """Requests with this method whose target has this part."""
        return sum(each.method == method and part in each.target for each in self.registry.log)

    @property
    def received(self) -> int:
        """Bytes of blobs."""
        return sum(each.received for each in self.registry.log if "/uploads/" in each.target)

    @property
    def reasons(self) -> list[str]:
        """Of the tries that were told."""
        return [event.reason for event in self.events if isinstance(event, Retrying)]


# ── commits that outlast the gateway ──────────────────────────────────────────────────────────────


@pytest.mark.parametrize("status", [504, 502, 524, 500, 503, None])
@pytest.mark.parametrize("weights", [LARGE, 300_000], ids=["in chunks", "in one PUT"])
def test_a_commit_that_outlasts_the_gateway_is_waited_for_by_head(
    tmp_path: Path, status: int | None, weights: int
) -> None:
    quirks = Quirks(slow_commit=SlowCommit(8, status=status, min_size=200_000))
    pushed = Pushed(tmp_path, Options(quirks=quirks), weights=weights)
    assert pushed.report.error is None
    assert pushed.received == pushed.size, "nothing is sent twice"
    assert pushed.count("PUT", f"digest=sha256%3A{pushed.blob.digest.hex}") == 1
    assert any("may still be storing the blob" in reason for reason in pushed.reasons)


def test_a_registry_that_never_commits_ends_with_6(tmp_path: Path) -> None:
    quirks = Quirks(slow_commit=SlowCommit(1e9, min_size=200_000))
    pushed = Pushed(tmp_path, Options(quirks=quirks), retries=1)
    assert isinstance(pushed.report.error, Unavailable)
    assert pushed.report.error.exit_code == 6


# ── cuts ──────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("cuts", [3, 5])
def test_a_cut_costs_one_try_where_registries_lose_uploads(tmp_path: Path, cuts: int) -> None:
    fault = Fault(What.CUT, On.PATCH, 2, cuts, at=CHUNK // 3)
    pushed = Pushed(tmp_path, Options(on_cut=OnCut.LOSE, faults=Schedule((fault,))), retries=5)
    assert pushed.report.error is None
    assert len(pushed.registry.fired) == cuts
    assert len(pushed.reasons) == cuts


def test_as_many_cuts_as_retries_are_borne_and_the_last_word_is_of_the_cut(tmp_path: Path) -> None:
    fault = Fault(What.CUT, On.PATCH, 2, 1000, at=CHUNK // 3)
    pushed = Pushed(tmp_path, Options(on_cut=OnCut.LOSE, faults=Schedule((fault,))), retries=9)
    error = pushed.report.error
    assert isinstance(error, Unavailable)
    assert "the connection" in error.message and "keeps nothing of an upload that is cut" in error.message, error
    assert len(pushed.registry.fired) == 2 * (9 + 1), "as many in a fresh session, once"


# ── registries that are away ──────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("how", [502, 503, 504, None])
def test_a_registry_that_restarts_for_a_minute_ends_no_push(tmp_path: Path, how: int | None) -> None:
    patches, away_until = 0, 0.0

    async def restart(request: web.Request) -> web.StreamResponse | None:
        nonlocal patches, away_until
        now = asyncio.get_running_loop().time()
        patches += request.method == "PATCH"
        if patches == 3 and not away_until:
            away_until = now + 60
        if now >= away_until:
            return None
        if how is None:
            assert request.transport is not None
            request.transport.abort()
            raise ConnectionResetError
        return web.Response(status=how)

    pushed = Pushed(tmp_path, Options(hook=restart))
    assert pushed.report.error is None
    assert pushed.received == pushed.size


def test_retry_for_bounds_the_time_that_a_registry_may_be_away(tmp_path: Path) -> None:
    patches = 0

    async def leave(request: web.Request) -> web.StreamResponse | None:
        nonlocal patches
        patches += request.method == "PATCH"
        return web.Response(status=503) if patches >= 3 else None

    pushed = Pushed(tmp_path, Options(hook=leave), retries=100, retry_for=90.0)
    assert isinstance(pushed.report.error, Unavailable)
    delays = [event.delay for event in pushed.events if isinstance(event, Retrying)]
    assert 60 <= sum(delays) <= 90 + 30


def test_a_registry_that_asks_for_more_time_than_there_is_keeps_its_session(tmp_path: Path) -> None:
    """Two answers in five minutes don't show that it is broken (found by seeds 120 and 396)."""
    patches = 0

    async def busy(request: web.Request) -> web.StreamResponse | None:
        nonlocal patches
        patches += request.method == "PATCH"
        is_later = patches >= 3 and request.method in ("PATCH", "GET")
        return web.Response(status=429, headers={"Retry-After": "300"}) if is_later else None

    pushed = Pushed(tmp_path, Options(hook=busy))
    assert isinstance(pushed.report.error, Unavailable)
    assert pushed.count("POST", "/uploads/") <= 6, "one for each blob, and no fresh one"


def test_nobody_at_the_address_is_told_soon(tmp_path: Path) -> None:
    """It is more likely misspelt than away for a while."""

    async def main() -> float:
        write_sample_store(tmp_path / "models")
        settings = Settings(home=tmp_path, models=tmp_path / "models")
        began = asyncio.get_running_loop().time()
        report = await push(["me/tiny"], to=f"127.0.0.1:{free_port()}/", settings=settings)
        assert isinstance(report.error, Unavailable)
        return asyncio.get_running_loop().time() - began

    assert run(main()) < 10


# ── manifests whose blobs are not known yet ───────────────────────────────────────────────────────


@pytest.mark.parametrize("status", [404, 400])
def test_blobs_that_a_registry_does_not_know_yet_are_looked_at_and_the_manifest_is_put_again(
    tmp_path: Path, status: int
) -> None:
    left = 2

    async def lag(request: web.Request) -> web.StreamResponse | None:
        nonlocal left
        if request.method != "PUT" or "/manifests/" not in request.path or not left:
            return None
        left -= 1
        body = {"errors": [{"code": "MANIFEST_BLOB_UNKNOWN", "message": "blob unknown to registry"}]}
        return web.Response(status=status, text=json.dumps(body))

    pushed = Pushed(tmp_path, Options(hook=lag))
    assert pushed.report.error is None
    assert pushed.count("PUT", "/manifests/") == 3
    assert pushed.received == pushed.size, "nothing is sent again"
    assert pushed.report.done[0].uploaded == 6


def test_a_manifest_that_has_other_faults_too_is_refused_for_good(tmp_path: Path) -> None:
    """distribution says both of an empty `config.digest`."""

    async def refuse(request: web.Request) -> web.StreamResponse | None:
        if request.method != "PUT" or "/manifests/" not in request.path:
            return None
        codes = ("DIGEST_INVALID", "MANIFEST_BLOB_UNKNOWN")
        return web.Response(status=400, text=json.dumps({"errors": [{"code": code} for code in codes]}))

    pushed = Pushed(tmp_path, Options(hook=refuse))
    assert isinstance(pushed.report.error, ManifestRefused) and pushed.report.error.exit_code == 5
    assert pushed.count("PUT", "/manifests/") == 1


def test_a_lagging_registry_is_asked_again_with_pauses(tmp_path: Path) -> None:
    pushed = Pushed(tmp_path, Options(quirks=Quirks(unknown_blobs=2)))
    assert pushed.report.error is None
    delays = [event.delay for event in pushed.events if isinstance(event, Retrying)]
    assert len(delays) == 2 and delays[1] > delays[0] > 0


def test_a_manifest_whose_blobs_stay_unknown_ends_with_6(tmp_path: Path) -> None:
    pushed = Pushed(tmp_path, Options(quirks=Quirks(unknown_blobs=1000)), retries=3)
    error = pushed.report.error
    assert isinstance(error, Unavailable) and error.exit_code == 6
    assert "run the same command again" in (error.hint or "")
    assert pushed.count("PUT", "/manifests/") == 4


@pytest.mark.parametrize("weights", [LARGE, 300_000], ids=["in chunks", "in one PUT"])
def test_a_blob_that_a_registry_has_lost_meanwhile_is_sent_again(tmp_path: Path, weights: int) -> None:
    lost: list[Path] = []

    async def lose(request: web.Request) -> web.StreamResponse | None:
        if request.method == "PUT" and "/manifests/" in request.path and not lost:
            lost.append(max((tmp_path / "registry").rglob("blobs/sha256/*"), key=lambda file: file.stat().st_size))
            lost[0].unlink()
        return None

    pushed = Pushed(tmp_path, Options(hook=lose), weights=weights)
    assert pushed.report.error is None
    assert pushed.received == pushed.size + pushed.blob.size
    done = pushed.report.done[0]
    assert (done.uploaded, done.sent) == (6, pushed.size + pushed.blob.size)
    assert any(isinstance(event, Warned) and "has lost" in event.message for event in pushed.events)
