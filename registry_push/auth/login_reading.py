"""Reads a file of logins."""

from __future__ import annotations

from pathlib import Path

from ..content.read_errors import passes, read_error, unreadable
from ..content.small_files import linked_descriptor, read_small_file
from ..errors import InvalidSettings
from .login_document import MOST_BYTES, LoginDocument


async def read_document(path: Path) -> LoginDocument | None:
    """Return what the file holds; None if it is not there. Cancelling is safe.

    Raises `InvalidSettings` if it is no file of logins, `Unreadable` if this user may not read it, and what else
    reading raises.
    """
    try:
        # utf-8-sig: editors on Windows begin files with a byte order mark.
        text = (await read_small_file(path, MOST_BYTES, linked_descriptor)).decode("utf-8-sig")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except PermissionError as error:
        raise unreadable(path, what="the file of logins") from error
    except UnicodeDecodeError:  # not chained: it holds the whole content
        raise InvalidSettings(f"{path} is not UTF-8") from None
    except (OSError, ValueError) as error:
        if isinstance(error, OSError) and passes(error):
            raise read_error(error, "the file of logins", path=path) from error
        raise InvalidSettings(f"{path} can't be read: {error}") from error
    return LoginDocument.parse(text, str(path))
