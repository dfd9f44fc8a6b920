"""The registry that is copied from: filled once, without any of the clients; and the look at what came of a copy."""

from __future__ import annotations

import hashlib
import http.client
import json
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from .stage import MODEL, TAG, Stage

# The tag of the same content with OCI's types, without which skopeo copies nothing.
PLAIN: Final = "plain"
_NAME: Final = f"{MODEL.namespace}/{MODEL.model}"
_BUFFER: Final = 1 << 20


class CopyWrong(Exception):
    """What a client says it has copied is not all there, or is something else."""


def fill(host: str, stage: Stage) -> None:
    """Put the content of `stage` at the registry, as TAG and PLAIN."""
    connection = http.client.HTTPConnection(host, blocksize=_BUFFER)
    for blob in sorted(stage.blobs.iterdir()):
        with blob.open("rb") as file:
            upload(connection, _NAME, blob.name.replace("-", ":"), file, blob.stat().st_size)
    for layout, tag in ((stage.layout, TAG), (stage.plain, PLAIN)):
        raw = manifest_of(layout)
        asked(
            connection,
            "PUT",
            f"/v2/{_NAME}/manifests/{tag}",
            201,
            raw,
            {"Content-Type": json.loads(raw)["mediaType"]},
        )
    connection.close()


def check_registry(host: str, repository: str, manifest: bytes) -> None:
    """Raise `CopyWrong` unless the registry has `manifest` and its blobs; it has hashed them itself."""
    document, connection = json.loads(manifest), http.client.HTTPConnection(host)
    accept = {"Accept": document["mediaType"]}
    told = asked(connection, "HEAD", f"/v2/{repository}/manifests/{TAG}", 200, headers=accept)
    if told.headers["Docker-Content-Digest"] != f"sha256:{hashlib.sha256(manifest).hexdigest()}":
        raise CopyWrong(f"{repository} has the manifest {told.headers['Docker-Content-Digest']}")
    for blob in (document["config"], *document["layers"]):
        told = asked(connection, "HEAD", f"/v2/{repository}/blobs/{blob['digest']}", 200)
        if told.headers["Content-Length"] != str(blob["size"]):
            raise CopyWrong(f"{blob['digest']} has {told.headers['Content-Length']} bytes")
    connection.close()


def check_files(blobs: Path, manifest: bytes) -> None:
    """Raise `CopyWrong` unless the folder `blobs` has all that `manifest` names, by either way of naming files."""
    document = json.loads(manifest)
    for blob in (document["config"], *document["layers"]):
        path = blobs / blob["digest"].replace(":", "/")
        if not path.exists():
            path = blobs / blob["digest"].replace(":", "-")
        with path.open("rb") as file:
            if f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}" != blob["digest"]:
                raise CopyWrong(f"{path} has another content")


def manifest_of(layout: Path) -> bytes:
    """The bytes of the layout's only manifest."""
    (entry,) = json.loads((layout / "index.json").read_text())["manifests"]
    digest: str = entry["digest"]
    return (layout / "blobs" / digest.replace(":", "/")).read_bytes()


def upload(connection: http.client.HTTPConnection, repository: str, digest: str, body: object, size: int) -> None:
    """Put a blob of `size` bytes into the repository, by one request for all of it."""
    location = urlsplit(asked(connection, "POST", f"/v2/{repository}/blobs/uploads/", 202).headers["Location"])
    url = f"{location.path}?{location.query}&digest={digest}"
    asked(connection, "PUT", url, 201, body, {"Content-Length": str(size)})


def asked(
    connection: http.client.HTTPConnection,
    method: str,
    url: str,
    status: int,
    body: object = None,
    headers: dict[str, str] | None = None,
) -> http.client.HTTPResponse:
    """Return the answer, its body read. Raise `CopyWrong` if its status is another."""
    connection.request(method, url, body, headers or {})  # type: ignore[arg-type]  # a file, bytes or an iterator of them
    response = connection.getresponse()
    said = response.read()
    if response.status != status:
        raise CopyWrong(f"{method} {url} is answered {response.status}: {said[:500]!r}")
    return response
