"""The embedded registry is held against the real one, request by request: blobs, uploads, mounts.

Where the two differ, the test says what each answers and which of them the specification is with. "2.8" is
distribution 2.8.2, Debian's docker-registry.
"""

from __future__ import annotations

import uuid

import pytest

from ..support.wire import OCTETS, Wire, by_server, digest_of

HELLO = b"hello world"


# ── the base ──────────────────────────────────────────────────────────────────────────────────────


async def test_base(wire: Wire) -> None:
    reply = await wire.send("GET", "/v2/")
    assert reply.status == 200
    assert reply.headers["Docker-Distribution-Api-Version"] == "registry/2.0"
    assert reply.headers["Content-Type"] == "application/json; charset=utf-8"
    assert reply.json == {}


@pytest.mark.parametrize("path", ["/nope", "/v2/nope", "/v2/a..b/m/tags/list", "/v2/a/m/manifests/-x"])
async def test_what_is_no_route_is_404_without_an_error_document(wire: Wire, path: str) -> None:
    reply = await wire.send("GET", path)
    assert (reply.status, reply.body) == (404, b"404 page not found\n")


async def test_wrong_method_is_405_and_says_what_is_allowed(wire: Wire) -> None:
    reply = await wire.send("PUT", f"{wire.base}/blobs/{digest_of(HELLO)}")
    assert reply.status == 405
    assert set(reply.headers["Allow"].split(", ")) == {"DELETE", "GET", "HEAD"}


# ── blobs ─────────────────────────────────────────────────────────────────────────────────────────


async def test_unknown_blob(wire: Wire) -> None:
    path = f"{wire.base}/blobs/{digest_of(HELLO)}"
    assert (await wire.send("HEAD", path)).status == 404
    for method in ("GET", "DELETE"):
        reply = await wire.send(method, path)
        assert (reply.status, reply.codes) == (404, ["BLOB_UNKNOWN"])


async def test_odd_digest_is_400(wire: Wire) -> None:
    reply = await wire.send("GET", f"{wire.base}/blobs/sha256:zz")
    assert (reply.status, reply.codes) == (400, ["DIGEST_INVALID"])


@pytest.mark.parametrize("content", [HELLO, b""])
async def test_blob_reads_back(wire: Wire, content: bytes) -> None:
    digest = await wire.push(content)
    head = await wire.send("HEAD", f"{wire.base}/blobs/{digest}")
    whole = await wire.send("GET", f"{wire.base}/blobs/{digest}")
    assert whole.body == content
    for reply in (head, whole):
        assert reply.status == 200
        assert reply.headers["Docker-Content-Digest"] == digest
        assert reply.headers["Content-Length"] == str(len(content))
        assert reply.headers["Content-Type"] == OCTETS
        assert reply.headers["Accept-Ranges"] == "bytes"
        assert reply.headers["Etag"] == f'"{digest}"'


@pytest.mark.parametrize(
    ("asked", "told", "content"),
    [
        ("bytes=0-4", "bytes 0-4/11", b"hello"),
        ("bytes=5-", "bytes 5-10/11", b" world"),
        ("bytes=-3", "bytes 8-10/11", b"rld"),
        ("bytes=5-100", "bytes 5-10/11", b" world"),
        ("bytes=-100", "bytes 0-10/11", HELLO),
    ],
)
async def test_range(wire: Wire, asked: str, told: str, content: bytes) -> None:
    digest = await wire.push(HELLO)
    reply = await wire.send("GET", f"{wire.base}/blobs/{digest}", headers={"Range": asked})
    assert (reply.status, reply.body) == (206, content)
    assert reply.headers["Content-Range"] == told
    assert reply.headers["Content-Length"] == str(len(content))


@pytest.mark.parametrize("asked", ["bytes=11-", "bytes=100-200", "bytes=4-2", "lines=0-1"])
async def test_range_that_is_not_there(wire: Wire, asked: str) -> None:
    digest = await wire.push(HELLO)
    reply = await wire.send("GET", f"{wire.base}/blobs/{digest}", headers={"Range": asked})
    assert reply.status == 416


