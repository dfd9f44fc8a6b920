"""`StoreFiles`: what is written into an Ollama store, one step at a time, by Ollama's rules.

Nothing under its final name is ever half written: partial content and the next manifest are kept in `.registry-push/`,
where Ollama does not look, on the same file system as their final place. In `blobs/`, Ollama deletes at its start every
file whose name is no digest, and takes files named like its partial content for its own; one odd file four levels below
`manifests/` keeps it from cleaning up at all.
"""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, Self

from msgspec import Struct

from ...errors import IntegrityError, NotAtSource, Unwritable, UsageError
from ...model import Digest, Manifest, ModelName
from ..read_errors import Cause, cause_of, read_error
from ..write_errors import check_writable, writing
from .folder import Folder, Owner
from .names import LEGACY, V2, fits_legacy, v2_parts
from .source import OllamaStore

BLOBS: Final = "blobs"
WORK: Final = ".registry-push"
_NAME_BYTES: Final = 8  # random bytes in the name of a new file


class Written(Struct, frozen=True):
    """A file that was put, recognised by its inode and its time, since Ollama overwrites files in place."""

    path: Path
    device: int
    inode: int
    modified: int

    @classmethod
    def of(cls, path: Path, status: os.stat_result) -> Self:
        """Return the file with this `status`."""
        return cls(path, status.st_dev, status.st_ino, status.st_mtime_ns)


