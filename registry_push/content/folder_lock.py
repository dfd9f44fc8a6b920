"""A lock on a folder, so that processes take turns at what is in it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from .write_errors import writing

try:
    import fcntl
except ImportError:  # Windows: processes take no turns there
    fcntl = None  # type: ignore[assignment]  # a module elsewhere

_HAS_LOCKS: Final[bool] = fcntl is not None


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the lock on `folder`, which has to be there; block until it is free. Threads of one process wait too.

    It leaves no file behind, and ends with the process. Raises as `writing`. Without support for locks it does nothing.
    """
    if not _HAS_LOCKS:
        yield
        return
    with writing(folder):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with suppress(OSError):  # some network file systems have no locks
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
