"""Deleting tags and manifests: what real registries answer, the embedded one with their quirks, and what we make of it.

"2.8" is Debian's docker-registry.
"""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import aiohttp
import pytest
from msgspec import Struct

from registry_push.embedded import Options, Quirks
from registry_push.errors import Denied
from registry_push.events import ignore
from registry_push.model import Reference
from registry_push.registry.deletion import Deletion, Outcome
from registry_push.registry.registries import Registries
from registry_push.registry.repository import Repository
from registry_push.settings import Settings

from ..support.registries import DockerRegistry, EmbeddedFactory, Registry, ZuulRegistry, docker_registry_at
from ..support.wire import Reply, Wire, authorized, digest_of
from .test_wire_manifests import blobs, get, image, put

ABSENT: Final = digest_of(b"absent")
HELLO: Final = b"hello world"


Answer = tuple[int, list[str] | None]


class Ways(Struct, frozen=True):
    """How a registry answers: a status, and its error codes; None: a page for people."""

    tag: Answer
    absent_tag: Answer
    digest: Answer
    absent_digest: Answer

    def outcome(self, answer: Answer) -> Outcome:
        """What that means."""
        if answer[0] == 202:
            return Outcome.DELETED
        return Outcome.GONE if answer == NO_MANIFEST else Outcome.UNSUPPORTED


DONE: Final[Answer] = (202, [])
NO_MANIFEST: Final = (404, ["MANIFEST_UNKNOWN"])
NO_TAGS: Final = (400, ["DIGEST_INVALID"])
OFF: Final = (405, ["UNSUPPORTED"])
NO_PATH: Final = (404, None)

CONFORMANT: Final = Ways(DONE, NO_MANIFEST, DONE, NO_MANIFEST)
DIGESTS_ONLY: Final = Ways(NO_TAGS, NO_TAGS, DONE, NO_MANIFEST)
NOTHING: Final = Ways(OFF, OFF, OFF, OFF)
UNHEARD_OF: Final = Ways(NO_PATH, NO_PATH, NO_PATH, NO_PATH)

CASES: Final = [
    pytest.param("embedded", CONFORMANT, Quirks(), id="the specification's"),
    pytest.param("embedded", DIGESTS_ONLY, Quirks(refuses_tag_deletion=400), id="as 2.8"),
    pytest.param("docker_registry", DIGESTS_ONLY, None, id="2.8", marks=pytest.mark.real),
    pytest.param("embedded", NOTHING, Quirks(refuses_deletion=405), id="as 2.8 by default"),
    pytest.param("undeletable", NOTHING, None, id="2.8 by default", marks=pytest.mark.real),
    pytest.param("embedded", UNHEARD_OF, Quirks(refuses_deletion=404), id="as zuul-registry"),
    pytest.param("zuul_registry", UNHEARD_OF, None, id="zuul-registry", marks=pytest.mark.real),
]


@pytest.fixture(scope="session")
def undeletable(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DockerRegistry]:
    """docker-registry as it is if nobody has enabled deletion."""
    with docker_registry_at(tmp_path_factory.mktemp("undeletable"), deletes=False) as registry:
        yield registry


@pytest.fixture
async def wire(request: pytest.FixtureRequest, embedded_with: EmbeddedFactory) -> AsyncIterator[Wire]:
    name, quirks = request.param
    registry: Registry = (
        await embedded_with(Options(quirks=quirks)) if quirks is not None else request.getfixturevalue(name)
    )
    async with aiohttp.ClientSession(headers=authorized(registry)) as session:
        yield Wire(session, registry, f"deletion/{uuid.uuid4().hex}")


@asynccontextmanager
async def repository(wire: Wire, home: Path) -> AsyncIterator[Repository]:
    login = wire.registry if isinstance(wire.registry, ZuulRegistry) else None
    settings = Settings(
        home=home, retries=0, username=login.username if login else None, password=login.password if login else None
    )
    async with Registries(settings, ignore) as registries:
        yield registries.repository(Reference.parse(f"{wire.registry.host}/{wire.repository}"))


