"""`ReferrerList`: what a registry lists as being about a manifest (distribution-spec 1.1, "Listing Referrers")."""

from __future__ import annotations

from typing import Final

from ..errors import Denied, ManifestCorrupt
from ..http.response import Response
from ..model import Descriptor, Digest, Manifest
from ..model.manifest import OCI_INDEX
from ..model.referrers import listed
from ..protocol.response import RegistryResponse
from .client import Client
from .paged_list import every_entry

# Referrers of one manifest that are read. They are held in memory; a mirror of many builds has some dozens.
_MOST: Final = 10_000
_ACCEPT: Final = {"Accept": OCI_INDEX}


class ReferrerList:
    """The referrers in the repository `name`."""

    def __init__(self, client: Client, name: str) -> None:
        self._client = client
        self._name = name
        self._scopes = (f"repository:{name}:pull",)

    async def of(self, subject: Digest) -> tuple[Descriptor, ...] | None:
        """Return all pages; None if the registry has no such list, as before version 1.1 of the spec.

        Raises `Denied`, `ManifestCorrupt`, `NotARegistry` for a success without an answer, `ProtocolViolation` if the
        pages have no end, `Refused`.
        """
        is_first = True

        def read(response: Response) -> tuple[Descriptor, ...]:
            nonlocal is_first
            media_type = response.headers.get("Content-Type", "").partition(";")[0].strip()
            # A registry without the list answers 404; some answer every unknown path with a page.
            if response.status == 403:
                raise Denied(f"{self._client.origin.netloc} refused to list what is about {subject}: HTTP 403")
            if (
                is_first and 200 < response.status < 300
            ):  # as of a captive portal; taken for "none", a signature is lost
                now = self._client.transport.now()
                answer = RegistryResponse.read(response.status, response.url, response.headers, response.body, now=now)
                raise answer.no_registry(self._client.origin)
            if is_first and (response.status != 200 or media_type != OCI_INDEX):
                raise _NoListError
            is_first = False
            if response.status != 200:
                raise self._client.refusal(response, f"to list what is about {subject}", reading=True)
            return listed(response.body, what)

        what, url = f"the list of what is about {subject}", self._client.url(f"/v2/{self._name}/referrers/{subject}")
        try:
            return await every_entry(self._client, url, self._scopes, read, what=what, most=_MOST, headers=_ACCEPT)
        except _NoListError:
            return None


class _NoListError(Exception):
    """The registry has no list of referrers."""


def read_index(manifest: Manifest, subject: Digest) -> tuple[Descriptor, ...]:
    """Return the referrers in the index under the fallback tag; none if something else is under that tag."""
    if not manifest.is_list:
        return ()
    try:
        return listed(manifest.raw, f"the index of what is about {subject}")
    except ManifestCorrupt:
        return ()