async def test_range_behind_the_end_tells_the_size(wire: Wire) -> None:
    digest = await wire.push(HELLO)
    reply = await wire.send("GET", f"{wire.base}/blobs/{digest}", headers={"Range": "bytes=11-"})
    assert reply.headers["Content-Range"] == "bytes */11"


async def test_blob_that_the_client_has_already(wire: Wire) -> None:
    digest = await wire.push(HELLO)
    reply = await wire.send("GET", f"{wire.base}/blobs/{digest}", headers={"If-None-Match": f'"{digest}"'})
    assert (reply.status, reply.body) == (304, b"")


async def test_delete_blob(wire: Wire) -> None:
    path = f"{wire.base}/blobs/{await wire.push(HELLO)}"
    assert (await wire.send("DELETE", path)).status == 202
    assert (await wire.send("HEAD", path)).status == 404
    assert (await wire.send("DELETE", path)).codes == ["BLOB_UNKNOWN"]


# ── uploads ───────────────────────────────────────────────────────────────────────────────────────


async def test_upload_in_chunks(wire: Wire) -> None:
    opened = await wire.send("POST", f"{wire.base}/blobs/uploads/")
    assert opened.status == 202
    assert opened.headers["Range"] == "0-0"
    assert opened.headers["Content-Length"] == "0"
    session = opened.headers["Docker-Upload-Uuid"]
    location = opened.headers["Location"]
    assert location.startswith(f"{wire.registry.origin}{wire.base}/blobs/uploads/{session}?")

    first = await wire.patch(location, HELLO[:5], Content_Range="0-4")
    assert (first.status, first.headers["Range"], first.headers["Docker-Upload-Uuid"]) == (202, "0-4", session)
    status = await wire.send("GET", first.headers["Location"])
    assert (status.status, status.headers["Range"], status.body) == (204, "0-4", b"")
    second = await wire.patch(status.headers["Location"], HELLO[5:9], Content_Range="5-8")
    assert (second.status, second.headers["Range"]) == (202, "0-8")

    closed = await wire.commit(second.headers["Location"], digest_of(HELLO), HELLO[9:])
    assert closed.status == 201
    assert closed.headers["Docker-Content-Digest"] == digest_of(HELLO)
    assert closed.headers["Location"] == f"{wire.registry.origin}{wire.base}/blobs/{digest_of(HELLO)}"
    assert (await wire.send("GET", closed.headers["Location"])).body == HELLO
    gone = await wire.send("GET", second.headers["Location"])
    assert (gone.status, gone.codes) == (404, ["BLOB_UPLOAD_UNKNOWN"])


async def test_chunks_need_no_content_range_and_no_type(wire: Wire) -> None:
    reply = await wire.send("PATCH", await wire.open(), HELLO)
    assert (reply.status, reply.headers["Range"]) == (202, "0-10")
    assert (await wire.commit(reply.headers["Location"], digest_of(HELLO))).status == 201


async def test_empty_chunk_changes_nothing(wire: Wire) -> None:
    first = await wire.patch(await wire.open(), HELLO)
    reply = await wire.patch(first.headers["Location"], b"")
    assert (reply.status, reply.headers["Range"]) == (202, "0-10")


async def test_one_byte_reads_like_none(wire: Wire) -> None:
    reply = await wire.patch(await wire.open(), b"h")
    assert reply.headers["Range"] == "0-0"
    assert (await wire.send("GET", reply.headers["Location"])).headers["Range"] == "0-0"


async def test_upload_in_one_put(wire: Wire) -> None:
    reply = await wire.commit(await wire.open(), digest_of(HELLO), HELLO)
    assert (reply.status, reply.headers["Docker-Content-Digest"]) == (201, digest_of(HELLO))


