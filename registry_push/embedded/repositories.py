"""Repositories as OCI image layouts in one folder."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
from pathlib import Path
from typing import Final
from urllib.parse import quote, unquote

from ..content.oci.layout import OCILayout
from ..content.spool import Spool
from ..errors import StoreNotFound
from ..model import Digest
from .parts import PartFile

# distribution-spec, "Pulling manifests". No `..` and no capital can get through, so a name is safe as a path.
NAME: Final = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*"
_NAME: Final = re.compile(NAME + r"\Z")


class Repositories:
    """All repositories below `root`.

    Each is a layout in a folder of its own, with the repository's name percent-encoded, so that other tools can read
    it. skopeo finds OCI manifests there, `skopeo inspect --raw oci:ROOT/ns%2Fmodel:latest`, and no docker ones.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._layouts: dict[str, OCILayout] = {}
        # Blobs that were mounted, and not uploaded since.
        self.mounted: set[tuple[str, Digest]] = set()

    def __getitem__(self, name: str) -> OCILayout:
        """Return the layout of the repository `name`, which need not exist yet."""
        if name not in self._layouts:
            self._layouts[name] = OCILayout(self._root / quote(name, safe=""))
        return self._layouts[name]

    async def known(self, name: str) -> bool:
        """Return whether anything was ever put into the repository `name`."""
        return await asyncio.to_thread(self[name].path.is_dir)

    async def has_manifests(self, name: str) -> bool:
        """Return whether the repository `name` has any; False if that is no name at all."""
        if not _NAME.match(name):
            return False
        try:
            return any(True for _ in (await self[name].index()).readable())
        except StoreNotFound:
            return False

    async def names(self) -> list[str]:
        """Return every repository, sorted."""
        folders = await asyncio.to_thread(_folders, self._root)
        return sorted(name for folder in folders if _NAME.match(name := unquote(folder)))

    def spool(self) -> Spool:
        """Return an empty upload for any of the repositories, on the same disk as they are."""
        return Spool(self._root)

    def part_file(self) -> PartFile:
        """Return an empty part of an upload, on the same disk as the repositories. Blocks on the disk."""
        return PartFile(self._root)

    async def commit(self, spool: Spool, name: str, digest: Digest) -> None:
        """Make the upload a blob of the repository `name`."""
        await self[name].make_folders()
        await self[name].adopt(spool, digest)
        self.mounted.discard((name, digest))

    async def mount(self, digest: Digest, source: str, target: str) -> bool:
        """Put a blob of `source` into `target` too; False if `source` has none, or is no name at all."""
        if not _NAME.match(source) or not await self[source].has(digest):
            return False
        await self[target].make_folders()
        if not await self[target].has(digest):
            self.mounted.add((target, digest))
        await asyncio.to_thread(_link, self[source].blob_path(digest), self[target].blob_path(digest))
        return True

    async def remove(self, name: str, digest: Digest) -> bool:
        """Take a blob out of the repository `name`; False if it was not there."""
        if not await self[name].has(digest):
            return False
        await asyncio.to_thread(self[name].blob_path(digest).unlink)
        self.mounted.discard((name, digest))
        return True


def _folders(root: Path) -> list[str]:
    return [entry.name for entry in root.iterdir() if entry.is_dir()]


def _link(source: Path, target: Path) -> None:
    if target.exists():
        return
    try:
        os.link(source, target)
    except OSError:  # a disk without hard links
        copied = target.with_suffix(".mount")
        shutil.copyfile(source, copied)
        copied.replace(target)