def said(reply: Reply) -> Answer:
    if "json" in reply.headers.get("Content-Type", ""):
        return reply.status, reply.codes
    return reply.status, [] if reply.status < 300 else None


def cases() -> pytest.MarkDecorator:
    found = [
        pytest.param((case.values[0], case.values[2]), case.values[1], id=case.id, marks=case.marks) for case in CASES
    ]
    return pytest.mark.parametrize(("wire", "ways"), found, indirect=["wire"])


@cases()
async def test_the_answers(wire: Wire, ways: Ways) -> None:
    await blobs(wire)
    manifest = image(HELLO)
    for tag in ("one", "two"):
        await put(wire, tag, manifest)
    at = f"{wire.base}/manifests"
    assert said(await wire.send("DELETE", f"{at}/none")) == ways.absent_tag
    assert said(await wire.send("DELETE", f"{at}/{ABSENT}")) == ways.absent_digest
    assert said(await wire.send("DELETE", f"{at}/one")) == ways.tag
    assert (await get(wire, "one")).status == (404 if ways.tag == DONE else 200)
    assert (await get(wire, "two")).body == (await get(wire, digest_of(manifest))).body == manifest
    assert said(await wire.send("DELETE", f"{at}/{digest_of(manifest)}")) == ways.digest
    for reference in ("two", digest_of(manifest)):
        assert (await get(wire, reference)).status == (404 if ways.digest == DONE else 200)


@cases()
async def test_what_came_of_it(wire: Wire, ways: Ways, tmp_path: Path) -> None:
    """Deleting a tag leaves the manifest and its other tags; deleting a manifest takes its tags, and no blob."""
    await blobs(wire)
    manifest, other = image(HELLO), image(HELLO, annotations={"a": "b"})
    for tag in ("one", "two"):
        await put(wire, tag, manifest)
    await put(wire, "other", other)
    async with repository(wire, tmp_path) as there:
        for ref, answer in (
            ("one", ways.tag),
            (digest_of(manifest), ways.digest),
            (ABSENT, ways.absent_digest),
            ("none", ways.absent_tag),
        ):
            deletion = await there.delete(ref)
            # Nothing at all is deleted where the path is unknown, and what is not there is gone nevertheless.
            is_absent = ref in (ABSENT, "none") and answer == NO_PATH
            assert deletion.outcome is (Outcome.GONE if is_absent else ways.outcome(answer)), ref
            assert (deletion.words == "") == (deletion.outcome is Outcome.DELETED)
        kept = {"other"} if ways.digest == DONE else {"one", "two", "other"}
        assert {*await there.every_tag()} == kept
    assert (await get(wire, "other")).body == other
    assert (await wire.send("HEAD", f"{wire.base}/blobs/{digest_of(HELLO)}")).status == 200


@cases()
async def test_deleting_twice(wire: Wire, ways: Ways, tmp_path: Path) -> None:
    await blobs(wire)
    manifest = image(HELLO)
    await put(wire, "one", manifest)
    async with repository(wire, tmp_path) as there:
        first, second = await there.delete(digest_of(manifest)), await there.delete(digest_of(manifest))
    if ways.digest == DONE:
        assert (first, second.outcome) == (Deletion(Outcome.DELETED), Outcome.GONE)
    else:
        assert first == second and first.outcome is Outcome.UNSUPPORTED


@pytest.mark.parametrize("wire", [("embedded", Quirks(undeletable_while_tagged=True))], indirect=True)
async def test_a_manifest_that_may_only_go_without_its_tags(wire: Wire, tmp_path: Path) -> None:
    """Docker Hub."""
    await blobs(wire)
    manifest = image(HELLO)
    await put(wire, "one", manifest)
    async with repository(wire, tmp_path) as there:
        with pytest.raises(Denied, match="refused to delete"):
            await there.delete(digest_of(manifest))
        assert (await there.delete("one")).outcome is Outcome.DELETED
        assert (await there.delete(digest_of(manifest))).outcome is Outcome.DELETED
