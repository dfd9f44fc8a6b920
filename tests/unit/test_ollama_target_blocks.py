"""`OllamaTarget.put` of a body that threads take from its line, and what it leaves open."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from registry_push.content.base import Placed
from registry_push.content.blocks import EMPTY, BlockBody, Blocks
from registry_push.content.body import BytesBody
from registry_push.content.ollama.files import StoreFiles
from registry_push.content.ollama.partial import PartialBlob
from registry_push.content.ollama.target import OllamaTarget
from registry_push.errors import BlobCorrupt
from registry_push.events import Placement
from registry_push.model import ModelName

from ..support.layouts import described

CONTENT = bytes(range(256)) * 20_000 + b"and the rest"
BLOB = described(CONTENT)
OTHER = CONTENT[:-1] + b"?"


class LineBody(BytesBody, BlockBody):
    """Content that only threads can take; `asked` has the parts that were asked for."""

    def __init__(self, content: bytes) -> None:
        super().__init__(content)
        self.asked: list[tuple[int, int]] = []

    def blocks(self, offset: int, length: int) -> Blocks:
        self.asked.append((offset, length))
        return _Taken(memoryview(self.content)[offset : offset + length])


class _Taken(Blocks):
    def __init__(self, rest: memoryview) -> None:
        self._rest = rest

    async def ready(self) -> None:
        return

    def take(self, most: int, buffer: memoryview | None = None) -> memoryview:
        piece, self._rest = self._rest[:most], self._rest[most:] or EMPTY
        return piece

    async def close(self) -> None:
        return


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "models"


def put_by(root: Path) -> OllamaTarget:
    return OllamaTarget(root, ModelName.parse("me/tiny"))


def left_in(root: Path) -> list[str]:
    return sorted(str(each.relative_to(root)) for each in root.rglob("*") if each.is_file())


def left_by_an_earlier_put(root: Path, content: bytes) -> None:
    partial = PartialBlob.claim(StoreFiles(root), BLOB)
    partial.add([content])
    partial.close()


async def test_the_content_becomes_the_blob(root: Path) -> None:
    assert await put_by(root).put(BLOB, LineBody(CONTENT)) == Placed(Placement.UPLOADED, BLOB.size)
    assert left_in(root) == [f"blobs/{BLOB.digest.path_name}"]
    assert (root / "blobs" / BLOB.digest.path_name).read_bytes() == CONTENT


async def test_wrong_content_never_has_the_name_of_the_blob(root: Path) -> None:
    with pytest.raises(BlobCorrupt, match="has the digest"):
        await put_by(root).put(BLOB, LineBody(OTHER))
    assert left_in(root) == []


async def test_a_kept_part_that_is_wrong_is_fetched_once_more(root: Path) -> None:
    left_by_an_earlier_put(root, b"?" * 1000)
    body = LineBody(CONTENT)
    sent = 2 * BLOB.size - 1000
    assert await put_by(root).put(BLOB, body) == Placed(Placement.UPLOADED, sent)
    assert body.asked == [(1000, BLOB.size - 1000), (0, BLOB.size)]
    assert (root / "blobs" / BLOB.digest.path_name).read_bytes() == CONTENT


async def test_a_kept_part_that_is_whole_is_not_fetched(root: Path) -> None:
    left_by_an_earlier_put(root, CONTENT)
    body = LineBody(CONTENT)
    assert await put_by(root).put(BLOB, body) == Placed(Placement.UPLOADED, 0)
    assert body.asked == []
    assert left_in(root) == [f"blobs/{BLOB.digest.path_name}"]


def open_in(root: Path) -> list[Path]:
    found = []
    for link in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # the listing's own descriptor
            found.append(link.readlink())
    return [path for path in found if path.is_relative_to(root)]


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="needs /proc")
@pytest.mark.parametrize("end", [PartialBlob.commit, PartialBlob.close], ids=["committed", "closed"])
def test_nothing_stays_open(root: Path, end: Callable[[PartialBlob], None]) -> None:
    partial = PartialBlob.claim(StoreFiles(root), BLOB)
    partial.add([CONTENT])
    partial.drain()
    assert open_in(root)
    end(partial)
    assert open_in(root) == []
