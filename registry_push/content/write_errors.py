"""What a failure to write a local file means."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import Unavailable, Unwritable

_CLOSED = (errno.EACCES, errno.EPERM, errno.EROFS)


@contextmanager
def writing_to(path: Path) -> Iterator[None]:
    """Translate what the system says of a write to `path`: `Unwritable` if this user may not, else `Unavailable`."""
    try:
        yield
    except OSError as error:
        what = f"{path} can't be written: {error.strerror or error}"
        if error.errno in _CLOSED:
            raise Unwritable(what, hint="name a place that you may write to, or have this one made writable") from error
        hint = "make room, or name another place, and run the same command again"
        raise Unavailable(what, hint=hint) from error
