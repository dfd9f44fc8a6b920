"""`Catalog`: the repositories of a registry (distribution's HTTP API, "Listing Repositories")."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from msgspec import Struct

from ..errors import (
    Denied,
    InvalidName,
    LoginWithheld,
    ManifestCorrupt,
    NoCatalog,
    NoIdentity,
    NotAllowed,
    ProtocolViolation,
    RegistryPushError,
    Unauthorized,
)
from ..events import ModelFailed
from ..http.response import Response
from ..model import Reference
from ..model.json_document import decoded
from ..protocol.response import Kind, RegistryResponse
from ..text.hint import Login, step
from ..text.safe_text import printable
from .client import Client
from .paged_list import every_entry

# Repositories of a registry that are read. They are held in memory, 100 bytes each.
_MOST: Final = 1_000_000
# Repositories to a page; distribution lists 100 if it is not told, and refuses to list over 1,000.
_PAGE: Final = 1000
_SCOPES: Final = ("registry:catalog:*",)
_ONE_BY_ONE: Final = NoCatalog.default_hint


class Listing(Struct, frozen=True):
    """What a registry lists: repositories, without tags, and a failure for each name that no repository can have."""

    repositories: tuple[Reference, ...]
    failed: tuple[ModelFailed, ...] = ()


class Catalog:
    """The repositories of a registry, as it lists them; `at` is any reference there, written as the user does."""

    def __init__(self, client: Client, at: Reference) -> None:
        self._client = client
        self._at = at
        self._what = f"the list of repositories of {client.origin.netloc}"

    async def every(self, prefix: str = "") -> Listing:
        """Return all repositories, each once, in the registry's order; with `prefix`, those below `prefix/`.

        There may be none. Raises `NoCatalog` if the registry has no such list, `NotAllowed` if it has none for us,
        `ProtocolViolation` if it is no list, or if the pages have no end.
        """
        with self._client.transport.secrets:
            try:
                names = await self._names()
            except RegistryPushError as error:
                await self._client.root.judge(error)
                raise
        below = f"{prefix}/" if prefix else ""
        found = [self._named(name) for name in names if name.startswith(below)]
        return Listing(
            tuple(each for each in found if isinstance(each, Reference)),
            tuple(each for each in found if isinstance(each, ModelFailed)),
        )

    async def _names(self) -> tuple[str, ...]:
        url = self._client.url("/v2/_catalog")
        try:
            try:
                return await self._pages(f"{url}?n={_PAGE}")
            except _OtherPageSizeError:  # than this registry was configured to allow
                return await self._pages(url)
        except (Unauthorized, NoIdentity) as error:
            if isinstance(error, LoginWithheld):
                raise
            raise self._not_for_us(error) from error

    async def _pages(self, url: str) -> tuple[str, ...]:
        return await every_entry(self._client, url, _SCOPES, self._page, what=self._what, most=_MOST)

    def _page(self, response: Response) -> Iterator[str]:
        if response.status == 400 and response.url.endswith(f"_catalog?n={_PAGE}"):
            raise _OtherPageSizeError
        answer = RegistryResponse.read(
            response.status, response.url, response.headers, response.body, now=self._client.transport.now()
        )
        if response.status == 403:
            raise self._not_for_us(Denied(f"{self._client.origin.netloc} says {answer}", url=response.url))
        if answer.kind is Kind.NO_REGISTRY or answer.kind is Kind.BUSY or answer.is_redirect:
            raise self._client.refusal(response, "to list its repositories", reading=True)
        if response.status != 200:
            message = f"{self._client.origin.netloc} does not list its repositories: {answer}"
            raise NoCatalog(message, url=response.url)
        return self._read(response)

    def _read(self, response: Response) -> Iterator[str]:
        try:
            document = decoded(response.body, self._what)
        except ManifestCorrupt as error:
            raise ProtocolViolation(error.message, url=response.url) from error
        if "repositories" not in document:
            raise ProtocolViolation(f"{self._what} has no repositories in it, and is no such list", url=response.url)
        found = document["repositories"]
        names = found if found is not None else []
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise ProtocolViolation(f"{self._what} has names that are no list of text", url=response.url)
        return iter(names)

    def _named(self, name: str) -> Reference | ModelFailed:
        try:
            return Reference(self._at.host, name, scheme=self._at.scheme)
        except InvalidName as error:
            violation = ProtocolViolation(
                f"{self._at.host} lists what is no repository: {error.message}",
                hint="have it renamed or deleted at that registry: nobody can ask for it",
            )
            violation.read_at_source()
            return ModelFailed(printable(f"{self._at.host}/{name}", limit=200), None, violation)

    def _not_for_us(self, error: NotAllowed) -> NotAllowed:
        """Return `error` as that of a registry that lists its repositories to nobody, or to others only."""
        as_who = f"; signed in with {self._client.who}" if self._client.who is not None else ""
        message = f"{self._client.origin.netloc} does not list its repositories: {error.message}{as_who}"
        login = Login(self._client.origin.as_typed)
        return type(error)(message, hint=step(f"{_ONE_BY_ONE}; or log in as who may list them: ", login), url=error.url)


class _OtherPageSizeError(Exception):
    """The registry does not list as many on a page."""
