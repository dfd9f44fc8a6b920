"""`/v2/<name>/manifests/<reference>`, and the lists of tags, referrers and repositories."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from typing import Any, Final
from urllib.parse import quote, urlencode

from aiohttp import web

from ..content.oci.index import LayoutIndex
from ..errors import BlobMissing, ManifestCorrupt, StoreNotFound
from ..model import Descriptor, Digest, Manifest
from ..model.manifest import MANIFEST_TYPES, OCI_INDEX
from .answers import Code, RefusedRequest, document, empty, error, undeletable
from .auth import origin
from .call import Call
from .digests import digest_of, is_of_another_algorithm, names_another_algorithm
from .options import Options
from .receiving import ask_for_body
from .repositories import Repositories

# distribution: registry/handlers/manifests.go, maxManifestBodySize.
_MAX_BYTES: Final = 4 * 1024 * 1024
# Layers that a registry need not have: others may not pass them on, and clients fetch them from `urls` (image-spec,
# layer.md, "Non-Distributable Layers"; docker calls them foreign).
NON_DISTRIBUTABLE: Final = frozenset(
    {
        "application/vnd.docker.image.rootfs.foreign.diff.tar",
        "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
        "application/vnd.oci.image.layer.nondistributable.v1.tar",
        "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
        "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd",
    }
)
_TAG: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}\Z")
_PAGE: Final = 100
_NO_LIMIT: Final = 2**31


class Manifests:
    """The handlers for manifests, and for the lists."""

    def __init__(self, options: Options, repositories: Repositories) -> None:
        self._options = options
        self._repositories = repositories
        self._unknown = options.quirks.unknown_blobs

    async def get(self, call: Call) -> web.StreamResponse:
        """GET and HEAD: the bytes as they came, whatever types the client says it accepts."""
        reference, index = call.parts["reference"], await self._index(call)
        entry = index.with_digest(_digest(reference)) if ":" in reference else index.named(reference)
        if entry is None:
            raise RefusedRequest(Code.MANIFEST_UNKNOWN, {"reference": reference})
        try:
            manifest = await self._repositories[call.repository].manifest(entry)
        except BlobMissing as missing:
            raise RefusedRequest(Code.MANIFEST_UNKNOWN, {"reference": reference}) from missing
        digest = str(manifest.digest)
        headers = {"Docker-Content-Digest": digest, "ETag": f'"{digest}"', "Content-Type": manifest.media_type}
        return web.Response(body=manifest.raw, headers=headers)

    async def put(self, call: Call) -> web.StreamResponse:
        """PUT: takes a manifest whose blobs are all here; under a digest also tags it as `?tag=` says."""
        reference, layout = call.parts["reference"], self._repositories[call.repository]
        manifest = await _received(call)
        tags = call.request.query.getall("tag", []) if ":" in reference else [reference]
        if ":" in reference and digest_of(reference) != manifest.digest:
            raise RefusedRequest(Code.DIGEST_INVALID)
        missing = [str(digest) for digest in _needed(manifest) if not await layout.has(digest)]
        listed = {entry.digest for entry in (await self._index(call)).readable()}
        missing += [str(child.digest) for child in manifest.manifests if child.digest not in listed]
        if missing:
            return error(Code.MANIFEST_BLOB_UNKNOWN, missing)
        if self._unknown and manifest.blobs:
            self._unknown -= 1
            lagging = error(Code.MANIFEST_BLOB_UNKNOWN, [str(blob.digest) for blob in manifest.blobs])
            lagging.set_status(404)
            return lagging
        accepted = [tag for tag in tags if _TAG.match(tag)]

        def change(index: LayoutIndex) -> LayoutIndex:
            before = list(index.readable())
            for tag in accepted:
                index = index.tagged(manifest.descriptor, tag)
            # What loses its last tag stays, and can be asked for by its digest.
            for entry in (*before, manifest.descriptor):
                index = index.added(entry)
            return index

        await layout.add_manifest(manifest)
        await layout.update(change)
        location = f"/v2/{call.repository}/manifests/{manifest.digest}"
        headers = {"Docker-Content-Digest": str(manifest.digest)}
        headers["Location"] = location if self._options.relative_locations else origin(call.request) + location
        if ":" in reference and accepted:
            headers["OCI-Tag"] = ", ".join(accepted)
        subject = _subject(manifest)
        if subject is not None:
            headers["OCI-Subject"] = str(subject)
        return empty(201, headers)

    async def delete(self, call: Call) -> web.StreamResponse:
        """DELETE: a tag, or a manifest with all its tags."""
        quirks = self._options.quirks
        reference, layout, index = call.parts["reference"], self._repositories[call.repository], await self._index(call)
        if quirks.refuses_deletion is not None:
            return undeletable(quirks.refuses_deletion, Code.UNSUPPORTED)
        if quirks.refuses_tag_deletion is not None and ":" not in reference:
            code = Code.DIGEST_INVALID if quirks.refuses_tag_deletion == 400 else Code.UNSUPPORTED
            return undeletable(quirks.refuses_tag_deletion, code)
        if ":" not in reference:
            entry = index.named(reference)
            if entry is None:
                raise RefusedRequest(Code.MANIFEST_UNKNOWN, {"reference": reference})
            await layout.update(lambda now: now.untagged(reference).added(entry))
            return empty(202, {})
        digest = _digest(reference)
        if index.with_digest(digest) is None:
            raise RefusedRequest(Code.MANIFEST_UNKNOWN, {"reference": reference})
        if quirks.undeletable_while_tagged and any(tagged == str(digest) for _, tagged in index.names):
            raise RefusedRequest(Code.DENIED, {"reference": reference})
        await layout.update(lambda now: now.without(digest))
        await self._repositories.remove(call.repository, digest)
        return empty(202, {})

    async def tags(self, call: Call) -> web.StreamResponse:
        """GET: the tags, sorted, `?n=` at a time after `?last=`."""
        if not await self._repositories.known(call.repository):
            raise RefusedRequest(Code.NAME_UNKNOWN, {"name": call.repository})
        page, headers = _page(call.request, sorted((await self._index(call)).refs), _NO_LIMIT)
        return document({"name": call.repository, "tags": page}, headers=headers)

    async def catalog(self, call: Call) -> web.StreamResponse:
        """GET: the repositories, sorted; 100 at a time if the client does not say."""
        page, headers = _page(call.request, await self._repositories.names(), _PAGE)
        return document({"repositories": page}, headers=headers)

    async def referrers(self, call: Call) -> web.StreamResponse:
        """GET: an index of the manifests whose `subject` is the digest; empty if there are none."""
        asked, found = call.parts["digest"], []
        digest = None if is_of_another_algorithm(asked) else digest_of(asked)
        for entry in {entry.digest: entry for entry in (await self._index(call)).readable()}.values():
            with suppress(BlobMissing, ManifestCorrupt):
                manifest = await self._repositories[call.repository].manifest(entry)
                if digest is not None and _subject(manifest) == digest:
                    found.append(_referrer(manifest))
        headers = {"Content-Type": OCI_INDEX}
        if "artifactType" in call.request.query:
            found = [entry for entry in found if entry.get("artifactType") == call.request.query["artifactType"]]
            headers["OCI-Filters-Applied"] = "artifactType"
        index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": found}
        return web.Response(body=json.dumps(index).encode(), headers=headers)

    async def _index(self, call: Call) -> LayoutIndex:
        try:
            return await self._repositories[call.repository].index()
        except StoreNotFound:
            return LayoutIndex()


async def _received(call: Call) -> Manifest:
    raw = bytearray()
    await ask_for_body(call.request)
    async for piece in call.request.content.iter_any():
        raw += piece
        if len(raw) > _MAX_BYTES:
            raise RefusedRequest(Code.MANIFEST_INVALID, "request body too large")
    media_type = call.request.headers.get("Content-Type", "")
    try:
        manifest = Manifest.parse(bytes(raw), media_type=media_type)
        _ = manifest.blobs  # one digest with two sizes
        _subject(manifest)
    except ManifestCorrupt as corrupt:
        with suppress(ValueError, RecursionError):
            if names_another_algorithm(json.loads(raw)):
                raise RefusedRequest(Code.UNSUPPORTED, str(corrupt)) from corrupt
        raise RefusedRequest(Code.MANIFEST_INVALID, str(corrupt)) from corrupt
    if media_type not in MANIFEST_TYPES or manifest.media_type != media_type:
        raise RefusedRequest(Code.MANIFEST_INVALID, f"Content-Type {media_type!r} is not the manifest's")
    if not manifest.manifests and manifest.config is None and "manifests" not in json.loads(raw):
        raise RefusedRequest(Code.MANIFEST_INVALID, "there is no config")
    return manifest


def _needed(manifest: Manifest) -> tuple[Digest, ...]:
    """Return the digests of the blobs that must be here, each once."""
    layers = [layer.digest for layer in manifest.layers if layer.media_type not in NON_DISTRIBUTABLE]
    return tuple(dict.fromkeys([*layers, *([manifest.config.digest] if manifest.config else [])]))


def _digest(reference: str) -> Digest:
    return digest_of(reference, unknown=Code.MANIFEST_UNKNOWN)


def _subject(manifest: Manifest) -> Digest | None:
    """Return the digest of the manifest that this one is about. Raises `ManifestCorrupt`."""
    subject = json.loads(manifest.raw).get("subject")
    return Descriptor.parse(subject, where="manifest subject").digest if subject is not None else None


def _referrer(manifest: Manifest) -> dict[str, Any]:
    fields = json.loads(manifest.raw)
    entry = {"mediaType": manifest.media_type, "digest": str(manifest.digest), "size": len(manifest.raw)}
    # distribution-spec, "Listing Referrers": an image's artifactType is its own, else its config's type.
    kind = fields.get("artifactType") or (manifest.config.media_type if manifest.config else None)
    if kind:
        entry["artifactType"] = kind
    if "annotations" in fields:
        entry["annotations"] = fields["annotations"]
    return entry


def _page(request: web.Request, items: list[str], default: int) -> tuple[list[str], dict[str, str]]:
    """Return the items after `?last=`, at most `?n=`, and the Link header where there are more."""
    asked = request.query.get("n", "")
    count = int(asked) if asked.isdecimal() and len(asked) < 10 else default
    rest = [item for item in items if item > request.query.get("last", "")]
    page = rest[:count]
    if not page or len(page) == len(rest):
        return page, {}
    target = f"{quote(request.path)}?{urlencode({'last': page[-1], 'n': count})}"
    return page, {"Link": f'<{target}>; rel="next"'}
