"""The embedded registry is held against real ones, request by request: manifests, tags, the lists.

As in test_wire.py, "2.8" is Debian's docker-registry.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest

from registry_push.model.manifest import DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST

from ..support.wire import Reply, Wire, digest_of

HELLO = b"hello world"
CONFIG = b'{"architecture":"amd64","os":"linux"}'
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
MODEL_LAYER = "application/vnd.ollama.image.model"
FOREIGN_LAYER = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"
NON_DISTRIBUTABLE = "application/vnd.oci.image.layer.nondistributable.v1.tar"
SHA512 = f"sha512:{hashlib.sha512(b'somewhere').hexdigest()}"
MAX_MANIFEST = 4 * 1024 * 1024


def descriptor(media_type: str, content: bytes) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": digest_of(content), "size": len(content)}


def image(*layers: bytes, media_type: str = DOCKER_MANIFEST, **more: Any) -> bytes:
    config_type = DOCKER_CONFIG if media_type == DOCKER_MANIFEST else OCI_CONFIG
    document = {
        "schemaVersion": 2,
        "mediaType": media_type,
        "config": descriptor(config_type, CONFIG),
        "layers": [descriptor(MODEL_LAYER, layer) for layer in layers],
    }
    # Odd spacing and a newline at the end: whoever writes JSON anew is found out.
    return json.dumps(document | more, indent=3).encode() + b"\n"


async def put(wire: Wire, reference: str, manifest: bytes, media_type: str = DOCKER_MANIFEST) -> Reply:
    return await wire.send("PUT", f"{wire.base}/manifests/{reference}", manifest, {"Content-Type": media_type})


async def get(wire: Wire, reference: str, accept: str = DOCKER_MANIFEST, *, method: str = "GET") -> Reply:
    return await wire.send(method, f"{wire.base}/manifests/{reference}", headers={"Accept": accept})


async def blobs(wire: Wire) -> None:
    await wire.push(HELLO)
    await wire.push(CONFIG)


# ── manifests ─────────────────────────────────────────────────────────────────────────────────────


async def test_unknown_manifest(wire: Wire) -> None:
    assert (await get(wire, "latest", method="HEAD")).status == 404
    for reference in ("latest", digest_of(b"no manifest")):
        wire.check_error(await get(wire, reference), 404, "MANIFEST_UNKNOWN")


async def test_manifest_asked_for_by_a_digest_of_another_algorithm_is_not_there(wire: Wire) -> None:
    assert (await get(wire, SHA512, method="HEAD")).status == 404
    wire.check_error(await get(wire, SHA512), 404, "MANIFEST_UNKNOWN")


@pytest.mark.parametrize("media_type", [DOCKER_MANIFEST, OCI_MANIFEST])
async def test_manifest_reads_back_byte_for_byte(wire: Wire, media_type: str) -> None:
    await blobs(wire)
    manifest = image(HELLO, media_type=media_type)
    digest = digest_of(manifest)
    reply = await put(wire, "latest", manifest, media_type)
    assert (reply.status, reply.headers["Docker-Content-Digest"]) == (201, digest)
    named = digest if wire.facts.locates_manifests_by_digest else "latest"
    assert reply.headers["Location"] == f"{wire.root}{wire.base}/manifests/{named}"
    for reference in ("latest", digest):
        reply = await get(wire, reference, media_type)
        head = await get(wire, reference, media_type, method="HEAD")
        assert (reply.status, reply.body) == (200, manifest)
        for answer in (reply, head):
            assert answer.headers["Content-Type"] == media_type
            assert answer.headers["Docker-Content-Digest"] == digest
            assert answer.headers["Content-Length"] == str(len(manifest))


async def test_manifest_without_an_accept(wire: Wire) -> None:
    """The specification leaves it open."""
    await blobs(wire)
    await put(wire, "latest", image(HELLO, media_type=OCI_MANIFEST), OCI_MANIFEST)
    assert (await get(wire, "latest", "*/*")).status == (404 if wire.facts.needs_accept else 200)


async def test_manifest_by_digest_has_no_tag(wire: Wire) -> None:
    await blobs(wire)
    manifest = image(HELLO)
    assert (await put(wire, digest_of(manifest), manifest)).status == 201
    assert (await get(wire, digest_of(manifest))).body == manifest
    assert (await get(wire, "latest")).status == 404


async def test_manifest_under_another_digest(wire: Wire) -> None:
    await blobs(wire)
    reply = await put(wire, digest_of(b"other"), image(HELLO))
    if wire.facts.checks_manifest_digests:
        wire.check_error(reply, 400, "DIGEST_INVALID")
    else:
        assert (reply.status, reply.headers["Docker-Content-Digest"]) == (201, digest_of(image(HELLO)))


async def test_tag_moves_and_the_old_manifest_stays(wire: Wire) -> None:
    await blobs(wire)
    old, new = image(HELLO), image()
    assert (await put(wire, "latest", old)).status == 201
    assert (await put(wire, "latest", new)).status == 201
    assert (await get(wire, "latest")).body == new
    assert (await get(wire, digest_of(old))).body == old


async def test_manifest_whose_blobs_are_missing(wire: Wire) -> None:
    await blobs(wire)
    reply = await put(wire, "latest", image(HELLO, b"one", b"two"))
    wire.check_error(reply, wire.facts.missing_layer, *["MANIFEST_BLOB_UNKNOWN"] * 2)
    if wire.facts.speaks_errors:
        assert {error["detail"] for error in reply.json["errors"]} == {digest_of(b"one"), digest_of(b"two")}
    assert (await get(wire, "latest")).status == 404


async def test_oci_manifest_whose_blobs_are_missing(wire: Wire) -> None:
    """zuul-registry looks into docker's manifests only."""
    await blobs(wire)
    reply = await put(wire, "latest", image(b"one", media_type=OCI_MANIFEST), OCI_MANIFEST)
    if wire.facts.checks_oci:
        wire.check_error(reply, 400, "MANIFEST_BLOB_UNKNOWN")
    else:
        assert reply.status == 201


