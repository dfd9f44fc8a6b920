"""`Identity`: the ed25519 key that tells Ollama registries who we are."""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Final, Self

from ..content.ollama.paths import read_small
from ..content.read_errors import passes, read_error, unreadable
from ..content.small_files import linked_descriptor, read_small_file
from ..errors import InvalidKey, KeyNotFound, UsageError
from ..text.hint import Command, Setting, step

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

# The key of Ollama's service user on Linux (install.sh); we can use it only if its mode was changed for us.
_SERVICE_KEY: Final = Path("/usr/share/ollama/.ollama/id_ed25519")
# An ed25519 key has about 400 bytes, the longest RSA keys a few thousand.
_MAX_KEY: Final = 64 * 1024
_ANOTHER: Final = step(
    "name another key, or create one: ", Command("key create --key FILE"), ", then give ", Setting("key", "FILE")
)


@dataclass(frozen=True, slots=True)
class Identity:
    """A private key, and its public half in SSH's wire form (RFC 8709 section 4)."""

    public_wire: bytes
    _private: Ed25519PrivateKey = field(repr=False)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Return the key in the OpenSSH file `path`; blocks on the disk.

        Raises `KeyNotFound`; `InvalidKey` for one with a passphrase, of another type, or none at all; `Unreadable`,
        with the owner's name, if this user may not read it.
        """
        with _explaining(path):
            content = read_small(path, _MAX_KEY)
        return cls._parse(content, path)

    @classmethod
    async def read(cls, path: Path) -> Self:
        """As `load`, for coroutines. Raises `OutOfResources` too."""
        with _explaining(path):
            content = await read_small_file(path, _MAX_KEY, linked_descriptor)
        return cls._parse(content, path)

    @classmethod
    def create(cls, path: Path) -> Self:
        """Create a key, write it to `path` (mode 0600) and its public half beside it, as Ollama does.

        A folder that has to be made is for its owner alone. Raises `UsageError` if either file exists: a key
        that was registered somewhere is never overwritten.
        """
        # Imported where it is used: cryptography takes longer to import than the rest of a short command.
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
        from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

        key = Ed25519PrivateKey.generate()
        identity = cls(_wire(key), key)
        public_path = public_path_of(path)
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            if os.path.lexists(public_path):
                raise FileExistsError(None, "", str(public_path))  # noqa: TRY301  # one sentence for both files
            _write_new(path, key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()), 0o600)
            _write_new(public_path, f"{identity.public_line}\n".encode(), 0o644)
        except FileExistsError as error:
            raise UsageError(
                f"{error.filename} is there already",
                hint=step("keep it, or move it away; or name another: ", Setting("key", "FILE")),
            ) from error
        except OSError as error:
            raise UsageError(
                f"no key can be written to {path}: {error.strerror}",
                hint=step("name another file: ", Setting("key", "FILE")),
            ) from error
        return identity

    @property
    def public_line(self) -> str:
        """`ssh-ed25519 AAAA…`, to be pasted into a registry's page of keys. Without a comment, as Ollama writes it."""
        return f"ssh-ed25519 {base64.b64encode(self.public_wire).decode()}"

    @property
    def fingerprint(self) -> str:
        """`SHA256:…`, as ssh-keygen shows it."""
        digest = hashlib.sha256(self.public_wire).digest()
        return f"SHA256:{base64.b64encode(digest).decode().rstrip('=')}"

    def sign(self, text: bytes) -> bytes:
        """Return the 64 bytes of the signature of `text`."""
        return self._private.sign(text)

    @classmethod
    def _parse(cls, content: bytes, path: Path) -> Self:
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
        from cryptography.hazmat.primitives.serialization import load_ssh_private_key

        try:
            key = load_ssh_private_key(content, password=None)
        except TypeError as error:  # what cryptography raises if a passphrase is needed
            raise InvalidKey(
                f"{path} has a passphrase",
                hint=step(f"remove it: ssh-keygen -p -f {quote(str(path))}; or ", *_ANOTHER.parts),
            ) from error
        except (ValueError, UnsupportedAlgorithm) as error:
            raise InvalidKey(
                f"{path} is no OpenSSH private key: {error}",
                hint=_ANOTHER,
            ) from error
        if not isinstance(key, Ed25519PrivateKey):
            raise InvalidKey(f"{path} is no ed25519 key", hint=_ANOTHER)
        return cls(_wire(key), key)


@contextmanager
def _explaining(path: Path) -> Iterator[None]:
    """Raise what reading the key at `path` raises as our own errors."""
    try:
        yield
    except PermissionError as error:
        raise unreadable(path, what="the key") from error
    except (FileNotFoundError, NotADirectoryError) as error:
        raise KeyNotFound(
            f"no key at {path}", hint=step("create one: ", Command(f"key create --key {quote(str(path))}"))
        ) from error
    except (OSError, ValueError) as error:
        if isinstance(error, OSError) and passes(error):
            raise read_error(error, "the key", path=path) from error
        hint = step("name the file with ", Setting("key", "FILE"))
        raise InvalidKey(f"{path} is no key: {error}", hint=hint) from error


def default_key_path(home: Path | None) -> Path | None:
    """Return the path of the key to use if none is named: Ollama's in `home`, else that of its Linux service.

    The service's key counts only if we may read it. If there is neither, return the path in `home`, which does not
    exist yet; None without a home.
    """
    own = None if home is None else home / ".ollama" / "id_ed25519"
    if (own is None or not os.path.lexists(own)) and os.access(_SERVICE_KEY, os.R_OK):
        return _SERVICE_KEY
    return own


def public_path_of(path: Path) -> Path:
    """Return the path of the public half of the key at `path`."""
    return path.with_name(path.name + ".pub")


def mode_warning(path: Path) -> str | None:
    """Return a warning if others than its owner can read the key, else None. Like ssh, only for keys of our own."""
    if os.name != "posix":
        return None
    try:
        status = path.stat()
    except OSError:
        return None
    # sshkey_perm_ok in OpenSSH's authfile.c: a key that is somebody else's is not ours to lock.
    if status.st_uid != os.getuid() or not status.st_mode & 0o077:
        return None
    return f"{path} has the mode {status.st_mode & 0o777:04o}, so that others can use your key: chmod 600 {path}"


def _wire(key: Ed25519PrivateKey) -> bytes:
    raw = key.public_key().public_bytes_raw()
    return b"".join(len(part).to_bytes(4, "big") + part for part in (b"ssh-ed25519", raw))


def _write_new(path: Path, content: bytes, mode: int) -> None:
    """Write a new file and leave nothing half-written. Raises `FileExistsError`."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with open(descriptor, "wb") as file:  # noqa: PTH123  # a descriptor, no path
            file.write(content)
            file.flush()
            os.fsync(descriptor)
    except BaseException:  # Ctrl-C too: half a key is none
        path.unlink()
        raise