async def test_upload_in_one_post(wire: Wire) -> None:
    """The specification allows both answers; 2.8 ignores the digest and the body, and opens a session."""
    reply = await wire.send("POST", f"{wire.base}/blobs/uploads/?digest={digest_of(HELLO)}", HELLO)
    assert reply.status == by_server(wire, embedded=201, docker=202)
    there = await wire.send("HEAD", f"{wire.base}/blobs/{digest_of(HELLO)}")
    assert there.status == by_server(wire, embedded=200, docker=404)


@pytest.mark.parametrize("digest", ["", "sha256:zz"])
async def test_closing_without_a_digest_can_be_mended(wire: Wire, digest: str) -> None:
    reply = await wire.patch(await wire.open(), HELLO)
    refused = await wire.send("PUT", reply.headers["Location"] + (f"&digest={digest}" if digest else ""))
    assert (refused.status, refused.codes) == (400, ["DIGEST_INVALID"])
    assert (await wire.commit(reply.headers["Location"], digest_of(HELLO))).status == 201


async def test_wrong_digest_is_not_committed(wire: Wire) -> None:
    location = await wire.open()
    reply = await wire.commit(location, digest_of(b"other"), HELLO)
    assert (reply.status, reply.codes) == (400, ["DIGEST_INVALID"])
    for digest in (digest_of(HELLO), digest_of(b"other")):
        assert (await wire.send("HEAD", f"{wire.base}/blobs/{digest}")).status == 404
    assert (await wire.send("GET", location)).status == 404


async def test_session_after_a_wrong_digest_without_a_body(wire: Wire) -> None:
    """2.8 keeps the session; distribution 3 cancels it, and so does the embedded one."""
    reply = await wire.patch(await wire.open(), HELLO)
    assert (await wire.commit(reply.headers["Location"], digest_of(b"other"))).codes == ["DIGEST_INVALID"]
    again = await wire.commit(reply.headers["Location"], digest_of(HELLO))
    assert again.status == by_server(wire, embedded=404, docker=201)


async def test_cancelled_session_is_gone(wire: Wire) -> None:
    location = await wire.open()
    assert (await wire.send("DELETE", location)).status == 204
    for method in ("GET", "PATCH", "DELETE"):
        reply = await wire.send(method, location, b"x" if method == "PATCH" else None)
        assert (reply.status, reply.codes) == (404, ["BLOB_UPLOAD_UNKNOWN"])
    assert (await wire.commit(location, digest_of(HELLO))).codes == ["BLOB_UPLOAD_UNKNOWN"]


async def test_session_that_never_was(wire: Wire) -> None:
    reply = await wire.patch(f"{wire.base}/blobs/uploads/{uuid.uuid4()}", HELLO)
    assert reply.status == 404
    # 2.8 checks `_state` first, and it is missing here.
    assert reply.codes == by_server(wire, embedded=["BLOB_UPLOAD_UNKNOWN"], docker=["BLOB_UPLOAD_INVALID"])


async def test_session_belongs_to_its_repository_and_its_query(wire: Wire) -> None:
    location = await wire.open()
    elsewhere = location.replace(wire.repository, f"{wire.repository}/other")
    for odd in (elsewhere, location.partition("?")[0]):
        assert (await wire.send("GET", odd)).status == 404
        assert (await wire.patch(odd, HELLO)).status == 404
    assert (await wire.send("GET", location)).status == 204


async def test_stale_location(wire: Wire) -> None:
    """2.8 answers 404 to a PATCH and to the status. Distribution 3 and the embedded one: 416, and a true status."""
    stale = await wire.open()
    current = (await wire.patch(stale, HELLO)).headers["Location"]
    reply = await wire.patch(stale, b"more")
    assert reply.status == by_server(wire, embedded=416, docker=404)
    assert (await wire.send("GET", stale)).status == by_server(wire, embedded=204, docker=404)
    status = await wire.send("GET", current)
    assert (status.status, status.headers["Range"]) == (204, "0-10")


