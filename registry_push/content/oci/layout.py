"""`OCILayout`: content in an OCI image layout folder (image-spec, image-layout.md)."""

from __future__ import annotations

import asyncio
import io
import json
import os
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from ...errors import (
    BlobCorrupt,
    BlobMissing,
    InvalidDigest,
    ManifestCorrupt,
    ManifestRefused,
    ModelNotFound,
    StoreNotFound,
    Unavailable,
    Unreadable,
    printable,
)
from ...events import Placement
from ...model import Descriptor, Digest, Manifest
from ...model.manifest import MANIFEST_TYPES, MAX_MANIFEST_BYTES
from ..base import BlobBody, Placed, Traits
from ..body import FileBody, opened
from ..ollama.paths import open_regular, read_bounded
from ..read_errors import read_error
from ..spool import Spool
from ..threads import in_thread
from .index import LayoutIndex

_VERSION: Final = json.dumps({"imageLayoutVersion": "1.0.0"}).encode()


class OCILayout:
    """An image layout folder, created by the first write. Implements `Source[str | None]` and `Target`.

    Links are followed inside the folder only. Writers in one process may share an object; two processes that
    tag at the same time can lose one of the two tags, as with every tool that writes layouts.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._writing = threading.Lock()

    async def resolve(self, ref: str | None) -> Manifest:
        """The manifest that `ref` names, by name or by digest; None: the only one there is.

        Raises `StoreNotFound`, `ModelNotFound`, `BlobMissing`, `ManifestCorrupt`, `Unreadable`.
        """
        index = await self.index()
        return await self.manifest(_only(index) if ref is None else _chosen(index, ref))

    async def manifest(self, entry: Descriptor) -> Manifest:
        """The manifest that `entry` describes. Raises as `resolve`."""
        raw = await in_thread(self._read_blob, entry.digest)
        if len(raw) != entry.size or Digest.of(raw) != entry.digest:
            raise ManifestCorrupt(f"{entry.digest} in {self.path} is something else")
        return Manifest.parse(raw, media_type=entry.media_type)

    async def children(self, manifest: Manifest) -> tuple[Manifest, ...]:
        """The manifests that a list names, none if `manifest` is no list.

        Raises `BlobMissing`, `BlobCorrupt`, `ManifestCorrupt`, `Unreadable`, `Unavailable`.
        """
        return await in_thread(manifest.children, lambda entry: self._read_blob(entry.digest))

    async def open(self, blob: Descriptor) -> FileBody:
        """The body of `blob`. Raises `BlobMissing`, and `BlobCorrupt` where its size is another."""
        body = await self.body(blob.digest)
        if body.size != blob.size:
            await body.close()
            raise BlobCorrupt(f"{self.blob_path(blob.digest)} has {body.size} bytes, not {blob.size}")
        return body

    async def body(self, digest: Digest) -> FileBody:
        """The body of the blob `digest`, of whatever size. Raises `BlobMissing`, `BlobCorrupt`, `Unreadable`."""
        return FileBody(await opened(lambda: self._open(digest)), name=str(self.blob_path(digest)))

    async def exists(self, blob: Descriptor) -> bool:
        """Whether the blob is here, in its full size."""
        return await in_thread(self._size, blob.digest) == blob.size

    async def has(self, digest: Digest) -> bool:
        """Whether there is a file for `digest`."""
        return await in_thread(self._size, digest) is not None

    async def put(self, blob: Descriptor, body: BlobBody, *, candidates: Collection[str] = ()) -> Placed:
        """Put the blob here: under a temporary name, then on the disk, then under its own.

        Raises `BlobCorrupt`, `Unavailable` if the disk is full, and what the body raises. Cancelling leaves nothing.
        """
        if await self.exists(blob):
            return Placed(Placement.PRESENT)
        spool = await self.spool()
        try:
            async for piece in body.open(0, body.size):
                await in_thread(self._write, spool, piece)
            if spool.size != blob.size or spool.digest != blob.digest:
                raise BlobCorrupt(f"what came for {blob.digest} has the digest {spool.digest}")
            await self.adopt(spool, blob.digest)
        finally:
            await discard(spool)
        return Placed(Placement.UPLOADED, blob.size)

    async def put_manifest(self, manifest: Manifest, ref: str) -> None:
        """Put the manifest under `ref`, a name or its own digest, instead of what was there.

        Raises `ManifestRefused` if content it names is not here, `Unavailable` if the disk is full.
        """
        missing = [str(blob.digest) for blob in manifest.blobs if not await self.exists(blob)]
        missing += [str(child.digest) for child in manifest.manifests if not await self.has(child.digest)]
        if missing:
            raise ManifestRefused(f"the manifest for {printable(ref)} names what is not here: {', '.join(missing)}")
        await self.add_manifest(manifest)
        if ref != str(manifest.digest):
            await self.update(lambda index: index.tagged(manifest.descriptor, ref))

    async def digest_of(self, ref: str) -> Digest | None:
        """The digest of the manifest under `ref`; None if there is none. Raises `ManifestCorrupt`, `Unreadable`."""
        try:
            found = (await self.index()).named(ref)
        except StoreNotFound:
            return None
        return found.digest if found is not None else None

    @property
    def origin(self) -> str:
        """The folder, as places are written."""
        return f"oci:{self.path}"

    @property
    def name(self) -> str:
        """A layout is one repository, called by its folder."""
        return f"oci:{self.path}"

    @property
    def traits(self) -> Traits:
        """A disk: nothing is waited for."""
        return Traits()

    async def prepare(self, blobs: int) -> None:
        """Nothing is to be got ready."""

    async def refs(self) -> tuple[str, ...]:
        """Every name that a manifest has here. Raises `StoreNotFound`, `ManifestCorrupt`, `Unreadable`."""
        return (await self.index()).refs

    async def index(self) -> LayoutIndex:
        """What `index.json` says. Raises `StoreNotFound`, `ManifestCorrupt`, `Unreadable`."""
        return await in_thread(self._read_index)

    async def update(self, change: Callable[[LayoutIndex], LayoutIndex]) -> None:
        """Replaces `index.json` in one step by what `change` makes of it. Raises as `index`, and `Unavailable`."""
        await in_thread(self._update, change)

    async def add_manifest(self, manifest: Manifest) -> None:
        """Puts the manifest's bytes among the blobs, not into the index. Raises `Unavailable`."""
        spool = await self.spool()
        try:
            await in_thread(self._write, spool, manifest.raw)
            await self.adopt(spool, manifest.digest)
        finally:
            await discard(spool)

    async def spool(self) -> Spool:
        """An empty spool for a blob of this layout. Raises `Unavailable`, `Unreadable`."""
        await self.make_folders()
        return Spool(self.path)

    async def make_folders(self) -> None:
        """Make the folders that blobs go into. Raises `Unavailable`, `Unreadable`."""
        await in_thread(self._prepare)

    async def adopt(self, spool: Spool, digest: Digest) -> None:
        """Makes what is in `spool` the blob `digest`; that it is, the caller has checked. Raises `Unavailable`."""
        await in_thread(self._adopt, spool, digest)

    def blob_path(self, digest: Digest) -> Path:
        """Where the blob `digest` lies or would lie."""
        return self.path / "blobs" / "sha256" / digest.hex

    def _inside(self, path: Path) -> Path:
        real = Path(os.path.realpath(path))
        if not real.is_relative_to(os.path.realpath(self.path)):
            raise Unreadable(f"{path} is a link out of the layout", hint="put the content itself there")
        return real

    def _open(self, digest: Digest) -> io.FileIO:
        path = self.blob_path(digest)
        try:
            return open_regular(self._inside(path))
        except FileNotFoundError as error:
            raise BlobMissing(f"{digest} is not in {self.path}", hint="copy the model there again") from error
        except OSError as error:
            if error.errno is None:
                raise BlobCorrupt(f"{path} {error}") from error
            raise read_error(error, str(path)) from error

    def _size(self, digest: Digest) -> int | None:
        try:
            with self._open(digest) as file:
                return os.fstat(file.fileno()).st_size
        except OSError as error:
            raise read_error(error, str(self.blob_path(digest))) from error
        except (BlobMissing, BlobCorrupt):
            return None

    def _read_blob(self, digest: Digest) -> bytes:
        with self._open(digest) as file:
            try:
                return read_bounded(file, MAX_MANIFEST_BYTES)
            except OSError as error:
                raise read_error(error, str(self.blob_path(digest))) from error
            except ValueError as error:
                raise ManifestCorrupt(f"{digest} in {self.path} {error}") from error

    def _read_index(self) -> LayoutIndex:
        path = self.path / "index.json"
        try:
            with open_regular(self._inside(path)) as file:
                return LayoutIndex.parse(read_bounded(file, MAX_MANIFEST_BYTES))
        except (FileNotFoundError, NotADirectoryError) as error:
            raise StoreNotFound(
                f"{self.path} is no OCI image layout: it has no index.json",
                hint="name the folder that holds index.json",
            ) from error
        except OSError as error:
            if error.errno is None:
                raise Unreadable(f"{path} can't be read: {error}") from error
            raise read_error(error, str(path), damaged=ManifestCorrupt) from error
        except ValueError as error:
            raise ManifestCorrupt(f"{path} {error}") from error

    def _update(self, change: Callable[[LayoutIndex], LayoutIndex]) -> None:
        with self._writing:
            try:
                index = self._read_index()
            except StoreNotFound:
                index = LayoutIndex()
            if not (self.path / "oci-layout").exists():
                self._replace("oci-layout", _VERSION)
            self._replace("index.json", change(index).encode())

    def _replace(self, name: str, content: bytes) -> None:
        self._prepare()
        path, spool = self.path / name, Spool(self.path)
        with _disk(path):
            try:
                spool.write(content)
                spool.commit(path)
            finally:
                spool.discard()

    def _prepare(self) -> None:
        blobs = self.path / "blobs" / "sha256"
        self._inside(blobs)  # a link there would have us write elsewhere
        with _disk(blobs):
            blobs.mkdir(parents=True, exist_ok=True)

    def _write(self, spool: Spool, piece: bytes) -> None:
        with _disk(self.path):
            spool.write(piece)

    def _adopt(self, spool: Spool, digest: Digest) -> None:
        with _disk(self.path):
            spool.commit(self.blob_path(digest))