class StoreFiles:
    """The files of the store at `root`. Every method blocks on the disk, and raises our own errors.

    `Unwritable`: this user may not write there, or something else is in the way. `Unavailable`: the disk is full.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._blobs = str(root / BLOBS)

    def owner(self) -> Owner | None:
        """Return the owner for new files and folders: that of `blobs/` if we are root; None: they stay ours.

        If root owned them, the service that the store belongs to could not read them.
        """
        if os.name != "posix" or os.geteuid() != 0:
            return None
        blobs = self.root / BLOBS
        for place in (blobs, *blobs.absolute().parents):
            with suppress(FileNotFoundError):
                status = place.stat()
                return Owner(status.st_uid, status.st_gid)
        return None

    def blobs(self) -> Folder:
        """Open `blobs/`; create it if it is missing. Raises `OSError`."""
        return Folder.made(self.root / BLOBS, self.owner())

    def work(self, beside: Folder) -> Folder:
        """Open `.registry-push/` on the file system of the folder `beside`. Raises `OSError`, `Unwritable`.

        It is in the store, unless `blobs` or `manifests` is a link to another disk: then it is beside the link's
        target. If that is the root of a disk, it is inside `manifests`: two levels down Ollama does not look.
        """
        for parent in self._parents_of_work(beside.path):
            with Folder.made(parent, beside.owner) as folder:
                if folder.device == beside.device:
                    with writing(folder.path / WORK):
                        return folder.child(WORK)
        real = Path(os.path.realpath(beside.path))
        raise Unwritable(
            f"{real} is a disk by itself, on which nothing but blobs may lie",
            hint=f"make {self.root / BLOBS} a link to a folder on that disk, not to all of it",
        )

    def _parents_of_work(self, beside: Path) -> Iterator[Path]:
        yield self.root
        real = Path(os.path.realpath(beside))
        yield real.parent
        if real != Path(os.path.realpath(self.root / BLOBS)):
            yield real

    def check(self, name: ModelName) -> None:
        """Raise `Unwritable` if this user may not write blobs, or the manifest `name`: before gigabytes are fetched."""
        with writing(self.root / BLOBS), self.blobs() as blobs, self.work(blobs):
            pass
        for path in (self.root / BLOBS / "any", *(self.root.joinpath(*place) for place in self._places(name))):
            check_writable(path)

    def has(self, digest: Digest, size: int | None) -> bool:
        """Return whether the blob is here, in this size. If so, set its time, so that Ollama keeps it for an hour.

        A link to a file of the store counts.
        """
        path = f"{self._blobs}{os.sep}{digest.path_name}"
        try:
            status = os.lstat(path)
            if stat.S_ISLNK(status.st_mode):
                path = os.path.realpath(path, strict=True)
                homes = (os.path.realpath(self.root), os.path.realpath(self._blobs))
                if not any(Path(path).is_relative_to(home) for home in homes):
                    return False
                status = os.lstat(path)
        except OSError as error:
            if cause_of(error.errno) is Cause.MISSING:
                return False
            raise read_error(error, f"blob {digest}", path=Path(path)) from error
        if not stat.S_ISREG(status.st_mode) or size not in (None, status.st_size):
            return False
        with suppress(OSError):  # of another user, or gone by now: then it is not ours to keep
            os.utime(path, follow_symlinks=False)
        return True

    def missing(self, manifest: Manifest) -> list[Digest]:
        """Return the content that `manifest`, or a manifest that it lists, names and that is not here."""
        missing = [blob.digest for blob in manifest.blobs if not self.has(blob.digest, blob.size)]
        store = OllamaStore(self.root)
        for entry in manifest.manifests:
            if not self.has(entry.digest, entry.size):
                missing.append(entry.digest)
                continue
            try:
                missing += self.missing(manifest.child(entry, store.blobs.read_child(entry)))
            except (NotAtSource, IntegrityError):
                missing.append(entry.digest)
        return missing

    def put_blob(self, content: bytes, digest: Digest) -> None:
        """Put a small blob whose content is known to be right."""
        with writing(self.root / BLOBS), self.blobs() as blobs, self.work(blobs) as work:
            name = _new_name()
            try:
                work.write(name, content)
                work.replace(name, blobs, digest.path_name)
            finally:
                work.unlink(name)

    def put_manifest(self, manifest: Manifest, name: ModelName) -> list[Written]:
        """Put the manifest under `name`, replacing what was there. Return the files that represent it.

        If there is `manifests-v2/`, the manifest is also a blob, with a link there. The link is written last: Ollama
        and we read it first, so that a put that was killed in between is done again.
        """
        written = []
        for top, *parts in self._places(name):
            if top == V2:
                self.put_blob(manifest.raw, manifest.digest)
            written.append(self._put(top, parts, manifest))
        return written

    def _places(self, name: ModelName) -> list[tuple[str, ...]]:
        """Return where the manifest `name` goes: the folder of a layout, and the names below it."""
        places: list[tuple[str, ...]] = []
        if fits_legacy(name):
            places.append((LEGACY, *name.path_parts))
        if (self.root / V2).is_dir():
            places.append((V2, *v2_parts(name)))
        if not places:
            raise UsageError(
                f"{name.host} can't be the name of a folder on Windows, and this store has no {V2}",
                hint="keep the model under a name without a port: registry-push pull --as NAME[:TAG], or copy to "
                "ollama:NAME[:TAG]",
            )
        return places

    def remove(self, written: Iterable[Written]) -> None:
        """Remove these files, unless they have been replaced."""
        for each in written:
            with writing(each.path), Folder.at(each.path.parent, None) as folder:
                status = folder.status(each.path.name)
                if status is not None and Written.of(each.path, status) == each:
                    folder.unlink(each.path.name)

    def _put(self, top: str, parts: Sequence[str], manifest: Manifest) -> Written:
        path = self.root.joinpath(top, *parts)
        with writing(path), Folder.made(self.root / top, self.owner()) as manifests, self.work(manifests) as work:
            folder, temporary = self._below(manifests, parts[:3]), _new_name()
            with folder:
                tag = folder.spelling(parts[3])
                try:
                    self._write(top, work, temporary, folder, manifest)
                    status = work.status(temporary)
                    assert status is not None, "it was just written"
                    work.replace(temporary, folder, tag)
                finally:
                    work.unlink(temporary)
                return Written.of(folder.path / tag, status)

    def _below(self, top: Folder, parts: Sequence[str]) -> Folder:
        folder = top.child(top.spelling(parts[0]))
        for part in parts[1:]:
            with folder as parent:
                folder = parent.child(parent.spelling(part))
        return folder

    def _write(self, top: str, work: Folder, temporary: str, folder: Folder, manifest: Manifest) -> None:
        if top == V2:
            # Ollama's order (pull request 16590): a symbolic link, else a hard link, else a copy. A disk may lack both,
            # and so may Python on some systems. The copy is the way out of any failure.
            blob = os.path.realpath(self.root / BLOBS / manifest.digest.path_name)
            with suppress(OSError, NotImplementedError):
                return work.link(temporary, os.path.relpath(blob, os.path.realpath(folder.path)))
            with suppress(OSError, NotImplementedError):
                return os.link(blob, work.path / temporary)
        return work.write(temporary, manifest.raw)


def _new_name() -> str:
    return f"new-{secrets.token_hex(_NAME_BYTES)}"
