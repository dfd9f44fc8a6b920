"""Deleting manifests and tags at a registry (distribution-spec, "Deleting tags", "Deleting Manifests")."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from enum import Enum
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from ..protocol.response import Kind, RegistryResponse
from .client import Client

if TYPE_CHECKING:
    from ..protocol.auth.challenge import Scopes

_UNSUPPORTED: Final = (405, 501)
# Codes that tell a manifest or repository which is not there from a path that is not served.
_UNKNOWN: Final = frozenset({"MANIFEST_UNKNOWN", "NAME_UNKNOWN"})


class Outcome(Enum):
    """What came of a deletion."""

    DELETED = "deleted"
    GONE = "gone"
    """It was not there. Also after an answer that was lost and asked for again."""
    UNSUPPORTED = "unsupported"
    """The registry cannot delete this: no tags, or nothing at all."""


class Deletion(Struct, frozen=True):
    """The result of a deletion; `words` are the registry's, if it was not carried out."""

    outcome: Outcome
    words: str = ""


def delete_scopes(name: str) -> Scopes:
    """Return what deleting in the repository `name` needs.

    Actions in one scope: some token services grant only what is asked for of a repository at once. Where the registry
    wants another action, as distribution before 2.7 wants `*`, its challenge says so, and it is added.
    """
    return (f"repository:{name}:pull,push,delete",)


async def delete(
    client: Client, name: str, ref: str, url: str, *, is_there: Callable[[str], Awaitable[bool]]
) -> Deletion:
    """Delete the manifest or tag `ref` of the repository `name`, which is at `url`.

    Tags are deleted as tags: the manifest stays, and so do its other tags. A manifest takes all its tags with it.
    `is_there` is asked about `ref` if a 404 could mean either. Raises as `Client.request`, and `Denied`, `Refused`.
    """
    response = await client.request("DELETE", url, delete_scopes(name))
    now = client.transport.now()
    answer = RegistryResponse.read(response.status, response.url, response.headers, response.body, now=now)
    if answer.kind in (Kind.CREATED, Kind.ACCEPTED):
        return Deletion(Outcome.DELETED)
    if _cannot(answer, is_tag=":" not in ref):
        return Deletion(Outcome.UNSUPPORTED, str(answer))
    if answer.kind is Kind.MISSING:
        is_gone = bool(_UNKNOWN & {*answer.diagnosis.codes}) or not await is_there(ref)
        return Deletion(Outcome.GONE if is_gone else Outcome.UNSUPPORTED, str(answer))
    raise client.refusal(response, f"to delete {name}{'@' if ':' in ref else ':'}{ref}")


def _cannot(answer: RegistryResponse, *, is_tag: bool) -> bool:
    codes = {*answer.diagnosis.codes}
    if answer.status in _UNSUPPORTED or ("UNSUPPORTED" in codes and answer.status in (400, 404)):
        return True
    return is_tag and answer.status == 400 and "DIGEST_INVALID" in codes  # distribution 2, which wants a digest there
