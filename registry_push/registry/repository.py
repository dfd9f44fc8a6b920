"""`Repository`: one repository at a registry, as a store."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from contextlib import suppress
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from ..content.base import BlobBody, Placed, Traits
from ..errors import (
    ManifestRefused,
    ModelNotFound,
    RegistryPushError,
    RemoteMismatch,
)
from ..events import Placement, Warned
from ..http.response import Response
from ..model import Descriptor, Digest, Manifest
from ..protocol.location import resolve
from ..protocol.refusals import hint_for
from ..protocol.response import Kind, RegistryResponse
from ..protocol.throughput import NEAR
from .freeing import freed
from .host import Host
from .reading import ACCEPT, RepositoryReader, hides_secrets
from .run import Run

if TYPE_CHECKING:
    from ..protocol.auth.challenge import Scopes
    from .deletion import Deletion
    from .referrer_index import ReferrerIndex
    from .uploader import Uploader

# The digest of no known content: a server that has it claims to have everything.
_NOBODYS: Final = Digest("0" * 64)

# From so many blobs on, it is worth two requests to find out how to save one for each blob.
_MANY: Final = 32
# A storage's answers to HEAD for a URL that was signed for GET. The redirect itself shows that the blob is there.
_NOT_FOR_HEAD: Final = (400, 401, 403, 405, 501)


class Repository(RepositoryReader):
    """Also `Target`; `origin` is the registry's `scheme://host[:port]`. Cancelling any call is safe."""

    def __init__(self, host: Host, name: str, run: Run) -> None:
        super().__init__(host, name, run)
        self.origin: Final = str(host.origin)
        self._uploader: Uploader | None = None
        self._push: Scopes = (f"repository:{name}:pull,push",)
        self._expected = 0  # blobs of the model that is put here
        self._tried = False  # whether mounting from itself was tried
        self._index: ReferrerIndex | None = None

    @hides_secrets
    async def exists(self, blob: Descriptor) -> bool:
        """Return whether the repository is known to hold the blob.

        If its answer contradicts the digest or the size, False, and the upload will find out: serverless-registry
        describes a mounted blob by the link to it.
        """
        try:
            return await self._holds(blob, self._push)
        except RemoteMismatch as mismatch:
            told = self.client.transport.secrets.hide(mismatch.message)
            if self._host.first_warning():
                self._run.sink(Warned(f"{told}; it is sent again"))
            return False

    async def _holds(self, blob: Descriptor, scopes: Scopes) -> bool:
        """Raise `RemoteMismatch` if it holds something else, `NotARegistry` if no registry answers."""
        url = self._blob_url(blob.digest)
        response = await self.client.request("HEAD", url, scopes)
        if response.status == 404:
            return False
        if response.via is not None and response.status in _NOT_FOR_HEAD:
            return self._read(response.via).digest == blob.digest
        answer = self._read(response)
        if answer.kind in (Kind.CREATED, Kind.ACCEPTED) and response.status != 200:
            raise answer.no_registry(self.client.origin)
        if answer.kind is not Kind.ACCEPTED:
            response = await self.client.with_words(response, scopes)
            raise self.client.refusal(response, f"to say whether it has {blob.digest}", reading=scopes == self._pull)
        if answer.digest not in (None, blob.digest):  # CVE-2025-24882: asked by digest, got another
            raise RemoteMismatch(f"{self} says it has {answer.digest} where {blob.digest} was asked for", url=url)
        if answer.length and answer.length != blob.size:  # a proxy that drops bodies may say 0
            raise RemoteMismatch(
                f"{self} holds {blob.digest} with {answer.length} bytes instead of {blob.size}", url=url
            )
        return True

    @hides_secrets
    async def put(self, blob: Descriptor, body: BlobBody, *, candidates: Collection[str] = ()) -> Placed:
        """Upload the blob, or have it mounted from one of the repositories `candidates` at this registry.

        Raises `BlobCorrupt` before anything is committed if the body hasn't the blob's digest.
        """
        # Where nothing is missing, nothing of this is needed: 25 modules, 3 % of such a push.
        from ..protocol.upload.requests import Endpoints
        from .uploader import Uploader

        endpoints = Endpoints(self._blob_url(blob.digest), self._uploads_url, self.name)
        self._uploader = self._uploader or Uploader(self._host, self._run)
        placed = await self._uploader.upload(endpoints, blob, body, mount_from=candidates)
        if placed.placement is Placement.UPLOADED and self._expected >= _MANY and not self._tried:
            self._tried = True
            with suppress(RegistryPushError):  # then nothing changes
                await self._try_mounting_itself(blob)
        return placed

    @property
    def traits(self) -> Traits:
        """As the registry's."""
        return self._host.traits

    def expect_blobs(self, count: int) -> None:
        """As `Target.expect_blobs`."""
        self._expected = count

    async def prepare(self) -> None:
        """Open connections for the bodies if the registry is far, in parallel with the first request.

        Five small blobs at 50 ms take 0.93 of the time then, over TLS 0.87.
        """
        await asyncio.sleep(NEAR)
        await self.client.warm(min(self._host.jobs, self._expected) - 1)

    @hides_secrets
    async def check_is_there(self) -> None:
        """Raise `NotARegistry` if the server claims to have everything."""
        await self.client.root.check()
        if not self.client.root.is_registry:
            answer = self._read(await self.client.request("HEAD", self._blob_url(_NOBODYS), self._push))
            if 200 <= answer.status < 300:
                raise answer.no_registry(self.client.origin)

    async def _try_mounting_itself(self, blob: Descriptor) -> None:
        """Find out, unless it is known, whether a blob can be mounted from this repository itself.

        Then a blob that may be here costs one request instead of two.
        """
        known = self._host.profile
        if known.mounts_itself is not None or known.ollama:
            return
        url = f"{self._uploads_url}?mount=sha256%3A{blob.digest.hex}&from={quote(self.name, safe='/')}"
        response = await self.client.attempt("POST", url, self._push, {"Content-Length": "0"})
        answer = self._read(response)
        if answer.kind is Kind.ACCEPTED and answer.location:  # a session that nobody asked for
            await self.free(resolve(response.url, answer.location))
        self._host.learn_mounting(mounts_itself=answer.kind is Kind.CREATED)

    @property
    def _uploads_url(self) -> str:
        return self.client.url(f"/v2/{self.name}/blobs/uploads/")

    @hides_secrets
    async def free(self, location: str) -> bool:
        """Delete the upload that an earlier process left at `location`; return False if the registry knew of none.

        Raises as requests do.
        """
        response = await freed(self.client, location, self._push)
        answer = self._read(response)
        if answer.kind in (Kind.CREATED, Kind.ACCEPTED):
            return True
        if answer.kind is Kind.MISSING:
            return False
        raise self.client.refusal(response, "to forget an upload")

    @hides_secrets
    async def put_manifest(self, manifest: Manifest, ref: str) -> None:
        """Put the manifest's own bytes under `ref`. Raises `ManifestRefused` with the registry's reason.

        An index of referrers keeps the entries that the registry's index has.

        If it has a subject, and the registry does not confirm that it has noted that, the manifest is added to the
        index under the fallback tag (distribution-spec 1.1, "Pushing Manifests with Subject").
        """
        if manifest.is_list and self._referrers().keeps(ref):
            await self._referrers().put(manifest, ref)
            return
        response = await self._put(manifest, ref)
        if manifest.subject is not None and "OCI-Subject" not in response.headers:
            await self._referrers().add(manifest, manifest.subject)

    @hides_secrets
    async def lists(self, referrer: Manifest) -> bool:
        """Return whether the registry lists `referrer`, else the index under the fallback tag. What is about one
        manifest is read once."""
        return await self._referrers().lists(referrer)

    def _referrers(self) -> ReferrerIndex:
        if self._index is None:
            from .referrer_index import ReferrerIndex  # few models have any

            self._index = ReferrerIndex(self, self._put, self._host.listing)
        return self._index

    @hides_secrets
    async def digest_of(self, ref: str) -> Digest | None:
        """Return the digest of the manifest under `ref`; None if there is none, or the registry does not say."""
        answer = await self._head_of_manifest(ref)
        return answer.digest if answer.status == 200 else None

    async def _head_of_manifest(self, reference: str) -> RegistryResponse:
        response = await self.client.request("HEAD", self._manifest_url(reference), self._push, ACCEPT)
        self._host.throughput.asked(response.waited)
        answer = self._read(response)
        if answer.kind is Kind.NO_REGISTRY or (answer.status != 200 and answer.kind in (Kind.CREATED, Kind.ACCEPTED)):
            raise answer.no_registry(self.client.origin)
        return answer

    @hides_secrets
    async def read_digest(self, tag: str, *, doubt_absence: bool = True) -> Digest | None:
        """As `digest_of`, but read the manifest if the registry does not say its digest, as Ollama's own does not.

        Return None if there is no such tag; with `doubt_absence`, check that by a GET too.
        """
        answer = await self._head_of_manifest(tag)
        if answer.status == 200 and answer.digest is not None:
            return answer.digest
        if answer.status == 404 and not doubt_absence:
            return None
        if answer.status == 200:  # checked first, since a server that claims to have everything has no manifest
            await self.check_is_there()
        try:
            return (await self.resolve(tag)).digest
        except ModelNotFound:
            return None

    async def media_type_of(self, ref: str) -> str | None:
        """Return the media type of the manifest under `ref`, as the registry says it; None if there is none."""
        response = await self.client.request("HEAD", self._manifest_url(ref), self._push, ACCEPT)
        return response.headers.get("Content-Type", "").partition(";")[0].strip() if response.status == 200 else None

    @hides_secrets
    async def delete(self, ref: str) -> Deletion:
        """Delete the tag or the manifest's digest `ref`, and return what came of it. Blobs stay.

        Deleting a manifest deletes all its tags. Raises `NotAllowed`, `Refused`, `Unavailable`.
        """
        from .deletion import delete  # seldom used

        async def is_there(ref: str) -> bool:
            return (await self._head_of_manifest(ref)).status == 200

        return await delete(self.client, self.name, ref, self._manifest_url(ref), is_there=is_there)

    async def _put(self, manifest: Manifest, reference: str) -> Response:
        url, headers = self._manifest_url(reference), {"Content-Type": manifest.media_type}
        response = await self.client.request("PUT", url, self._push, headers, manifest.raw)
        answer = self._read(response)
        if answer.kind is Kind.EXPIRED or response.status == 403 or answer.is_redirect:
            raise self.client.refusal(response, "the manifest")
        if answer.kind is Kind.NO_REGISTRY:
            raise answer.no_registry(self.client.origin)
        if answer.kind not in (Kind.CREATED, Kind.ACCEPTED):
            raise ManifestRefused(
                f"{self.client.origin.netloc} refused the manifest of {self.name}:{reference}: {answer}",
                hint=_manifest_hint(answer),
                url=url,
                lacks_blobs=_lacks_blobs(answer),
            )
        if answer.digest is not None and answer.digest != manifest.digest:
            raise RemoteMismatch(f"the registry stored {answer.digest} where {manifest.digest} was sent", url=url)
        # Only 201 or our digest can come from a registry only; any other success may be a catch-all server's.
        is_its_word = answer.kind is Kind.CREATED or answer.digest is not None
        if not is_its_word and await self.digest_of(reference) != manifest.digest:
            raise answer.no_registry(self.client.origin)
        return response


def _manifest_hint(answer: RegistryResponse) -> str | None:
    codes = answer.diagnosis.codes
    if _lacks_blobs(answer):
        return "the registry lost a blob after it was confirmed; run the same command again"
    if answer.status == 415 or ("UNSUPPORTED" in codes and answer.status != 405) or "MANIFEST_INVALID" in codes:
        # zot takes docker's types only when told to.
        return 'the registry does not take this kind of manifest; zot needs compat: ["docker2s2"] in its configuration'
    return hint_for(answer)


def _lacks_blobs(answer: RegistryResponse) -> bool:
    """Return whether the only objection is that the registry lacks content that the manifest names."""
    codes = {*answer.diagnosis.codes}
    return bool(codes) and codes <= {"MANIFEST_BLOB_UNKNOWN", "BLOB_UNKNOWN"}
