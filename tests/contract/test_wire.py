"""The embedded registry is held against real ones, request by request: blobs, uploads, mounts.

Where they differ a named fact says so (tests/support/facts.py). "2.8" is distribution 2.8.2, Debian's docker-registry.
"""

from __future__ import annotations

import hashlib
import uuid

import pytest

from ..support.wire import OCTETS, Wire, digest_of, with_query

HELLO = b"hello world"
SHA512 = f"sha512:{hashlib.sha512(HELLO).hexdigest()}"


# ── the base ──────────────────────────────────────────────────────────────────────────────────────


async def test_base(wire: Wire) -> None:
    reply = await wire.send("GET", "/v2/")
    assert reply.status == 200
    assert ("Docker-Distribution-Api-Version" in reply.headers) is wire.facts.names_its_api
    assert reply.headers["Content-Type"] == "application/json; charset=utf-8"
    assert reply.json == wire.facts.base


@pytest.mark.parametrize("path", ["/nope", "/v2/nope", "/v2/a/m/manifests/-x"])
async def test_what_is_no_route_is_404_without_an_error_document(wire: Wire, path: str) -> None:
    reply = await wire.send("GET", path)
    assert reply.status == 404
    assert (reply.body == b"404 page not found\n") is wire.facts.speaks_errors
    assert not reply.body.startswith(b"{")


async def test_odd_repository(wire: Wire) -> None:
    reply = await wire.send("GET", "/v2/a..b/m/tags/list")
    assert reply.status == (404 if wire.facts.checks_names else 200)


async def test_wrong_method_is_405_and_says_what_is_allowed(wire: Wire) -> None:
    reply = await wire.send("PUT", f"{wire.base}/blobs/{digest_of(HELLO)}")
    if not wire.facts.says_what_is_allowed:
        assert (reply.status, reply.headers.get("Allow")) == (404, None)
        return
    assert reply.status == 405
    assert set(reply.headers["Allow"].split(", ")) == {"DELETE", "GET", "HEAD"}


# ── blobs ─────────────────────────────────────────────────────────────────────────────────────────


async def test_unknown_blob(wire: Wire) -> None:
    path = f"{wire.base}/blobs/{digest_of(b'nowhere')}"
    assert (await wire.send("HEAD", path)).status == 404
    for method in ("GET", "DELETE"):
        wire.check_error(await wire.send(method, path), 404, "BLOB_UNKNOWN")


@pytest.mark.parametrize("digest", ["sha256:zz", "sha512:zz"])
async def test_odd_digest(wire: Wire, digest: str) -> None:
    wire.check_error(await wire.send("GET", f"{wire.base}/blobs/{digest}"), wire.facts.odd_digest, "DIGEST_INVALID")


@pytest.mark.parametrize("method", ["HEAD", "GET", "DELETE"])
async def test_blob_asked_for_by_a_digest_of_another_algorithm_is_not_there(wire: Wire, method: str) -> None:
    reply = await wire.send(method, f"{wire.base}/blobs/{SHA512}")
    assert reply.status == 404
    if method != "HEAD":
        wire.check_error(reply, 404, "BLOB_UNKNOWN")


async def test_blob_under_a_digest_of_another_algorithm(wire: Wire) -> None:
    """The specification asks for 400 where the algorithm is unsupported. 2.8 supports sha512."""
    reply = await wire.commit(await wire.open(), SHA512, HELLO)
    if wire.facts.sha512 == 201:
        assert reply.status == 201
    else:
        wire.check_error(reply, wire.facts.sha512, "UNSUPPORTED")


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
        assert (reply.headers["Content-Type"] == OCTETS) is (wire.facts.types_heads or reply is whole)
        assert reply.headers.get("Accept-Ranges") == ("bytes" if wire.facts.has_ranges else None)
        assert reply.headers.get("Etag") == (f'"{digest}"' if wire.facts.has_ranges else None)


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
    if not wire.facts.has_ranges:
        assert (reply.status, reply.body, reply.headers.get("Content-Range")) == (200, HELLO, None)
        return
    assert (reply.status, reply.body) == (206, content)
    assert reply.headers["Content-Range"] == told
    assert reply.headers["Content-Length"] == str(len(content))


