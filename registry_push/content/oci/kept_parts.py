"""`KeptParts`: parts of blobs that came before their turn, kept until the others are there."""

from __future__ import annotations

import stat
from collections.abc import Collection, Sequence
from functools import partial
from pathlib import Path

from ...model import Digest
from ...model.export_document import Part
from ..base import BlobBody
from ..body import FileBody
from ..ollama.paths import open_regular
from ..partial_file import PartialFile
from ..pouring import pour
from ..threads import in_thread
from ..write_errors import writing


class KeptParts:
    """Files in `folder`, which is on the disk of the target and is made when it is needed.

    What is in them is not checked: the blob is hashed when all of it is there.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def body(self, part: Part) -> FileBody | None:
        """Return a part that is kept, to be closed; None if it is not. Blocks on the disk."""
        if not self.has(part):
            return None
        try:
            return FileBody(open_regular(self._path(part)), name=str(self._path(part)))
        except OSError:
            return None

    def has(self, part: Part) -> bool:
        """Return whether a part is kept. Blocks on the disk."""
        try:
            status = self._path(part).lstat()
        except OSError:
            return False
        return stat.S_ISREG(status.st_mode) and status.st_size == part.length

    def begun(self, digest: Digest) -> int:
        """Return how many bytes of the blob the target has kept, as far as is known. Blocks on the disk."""
        try:
            return int(self._mark(digest).read_text(encoding="ascii"))
        except (OSError, ValueError):
            return 0

    async def note_begun(self, digest: Digest, size: int) -> None:
        """Note that the target has kept the first `size` bytes of the blob. Raises as `writing`."""
        await in_thread(self._note, digest, size)

    async def keep(self, part: Part, body: BlobBody) -> None:
        """Keep a part. Does nothing if it is kept, or another process is doing so.

        Raises as `writing`, and what the body raises. A cancelled call keeps nothing.
        """
        if await in_thread(self.has, part):
            return
        file = PartialFile(self._path(part).with_suffix(".partial"))
        try:
            if not await in_thread(self._begin, file, part.length):
                return
            await pour(body.open(0, part.length), partial(self._write, file))
            await in_thread(self._commit, file, part)
        finally:
            await in_thread(file.discard)

    def forget(self, digests: Collection[Digest]) -> None:
        """Remove all parts of blobs that are at the target. Blocks on the disk. Raises as `writing`."""
        names = {digest.hex for digest in digests}
        with writing(self._folder):
            for path in self._folder.iterdir() if self._folder.is_dir() else ():
                if path.name.partition(".")[0] in names:
                    path.unlink(missing_ok=True)
            if self._folder.is_dir() and not any(self._folder.iterdir()):
                self._folder.rmdir()

    def _note(self, digest: Digest, size: int) -> None:
        with writing(self._folder):
            self._folder.mkdir(parents=True, exist_ok=True)
            self._mark(digest).write_text(f"{size}\n", encoding="ascii")

    def _mark(self, digest: Digest) -> Path:
        return self._folder / f"{digest.hex}.begun"

    def _path(self, part: Part) -> Path:
        return self._folder / f"{part.digest.hex}.{part.offset}-{part.offset + part.length}.part"

    def _begin(self, file: PartialFile, size: int) -> bool:
        with writing(self._folder):
            self._folder.mkdir(parents=True, exist_ok=True)
            if not file.begin(size):
                return False
            file.restart()  # what a killed run has left can't be checked
            return True

    def _write(self, file: PartialFile, pieces: Sequence[bytes | memoryview]) -> None:
        with writing(self._folder):
            for piece in pieces:
                file.append(piece)

    def _commit(self, file: PartialFile, part: Part) -> None:
        with writing(self._folder):
            file.commit(self._path(part))
