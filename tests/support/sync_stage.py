"""Repositories to sync, put into registries by plain requests, and what the registries then have."""

from __future__ import annotations

import asyncio
import http.client
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, TypeVar

from registry_push.events import Sink, ignore
from registry_push.model.manifest import MANIFEST_TYPES, OCI_INDEX, OCI_MANIFEST
from registry_push.settings import Settings
from registry_push.verbs.sync.report import report_of
from registry_push.verbs.sync.sync import SyncOptions, sync, sync_pinned
from registry_push.verbs.sync.totals import SyncReport

from .registries import DockerRegistry

Item = TypeVar("Item")

_LAYER: Final = "application/vnd.oci.image.layer.v1.tar"
_CONFIG: Final = "application/vnd.oci.image.config.v1+json"
_ACCEPT: Final = {"Accept": ", ".join(MANIFEST_TYPES)}
_LINE: Final = re.compile(r'"([A-Z]+) (/v2/\S*) HTTP/1\.1" ([0-9]{3})')


@dataclass(frozen=True, slots=True)
class Request:
    """One that docker-registry has logged."""

    method: str
    target: str
    status: int


class Log:
    """What docker-registry has logged since this was made."""

    def __init__(self, registry: DockerRegistry) -> None:
        self._registry = registry
        self._start = registry.log.stat().st_size

    @property
    def requests(self) -> list[Request]:
        text = self._registry.log.read_bytes()[self._start :].decode(errors="replace")
        return [Request(found[1], found[2], int(found[3])) for found in _LINE.finditer(text)]

    def asked(self, method: str, what: str = "/v2/") -> list[str]:
        """The targets of the requests with this method that name `what`."""
        return [each.target for each in self.requests if each.method == method and what in each.target]


class Peer:
    """Plain requests to the registry at `host`, in a thread: the embedded one answers from this loop."""

    def __init__(self, host: str) -> None:
        self.host = host

    async def put(self, repository: str, tag: str, content: str, *, size: int = 0, **fields: Any) -> str:
        """Put an image of `content`, repeated up to `size` bytes, under `tag`; return its digest."""
        return await self._doing(lambda wire: _put(wire, repository, tag, content, size, fields))

    async def put_all(self, contents: Mapping[str, str]) -> dict[str, str]:
        """Put images under `REPOSITORY:TAG`; return their digests."""

        def work(wire: _Wire) -> dict[str, str]:
            named = {name: name.rpartition(":") for name in contents}
            return {name: _put(wire, at, tag, contents[name], 0, {}) for name, (at, _, tag) in named.items()}

        return await self._doing(work)

    async def put_index(self, repository: str, tag: str, *digests: str) -> str:
        """Put an index of manifests that are there."""

        def work(wire: _Wire) -> str:
            listed = []
            for digest in digests:
                _, headers, raw = wire.ask("GET", f"/v2/{repository}/manifests/{digest}", None, _ACCEPT, {200})
                listed.append({"mediaType": headers["Content-Type"], "digest": digest, "size": len(raw)})
            return _put_manifest(wire, repository, tag, {"mediaType": OCI_INDEX, "manifests": listed})

        return await self._doing(work)

    async def retag(self, repository: str, tag: str, digest: str) -> None:
        """Give the manifest another tag, too."""

        def work(wire: _Wire) -> None:
            _, headers, raw = wire.ask("GET", f"/v2/{repository}/manifests/{digest}", None, _ACCEPT, {200})
            kind = {"Content-Type": headers["Content-Type"]}
            wire.ask("PUT", f"/v2/{repository}/manifests/{tag}", raw, kind, {201})

        await self._doing(work)

    async def delete(self, repository: str, ref: str) -> None:
        """Delete a manifest or a tag."""
        await self._doing(lambda wire: wire.ask("DELETE", f"/v2/{repository}/manifests/{ref}", None, {}, {202}))

    async def tags(self, repository: str) -> dict[str, str]:
        """The digest of each tag; none if there is no such repository."""
        return await self._doing(lambda wire: _tags(wire, repository))

    async def everything(self) -> dict[str, str]:
        """The digest of each `REPOSITORY:TAG`, but for those that begin with `sha256-`."""

        def work(wire: _Wire) -> dict[str, str]:
            listed = json.loads(wire.ask("GET", "/v2/_catalog?n=1000", None, {}, {200})[2])["repositories"]
            found = {f"{each}:{tag}": digest for each in listed for tag, digest in _tags(wire, each).items()}
            return {name: digest for name, digest in found.items() if ":sha256-" not in name}

        return await self._doing(work)

    async def has(self, repository: str, ref: str) -> bool:
        """Whether there is such a manifest."""
        return await self._doing(
            lambda wire: wire.ask("HEAD", f"/v2/{repository}/manifests/{ref}", None, _ACCEPT, {200, 404})[0] == 200
        )

    async def blobs(self, repository: str, ref: str) -> list[str]:
        """The digests of the blobs of an image, its layer last."""

        def work(wire: _Wire) -> list[str]:
            manifest = json.loads(wire.ask("GET", f"/v2/{repository}/manifests/{ref}", None, _ACCEPT, {200})[2])
            return [each["digest"] for each in (manifest["config"], *manifest["layers"])]

        return await self._doing(work)

    async def _doing(self, work: Callable[[_Wire], Item]) -> Item:
        def run() -> Item:
            wire = _Wire(self.host)
            try:
                return work(wire)
            finally:
                wire.connection.close()

        return await asyncio.to_thread(run)