@pytest.mark.parametrize(
    ("layer_type", "media_type"),
    [
        (FOREIGN_LAYER, DOCKER_MANIFEST),
        (NON_DISTRIBUTABLE, OCI_MANIFEST),
        (f"{NON_DISTRIBUTABLE}+gzip", OCI_MANIFEST),
    ],
)
async def test_layers_that_may_not_be_passed_on_can_be_missing(wire: Wire, layer_type: str, media_type: str) -> None:
    """So says OCI's conformance suite. 2.8 takes only URLs it is told of; zuul-registry wants docker's layers."""
    await blobs(wire)
    elsewhere = descriptor(layer_type, b"elsewhere") | {"urls": ["https://store.example.com/blobs/x"]}
    layers = [elsewhere, descriptor(MODEL_LAYER, HELLO)]
    reply = await put(wire, "latest", image(layers=layers, media_type=media_type), media_type)
    expected = wire.facts.absent_foreign_layer if wire.facts.checks_oci or media_type == DOCKER_MANIFEST else 201
    assert reply.status == expected


async def test_blob_that_one_layer_may_not_pass_on_and_another_may_must_be_there(wire: Wire) -> None:
    """Only the other is missing then: 2.8 does not get as far, and finds the URL to be one it was not told of."""
    await blobs(wire)
    twice = [descriptor(NON_DISTRIBUTABLE, b"both"), descriptor(MODEL_LAYER, b"both")]
    reply = await put(wire, "latest", image(layers=twice, media_type=OCI_MANIFEST), OCI_MANIFEST)
    assert reply.status == (400 if wire.facts.checks_oci else 201)


async def test_manifest_that_names_a_digest_of_another_algorithm(wire: Wire) -> None:
    await blobs(wire)
    layer = descriptor(MODEL_LAYER, HELLO) | {"digest": SHA512}
    reply = await put(wire, "latest", image(layers=[layer]))
    wire.check_error(reply, wire.facts.missing_layer, wire.facts.sha512_layer_code)


async def test_manifest_whose_config_is_missing(wire: Wire) -> None:
    await wire.push(HELLO)
    missing = descriptor(DOCKER_CONFIG, b"no config anywhere")
    reply = await put(wire, "latest", image(HELLO, config=missing))
    if wire.facts.checks_config:
        wire.check_error(reply, 400, "MANIFEST_BLOB_UNKNOWN")
    else:
        assert reply.status == 201


async def test_manifest_that_misstates_a_size(wire: Wire) -> None:
    """The specification does not ask for the check. zuul-registry makes it."""
    await blobs(wire)
    layer = descriptor(MODEL_LAYER, HELLO) | {"size": 99}
    assert (await put(wire, "latest", image(layers=[layer]))).status == wire.facts.misstated_size


