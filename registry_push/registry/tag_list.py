"""`TagList`: the tags of a repository (spec, "Listing Tags")."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Final

from ..errors import ManifestCorrupt, ModelNotFound, ProtocolViolation
from ..http.response import Response
from ..model.json_document import decoded
from .client import Client
from .paged_list import every_entry

# Tags among which similar ones are looked for; with this many, that takes a quarter of a second.
_MOST_AT_ONCE: Final = 10_000
# Tags of a repository that are read. They are held in memory, 100 bytes each.
_MOST_IN_ALL: Final = 1_000_000


class TagList:
    """The tags of the repository `name`, as its registry lists them."""

    def __init__(self, client: Client, name: str) -> None:
        self._client = client
        self._name = f"{client.origin.netloc}/{name}"
        self._url = client.url(f"/v2/{name}/tags/list")
        self._scopes = (f"repository:{name}:pull",)

    async def first(self) -> tuple[str, ...]:
        """Return the first page of tags; none if there is no list. Raises `ProtocolViolation` if it is no list."""
        response = await self._client.request("GET", self._url, self._scopes)
        return tuple(islice(self._read(response), _MOST_AT_ONCE)) if response.status == 200 else ()

    async def every(self) -> tuple[str, ...]:
        """Return all pages of tags, each tag once, in the registry's order.

        Raises `ModelNotFound` if there is no such repository, `Refused` if the registry lists none, `ProtocolViolation`
        if it is no list, or if the pages have no end.
        """
        what = f"the list of tags of {self._name}"
        return await every_entry(self._client, self._url, self._scopes, self._page, what=what, most=_MOST_IN_ALL)

    def _page(self, response: Response) -> Iterator[str]:
        if response.status == 404:
            hint = "check how it is spelt, and that you may read it"
            raise ModelNotFound(f"there is no repository {self._name}", hint=hint, url=response.url)
        if response.status != 200:
            raise self._client.refusal(response, "to list its tags", reading=True)
        return self._read(response)

    def _read(self, response: Response) -> Iterator[str]:
        what = f"the list of tags of {self._name}"
        try:
            document = decoded(response.body, what)
        except ManifestCorrupt as error:
            raise ProtocolViolation(error.message, url=response.url) from error
        if "tags" not in document and ("errors" in document or "name" not in document):
            raise ProtocolViolation(f"{what} has no tags in it, and is no such list", url=response.url)
        found = document.get("tags")
        tags = found if found is not None else []  # distribution writes null if there are none
        if not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
            raise ProtocolViolation(f"{what} has tags that are no list of text", url=response.url)
        return iter(tags)
