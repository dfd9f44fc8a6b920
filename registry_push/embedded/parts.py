"""Upload sessions of an Ollama registry: parts in files of their own, and a chain of addresses to ask for them."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import secrets
import threading
import uuid
from pathlib import Path
from typing import Final
from urllib.parse import urlencode

from msgspec import Struct

from ..content.spool import Spool
from ..model import Digest

_PIECE: Final = 1024 * 1024


class PartFile:
    """Bytes in `folder` until `discard`, with their MD5. The methods block on the disk and are called in threads."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / f".part-{secrets.token_hex(8)}"
        self._file = self._path.open("xb+", buffering=0)
        self._lock = threading.Lock()
        self._md5 = hashlib.md5(usedforsecurity=False)
        self.size = 0

    @property
    def md5(self) -> bytes:
        """The MD5 of what has been written, raw."""
        return self._md5.digest()

    def write(self, piece: bytes) -> None:
        """Append `piece`; after `discard` it does nothing."""
        with self._lock:
            if self._file.closed:
                return
            rest = memoryview(piece)
            while rest:
                rest = rest[self._file.write(rest) :]
            self._md5.update(piece)
            self.size += len(piece)

    def copy_to(self, spool: Spool) -> None:
        """Append all of it to `spool`."""
        with self._lock:
            self._file.seek(0)
            while piece := self._file.read(_PIECE):
                spool.write(piece)

    def discard(self) -> None:
        """Remove it. Waits for a thread that writes just now. Safe to call twice."""
        with self._lock:
            self._file.close()
            self._path.unlink(missing_ok=True)


class Part(Struct):
    """The bytes `first` to `last` of the blob; `redirected`: they are to go to the storage. `file`: once they came."""

    number: int
    first: int
    last: int
    redirected: bool = False
    file: PartFile | None = None

    @property
    def size(self) -> int:
        """In bytes."""
        return self.last - self.first + 1


class Whole(Struct):
    """A blob that is to come in one body, from a client that said what it is."""

    digest: Digest
    size: int
    offered: bool = False
    file: PartFile | None = None


Holder = Part | Whole
"""Targets for a body."""


class PartSession:
    """One upload to one repository.

    The address changes with every PATCH. One that was used may be used again for the same bytes, since its answer may
    have been lost on the way; the newest one may be used for the next bytes, or for any that were asked for before.
    """

    def __init__(self, repository: str, whole: Whole | None) -> None:
        self.id = str(uuid.uuid4())
        self.repository = repository
        self.whole = whole
        self.parts: list[Part] = []
        self.ended = False
        self.lock = asyncio.Lock()
        # With its padding it must be quoted in a query, so that a client which rebuilds Locations is found out.
        self._secret = base64.b64encode(secrets.token_bytes(16)).decode()
        self._asked: list[Part] = []  # by the address that each was asked for at

    @property
    def path(self) -> str:
        """The newest URL: path and query."""
        query = urlencode({"_state": f"{self._secret}{len(self._asked)}"})
        return f"/v2/{self.repository}/blobs/uploads/{self.id}?{query}"

    @property
    def stored(self) -> int:
        """Bytes from the start that are stored without a gap."""
        size = 0
        for part in self.parts:
            if part.file is None:
                break
            size += part.size
        return size

    def step(self, state: str) -> int | None:
        """Return which of the addresses `state` is of, or None."""
        number = state.removeprefix(self._secret)
        if not state.startswith(self._secret) or not (number.isascii() and number.isdecimal()):
            return None
        return int(number) if int(number) <= len(self._asked) else None

    def is_newest(self, step: int) -> bool:
        """Return whether `step` is of the address that `path` gives now."""
        return step == len(self._asked)

    def ask(self, step: int, first: int, last: int) -> Part:
        """Return the part `first` to `last`, asked for at the address `step`. Raises `ValueError` if that can't be."""
        known = next((part for part in self.parts if (part.first, part.last) == (first, last)), None)
        if not self.is_newest(step):
            if known is None or self._asked[step] is not known:
                raise ValueError("a session URL that was used before, for another part")
            return known
        if known is None:
            end = self.parts[-1].last + 1 if self.parts else 0
            if first != end:
                raise ValueError(f"parts are asked for in order, and the next one begins at {end}, not {first}")
            known = Part(len(self.parts) + 1, first, last)
            self.parts.append(known)
        self._asked.append(known)
        return known

    def flaw(self, min_part: int) -> str | None:
        """Return what keeps the parts from being a blob, or None."""
        for part in self.parts:
            if part.file is None:
                return f"part {part.number} was never stored"
        for part in self.parts[:-1]:
            # R2, where Ollama keeps its blobs, joins equal parts only, none below 5 MiB but the last.
            if part.size != self.parts[0].size or part.size < self.parts[-1].size:
                return "all parts but the last must have one size, and the last no more"
            if part.size < min_part:
                return f"part {part.number} is smaller than {min_part} bytes"
        size = sum(part.size for part in self.parts)
        if self.whole is not None and size != self.whole.size:
            return f"the parts have {size} bytes together, and {self.whole.size} were announced"
        return None

    @property
    def etag(self) -> str:
        """What the client must say for the parts that are here: the MD5 of their MD5s, and how many they are."""
        sums = b"".join(part.file.md5 for part in self.parts if part.file is not None)
        return f"{hashlib.md5(sums, usedforsecurity=False).hexdigest()}-{len(self.parts)}"

    @property
    def files(self) -> list[PartFile]:
        """All stored files."""
        holders: list[Holder] = [*self.parts, *([self.whole] if self.whole is not None else [])]
        return [holder.file for holder in holders if holder.file is not None]

    @property
    def content(self) -> list[PartFile]:
        """The files of the blob: its parts, or the one body of a direct upload."""
        if self.whole is not None and self.whole.file is not None and not self.parts:
            return [self.whole.file]
        return [part.file for part in self.parts if part.file is not None]

    def put(self, holder: Holder, file: PartFile) -> PartFile | None:
        """Put `file` into `holder`. What is over then: the file it had, or this one if the session has ended."""
        if self.ended:
            return file
        over, holder.file = holder.file, file
        return over
