"""`RepositoryReader`: one repository at a registry, as a source."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from functools import wraps
from typing import TYPE_CHECKING, Any, Concatenate, Final, ParamSpec, TypeVar
from urllib.parse import quote

from ..content.base import BlobBody
from ..errors import (
    BlobMissing,
    Denied,
    ManifestCorrupt,
    ModelNotFound,
    RegistryPushError,
    RemoteMismatch,
    Unavailable,
    UnsupportedManifest,
)
from ..events import Warned
from ..http.response import Response
from ..model import Descriptor, Digest, HTTPOrigin, Manifest
from ..model.manifest import MANIFEST_TYPES
from ..protocol.response import Kind, RegistryResponse
from .host import Host
from .run import Run

if TYPE_CHECKING:
    from ..protocol.auth.challenge import Scopes
    from .tag_list import TagList

# Ollama's registry serves Ollama manifests only to those who accept docker's type; the spec wants the rest named.
ACCEPT: Final = {"Accept": ", ".join(MANIFEST_TYPES)}

_CHECK_NAME: Final = "check how it is spelt; see what is there: registry-push tags"
_ONLY_TAGS: Final = "only signatures and the like that have a tag are found"
# Storages' answers to an expired signed URL: S3 and CloudFront 403, Azure 401, Google 400. Then the registry is asked
# for another.
_EXPIRED: Final = (400, 401, 403)

Reader = TypeVar("Reader", bound="RepositoryReader")
Arguments = ParamSpec("Arguments")
Given = TypeVar("Given")


def hides_secrets(
    method: Callable[Concatenate[Reader, Arguments], Coroutine[Any, Any, Given]],
) -> Callable[Concatenate[Reader, Arguments], Coroutine[Any, Any, Given]]:
    """Hide secrets that a registry quotes, for example in a Location, in a method's errors.

    An error that comes from something else than a registry becomes `NotARegistry`.
    """

    @wraps(method)
    async def call(self: Reader, /, *args: Arguments.args, **kwargs: Arguments.kwargs) -> Given:
        with self.client.transport.secrets:
            try:
                return await method(self, *args, **kwargs)
            except RegistryPushError as error:
                await self.client.root.judge(error)
                raise

    return call


class RepositoryReader:
    """`Source[str]` and `TagLister` over one repository. Cancelling any call is safe."""

    def __init__(self, host: Host, name: str, run: Run) -> None:
        self.name = name
        self.client = host.client
        self._host = host
        self._run = run
        self._pull: Scopes = (f"repository:{name}:pull",)

    @hides_secrets
    async def resolve(self, ref: str) -> Manifest:
        """Return the manifest under the tag or digest `ref`.

        Raises `ModelNotFound`, `ManifestCorrupt`, and `RemoteMismatch` if the bytes haven't the digest that was
        asked for, or that the answer claims (CVE-2025-24882).
        """
        url = self._manifest_url(ref)
        response = await self.client.request("GET", url, self._pull, ACCEPT)
        if response.status == 404:
            kind = "manifest" if ":" in ref else "tag"
            raise ModelNotFound(f"{self} has no {kind} {ref}", hint=f"{_CHECK_NAME} {self}", url=url)
        if response.status != 200 or self._read(response).kind is Kind.NO_REGISTRY:
            raise self.client.refusal(response, f"the manifest {ref}", reading=True)
        media_type = response.headers.get("Content-Type", "").partition(";")[0].strip()
        try:
            manifest = Manifest.parse(response.body, media_type=media_type if media_type in MANIFEST_TYPES else None)
        except UnsupportedManifest as error:
            raise UnsupportedManifest(f"what {self} has under {ref} can't be copied: {error}", url=url) from error
        except ManifestCorrupt as error:
            hint = "push the model there again; or name another tag"
            raise ManifestCorrupt(f"what {self} has under {ref} is no manifest: {error}", hint=hint, url=url) from error
        wanted = Digest.parse(ref) if ":" in ref else self._read(response).digest
        if wanted is not None and manifest.digest != wanted:
            raise RemoteMismatch(f"{self} gave {manifest.digest} where {wanted} was asked for", url=url)
        return manifest

    @hides_secrets
    async def tags(self) -> tuple[str, ...]:
        """Return the tags that the registry lists at once, if it lists any.

        Raises `ProtocolViolation` if it is no list.
        """
        return await self._tag_list().first()

    @hides_secrets
    async def referrers(self, subject: Digest) -> tuple[Descriptor, ...] | None:
        """Return the registry's list of manifests about `subject`; None if it has no such list, or refuses it."""
        if self._host.lists_referrers is False:
            return None
        from .referrer_list import ReferrerList  # as `_tag_list`

        try:
            found = await ReferrerList(self.client, self.name).of(subject)
        except Denied as error:  # by a firewall that does not know this path; what has a tag can still be found
            found = None
            self._run.sink(Warned(f"{error.message}; {_ONLY_TAGS}"))
        self._host.lists_referrers = found is not None
        return found

    @property
    def lists_referrers(self) -> bool | None:
        """Whether the registry has such lists; None if it has not been asked yet."""
        return self._host.lists_referrers

    @hides_secrets
    async def every_tag(self) -> tuple[str, ...]:
        """Return all tags. Raises `ModelNotFound`, `Refused`, `ProtocolViolation`."""
        return await self._tag_list().every()

    async def open(self, blob: Descriptor) -> BlobBody:
        """Return the blob's body. If the blob is not there, reading the body raises."""
        from .remote_body import RemoteBody  # as `_tag_list`

        return RemoteBody(
            blob,
            lambda offset: self._content(blob, offset),
            pauses=self.client.transport.pauses,
            sink=self._run.sink,
            stop=self._run.stop,
            reading=self.client.questions.reading,
            bandwidth=self._run.downloads,
            is_plain=self.client.origin.scheme == "http",
        )

    async def check(self, manifest: Manifest) -> None:
        """Do nothing: a registry has the blobs that its manifests name."""

    @asynccontextmanager
    async def _content(self, blob: Descriptor, offset: int) -> AsyncIterator[AsyncIterator[bytes]]:
        """Yield the blob's bytes from `offset` on. Raises `BlobMissing`, and `RemoteMismatch` for another blob's."""
        headers = {"Range": f"bytes={offset}-"} if offset else {}
        url = self._blob_url(blob.digest)
        async with self.client.stream(url, self._pull, headers) as (response, pieces):
            self._check_content(response, blob, offset)
            # A registry without ranges sends the whole blob: skip the bytes before the offset.
            yield _without(offset if response.status == 200 else 0, pieces) if offset else pieces

    def _check_content(self, response: Response, blob: Descriptor, offset: int) -> None:
        answer, url = self._read(response), response.url
        if response.status == 404:
            raise BlobMissing(f"{self} has no {blob.digest}", hint="have the model pushed there again", url=url)
        if response.status in _EXPIRED and HTTPOrigin.of(url) != self.client.origin:
            there = HTTPOrigin.of(url).netloc
            raise Unavailable(f"{there}, where {self} sends us for {blob.digest}, refuses it: {answer}", url=url)
        left = blob.size - (offset if response.status == 206 else 0)
        is_page = answer.kind is Kind.NO_REGISTRY and answer.length != left  # Google's storage calls content HTML too
        if response.status not in (200, 206) or is_page:
            raise self.client.refusal(response, f"the blob {blob.digest}", reading=True)
        if response.status == 206 and not response.headers.get("Content-Range", "").startswith(f"bytes {offset}-"):
            raise RemoteMismatch(f"{self} gave another part of {blob.digest} than was asked for", url=url)
        if answer.digest not in (None, blob.digest):  # CVE-2025-24882: asked by digest, got another
            raise RemoteMismatch(f"{self} gives {answer.digest} where {blob.digest} was asked for", url=url)
        if answer.length is not None and answer.length != left:
            raise RemoteMismatch(f"{self} gives {answer.length} of {left} bytes of {blob.digest}", url=url)

    def _tag_list(self) -> TagList:
        # A push reads nothing from its target. What only readers need is imported by them: with the same in `records`,
        # `session` and `push`, that takes 20 modules off each push, and 4 % of one that has nothing to send.
        from .tag_list import TagList

        return TagList(self.client, self.name)

    def _blob_url(self, digest: Digest) -> str:
        return self.client.url(f"/v2/{self.name}/blobs/{digest}")

    def _manifest_url(self, reference: str) -> str:
        return self.client.url(f"/v2/{self.name}/manifests/{quote(reference, safe=':')}")

    def _read(self, response: Response) -> RegistryResponse:
        return self.client.read(response)

    def __str__(self) -> str:
        return f"{self.client.origin.netloc}/{self.name}"


async def _without(count: int, pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Yield `pieces` without their first `count` bytes."""
    async for piece in pieces:
        if len(piece) > count:
            yield piece[count:]
        count = max(0, count - len(piece))
