"""`LoginFile`: a file of logins that is changed, as `docker login` and `podman login` change theirs."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from msgspec import Struct

from ..content.folder_lock import locked
from ..content.read_errors import unreadable
from ..content.threads import in_thread
from ..content.write_errors import write_error
from ..errors import InvalidSettings, Unavailable, UsageError
from ..model.origin import spellings
from .credential_helper import CredentialHelper
from .login_document import DOCKER_HUB_KEY, MOST_BYTES, LoginDocument, folded_host, keys_of
from .login_places import LoginPlace
from .login_reading import read_document

# Bits of a mode that let others read the file.
_READABLE: Final = 0o044
# Tries to change a file that other programs change at the same time.
_TRIES: Final = 5


class KeptLogin(Struct, frozen=True):
    """Where a login is kept. `helper` is the program that has it; None: the file has it, unencrypted."""

    path: Path
    helper: str | None
    is_exposed: bool = False  # whether other users may read the file

    def __str__(self) -> str:
        return f"{self.helper} ({self.path})" if self.helper is not None else str(self.path)


class LoginFile:
    """The file at `place`. A change keeps what else is in the file, its mode, and a link that leads to it.

    Each change raises `InvalidSettings` for a file that is no file of logins, what writing raises, and `Unauthorized`
    if a helper fails. Cancelling is safe: the file has the change, or has it not.
    """

    def __init__(self, place: LoginPlace, environ: Mapping[str, str]) -> None:
        self._path = place.path
        self._is_docker_s = place.is_docker_s
        self._environ = environ

    async def keep(self, host: str, path: str, username: str, password: str) -> KeptLogin:
        """Keep the login for `host[:port]`, or only for what is below `path` there; return where it is.

        If the file names a helper for it, that one gets the password, and the file does not.
        """
        for _ in range(_TRIES):
            before, document = await self._read()
            key, helper = self._key(host, path), self._helper(document, host, path)
            if helper is not None and path and "/" not in helper[1]:
                raise UsageError(
                    f"{helper[0].program} keeps the logins for {host}, and knows no parts of a registry",
                    hint=f"log in to {host}; or name another file: --authfile FILE",
                )
            if helper is None:
                after = document.with_login(key, username, password)
            else:
                await helper[0].store(helper[1], username, password)
                after = document.with_empty(key) if self._is_docker_s else document.without(key)
            if await self._write(before, document, after):
                name = helper[0].program if helper is not None else None
                return KeptLogin(self._path, name, await in_thread(self._is_exposed) and helper is None)
        raise self._busy()

    async def forget(self, host: str, path: str) -> KeptLogin | None:
        """Forget the login for `host[:port]`, or for `path` there; return where it was, or None if there was none."""
        for _ in range(_TRIES):
            before, document = await self._read()
            helper = self._helper(document, host, path)
            if helper is not None and path and "/" not in helper[1]:
                helper = None  # what it has is for the whole registry
            was_kept = helper is not None and await helper[0].erase(helper[1])
            after = document
            for spelling in spellings(host, "https"):
                after = after.without(self._key(spelling, path))
            if await self._write(before, document, after):
                if after is document and not was_kept:
                    return None
                return KeptLogin(self._path, helper[0].program if helper is not None and was_kept else None)
        raise self._busy()

    def _key(self, host: str, path: str) -> str:
        folded = folded_host(host)
        if folded == "docker.io" and self._is_docker_s and not path:
            return DOCKER_HUB_KEY
        return f"{folded}/{path}" if path else folded

    def _helper(self, document: LoginDocument, host: str, path: str) -> tuple[CredentialHelper, str] | None:
        found = next(document.helpers(host, keys_of(host, path)), None)
        if found is None:
            return None
        name, server = found
        return CredentialHelper(name, document.source, self._environ), server

    async def _read(self) -> tuple[os.stat_result | None, LoginDocument]:
        before = await in_thread(self._status)
        if before is None:
            return None, LoginDocument({}, str(self._path))
        document = await read_document(self._path)
        return before, document if document is not None else LoginDocument({}, str(self._path))

    def _status(self) -> os.stat_result | None:
        """Raises `Unreadable`, `InvalidSettings`."""
        try:
            return self._path.stat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except PermissionError as error:
            raise unreadable(self._path, what="the file of logins") from error
        except OSError as error:  # links in a circle
            raise InvalidSettings(f"{self._path} can't be read: {error.strerror}") from error

    def _is_exposed(self) -> bool:
        status = self._status()
        return os.name == "posix" and status is not None and bool(status.st_mode & _READABLE)

    async def _write(self, before: os.stat_result | None, old: LoginDocument, new: LoginDocument) -> bool:
        """Replace the file; return False if another program has changed it since it was `before`."""
        if new is old:
            return True
        content = new.encoded
        if len(content) > MOST_BYTES:
            raise InvalidSettings(f"{self._path} would have more than {MOST_BYTES} bytes with this login")
        try:
            return await in_thread(self._replace, content, before)
        except OSError as error:
            raise write_error(error, self._path) from error

    def _replace(self, content: bytes, before: os.stat_result | None) -> bool:
        path = Path(os.path.realpath(self._path))
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # 0600
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                if before is not None and os.name == "posix":
                    os.fchmod(descriptor, stat.S_IMODE(before.st_mode))
                    with suppress(PermissionError):  # only root may give files away
                        os.fchown(descriptor, before.st_uid, before.st_gid)
                os.fsync(descriptor)
            with locked(path.parent):  # our own processes take turns; docker's and podman's can still come between
                if _changed(before, self._status()):
                    return False
                Path(name).replace(path)
        finally:
            Path(name).unlink(missing_ok=True)
        return True

    def _busy(self) -> Unavailable:
        return Unavailable(f"{self._path} is changed by other programs all the time", hint="try again")


def _changed(before: os.stat_result | None, now: os.stat_result | None) -> bool:
    if before is None or now is None:
        return before is not now
    return (before.st_ino, before.st_mtime_ns, before.st_size) != (now.st_ino, now.st_mtime_ns, now.st_size)