@pytest.mark.parametrize("asked", ["bytes=11-", "bytes=100-200", "bytes=4-2", "lines=0-1"])
async def test_range_that_is_not_there(wire: Wire, asked: str) -> None:
    digest = await wire.push(HELLO)
    reply = await wire.send("GET", f"{wire.base}/blobs/{digest}", headers={"Range": asked})
    assert reply.status == (416 if wire.facts.has_ranges else 200)
    if asked == "bytes=11-":
        assert reply.headers.get("Content-Range") == ("bytes */11" if wire.facts.has_ranges else None)


async def test_blob_that_the_client_has_already(wire: Wire) -> None:
    digest = await wire.push(HELLO)
    reply = await wire.send("GET", f"{wire.base}/blobs/{digest}", headers={"If-None-Match": f'"{digest}"'})
    assert (reply.status, reply.body) == ((304, b"") if wire.facts.has_ranges else (200, HELLO))


async def test_delete_blob(wire: Wire) -> None:
    path = f"{wire.base}/blobs/{await wire.push(HELLO)}"
    assert (await wire.send("DELETE", path)).status == (202 if wire.facts.deletes else 404)
    assert (await wire.send("HEAD", path)).status == (404 if wire.facts.deletes else 200)
    wire.check_error(await wire.send("DELETE", path), 404, "BLOB_UNKNOWN")


# ── uploads ───────────────────────────────────────────────────────────────────────────────────────


async def test_upload_in_chunks(wire: Wire) -> None:
    opened = await wire.send("POST", f"{wire.base}/blobs/uploads/")
    assert opened.status == 202
    assert opened.headers["Range"] == "0-0"
    assert opened.headers["Content-Length"] == "0"
    session = opened.headers["Docker-Upload-Uuid"]
    location = opened.headers["Location"]
    assert location.startswith(f"{wire.root}{wire.base}/blobs/uploads/{session}{'?' * wire.facts.has_state}")

    first = await wire.patch(location, HELLO[:5], Content_Range="0-4")
    assert (first.status, first.headers["Range"], first.headers["Docker-Upload-Uuid"]) == (202, "0-4", session)
    status = await wire.send("GET", first.headers["Location"])
    if wire.facts.answers_status:
        assert (status.status, status.headers["Range"], status.body) == (204, "0-4", b"")
    else:
        assert status.status == 404
    following = status.headers.get("Location", first.headers["Location"])
    second = await wire.patch(following, HELLO[5:9], Content_Range="5-8")
    assert (second.status, second.headers["Range"]) == (202, "0-8")

    closed = await wire.commit(second.headers["Location"], digest_of(HELLO), HELLO[9:])
    assert closed.status == 201
    assert closed.headers["Docker-Content-Digest"] == digest_of(HELLO)
    assert closed.headers["Location"] == f"{wire.root}{wire.base}/blobs/{digest_of(HELLO)}"
    assert (await wire.send("GET", closed.headers["Location"])).body == HELLO
    wire.check_error(await wire.send("GET", second.headers["Location"]), 404, "BLOB_UPLOAD_UNKNOWN")
    again = await wire.commit(second.headers["Location"], digest_of(HELLO))
    wire.check_error(again, wire.facts.ended_session, "BLOB_UPLOAD_UNKNOWN")


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
    told = await wire.send("GET", reply.headers["Location"])
    assert told.headers.get("Range") == ("0-0" if wire.facts.answers_status else None)


async def test_upload_in_one_put(wire: Wire) -> None:
    reply = await wire.commit(await wire.open(), digest_of(HELLO), HELLO)
    assert (reply.status, reply.headers["Docker-Content-Digest"]) == (201, digest_of(HELLO))


