"""307 and 308 for bodies: followed if little of the body has gone, else said where they lead."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from registry_push.embedded import Basic, EmbeddedRegistry, Options, Quirks
from registry_push.embedded.sample import LAYER_TYPE, Layer, config, write_model
from registry_push.errors import Refused
from registry_push.model import ModelName
from registry_push.settings import Settings
from registry_push.transfer.report import Report
from registry_push.verbs.push import push
from tests.support.registries import EmbeddedFactory
from tests.support.scripted import Says, Scripted, Seen
from tests.support.secrets import PASSWORD

MiB = 1 << 20


async def _push(folder: Path, host: str, size: int, **settings: object) -> Report:
    layer = Layer(LAYER_TYPE + "model", random.Random(size).randbytes(size))
    write_model(folder / "models", ModelName.parse("me/a"), config(), [layer])
    told = Settings(models=folder / "models", home=folder, **settings)  # type: ignore[arg-type]  # any of its fields
    return await push(["me/a"], to=f"{host}/", settings=told)


def _bodies(registry: EmbeddedRegistry) -> list[tuple[str, int, int]]:
    """Method, bytes that were taken and status."""
    writes = [each for each in registry.log if each.method in ("PATCH", "PUT") and "/blobs/" in each.target]
    return [(each.method, each.received, each.status) for each in writes if each.headers["Content-Length"] != "0"]


@pytest.mark.parametrize("status", [307, 308])
@pytest.mark.parametrize("size", [1000, 3 * MiB, 40 * MiB])
@pytest.mark.parametrize("elsewhere", [False, True])
async def test_chunks_and_puts_are_sent_on(
    tmp_path: Path, embedded_with: EmbeddedFactory, status: int, size: int, elsewhere: bool
) -> None:
    registry = await embedded_with(Options(quirks=Quirks(slash_redirect=status, redirects_elsewhere=elsewhere)))
    report = await _push(tmp_path, registry.host, size)
    assert report.error is None
    assert sum(taken for _, taken, code in _bodies(registry) if code in (201, 202)) >= size
    # A body waits to be asked for where a question was sent on already.
    assert sum(taken for _, taken, code in _bodies(registry) if code == status and taken > MiB) == 0


async def test_a_login_does_not_follow_a_body_to_another_origin(tmp_path: Path, embedded_with: EmbeddedFactory) -> None:
    registry = await embedded_with(
        Options(quirks=Quirks(slash_redirect=307, redirects_elsewhere=True), auth=Basic({"me": PASSWORD}))
    )
    report = await _push(tmp_path, registry.host, 3 * MiB, username="me", password=PASSWORD)
    assert report.error is not None and report.error.exit_code == 4
    assert not [each for each in registry.log if each.authorization and each.headers["Host"] != registry.host]


def _blob_unknown(server: Scripted) -> None:
    server.otherwise = lambda seen: _answer(seen.method, seen.path)


def _answer(method: str, path: str) -> Says:
    if method == "POST":
        return Says(202, (("Location", "/up"),))
    if method in ("PATCH", "PUT") and path == "/up":
        return Says(307, (("Location", "/store/up"),))
    return Says(404)


@pytest.mark.parametrize("size", [2 * MiB, 20 * MiB])
async def test_a_body_that_has_gone_whole_is_not_sent_twice_and_the_message_says_what_to_type(
    tmp_path: Path, size: int
) -> None:
    async with Scripted() as server:
        _blob_unknown(server)
        report = await _push(tmp_path, f"127.0.0.1:{server.port}", size)
        assert isinstance(report.error, Refused)
        assert f"leads to {server.origin}/store/up" in report.error.message
        assert "--chunk-size 1MiB" in (report.error.hint or "")
    assert len([each for each in server.seen if each.received >= MiB]) == 1


async def test_an_endless_redirect_of_a_small_body_ends(tmp_path: Path) -> None:
    async with Scripted() as server:
        server.otherwise = lambda seen: (
            Says(202, (("Location", "/up"),))
            if seen.method == "POST"
            else Says(308, (("Location", "/up"),))
            if seen.method == "PUT"
            else Says(404)
        )
        report = await _push(tmp_path, f"127.0.0.1:{server.port}", 1000)
    assert isinstance(report.error, Refused)
    assert len(server.requests("PUT", "/up")) <= 2 * 6  # two blobs


@pytest.mark.parametrize("method", ["HEAD", "POST", "PUT"])
@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_http_that_leads_to_https_says_the_address_to_use(tmp_path: Path, method: str, status: int) -> None:
    async with Scripted() as server:

        def answer(seen: Seen) -> Says:
            if seen.method == method:
                return Says(status, (("Location", f"https://127.0.0.1:{server.port}{seen.target}"),))
            return Says(202, (("Location", "/up"),)) if seen.method == "POST" else Says(404)

        server.otherwise = answer
        report = await _push(tmp_path, f"127.0.0.1:{server.port}", 1000)
        assert report.error is not None and report.error.exit_code == 5
        assert "speaks https" in report.error.message
        assert f"write https://127.0.0.1:{server.port}/" in (report.error.hint or "")


@pytest.mark.parametrize("method", ["POST", "PUT"])
async def test_a_redirect_that_would_change_the_method_says_where_it_leads(tmp_path: Path, method: str) -> None:
    async with Scripted() as server:

        def answer(seen: Seen) -> Says:
            if seen.method == method:
                return Says(301, (("Location", "https://other.example/v2/"),))
            if seen.path == "/v2/":
                return Says(200, (("Docker-Distribution-Api-Version", "registry/2.0"),))
            return Says(202, (("Location", "/up"),)) if seen.method == "POST" else Says(404)

        server.otherwise = answer
        report = await _push(tmp_path, f"127.0.0.1:{server.port}", 1000)
    assert report.error is not None and report.error.exit_code == 5
    assert "leads to https://other.example/v2/" in report.error.message
    assert "write it: https://other.example/" in (report.error.hint or "")
