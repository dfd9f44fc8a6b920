"""`VolumeFile`: a tar file of an export, which grows entry by entry in the order of its plan."""

from __future__ import annotations

import errno
import hashlib
import os
import shlex
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from ...errors import ArchiveCorrupt, Unavailable, Unwritable, UsageError
from ...model import Digest
from ...model.export_document import EXPORT_FILE, MAX_EXPORT_BYTES, ExportDocument
from ..ollama.paths import open_regular
from ..partial_file import open_locked
from ..spool import RENAMES_OPEN
from ..write_errors import check_writable, write_error, writing
from . import tar
from .new_file import refuse_existing
from .tar_scan import DamagedArchiveError, scan
from .volume_plan import OPENING, Entry, VolumeFilePlan

# Bytes that are read at once.
_PIECE: Final = 1024 * 1024
# Where the next byte goes, where the entry that is written ends, and the sum so far.
Mark = tuple[int, int, Any]


class VolumeFile:
    """The file of `plan` in `folder`, with `.partial` after its name until `rename`. The methods block on the disk.

    What an earlier run has left is hashed before it is believed, in the order in which it would be written. The sum of
    the whole file is taken on the way.
    """

    def __init__(self, folder: Path, plan: VolumeFilePlan) -> None:
        self.path = folder / plan.name
        self.partial = folder / f"{plan.name}.partial"
        self.plan = plan
        self._descriptor: int | None = None
        self._there = 0  # bytes that an earlier run has left
        self._at = 0  # where the next byte goes; all before it is hashed
        self._end = 0  # where the entry that is written ends; 0 between two of them
        self._sum = hashlib.sha256()
        self._is_untouched = False  # an earlier run has finished it, and nothing was written since

    def open(self, document: ExportDocument) -> None:
        """Open or create the file, with the head. A finished volume of this very export is taken up again.

        Raises as `writing`; `Unavailable` if another export writes it, `Unwritable`, and `UsageError` for a finished
        volume of another export, which is not touched.
        """
        self._reopen(document)
        check_writable(self.partial)
        with writing(self.partial):
            descriptor = open_locked(self.partial)
            if descriptor is None:
                raise self._refused()
            begin = os.pread(descriptor, len(self.plan.head), 0)
            if not begin.startswith(OPENING[: len(begin)]):  # no export began it
                os.close(descriptor)
                refuse_existing(self.partial)
            self._descriptor, self._there = descriptor, os.fstat(descriptor).st_size
            if begin != self.plan.head:
                self._cut_at(0)
                self._write(self.plan.head)
            else:
                self._sum.update(self.plan.head)
                self._at = len(self.plan.head)

    @property
    def there(self) -> int:
        """Bytes that an earlier run has left."""
        return self._there

    def begin(self, entry: Entry) -> None:
        """Begin the next entry, or continue it, if it is there. Raises as `writing`."""
        assert self._at == entry.begin, "entries come in the order of the plan"
        with writing(self.partial):
            descriptor = self._opened()
            if self._there < entry.content or os.pread(descriptor, len(entry.header), entry.begin) != entry.header:
                self._cut_at(entry.begin)
                self._write(entry.header)
            else:
                self._sum.update(entry.header)
                self._at = entry.content
            self._end = entry.content + entry.piece.length

    @property
    def left(self) -> int:
        """Bytes that the entry still lacks."""
        return self._end - self._at

    @property
    def known(self) -> int:
        """Bytes of the entry that are there and not hashed yet."""
        return max(0, min(self._there, self._end) - self._at)

    def hash(self, hashed: Any) -> int:
        """Hash some of the `known` bytes, also with `hashed`; return how many. Raises as `writing`."""
        with writing(self.partial):
            piece = os.pread(self._opened(), min(_PIECE, self.known), self._at)
            if not piece:  # it has become shorter
                self._there = self._at
            hashed.update(piece)
            self._sum.update(piece)
            self._at += len(piece)
            return len(piece)

    def write(self, piece: memoryview) -> None:
        """Append `piece` to the entry, which has room for it. Raises as `writing`."""
        try:
            self._write(piece)
        except OSError as error:
            raise self._explained(error) from error

    def end(self) -> None:
        """End the entry, which is all there. Raises as `writing`."""
        assert not self.left, "it is all there"
        padding = bytes(tar.padding(self._end))
        with writing(self.partial):
            if padding and self._at < self._there and os.pread(self._opened(), len(padding), self._at) == padding:
                self._sum.update(padding)
                self._at += len(padding)
            else:
                self._write(padding)
        self._end = 0

    def mark(self) -> Mark:
        """Return the present state, for `reset`."""
        return self._at, self._end, self._sum.copy()

    def reset(self, mark: Mark, *, forget: bool) -> None:
        """Return to the state of `mark`. What was written since stays to be continued, unless it is to `forget`."""
        self._at, self._end, self._sum = mark[0], mark[1], mark[2].copy()
        if self._descriptor is None:
            return
        with writing(self.partial):
            if forget:
                self._cut_at(self._at)
            self._there = max(self._there, os.fstat(self._descriptor).st_size)

    def finish(self, document: bytes) -> Digest:
        """Write the document and the end, on the disk; return the sum of the file. Raises as `writing`."""
        assert self._at == self.plan.document, "every entry is there"
        with writing(self.partial):
            content = document.ljust(self.plan.room)
            ending = tar.file_header(EXPORT_FILE, len(content)) + content + bytes(tar.padding(len(content))) + tar.END
            descriptor = self._opened()
            if self._there != self.plan.size or os.pread(descriptor, len(ending), self._at) != ending:
                self._cut_at(self._at)
                os.pwrite(descriptor, ending, self._at)
                self._there = self.plan.size
            os.fsync(descriptor)
            whole = self._sum.copy()
            whole.update(ending)
            return Digest(whole.hexdigest())

    def rename(self) -> None:
        """Put the finished file under its name. Raises as `writing`, and `UsageError` if that is taken."""
        with writing(self.path):
            refuse_existing(self.path)
            if not RENAMES_OPEN:
                self._unlock()
            # In one step: a kill between a second name and the end of the first would leave both. And before its lock
            # goes: from there on nobody else may write it.
            self.partial.rename(self.path)
            self._is_untouched = False
            self.close()

    def close(self) -> None:
        """Close the file. One that was finished and not written since has its name again. Safe to call twice."""
        if self._is_untouched and not os.path.lexists(self.path):
            with suppress(OSError):
                self.partial.rename(self.path)
        self._unlock()

    def remove(self) -> None:
        """Remove what there is, which is not worth keeping, and close it. What was finished before is kept."""
        if self._descriptor is not None and not self._is_untouched:
            with suppress(OSError):
                self.partial.unlink()
        self.close()

    def _unlock(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
        self._descriptor = None

    def _reopen(self, document: ExportDocument) -> None:
        """Take the finished file up again, if there is one. Raises `UsageError` for one of another export."""
        if not os.path.lexists(self.path):
            return
        if not document.export or _export_of(self.path) != document.export or os.path.lexists(self.partial):
            refuse_existing(self.path)
        with writing(self.path):
            self.path.rename(self.partial)
        self._is_untouched = True

    def _refused(self) -> Exception:
        with suppress(OSError):
            if self.partial.is_file() and not self.partial.is_symlink() and self.partial.stat().st_nlink == 1:
                return Unavailable(
                    f"another export is writing {self.path}",
                    hint="wait for it to end, or name another file for this one",
                )
        return Unwritable(
            f"{self.partial} can't be used: it is no plain file, or can't be made",
            hint=f"see what is there, and move it away: ls -ld {shlex.quote(str(self.partial))}",
        )

    def _explained(self, error: OSError) -> Exception:
        if error.errno == errno.EFBIG:
            return Unwritable(
                f"{self.partial} can't have more than {self._at} bytes on this disk",
                hint="FAT takes no file of 4 GiB or more: make smaller volumes, --split 4GB, or use exFAT",
            )
        return write_error(error, self.partial, kept="what is written is kept")

    def _cut_at(self, end: int) -> None:
        self._is_untouched = False
        os.ftruncate(self._opened(), end)
        self._there = end

    def _write(self, piece: bytes | memoryview) -> None:
        rest = memoryview(piece)
        while rest:
            self._is_untouched = False
            written = os.pwrite(self._opened(), rest, self._at)
            self._sum.update(rest[:written])
            self._at += written
            rest = rest[written:]
        self._there = max(self._there, self._at)

    def _opened(self) -> int:
        assert self._descriptor is not None, "it is open"
        return self._descriptor


def _export_of(path: Path) -> str | None:
    """Return the export that a finished volume belongs to; None if it is none."""
    try:
        with open_regular(path) as file:
            size = os.fstat(file.fileno()).st_size
            member = scan(lambda offset, length: os.pread(file.fileno(), length, offset), size).get(EXPORT_FILE)
            if member is None or member.size > MAX_EXPORT_BYTES:
                return None
            return ExportDocument.parse(os.pread(file.fileno(), member.size, member.offset), str(path)).export
    except (OSError, ValueError, DamagedArchiveError, ArchiveCorrupt, UsageError):
        return None