class _Wire:
    def __init__(self, host: str) -> None:
        self.host = host
        self.connection = http.client.HTTPConnection(host)

    def ask(
        self, method: str, path: str, body: bytes | None, headers: Mapping[str, str], statuses: set[int]
    ) -> tuple[int, http.client.HTTPMessage, bytes]:
        self.connection.request(method, path.removeprefix(f"http://{self.host}"), body, dict(headers))
        answer = self.connection.getresponse()
        content = answer.read()
        assert answer.status in statuses, f"{method} {path}: {answer.status} {content!r}"
        return answer.status, answer.headers, content


def _put(wire: _Wire, repository: str, tag: str, content: str, size: int, fields: Mapping[str, Any]) -> str:
    written = content.encode()
    layer = (written * (size // len(written) + 1))[:size] if size else written
    config = json.dumps({"of": content}).encode()
    document = {
        "mediaType": OCI_MANIFEST,
        "config": {"mediaType": _CONFIG, **_put_blob(wire, repository, config)},
        "layers": [{"mediaType": _LAYER, **_put_blob(wire, repository, layer)}],
        **fields,
    }
    return _put_manifest(wire, repository, tag, document)


def _put_blob(wire: _Wire, repository: str, content: bytes) -> dict[str, Any]:
    digest = digest_of(content)
    _, headers, _ = wire.ask("POST", f"/v2/{repository}/blobs/uploads/", b"", {}, {202})
    location = headers["Location"]
    there = f"{location}{'&' if '?' in location else '?'}digest={digest}"
    wire.ask("PUT", there, content, {"Content-Type": "application/octet-stream"}, {201})
    return {"digest": digest, "size": len(content)}


def _put_manifest(wire: _Wire, repository: str, tag: str, document: Mapping[str, Any]) -> str:
    raw = json.dumps({"schemaVersion": 2, **document}).encode()
    kind = {"Content-Type": document["mediaType"]}
    wire.ask("PUT", f"/v2/{repository}/manifests/{tag or digest_of(raw)}", raw, kind, {201})
    return digest_of(raw)


def _tags(wire: _Wire, repository: str) -> dict[str, str]:
    status, _, raw = wire.ask("GET", f"/v2/{repository}/tags/list", None, {}, {200, 404})
    tags = (json.loads(raw)["tags"] or []) if status == 200 else []
    heads = {tag: wire.ask("HEAD", f"/v2/{repository}/manifests/{tag}", None, _ACCEPT, {200})[1] for tag in tags}
    return {tag: headers["Docker-Content-Digest"] for tag, headers in heads.items()}


def digest_of(content: bytes) -> str:
    return f"sha256:{sha256(content).hexdigest()}"


def settings_at(home: Path) -> Settings:
    return Settings(home=home, models=home / "models", retries=0)


async def synced(home: Path, plan: str, *, sink: Sink = ignore, **options: Any) -> SyncReport:
    """Carry out a plan in this process; the report has every tag."""
    path = home / "plan.toml"
    path.write_text(plan)
    return await sync(path, SyncOptions(keeps_all=True, **options), settings=settings_at(home), sink=sink)


async def reviewed(home: Path, pinned: Path, **options: Any) -> SyncReport:
    """Carry out a plan that a dry run has written."""
    return await sync_pinned(pinned, SyncOptions(keeps_all=True, **options), settings=settings_at(home))


def entries_of(report: SyncReport) -> list[dict[str, Any]]:
    """What the report says of each tag."""
    found: list[dict[str, Any]] = report_of(report, "", dry_run=False)["entries"]
    return found


def actions(report: SyncReport, *, at: str = "target") -> dict[str, str]:
    """The action of each tag, by where it is without its registry; of those that have a target, or a source."""
    return {_path(each[at]): each["action"] for each in entries_of(report) if each[at] is not None}


def reasons(report: SyncReport, *, at: str = "target") -> dict[str, str]:
    """As `actions`."""
    return {_path(each[at]): each["reason"] for each in entries_of(report) if each[at] is not None}


def _path(written: str) -> str:
    return written.partition("/")[2] or written


def facts(entries: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What a dry run and the run have to agree on."""
    names = ("entry", "source", "target", "digest", "previous", "backup", "action", "reason", "referrers")
    return [{name: each[name] for name in names} | {"error": (each["error"] or {}).get("code")} for each in entries]
