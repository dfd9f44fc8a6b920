"""The system's memory of files, which would hide what is really on a medium."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path


def forget(files: Sequence[Path]) -> None:
    """Have the system forget the content of `files`, and of those in folders, so that they are read from the medium.

    Blocks on the disk. Nothing happens without such a call (macOS, Windows), or where all files are in memory.
    """
    if not hasattr(os, "posix_fadvise"):
        return
    inside = (each for path in files if path.is_dir() for each in path.rglob("*") if each.is_file())
    for path in (*(path for path in files if path.is_file()), *inside):
        with suppress(OSError):  # who reads it finds out
            descriptor = os.open(path, os.O_RDONLY)
            try:
                os.fsync(descriptor)  # what is not written yet can't be forgotten
                os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            finally:
                os.close(descriptor)
