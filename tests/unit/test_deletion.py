"""Deleting tags and manifests: what a registry's answer means."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import parse_qs

import pytest

from registry_push.embedded import Options, Token
from registry_push.errors import Denied, NotARegistry, Refused, RegistryPushError, Unauthorized, Unavailable
from registry_push.events import ignore
from registry_push.model import Reference
from registry_push.registry.deletion import Deletion, Outcome, delete
from registry_push.registry.registries import Registries
from registry_push.settings import Settings
from tests.support.registries import EmbeddedFactory
from tests.support.scripted import Says, Scripted, opened
from tests.support.secrets import PASSWORD

TAG = "/v2/me/m/manifests/v1"
DIGEST = f"sha256:{'a' * 64}"
VERSION = ("Docker-Distribution-Api-Version", "registry/2.0")


def says(status: int, *codes: str) -> Says:
    errors = {"errors": [{"code": code, "message": "so it is"} for code in codes]}
    return Says(status, (VERSION, ("Content-Type", "application/json")), json.dumps(errors).encode() if codes else b"")


async def deletion(server: Scripted, home: Path, ref: str = "v1") -> Deletion:
    settings = Settings(home=home, retries=0)
    async with Registries(settings, ignore) as registries:
        return await registries.repository(Reference.parse(f"{server.origin}/me/m")).delete(ref)


async def not_asked(_: str) -> bool:
    raise AssertionError("the answer has said it")


@pytest.mark.parametrize("status", [200, 202, 204])
async def test_any_success_is_a_deletion(status: int, tmp_path: Path) -> None:
    async with Scripted() as server:
        server.on("DELETE", TAG, says(status))
        assert await deletion(server, tmp_path) == Deletion(Outcome.DELETED)
        assert [(each.method, each.path) for each in server.seen] == [("DELETE", TAG)]


@pytest.mark.parametrize("code", ["MANIFEST_UNKNOWN", "NAME_UNKNOWN"])
async def test_what_the_registry_does_not_know_is_gone(code: str, tmp_path: Path) -> None:
    async with Scripted() as server:
        server.on("DELETE", TAG, says(404, code))
        found = await deletion(server, tmp_path)
        assert found.outcome is Outcome.GONE and found.words == "HTTP 404: so it is"
        assert len(server.seen) == 1


@pytest.mark.parametrize(("head", "outcome"), [(200, Outcome.UNSUPPORTED), (404, Outcome.GONE)])
async def test_a_404_that_says_nothing_is_checked(head: int, outcome: Outcome, tmp_path: Path) -> None:
    async with Scripted() as server:
        server.on("DELETE", TAG, says(404))
        server.on("HEAD", TAG, says(head))
        assert (await deletion(server, tmp_path)).outcome is outcome


@pytest.mark.parametrize(
    "answer",
    [says(405), says(405, "UNSUPPORTED"), says(501), says(400, "UNSUPPORTED"), says(404, "UNSUPPORTED")],
    ids=["405", "405 in words", "501", "400", "404"],
)
@pytest.mark.parametrize("ref", ["v1", DIGEST])
async def test_a_registry_that_deletes_nothing(answer: Says, ref: str, tmp_path: Path) -> None:
    async with Scripted() as server:
        server.on("DELETE", f"/v2/me/m/manifests/{ref}", answer)
        found = await deletion(server, tmp_path, ref)
        assert found.outcome is Outcome.UNSUPPORTED and str(answer.status) in found.words


async def test_a_registry_that_wants_a_digest_deletes_no_tags(tmp_path: Path) -> None:
    async with Scripted() as server:
        server.on("DELETE", TAG, says(400, "DIGEST_INVALID"))
        server.on("DELETE", f"/v2/me/m/manifests/{DIGEST}", says(400, "DIGEST_INVALID"))
        assert (await deletion(server, tmp_path)).outcome is Outcome.UNSUPPORTED
        with pytest.raises(Refused):
            await deletion(server, tmp_path, DIGEST)


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (Says(401, (("WWW-Authenticate", 'Basic realm="r"'),)), Unauthorized),
        (says(403, "DENIED"), Denied),
        (says(412, "PRECONDITION"), Refused),
        (says(503), Unavailable),
        (says(429), Unavailable),
        (Says(200, (("Content-Type", "text/html"),), b"<html></html>"), NotARegistry),
    ],
    ids=["401", "403", "an immutable tag at Harbor", "503", "429", "a page"],
)
async def test_everything_else_is_an_error(answer: Says, kind: type[RegistryPushError]) -> None:
    async with Scripted() as server, opened(server.origin) as client:
        server.on("DELETE", TAG, answer)
        with pytest.raises(kind):
            await delete(client, "me/m", "v1", f"{server.origin}{TAG}", is_there=not_asked)


@pytest.mark.parametrize("trouble", [says(503), Says(cut_request_at=0)], ids=["503", "a lost answer"])
async def test_a_deletion_is_tried_again(trouble: Says) -> None:
    async with Scripted() as server, opened(server.origin, retries=2) as client:
        server.on("DELETE", TAG, trouble, says(404, "MANIFEST_UNKNOWN"))
        server.on("GET", "/v2/", says(200))
        found = await delete(client, "me/m", "v1", f"{server.origin}{TAG}", is_there=not_asked)
        assert found.outcome is Outcome.GONE
        assert len(server.requests("DELETE", TAG)) == 2


async def test_deleting_needs_a_right_of_its_own(embedded_with: EmbeddedFactory, tmp_path: Path) -> None:
    server = await embedded_with(Options(auth=Token(users={"me": PASSWORD})))
    settings = Settings(home=tmp_path, username="me", password=PASSWORD, retries=0)
    async with Registries(settings, ignore) as registries:
        there = registries.repository(Reference.parse(f"{server.host}/me/m"))
        assert (await there.delete("v1")).outcome is Outcome.GONE
        assert (await there.digest_of("v1")) is None
    asked = [each.target for each in server.log if each.target.startswith("/token")]
    assert [parse_qs(each.partition("?")[2])["scope"] for each in asked[:1]] == [["repository:me/m:delete,pull,push"]]