async def test_manifest_without_a_config_is_refused(wire: Wire) -> None:
    """Ollama's oldest models have none. 2.8 names the empty digest as well."""
    await blobs(wire)
    reply = await put(wire, "latest", image(HELLO, config={}))
    wire.check_error(reply, 400, *wire.facts.no_config_codes)


@pytest.mark.parametrize(
    ("manifest", "media_type"),
    [
        (b"", DOCKER_MANIFEST),
        (b"{}", DOCKER_MANIFEST),
        (b"{not json", DOCKER_MANIFEST),
        (b"[]", DOCKER_MANIFEST),
    ],
    ids=["empty", "nothing in it", "not JSON", "a list"],
)
async def test_what_is_no_manifest(wire: Wire, manifest: bytes, media_type: str) -> None:
    await blobs(wire)
    reply = await put(wire, "latest", manifest, media_type)
    wire.check_error(reply, wire.facts.broken_manifest, "MANIFEST_INVALID")


@pytest.mark.parametrize("media_type", [OCI_MANIFEST, "application/json", ""])
async def test_manifest_of_another_type_than_it_says(wire: Wire, media_type: str) -> None:
    await blobs(wire)
    reply = await put(wire, "latest", image(), media_type)
    if wire.facts.checks_types:
        wire.check_error(reply, 400, "MANIFEST_INVALID")
    else:
        assert reply.status == 201


async def test_manifest_of_4_mib_is_the_largest(wire: Wire) -> None:
    await blobs(wire)
    largest = image(HELLO).ljust(MAX_MANIFEST)
    assert (await put(wire, "large", largest)).status == 201
    assert (await get(wire, "large")).body == largest
    reply = await put(wire, "larger", largest + b" ")
    if wire.facts.limits_manifests:
        wire.check_error(reply, 400, "MANIFEST_INVALID")
    else:
        assert reply.status == 201


async def test_index_names_manifests(wire: Wire) -> None:
    await blobs(wire)
    manifest = image(HELLO, media_type=OCI_MANIFEST)
    index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [descriptor(OCI_MANIFEST, manifest)]}
    raw = json.dumps(index).encode()
    reply = await put(wire, "all", raw, OCI_INDEX)
    if wire.facts.checks_oci:
        wire.check_error(reply, 400, "MANIFEST_BLOB_UNKNOWN")
    else:
        assert reply.status == 201
    assert (await put(wire, digest_of(manifest), manifest, OCI_MANIFEST)).status == 201
    assert (await put(wire, "all", raw, OCI_INDEX)).status == 201
    assert (await get(wire, "all", OCI_INDEX)).body == raw


async def test_tags_beside_a_digest(wire: Wire) -> None:
    """The specification's newest; 2.8 ignores `tag`, and says so by its silence. zuul-registry refuses it."""
    await blobs(wire)
    manifest = image(HELLO)
    reply = await put(wire, f"{digest_of(manifest)}?tag=a&tag=b&tag=-odd", manifest)
    assert reply.status == (404 if wire.facts.checks_parameters else 201)
    assert reply.headers.get("OCI-Tag") == ("a, b" if wire.facts.tags_by_query else None)
    assert (await get(wire, "b")).status == (200 if wire.facts.tags_by_query else 404)


async def test_delete_manifest(wire: Wire) -> None:
    await blobs(wire)
    manifest = image(HELLO)
    await put(wire, "one", manifest)
    await put(wire, "two", manifest)
    path = f"{wire.base}/manifests/{digest_of(manifest)}"
    if not wire.facts.deletes_manifests:
        assert (await wire.send("DELETE", path)).status == 404
        assert (await get(wire, "one")).body == manifest
        return
    assert (await wire.send("DELETE", path)).status == 202
    for reference in ("one", "two", digest_of(manifest)):
        assert (await get(wire, reference)).status == 404
    assert (await wire.send("DELETE", path)).codes == ["MANIFEST_UNKNOWN"]


