"""Deleting an upload at a registry."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ..http.response import Response
from ..protocol.location import resolve
from ..protocol.response import Kind, RegistryResponse
from .client import Client

if TYPE_CHECKING:
    from ..protocol.auth.challenge import Scopes

_TAKEN: Final = (Kind.CREATED, Kind.ACCEPTED)


async def freed(client: Client, location: str, scopes: Scopes) -> Response:
    """Delete the upload at `location`, or at its present location, and return the answer.

    After a crash or a broken chunk the stored Location is stale, and some registries refuse it; the status has the
    present one. Raises as `Client.attempt`.
    """
    response = await client.attempt("DELETE", location, scopes, {})
    if _read(client, response).kind in _TAKEN:
        return response
    present = await _present(client, location, scopes)
    return response if present == location else await client.attempt("DELETE", present, scopes, {})


async def _present(client: Client, location: str, scopes: Scopes) -> str:
    status = _read(client, await client.attempt("GET", location, scopes, {}))
    is_there = status.kind in _TAKEN and status.location is not None
    return resolve(status.url, status.location or "") if is_there else location


def _read(client: Client, response: Response) -> RegistryResponse:
    now = client.transport.now()
    return RegistryResponse.read(response.status, response.url, response.headers, response.body, now=now)
