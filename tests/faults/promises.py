"""Judges P1–P7 (guides/reliability.md) by the registry's log and disk, the source and the events; never by our code."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from aiohttp import web

from registry_push.embedded import EmbeddedRegistry, Quirks
from registry_push.errors import RegistryPushError
from registry_push.model import Digest, Manifest

from .ledger import Broken, End, Ledger, stored

DOCUMENTED: Final = frozenset({0, 3, 4, 5, 6, 7, 130})
_MANIFEST: Final = re.compile(r"/v2/(.+)/manifests/([^/]+)\Z")


def fingerprint(folder: Path) -> str:
    """One hash over every path below `folder` and what is there."""
    whole = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        content = path.read_bytes() if path.is_file() else b""
        whole.update(f"{path.relative_to(folder)} {path.is_file()} {len(content)}\n".encode() + content)
    return whole.hexdigest()


@dataclass
class Judge:
    """One repository at one registry, through any number of pushes. `contents`: what each blob was, in any version."""

    root: Path
    repository: str
    manifest: bytes
    one_request: int  # a blob of at most so many bytes goes in one
    contents: Mapping[Digest, list[bytes]]
    flaws: list[str] = field(default_factory=list)
    quirks: Quirks = field(default_factory=Quirks)

    async def watch(self, request: web.Request) -> web.StreamResponse | None:
        """P1. The registry's hook: sees each request before anything is done with it."""
        if request.method == "PUT" and _MANIFEST.match(request.path):
            missing = [str(digest) for digest in self._named() if not self._is_whole(digest)]
            if missing:
                self.flaws.append(f"P1: the manifest was put before {', '.join(missing)}")
        return None

    def after_push(
        self, registry: EmbeddedRegistry, code: int | None, error: RegistryPushError | None, shown: str = ""
    ) -> None:
        """Judges what there is after a push that ended with `code`; None: it was killed. Raises `Broken`.

        `shown` is all that the push has told.
        """
        if code is not None and code not in DOCUMENTED:
            self.flaws.append(f"P6: it ended with {code}: {error!r}")
        if error is not None and not error.hint:
            self.flaws.append(f"P6: no next step: {type(error).__name__}: {error}")
        self._check_target(is_done=code == 0)
        self._check_authorizations(registry)
        self._check_manners(registry, shown)
        if self.flaws:
            raise Broken("\n".join(self.flaws))

    def check_resent(self, registry: EmbeddedRegistry, ends: Sequence[End]) -> None:
        """P2, over the whole log. Raises `Broken`."""
        Ledger(registry, self.contents, self.one_request, self.quirks).read(ends)

    def has(self, digest: Digest) -> bool:
        """Whether the blob is whole at the target."""
        return self._is_whole(digest)

    def _named(self) -> list[Digest]:
        return [blob.digest for blob in Manifest.parse(self.manifest).blobs]

    def _blob(self, digest: Digest) -> Path:
        return self.root / self.repository.replace("/", "%2F") / "blobs" / "sha256" / digest.hex

    def _is_whole(self, digest: Digest) -> bool:
        file = self._blob(digest)
        return file.is_file() and Digest.of(file.read_bytes()) == digest

    def _check_target(self, *, is_done: bool) -> None:
        """P5 and P7: nothing there is other than its name, and no tag leads to what is not all there."""
        layout = self.root / self.repository.replace("/", "%2F")
        for file in layout.glob("blobs/sha256/*"):
            if not file.name.startswith(".") and hashlib.sha256(file.read_bytes()).hexdigest() != file.name:
                self.flaws.append(f"P7: {file.name} at the target is something else")
        index = layout / "index.json"
        tagged = json.loads(index.read_text())["manifests"] if index.is_file() else []
        for entry in tagged:
            manifest = self._blob(Digest.parse(entry["digest"]))
            if not manifest.is_file() or manifest.read_bytes() != self.manifest:
                self.flaws.append(f"P5: the tag at the target leads to another manifest, {entry['digest']}")
            self.flaws += [f"P5: a manifest without {digest}" for digest in self._named() if not self._is_whole(digest)]
        if is_done and not tagged:
            self.flaws.append("P7: success, and no manifest at the target")

    def _check_authorizations(self, registry: EmbeddedRegistry) -> None:
        """P3: only the registry's own origin has seen who we are."""
        for exchange in registry.log:
            if exchange.authorization is not None and exchange.headers["Host"] != registry.host:
                self.flaws.append(f"P3: {exchange.authorization} was sent to {exchange.headers['Host']}")
        if any(exchange.authorization is not None for exchange in stored(registry)):
            self.flaws.append("P3: credentials were sent to the storage")

    def _check_manners(self, registry: EmbeddedRegistry, shown: str) -> None:
        """P3 and P6 where a registry is odd: what it repeats is not shown, what it never ends is not waited for."""
        self.flaws += [f"P3: {secret!r} was repeated to us, and shown" for secret in registry.echoed if secret in shown]
        self.flaws += [f"P6: an answer was waited for that never ended: {fault}" for fault in registry.endured]