async def test_delete_tag(wire: Wire) -> None:
    """2.8 takes digests only, zuul-registry nothing."""
    await blobs(wire)
    manifest = image(HELLO)
    await put(wire, "one", manifest)
    await put(wire, "two", manifest)
    reply = await wire.send("DELETE", f"{wire.base}/manifests/one")
    if wire.facts.deletes_tags:
        assert reply.status == 202
    else:
        assert reply.status == (400 if wire.facts.deletes_manifests else 404)
    assert (await get(wire, "one")).status == (404 if wire.facts.deletes_tags else 200)
    for reference in ("two", digest_of(manifest)):
        assert (await get(wire, reference)).body == manifest


# ── lists ─────────────────────────────────────────────────────────────────────────────────────────


async def test_tags(wire: Wire) -> None:
    await blobs(wire)
    for tag in ("b", "a", "c"):
        await put(wire, tag, image(HELLO))
    reply = await wire.send("GET", f"{wire.base}/tags/list")
    assert reply.json["name"] == wire.repository
    assert sorted(reply.json["tags"]) == ["a", "b", "c"]


async def test_tags_in_pages(wire: Wire) -> None:
    """2.8 knows no pages here, and gives all of them in no order. zuul-registry has no such list for who asks so."""
    await blobs(wire)
    for tag in ("b", "a", "c"):
        await put(wire, tag, image(HELLO))
    page = await wire.send("GET", f"{wire.base}/tags/list?n=2")
    if wire.facts.checks_parameters:
        assert page.status == 404
        return
    if not wire.facts.pages_tags:
        assert (len(page.json["tags"]), page.headers.get("Link")) == (3, None)
        return
    assert page.json["tags"] == ["a", "b"]
    assert page.headers["Link"] == f'<{wire.base}/tags/list?last=b&n=2>; rel="next"'
    rest = await wire.send("GET", f"{wire.base}/tags/list?last=b&n=2")
    assert (rest.json["tags"], rest.headers.get("Link")) == (["c"], None)
    assert (await wire.send("GET", f"{wire.base}/tags/list?n=0")).json["tags"] == []


async def test_tags_of_an_unknown_repository(wire: Wire) -> None:
    reply = await wire.send("GET", f"{wire.base}/tags/list")
    if wire.facts.knows_empty_repositories:
        assert (reply.status, reply.json["tags"]) == (200, [])
    else:
        wire.check_error(reply, 404, "NAME_UNKNOWN")


async def test_catalog_in_pages(wire: Wire) -> None:
    names = [f"{wire.repository}{suffix}" for suffix in ("", "-x", "-y")]
    for name in names:
        await wire.at(name).push(HELLO)
    before = wire.repository[:-1]  # the real one is shared by the session: begin just before ours
    page = await wire.send("GET", f"/v2/_catalog?n=2&last={before}")
    if not wire.facts.has_catalog:
        assert page.status == 404
        return
    assert page.json["repositories"] == names[:2]
    target, _, relation = page.headers["Link"].partition("; ")
    assert relation == 'rel="next"'
    rest = await wire.send("GET", target.strip("<>"))
    assert rest.json["repositories"][0] == names[2]


async def test_referrers(wire: Wire) -> None:
    """The others have no referrers: 404, and no `OCI-Subject`, which sends clients to the fallback tag."""
    await blobs(wire)
    subject = image(HELLO, media_type=OCI_MANIFEST)
    await put(wire, "latest", subject, OCI_MANIFEST)
    about = descriptor(OCI_MANIFEST, subject)
    signature = image(media_type=OCI_MANIFEST, subject=about, artifactType="text/x-sig", annotations={"a": "b"})
    reply = await put(wire, digest_of(signature), signature, OCI_MANIFEST)
    assert reply.status == 201
    assert reply.headers.get("OCI-Subject") == (digest_of(subject) if wire.facts.has_referrers else None)

    path = f"{wire.base}/referrers/{digest_of(subject)}"
    found = await wire.send("GET", path)
    assert found.status == (200 if wire.facts.has_referrers else 404)
    if found.status == 404:
        return
    assert found.headers["Content-Type"] == OCI_INDEX
    referrer = descriptor(OCI_MANIFEST, signature) | {"artifactType": "text/x-sig", "annotations": {"a": "b"}}
    assert found.json["manifests"] == [referrer]
    none = await wire.send("GET", f"{path}?artifactType=text/other")
    assert (none.json["manifests"], none.headers["OCI-Filters-Applied"]) == ([], "artifactType")
    for unknown in (digest_of(b"unknown"), SHA512):
        assert (await wire.send("GET", f"{wire.base}/referrers/{unknown}")).json["manifests"] == []