async def discard(spool: Spool) -> None:
    """Discards `spool` in a thread, which ends its work even when the caller is cancelled once more."""
    await asyncio.shield(in_thread(spool.discard))


def _chosen(index: LayoutIndex, ref: str) -> Descriptor:
    found = index.named(ref)
    if found is None:
        with suppress(InvalidDigest):
            found = index.with_digest(Digest.parse(ref))
    if found is None:
        known = printable(", ".join(index.refs[:8]), limit=300) or "nothing by name"
        raise ModelNotFound(f"there is no {printable(repr(ref), limit=140)} in the layout", hint=f"it has {known}")
    return found


def _only(index: LayoutIndex) -> Descriptor:
    manifests = {entry.digest: entry for entry in index.readable() if entry.media_type in MANIFEST_TYPES}
    if len(manifests) != 1:
        known = printable(", ".join(index.refs[:8]), limit=300)
        hint = f"name one, as in oci:DIR:REF; it has {known}" if known else None
        raise ModelNotFound(f"the layout has {len(manifests)} manifests, not one", hint=hint)
    return next(iter(manifests.values()))


@contextmanager
def _disk(path: Path) -> Iterator[None]:
    """What the system says of a write, as one of our errors."""
    try:
        yield
    except OSError as error:
        raise Unavailable(
            f"{path} can't be written: {error.strerror or error}",
            hint="make room, or name another folder, and run the same command again",
        ) from error