async def test_upload_in_one_post(wire: Wire) -> None:
    """The specification allows both answers; the others ignore the digest and the body, and open a session."""
    content = b"in one post"
    reply = await wire.send("POST", f"{wire.base}/blobs/uploads/?digest={digest_of(content)}", content)
    assert reply.status == (201 if wire.facts.takes_whole_posts else 202)
    there = await wire.send("HEAD", f"{wire.base}/blobs/{digest_of(content)}")
    assert there.status == (200 if wire.facts.takes_whole_posts else 404)


@pytest.mark.parametrize("digest", ["", "sha256:zz"])
async def test_closing_without_a_digest_can_be_mended(wire: Wire, digest: str) -> None:
    reply = await wire.patch(await wire.open(), HELLO)
    location = reply.headers["Location"]
    refused = await wire.send("PUT", with_query(location, f"digest={digest}") if digest else location)
    wire.check_error(refused, wire.facts.wrong_digest if digest else wire.facts.no_digest, "DIGEST_INVALID")
    assert (await wire.commit(reply.headers["Location"], digest_of(HELLO))).status == 201


async def test_wrong_digest_is_not_committed(wire: Wire) -> None:
    location = await wire.open()
    content = b"what was never committed"
    reply = await wire.commit(location, digest_of(b"other"), content)
    wire.check_error(reply, wire.facts.wrong_digest, "DIGEST_INVALID")
    for digest in (digest_of(content), digest_of(b"other")):
        assert (await wire.send("HEAD", f"{wire.base}/blobs/{digest}")).status == 404
    assert (await wire.send("GET", location)).status == 404


async def test_session_after_a_wrong_digest_without_a_body(wire: Wire) -> None:
    """2.8 and zuul-registry keep the session; distribution 3 cancels it, and so does the embedded one."""
    reply = await wire.patch(await wire.open(), HELLO)
    refused = await wire.commit(reply.headers["Location"], digest_of(b"other"))
    wire.check_error(refused, wire.facts.wrong_digest, "DIGEST_INVALID")
    again = await wire.commit(reply.headers["Location"], digest_of(HELLO))
    assert again.status == wire.facts.after_a_wrong_digest


async def test_cancelled_session_is_gone(wire: Wire) -> None:
    location = await wire.open()
    if not wire.facts.cancels:
        assert (await wire.send("DELETE", location)).status == 404
        assert (await wire.commit(location, digest_of(HELLO), HELLO)).status == 201
        return
    assert (await wire.send("DELETE", location)).status == 204
    for method in ("GET", "PATCH", "DELETE"):
        reply = await wire.send(method, location, b"x" if method == "PATCH" else None)
        assert (reply.status, reply.codes) == (404, ["BLOB_UPLOAD_UNKNOWN"])
    assert (await wire.commit(location, digest_of(HELLO))).codes == ["BLOB_UPLOAD_UNKNOWN"]


async def test_session_that_never_was(wire: Wire) -> None:
    reply = await wire.patch(f"{wire.base}/blobs/uploads/{uuid.uuid4()}", HELLO)
    wire.check_error(reply, wire.facts.unknown_session, wire.facts.unknown_session_code)


async def test_session_belongs_to_its_repository_and_its_query(wire: Wire) -> None:
    location = await wire.open()
    if not wire.facts.binds_sessions:
        moved = location.replace(wire.repository, f"{wire.repository}/other")
        assert (await wire.patch(moved, HELLO)).status == 202
        assert (await wire.commit(location, digest_of(HELLO))).status == 201
        return
    elsewhere = location.replace(wire.repository, f"{wire.repository}/other")
    for odd in (elsewhere, location.partition("?")[0]):
        assert (await wire.send("GET", odd)).status == 404
        assert (await wire.patch(odd, HELLO)).status == 404
    assert (await wire.send("GET", location)).status == 204


async def test_stale_location(wire: Wire) -> None:
    """2.8 answers 404 to a PATCH and to the status. Distribution 3 and the embedded one: 416, and a true status.

    zuul-registry has one Location for a session, and takes whatever comes.
    """
    stale = await wire.open()
    current = (await wire.patch(stale, HELLO)).headers["Location"]
    reply = await wire.patch(stale, b"more")
    assert reply.status == wire.facts.stale_patch
    assert (await wire.send("GET", stale)).status == wire.facts.status_of_stale
    assert (current == stale) is not wire.facts.has_state
    if wire.facts.answers_status:
        status = await wire.send("GET", current)
        assert (status.status, status.headers["Range"]) == (204, "0-10")


