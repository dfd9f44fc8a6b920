"""`ReferrerList`: what a registry lists as being about a manifest (distribution-spec 1.1, "Listing Referrers")."""

from __future__ import annotations

from typing import Final

from ..errors import ManifestCorrupt, ProtocolViolation
from ..model import Descriptor, Digest, Manifest
from ..model.manifest import OCI_INDEX
from ..model.referrers import listed
from ..protocol.pages import MOST_EMPTY, next_page
from .client import Client

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

        Raises `ManifestCorrupt`, `ProtocolViolation` if the pages have no end, `Refused`.
        """
        url, found, pages = self._client.url(f"/v2/{self._name}/referrers/{subject}"), list[Descriptor](), set[str]()
        empty = 0
        while url not in pages:
            pages.add(url)
            response = await self._client.request("GET", url, self._scopes, _ACCEPT)
            media_type = response.headers.get("Content-Type", "").partition(";")[0].strip()
            # A registry without the list answers 404; some answer every unknown path with a page.
            if len(pages) == 1 and (response.status != 200 or media_type != OCI_INDEX):
                return None
            if response.status != 200:
                raise self._client.refusal(response, f"to list what is about {subject}", reading=True)
            on_page = listed(response.body, f"the list of what is about {subject}")
            found += on_page
            empty += not on_page
            if empty > MOST_EMPTY:
                raise ProtocolViolation(f"the referrers of {subject} are listed on pages without end", url=url)
            if len(found) > _MOST:
                raise ProtocolViolation(f"{self._name} lists more than {_MOST} referrers of {subject}", url=url)
            following = next_page(response.url, response.headers.get("Link"))
            if following is None:
                return tuple(found)
            url = following
        raise ProtocolViolation(f"the referrers of {subject} are listed in a circle", url=url)


def read_index(manifest: Manifest, subject: Digest) -> tuple[Descriptor, ...]:
    """Return the referrers in the index under the fallback tag; none if something else is under that tag."""
    if not manifest.is_list:
        return ()
    try:
        return listed(manifest.raw, f"the index of what is about {subject}")
    except ManifestCorrupt:
        return ()