@pytest.mark.parametrize("content_range", ["12-15", "3-6", "0-3"])
async def test_chunk_out_of_order(wire: Wire, content_range: str) -> None:
    """The specification asks for 416. 2.8 ignores Content-Range, and appends over the gap."""
    first = await wire.patch(await wire.open(), HELLO, Content_Range="0-10")
    reply = await wire.patch(first.headers["Location"], b"more", Content_Range=content_range)
    assert reply.status == by_server(wire, embedded=416, docker=202)
    assert reply.headers["Range"] == by_server(wire, embedded="0-10", docker="0-14")


async def test_chunk_that_is_not_as_long_as_it_says(wire: Wire) -> None:
    """Distribution 3 and the embedded one answer SIZE_INVALID. 2.8 ignores Content-Range."""
    reply = await wire.patch(await wire.open(), HELLO, Content_Range="0-20")
    assert reply.status == by_server(wire, embedded=400, docker=202)


async def test_chunk_cut_in_the_middle(wire: Wire) -> None:
    """2.8 loses the session with all its chunks. Distribution 3 and the embedded one keep every byte."""
    first = await wire.patch(await wire.open(), HELLO)
    await wire.broken_off("PATCH", first.headers["Location"], b"x" * 70_000, 100_000)
    reply = await wire.send("GET", first.headers["Location"])
    assert reply.status == by_server(wire, embedded=204, docker=404)
    if reply.status == 204:
        assert reply.headers["Range"] == f"0-{len(HELLO) + 70_000 - 1}"
        content = HELLO + b"x" * 70_000 + b"y"
        assert (await wire.commit(reply.headers["Location"], digest_of(content), b"y")).status == 201


async def test_put_cut_in_the_middle_commits_nothing(wire: Wire) -> None:
    digest = digest_of(HELLO)
    await wire.broken_off("PUT", f"{await wire.open()}&digest={digest}", HELLO, 100_000)
    assert (await wire.send("HEAD", f"{wire.base}/blobs/{digest}")).status == 404


# ── mounts ────────────────────────────────────────────────────────────────────────────────────────


async def test_mount(wire: Wire) -> None:
    digest = await wire.push(HELLO)
    other = Wire(wire.session, wire.registry, f"{wire.repository}-other")
    reply = await other.send("POST", f"{other.base}/blobs/uploads/?mount={digest}&from={wire.repository}")
    assert (reply.status, reply.headers["Docker-Content-Digest"]) == (201, digest)
    assert reply.headers["Location"] == f"{wire.registry.origin}{other.base}/blobs/{digest}"
    assert (await other.send("GET", f"{other.base}/blobs/{digest}")).body == HELLO
    assert (await wire.send("DELETE", f"{wire.base}/blobs/{digest}")).status == 202
    assert (await other.send("GET", f"{other.base}/blobs/{digest}")).body == HELLO


@pytest.mark.parametrize(
    "query",
    [
        f"mount={digest_of(b'nowhere')}&from=REPOSITORY",
        f"mount={digest_of(HELLO)}&from=nobody/nothing",
        f"mount={digest_of(HELLO)}&from=..%2F..",
        f"mount={digest_of(HELLO)}&from=..",
        "mount=sha256:zz&from=REPOSITORY",
        f"mount={digest_of(HELLO)}",
    ],
)
async def test_mount_that_cannot_be_is_an_ordinary_session(wire: Wire, query: str) -> None:
    await wire.push(HELLO)
    other = Wire(wire.session, wire.registry, f"{wire.repository}-other")
    target = f"{other.base}/blobs/uploads/?{query.replace('REPOSITORY', wire.repository)}"
    reply = await other.send("POST", target)
    assert (reply.status, reply.headers["Range"]) == (202, "0-0")
    assert (await other.commit(reply.headers["Location"], digest_of(HELLO), HELLO)).status == 201
