"""What says yes to everything is no registry: nothing it takes is shown as a push that worked."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from aiohttp import web

from registry_push.embedded import Options
from registry_push.embedded.sample import write_sample_store
from registry_push.errors import NotARegistry, Refused
from registry_push.model import Digest
from registry_push.protocol.upload.chunks import SINGLE_PUT
from registry_push.settings import Settings
from registry_push.transfer.report import Report
from registry_push.verbs.push import push

from ..support.command import command
from ..support.registries import EmbeddedFactory
from ..support.scripted import Answer, Says, Scripted, Seen
from ..support.service import over, sample

pytestmark = pytest.mark.attack("S3")

HTML = (("Content-Type", "text/html; charset=utf-8"),)
PAGE = b"<html><title>Welcome to the hotel</title></html>"
NO_LENGTH = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n"
SMALL, LARGE = 70_000, SINGLE_PUT + 1_000_000

PORTALS: list[Answer] = [
    Says(200, HTML, PAGE),
    lambda seen: Says(200, raw=NO_LENGTH + (b"" if seen.method == "HEAD" else PAGE)),
    Says(200),
    Says(200, (("Content-Type", "text/plain"),), b"OK"),
    Says(200, (("Content-Type", "application/json"),), b"{}"),
    Says(200, raw=b"HTTP/1.1 200 OK\r\n\r\n"),
    Says(201),
    Says(201, HTML, PAGE),
    Says(202),
    Says(204),
    Says(302, (("Location", "/login"),)),
    lambda seen: Says(200, HTML, PAGE) if seen.path == "/login" else Says(302, (("Location", "/login?next=x"),)),
    # a catch-all that follows nothing of the protocol, but has a Location for everything
    Says(200, (("Location", "/up"),)),
    Says(202, (("Location", "/up"),)),
]


async def _push(folder: Path, host: str, *, dry_run: bool = False, **settings: object) -> Report:
    told = Settings(home=folder, models=folder / "models", retries=0, **settings)  # type: ignore[arg-type]  # any of its fields
    return await push(["me/tiny"], to=f"{host}/", settings=told, dry_run=dry_run)


@pytest.mark.parametrize("size", [SMALL, LARGE])
@pytest.mark.parametrize("portal", PORTALS)
async def test_a_portal_is_5_and_named(tmp_path: Path, portal: Answer, size: int) -> None:
    write_sample_store(tmp_path / "models", weights=size)
    async with Scripted(otherwise=portal) as server:
        report = await _push(tmp_path, server.origin)
    assert report.error is not None
    assert report.error.exit_code == 5
    assert isinstance(report.error, NotARegistry) or "redirects" in str(report.error), str(report.error)
    assert "curl -i" in str(report.error.hint)


@pytest.mark.parametrize("portal", PORTALS)
async def test_the_service_says_the_same(tmp_path: Path, portal: Answer) -> None:
    async with Scripted(otherwise=portal) as server, over(tmp_path) as service:
        status, lines = await service.push(sample(tmp_path, f"127.0.0.1:{server.port}"))
    assert (status == 500) or (status == 200 and "error" in lines[-1])
    assert {"status": "success"} not in lines


def _says_yes(seen: Seen) -> Says:
    """A server that takes every upload as a registry would, and every manifest without keeping it."""
    if seen.method == "HEAD":
        return Says(404)
    if seen.method == "POST":
        return Says(202, (("Location", "/up"),))
    if seen.method == "PUT" and seen.path == "/up":
        return Says(201)
    return Says(200)


async def test_a_manifest_that_is_taken_with_200_and_is_not_there_afterwards_is_no_success(tmp_path: Path) -> None:
    write_sample_store(tmp_path / "models", weights=SMALL)
    async with Scripted(otherwise=_says_yes) as server:
        report = await _push(tmp_path, server.origin)
    assert isinstance(report.error, NotARegistry)


@pytest.mark.parametrize("status", [200, 202, 204])
async def test_a_manifest_that_is_taken_with_another_2xx_counts_if_its_tag_is_there(
    tmp_path: Path, status: int
) -> None:
    name = write_sample_store(tmp_path / "models", weights=SMALL)
    manifest = (tmp_path / "models/manifests").joinpath(*name.path_parts).read_bytes()
    digest = str(Digest.of(manifest))
    async with Scripted(otherwise=_says_yes) as server:
        where = "/v2/me/tiny/manifests/latest"
        server.on("PUT", where, Says(status))
        server.on("HEAD", where, Says(404), Says(200, (("Docker-Content-Digest", digest),)))
        report = await _push(tmp_path, server.origin)
        assert report.error is None
        assert server.requests("PUT", where)[0].body == manifest


def _keeps_no_manifest(seen: Seen) -> Says:
    """A server that takes whatever is put there with a bare 201, and has nothing of it afterwards."""
    if seen.method == "POST":
        return Says(202, (("Location", "/up"),))
    return Says(201) if seen.method == "PUT" else Says(404)


async def test_a_201_for_a_manifest_counts_whatever_else_is_said(tmp_path: Path) -> None:
    write_sample_store(tmp_path / "models", weights=SMALL)
    async with Scripted(otherwise=_keeps_no_manifest) as server:
        report = await _push(tmp_path, server.origin)
        assert report.error is None
        assert len(server.requests("HEAD", "/v2/me/tiny/manifests/latest")) == 1


async def test_a_portal_in_the_middle_costs_no_byte_and_no_record(
    embedded_with: EmbeddedFactory, tmp_path: Path
) -> None:
    """The network asks for a sign-in after the first chunk; later the push goes on from where it was."""
    write_sample_store(tmp_path / "models", weights=LARGE * 3)
    chunks, is_signed_in = 0, False

    async def portal(request: web.Request) -> web.StreamResponse | None:
        nonlocal chunks
        chunks += request.method == "PATCH"
        if chunks < 2 or is_signed_in:
            return None
        await request.read()
        return web.Response(text=PAGE.decode(), content_type="text/html")

    registry = await embedded_with(Options(hook=portal))
    report = await _push(tmp_path, registry.host, state_dir=tmp_path / "state", chunk_size=LARGE, jobs=1)
    assert isinstance(report.error, NotARegistry)
    is_signed_in = True
    report = await _push(tmp_path, registry.host, state_dir=tmp_path / "state", chunk_size=LARGE, jobs=1)
    assert report.error is None
    taken = [each for each in registry.log if each.method == "PATCH" and each.status == 202]
    size = max(blob.stat().st_size for blob in (tmp_path / "models/blobs").iterdir())
    assert sum(int(each.headers["Content-Length"]) for each in taken) == size, "no byte is taken twice"
    starts = [each.headers["Content-Range"].partition("-")[0] for each in registry.log if each.method == "PATCH"]
    assert starts.count("0") == 1, "it is not begun anew"


NOT_FOUND: list[Answer] = [
    Says(404, HTML, PAGE),
    Says(404),
    Says(404, (("Content-Type", "text/plain"),), b"404 page not found\n"),
    Says(404, (("Content-Type", "application/json"),), b'{"detail":"Not Found"}'),
    Says(405, HTML, PAGE),
    lambda seen: Says(404 if seen.method in ("GET", "HEAD") else 405, HTML, PAGE),
    lambda seen: Says(404, HTML, PAGE) if seen.path == "/login" else Says(302, (("Location", "/login"),)),
    Says(200, (("Content-Type", "text/plain"),), PAGE),
    Says(200, (("Content-Type", "text/plain"),), b"It works"),
]


@pytest.mark.parametrize("answer", NOT_FOUND)
@pytest.mark.parametrize("dry_run", [False, True])
async def test_a_plain_web_server_is_5_and_named_before_and_after_bytes_are_sent(
    tmp_path: Path, answer: Answer, dry_run: bool
) -> None:
    write_sample_store(tmp_path / "models", weights=SMALL)
    async with Scripted(otherwise=answer) as server:
        report = await _push(tmp_path, server.origin, dry_run=dry_run)
        assert isinstance(report.error, NotARegistry), str(report.error)
        assert f"127.0.0.1:{server.port} is no registry: " in report.error.message
        assert f"curl -i {server.origin}/v2/" in str(report.error.hint)


@pytest.mark.parametrize("portal", PORTALS)
async def test_a_portal_is_5_in_a_dry_run_too(tmp_path: Path, portal: Answer) -> None:
    write_sample_store(tmp_path / "models", weights=SMALL)
    async with Scripted(otherwise=portal) as server:
        report = await _push(tmp_path, server.origin, dry_run=True)
        assert not server.requests("POST", "/v2/me/tiny/blobs/uploads/")
    assert report.error is not None and report.error.exit_code == 5
    assert isinstance(report.error, NotARegistry) or "redirects" in str(report.error), str(report.error)


async def test_a_registry_that_says_no_more_than_it_must_passes_a_dry_run(tmp_path: Path) -> None:
    write_sample_store(tmp_path / "models", weights=SMALL)
    async with Scripted(otherwise=Says(404)) as server:
        server.on("GET", "/v2/", Says(200, (("Content-Type", "application/json"),), b"{}"))
        assert (await _push(tmp_path, server.origin, dry_run=True)).error is None


@pytest.mark.parametrize("answer", [*PORTALS[:2], *NOT_FOUND])
async def test_inspect_names_what_is_no_registry(tmp_path: Path, answer: Answer) -> None:
    async with Scripted(otherwise=answer) as server:
        ended = await command("inspect", f"registry:127.0.0.1:{server.port}/x/y:1", "--json", home=tmp_path)
    assert ended.code == 5
    error = json.loads(ended.out.splitlines()[-1])
    assert error["code"] == "NotARegistry"
    assert "is no registry" in error["message"] and "ollama pull" not in str(error)


@pytest.mark.parametrize("root", [Says(200), Says(401), Says(200, body=b"{}"), Says(403, HTML, PAGE), Says(503)])
async def test_a_model_that_a_registry_has_not_is_still_not_there(tmp_path: Path, root: Answer) -> None:
    async with Scripted(otherwise=Says(404)) as server:
        server.on("GET", "/v2/", root)
        ended = await command("inspect", f"registry:127.0.0.1:{server.port}/x/y:1", home=tmp_path)
    assert ended.code == 3


async def test_ollamas_registry_has_no_v2_and_is_one(tmp_path: Path) -> None:
    write_sample_store(tmp_path / "models", weights=SMALL)
    async with Scripted(otherwise=Says(404)) as server:
        report = await _push(tmp_path, server.origin, dialect="ollama", dry_run=True)
        assert report.error is None
        report = await _push(tmp_path, server.origin, dialect="ollama")
        assert type(report.error) is Refused
    async with Scripted(otherwise=Says(404, HTML, PAGE)) as server:
        report = await _push(tmp_path, server.origin, dialect="auto", dry_run=True)
        assert isinstance(report.error, NotARegistry)


async def test_the_command_says_so(tmp_path: Path) -> None:
    write_sample_store(tmp_path / "models", weights=SMALL)
    async with Scripted(otherwise=Says(200, HTML, PAGE)) as server:
        host = f"127.0.0.1:{server.port}"
        ended = await command(
            "push", "me/tiny", "--to", f"{server.origin}/x/", "--models", str(tmp_path / "models"), "--json",
            home=tmp_path,
        )  # fmt: skip
    assert ended.code == 5
    error = json.loads(ended.out.splitlines()[-1])
    assert error["code"] == "NotARegistry"
    assert f"{host} is no registry: it answers HTTP 200 with a web page" in error["message"]
