"""`RequestKind`: what registries count separately. Pure."""

from __future__ import annotations

from enum import Enum
from typing import Final


class RequestKind(Enum):
    """A kind of request, in the words of messages.

    Docker Hub limits GETs of manifests; HEADs are answered when none of those are left. ECR has one limit for each of
    its operations: to read a manifest or a blob, to ask for one, to list, to write.
    """

    MANIFEST = "reading manifests"
    LOOKUP = "asking what is there"
    LIST = "reading lists"
    BLOB = "reading blobs"
    UPLOAD = "uploads"


_READS: Final = {"manifests": RequestKind.MANIFEST, "blobs": RequestKind.BLOB}
_LISTS: Final = ("tags", "referrers")


def kind_of(method: str, url: str) -> RequestKind | None:
    """Return the kind of a request to a registry; None for one about its API or about tokens."""
    path, _, last = url.partition("?")[0].rpartition("/")
    part = path.rpartition("/")[2]
    if (read := _READS.get(part)) is not None:
        if method == "GET":
            return read
        return RequestKind.LOOKUP if method == "HEAD" else RequestKind.UPLOAD
    if part in _LISTS or last == "_catalog":
        return RequestKind.LIST
    return RequestKind.UPLOAD if part == "uploads" else None
