"""Each quirk of the embedded registry does what its docstring says, and nothing else."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import closing as closed
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from registry_push.embedded import (
    ECR,
    GITEA,
    QUAY,
    Basic,
    EmbeddedRegistry,
    EqualChunks,
    Fault,
    On,
    OnCut,
    Options,
    Quirks,
    Schedule,
    SlowCommit,
    What,
)
from registry_push.model.manifest import OCI_MANIFEST

from ..support.registries import EmbeddedFactory
from ..support.secrets import BASIC, PASSWORD
from ..support.wire import OCTETS, Reply, Wire, digest_of

HELLO = b"hello world"
CONFIG = b"{}"
LOGIN = {"Authorization": BASIC}
ABSENT = digest_of(b"absent")

WireFactory = Callable[..., Awaitable[Wire]]


@pytest.fixture
async def wire_with(embedded_with: EmbeddedFactory) -> AsyncIterator[WireFactory]:
    """`await wire_with(Quirks(…), other=options)`: requests to a registry that has them."""
    async with aiohttp.ClientSession() as session:

        async def start(quirks: Quirks, **options: Any) -> Wire:
            return Wire(session, await embedded_with(Options(quirks=quirks, **options)), "me/m")

        yield start


def elsewhere(wire: Wire) -> Wire:
    return Wire(wire.session, wire.registry, "me/other")


async def chunks(wire: Wire, *contents: bytes) -> Reply:
    """The answer to the last of these chunks."""
    location, reply, offset = await wire.open(), None, 0
    for content in contents:
        reply = await wire.patch(location, content, Content_Range=f"{offset}-{offset + len(content) - 1}")
        location, offset = reply.headers.get("Location", location), offset + len(content)
    assert reply is not None
    return reply


async def tagged(wire: Wire, tag: str = "latest") -> Reply:
    """The answer to a manifest of `CONFIG` and `HELLO`."""
    fields = [{"mediaType": OCTETS, "digest": digest_of(each), "size": len(each)} for each in (CONFIG, HELLO)]
    document = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": fields[0], "layers": fields[1:]}
    raw = json.dumps(document).encode()
    return await wire.send("PUT", f"{wire.base}/manifests/{tag}", raw, {"Content-Type": OCI_MANIFEST})


async def head(wire: Wire, content: bytes = HELLO) -> Reply:
    return await wire.send("HEAD", f"{wire.base}/blobs/{digest_of(content)}")


# ── in front ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("status", [400, 403, 404, 405, 501])
async def test_patch_refused_and_put_taken(wire_with: WireFactory, status: int) -> None:
    wire = await wire_with(Quirks(refuses_patch=status))
    location = await wire.open()
    reply = await wire.patch(location, HELLO)
    assert (reply.status, reply.headers["Content-Type"]) == (status, "text/html; charset=utf-8")
    assert (await wire.send("GET", location)).headers["Range"] == "0-0"
    assert (await wire.commit(location, digest_of(HELLO), HELLO)).status == 201


async def test_whole_put_refused_and_patch_taken(wire_with: WireFactory) -> None:
    wire = await wire_with(Quirks(refuses_whole_put=404))
    location = await wire.open()
    assert (await wire.commit(location, digest_of(HELLO), HELLO)).status == 404
    reply = await wire.patch(location, HELLO[:5])
    assert (await wire.commit(reply.headers["Location"], digest_of(HELLO), HELLO[5:])).status == 201
    assert (await wire.commit(await wire.open(), digest_of(b""))).status == 201


@pytest.mark.parametrize("status", [401, 403, 404])
async def test_nobody_is_challenged_but_at_v2(wire_with: WireFactory, status: int) -> None:
    wire = await wire_with(Quirks(unchallenged=status), auth=Basic({"me": PASSWORD}))
    for method, target in (("POST", "/v2/me/m/blobs/uploads/"), ("HEAD", f"/v2/me/m/blobs/{ABSENT}")):
        reply = await wire.send(method, target)
        assert (reply.status, reply.headers.get("WWW-Authenticate")) == (status, None)
    assert (await wire.send("GET", "/v2/")).headers["WWW-Authenticate"] == 'Basic realm="embedded"'
    assert (await wire.send("POST", "/v2/me/m/blobs/uploads/", headers=LOGIN)).status == 202
    wrong = await wire.send("POST", "/v2/me/m/blobs/uploads/", headers={"Authorization": "Basic bm86bm8="})
    assert (wrong.status, wrong.headers["WWW-Authenticate"]) == (401, 'Basic realm="embedded"')


@pytest.mark.parametrize("status", [307, 308])
async def test_every_request_that_writes_is_redirected_to_the_other_slash(wire_with: WireFactory, status: int) -> None:
    wire = await wire_with(Quirks(slash_redirect=status))

    async def followed(method: str, target: str, body: bytes | None = None, **headers: str) -> Reply:
        first = await wire.send(method, target, body, headers)
        assert first.status == status
        to = first.headers["Location"]
        assert to.startswith(f"{wire.registry.origin}/v2/")
        assert to.partition("?")[0].endswith("/") is not target.partition("?")[0].endswith("/")
        return await wire.send(method, to, body, headers)

    opened = await followed("POST", "/v2/me/m/blobs/uploads/?a=%2fb")
    patched = await followed("PATCH", opened.headers["Location"], CONFIG)
    assert patched.headers["Range"] == "0-1"
    assert (await followed("PUT", f"{patched.headers['Location']}&digest={digest_of(CONFIG)}", b"")).status == 201
    assert (await head(wire, CONFIG)).status == 200
    manifest = await followed("PUT", "/v2/me/m/manifests/latest", b"{}", **{"Content-Type": OCI_MANIFEST})
    assert manifest.codes == ["MANIFEST_INVALID"]


async def test_the_redirect_may_lead_to_another_origin(wire_with: WireFactory) -> None:
    wire = await wire_with(Quirks(slash_redirect=307, redirects_elsewhere=True))
    reply = await wire.send("POST", "/v2/me/m/blobs/uploads/")
    port = wire.registry.host.partition(":")[2]
    assert reply.headers["Location"] == f"http://localhost:{port}/v2/me/m/blobs/uploads"


# ── blobs elsewhere ───────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("status", [403, 405])
@pytest.mark.parametrize("named", [True, False])
async def test_storage_that_refuses_head(wire_with: WireFactory, status: int, named: bool) -> None:
    quirks = Quirks(storage_head=status, storage_named=named)
    wire = await wire_with(quirks, auth=Basic({"me": PASSWORD}))
    opened = await wire.send("POST", f"{wire.base}/blobs/uploads/", headers=LOGIN)
    closing = f"{opened.headers['Location']}&digest={digest_of(HELLO)}"
    assert (await wire.send("PUT", closing, HELLO, LOGIN)).status == 201
    path = f"{wire.base}/blobs/{digest_of(HELLO)}"
    replies = [await wire.send(method, path, headers=LOGIN) for method in ("HEAD", "GET")]
    for reply in replies:
        assert (reply.status, reply.body) == (307, b"")
        assert reply.headers.get("Docker-Content-Digest") == (digest_of(HELLO) if named else None)
        assert reply.headers["Location"].startswith("http://localhost:")
    to = replies[0].headers["Location"]
    assert (await wire.send("HEAD", to)).status == status
    assert (await wire.send("GET", to)).body == HELLO
    assert (await wire.send("GET", to, headers={"Range": "bytes=6-"})).body == HELLO[6:]
    assert (await wire.send("GET", to.partition("?")[0])).status == 403
    assert (await wire.send("HEAD", f"{wire.base}/blobs/{ABSENT}", headers=LOGIN)).status == 404
    assert isinstance(wire.registry, EmbeddedRegistry)
    assert wire.registry.breaches == []
    assert (await wire.send("GET", to, headers=LOGIN)).status == 400
    assert len(wire.registry.breaches) == 1


async def test_there_is_no_storage_without_the_quirk(wire_with: WireFactory) -> None:
    wire = await wire_with(Quirks())
    digest = await wire.push(HELLO)
    assert (await head(wire)).status == 200
    assert (await wire.send("GET", f"/storage/me/m/{digest}?X-Amz-Signature=5e")).status == 403


async def test_head_of_a_mounted_blob_tells_of_the_link(wire_with: WireFactory) -> None:
    wire = await wire_with(Quirks(mounts_are_links=True))
    digest, other = await wire.push(HELLO), elsewhere(wire)
    assert (await other.send("POST", f"{other.base}/blobs/uploads/?mount={digest}&from=me/m")).status == 201
    told = (await head(other)).headers
    assert told["Docker-Content-Digest"] != digest
    assert told["Content-Length"] != str(len(HELLO))
    assert (await other.send("GET", f"{other.base}/blobs/{digest}")).body == HELLO
    assert (await head(wire)).headers["Docker-Content-Digest"] == digest
    await other.push(HELLO)
    assert (await head(other)).headers["Docker-Content-Digest"] == digest


async def test_mount_needs_a_manifest_at_its_source(wire_with: WireFactory) -> None:
    wire = await wire_with(Quirks(mounts_need_manifest=True))
    digest, other = await wire.push(HELLO), elsewhere(wire)
    await wire.push(CONFIG)
    mount = f"{other.base}/blobs/uploads/?mount={digest}&from="
    for source in ("me/m", "nobody/nothing", ".."):
        assert (await other.send("POST", mount + source)).status == 202
    assert (await tagged(wire)).status == 201
    assert (await other.send("POST", f"{mount}me/m")).status == 201


# ── commits ───────────────────────────────────────────────────────────────────────────────────────


@dataclass
class Clock:
    now: float = 0.0

    def __call__(self) -> float:
        return self.now


async def test_commit_that_outlasts_the_gateway(wire_with: WireFactory) -> None:
    clock = Clock()
    wire = await wire_with(Quirks(slow_commit=SlowCommit(8, min_size=3, clock=clock)))
    await wire.push(CONFIG)
    location = (await chunks(wire, HELLO)).headers["Location"]
    assert (await wire.commit(location, digest_of(HELLO))).status == 504
    clock.now = 7.9
    assert (await head(wire)).status == 404
    assert (await wire.send("GET", location)).codes == ["BLOB_UPLOAD_UNKNOWN"]
    assert (await wire.commit(location, digest_of(HELLO))).status == 404
    assert (await tagged(wire)).codes == ["MANIFEST_BLOB_UNKNOWN"]
    clock.now = 8.0
    assert (await head(wire)).status == 200
    assert (await wire.send("GET", f"{wire.base}/blobs/{digest_of(HELLO)}")).body == HELLO


async def test_commit_that_outlasts_the_connection(wire_with: WireFactory) -> None:
    clock = Clock()
    wire = await wire_with(Quirks(slow_commit=SlowCommit(8, status=None, clock=clock)))
    location = await wire.open()

    def closing() -> None:
        with closed(HTTPConnection(wire.registry.host)) as line:  # aiohttp would send the PUT again
            line.request("PUT", f"{location.removeprefix(wire.registry.origin)}&digest={digest_of(HELLO)}", HELLO)
            line.getresponse()

    with pytest.raises(ConnectionError):
        await asyncio.to_thread(closing)
    assert (await head(wire)).status == 404
    clock.now = 8.0
    assert (await head(wire)).status == 200


async def test_wrong_digest_is_refused_at_once_and_commits_nothing_later(wire_with: WireFactory) -> None:
    clock = Clock()
    wire = await wire_with(Quirks(slow_commit=SlowCommit(8, clock=clock)))
    assert (await wire.commit(await wire.open(), ABSENT, HELLO)).codes == ["DIGEST_INVALID"]
    clock.now = 8.0
    assert (await head(wire)).status == 404


async def test_commit_that_is_still_under_way_at_the_end_leaves_nothing(tmp_path: Path) -> None:
    options = Options(quirks=Quirks(slow_commit=SlowCommit(8)))
    async with EmbeddedRegistry(tmp_path, options) as registry, aiohttp.ClientSession() as session:
        wire = Wire(session, registry, "me/m")
        assert (await wire.commit(await wire.open(), digest_of(HELLO), HELLO)).status == 504
    assert not list(tmp_path.iterdir())


async def test_manifest_whose_blobs_are_not_seen_yet(wire_with: WireFactory) -> None:
    wire = await wire_with(Quirks(unknown_blobs=2))
    await wire.push(CONFIG)
    assert (await tagged(wire)).status == 400, "what is missing is missing"
    await wire.push(HELLO)
    for _ in range(2):
        reply = await tagged(wire)
        assert (reply.status, reply.codes) == (404, ["MANIFEST_BLOB_UNKNOWN"] * 2)
    assert (await tagged(wire)).status == 201


# ── chunks ────────────────────────────────────────────────────────────────────────────────────────

EQUAL = Quirks(equal_chunks=EqualChunks(min=5, max=8, max_parts=3))


async def test_equal_chunks_are_announced_with_the_session_and_its_status(wire_with: WireFactory) -> None:
    wire = await wire_with(EQUAL)
    opened = await wire.send("POST", f"{wire.base}/blobs/uploads/")
    status = await wire.send("GET", opened.headers["Location"])
    assert (opened.headers["Range"], status.headers["Range"]) == ("0-0", "0--1")
    for reply in (opened, status):
        assert (reply.headers["OCI-Chunk-Min-Length"], reply.headers["OCI-Chunk-Max-Length"]) == ("5", "8")


@pytest.mark.parametrize("sizes", [(5, 5, 1), (5, 5), (5,), (3,), (8, 3), (0,)])
async def test_equal_chunks_with_a_shorter_last_one_become_a_blob(
    wire_with: WireFactory, sizes: tuple[int, ...]
) -> None:
    wire = await wire_with(EQUAL)
    content = b"x" * sum(sizes)
    location = (await chunks(wire, *(b"x" * size for size in sizes if size))).headers["Location"] if content else None
    assert (await wire.commit(location or await wire.open(), digest_of(content))).status == 201


@pytest.mark.parametrize("sizes", [(5, 6), (3, 5), (5, 3, 5), (5, 3, 3), (3, 3)])
async def test_chunk_of_another_size_is_416_and_the_offset_stays(
    wire_with: WireFactory, sizes: tuple[int, ...]
) -> None:
    wire = await wire_with(EQUAL)
    reply = await chunks(wire, *(b"x" * size for size in sizes))
    assert (reply.status, reply.headers["Range"]) == (416, f"0-{sum(sizes[:-1]) - 1}")
    assert (await wire.send("GET", reply.headers["Location"])).headers["Range"] == reply.headers["Range"]


async def test_parts_that_do_not_join_are_500(wire_with: WireFactory) -> None:
    wire = await wire_with(EQUAL)
    location = (await chunks(wire, b"x" * 5, b"x" * 4, b"x" * 3)).headers["Location"]
    assert (await wire.commit(location, digest_of(b"x" * 12))).codes == ["INTERNAL_ERROR"]


async def test_last_chunk_in_the_put_is_500_and_a_whole_put_is_taken(wire_with: WireFactory) -> None:
    wire = await wire_with(EQUAL)
    location = (await chunks(wire, HELLO[:8])).headers["Location"]
    reply = await wire.commit(location, digest_of(HELLO), HELLO[8:])
    assert (reply.status, reply.codes) == (500, ["INTERNAL_ERROR"])
    assert (await wire.commit(await wire.open(), digest_of(HELLO), HELLO)).status == 201


async def test_chunk_over_the_most_is_413_and_one_too_many_500(wire_with: WireFactory) -> None:
    wire = await wire_with(EQUAL)
    assert (await chunks(wire, b"x" * 9)).status == 413
    assert (await chunks(wire, *[b"x" * 5] * 4)).status == 500


@pytest.mark.parametrize("status", [200, 201, 204])
async def test_another_status_for_a_chunk(wire_with: WireFactory, status: int) -> None:
    wire = await wire_with(Quirks(patch_status=status))
    assert (await chunks(wire, HELLO)).status == status


async def test_ecr(wire_with: WireFactory) -> None:
    """One chunk and an empty PUT is a blob; after several the last one belongs in the PUT."""
    assert (ECR.patch_status, ECR.min_part) == (201, 5 * 1024 * 1024)
    wire = await wire_with(Quirks(patch_status=201, range_sticks=True, last_in_put=True, min_part=5))
    one = await chunks(wire, HELLO)
    assert (one.status, one.headers["Range"]) == (201, "0-10")
    assert (await wire.commit(one.headers["Location"], digest_of(HELLO))).status == 201
    two = await chunks(wire, HELLO[:5], HELLO[5:])
    assert (two.status, two.headers["Range"]) == (201, "0-4")
    refused = await wire.commit(two.headers["Location"], digest_of(HELLO))
    assert (refused.status, refused.codes) == (400, ["BLOB_UPLOAD_INVALID"])
    assert (await wire.commit(two.headers["Location"], digest_of(HELLO + b"!"), b"!")).status == 201
    small = await chunks(wire, HELLO[:4], HELLO[4:])
    assert (small.status, small.codes) == (400, ["BLOB_UPLOAD_INVALID"])


async def test_ecr_names_the_true_offset_in_words_only(wire_with: WireFactory) -> None:
    wire = await wire_with(ECR)
    location = (await chunks(wire, b"x" * ECR.min_part, HELLO)).headers["Location"]
    reply = await wire.patch(location, HELLO, Content_Range="0-10")
    assert (reply.status, reply.headers["Range"]) == (416, f"0-{ECR.min_part - 1}")
    assert f"the next byte is {ECR.min_part + len(HELLO)}" in reply.body.decode()


@pytest.mark.parametrize(
    ("quirks", "status", "refusal", "located"),
    [(Quirks(), "0-10", "0-10", True), (QUAY, "0-11", "0-11", False), (GITEA, "0-11", None, True)],
    ids=["as specified", "Quay", "Gitea"],
)
async def test_status_one_too_high(
    wire_with: WireFactory, quirks: Quirks, status: str, refusal: str | None, located: bool
) -> None:
    wire = await wire_with(quirks)
    taken = await chunks(wire, HELLO)
    assert taken.headers["Range"] == "0-10"
    told = await wire.send("GET", taken.headers["Location"])
    assert (told.status, told.headers["Range"], "Location" in told.headers) == (204, status, located)
    refused = await wire.patch(taken.headers["Location"], HELLO, Content_Range="12-22")
    assert (refused.status, refused.headers.get("Range")) == (416, refusal)
    assert (await wire.commit(taken.headers["Location"], digest_of(HELLO))).status == 201


async def test_uploads_lost_at_each_of_several_cuts(wire_with: WireFactory) -> None:
    """No quirk: `OnCut.LOSE` and a fault that happens several times play distribution 2.8 on a bad line."""
    cuts = Schedule((Fault(What.CUT, On.PATCH, times=3, at=5),))
    wire = await wire_with(Quirks(), on_cut=OnCut.LOSE, faults=cuts)
    for _ in range(3):
        location = await wire.open()
        with pytest.raises(aiohttp.ClientError):
            await wire.patch(location, HELLO)
        assert (await wire.send("GET", location)).status == 404
    assert (await chunks(wire, HELLO)).status == 202