@pytest.mark.parametrize("content_range", ["12-15", "3-6", "0-3"])
async def test_chunk_out_of_order(wire: Wire, content_range: str) -> None:
    """The specification asks for 416. 2.8 and zuul-registry ignore Content-Range, and append over the gap."""
    first = await wire.patch(await wire.open(), HELLO, Content_Range="0-10")
    reply = await wire.patch(first.headers["Location"], b"more", Content_Range=content_range)
    assert reply.status == (416 if wire.facts.checks_places else 202)
    assert reply.headers["Range"] == ("0-10" if wire.facts.checks_places else "0-14")


async def test_chunk_that_is_not_as_long_as_it_says(wire: Wire) -> None:
    """Distribution 3 and the embedded one answer SIZE_INVALID. The others ignore Content-Range."""
    reply = await wire.patch(await wire.open(), HELLO, Content_Range="0-20")
    assert reply.status == (400 if wire.facts.checks_places else 202)


async def test_chunk_cut_in_the_middle(wire: Wire) -> None:
    """2.8 loses the session with all its chunks. Distribution 3, the embedded one and zuul-registry keep every byte.

    zuul-registry takes the end of the connection for the end of the chunk, and cannot be asked how much it has.
    """
    first = await wire.patch(await wire.open(), HELLO)
    location = first.headers["Location"]
    await wire.broken_off("PATCH", location, b"x" * 70_000, 100_000)
    reply = await wire.send("GET", location)
    assert reply.status == (204 if wire.facts.answers_status and wire.facts.keeps_cut_chunks else 404)
    if reply.status == 204:
        assert reply.headers["Range"] == f"0-{len(HELLO) + 70_000 - 1}"
    if wire.facts.keeps_cut_chunks:
        content = HELLO + b"x" * 70_000 + b"y"
        assert (await wire.commit(reply.headers.get("Location", location), digest_of(content), b"y")).status == 201


async def test_put_cut_in_the_middle(wire: Wire) -> None:
    """Nothing is committed; but by zuul-registry, which never looks at the length, and finds the digest to be right."""
    content = b"all that ever came"
    digest = digest_of(content)
    location = with_query(await wire.open(), f"digest={digest}")
    await wire.broken_off("PUT", location, content, 100_000)
    there = await wire.send("HEAD", f"{wire.base}/blobs/{digest}")
    assert there.status == (200 if wire.facts.takes_cut_puts else 404)


# ── mounts ────────────────────────────────────────────────────────────────────────────────────────


async def test_mount(wire: Wire) -> None:
    digest = await wire.push(HELLO)
    other = wire.at(f"{wire.repository}-other")
    assert (await other.send("HEAD", f"{other.base}/blobs/{digest}")).status == (
        200 if wire.facts.shares_blobs else 404
    )
    reply = await other.send("POST", f"{other.base}/blobs/uploads/?mount={digest}&from={wire.repository}")
    if not wire.facts.mounts:
        assert reply.status == 404
        return
    assert (reply.status, reply.headers["Docker-Content-Digest"]) == (201, digest)
    assert reply.headers["Location"] == f"{wire.root}{other.base}/blobs/{digest}"
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
        f"mount={SHA512}&from=REPOSITORY",
    ],
)
async def test_mount_that_cannot_be_is_an_ordinary_session(wire: Wire, query: str) -> None:
    await wire.push(HELLO)
    other = wire.at(f"{wire.repository}-other")
    target = f"{other.base}/blobs/uploads/?{query.replace('REPOSITORY', wire.repository)}"
    reply = await other.send("POST", target)
    if not wire.facts.mounts:
        assert reply.status == 404
        return
    assert (reply.status, reply.headers["Range"]) == (202, "0-0")
    assert (await other.commit(reply.headers["Location"], digest_of(HELLO), HELLO)).status == 201
