"""What the receiver of an export has: an inventory of it, or the index of what was carried there before."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

from ..content.oci.layout import OCILayout
from ..content.oci.volume_set import archive_at, volumes_beside
from ..content.ollama.paths import open_regular
from ..content.optional_files import is_folder
from ..content.read_errors import read_error
from ..content.small_files import read_small_file
from ..content.threads import in_thread
from ..errors import StoreNotFound, UsageError
from ..model import Digest
from ..model.inventory import MAX_INVENTORY_BYTES, Inventory
from ..text.hint import Command, Hint, step
from .sources import LayoutSource

_PREFIXES: Final = ("oci-archive:", "oci:")
# Places that an inventory is made of, where they are.
_LIVE: Final = ("ollama:", "registry:")
# The first bytes of a file tell whether it is JSON.
_LOOK: Final = 64


def since_path(text: str) -> Path:
    """Return the path of an inventory, an archive or a layout, which may be written as a place."""
    return Path(text.removeprefix(next((each for each in _PREFIXES if text.startswith(each)), "")))


async def digests_since(paths: Sequence[Path]) -> frozenset[Digest]:
    """Return every blob that the receiver has, by the inventories, archives or layouts at `paths`.

    What an archive names and left out itself counts too: its receiver had that. Raises `StoreNotFound` for a path where
    nothing is, `UsageError` for what is neither, and what reading it raises.
    """
    found: set[Digest] = set()
    for path in paths:
        found |= await _named_in(path)
    return frozenset(found)


async def _named_in(path: Path) -> frozenset[Digest]:
    if await in_thread(_is_json, path):
        try:
            raw = await read_small_file(path, MAX_INVENTORY_BYTES)
        except ValueError as error:
            raise UsageError(f"{path} {error}", hint="name an inventory, or an archive") from error
        return Inventory.parse(raw, file=str(path)).blobs
    async with AsyncExitStack() as held:
        if await in_thread(is_folder, path):
            source = LayoutSource(OCILayout(path), f"oci:{path}", None)
        else:
            archive = archive_at(path)
            held.push_async_exit(archive)
            source = LayoutSource(archive, f"oci-archive:{path}", None)
        found: set[Digest] = set()
        for name in await source.names():
            manifest = await source.resolve(name)
            manifests = [manifest, *await source.children(manifest)]
            manifests += [await source.manifest(ref) for ref in await source.about(manifest.digest)]
            found |= {blob.digest for each in manifests for blob in each.blobs}
        return frozenset(found)


def _is_json(path: Path) -> bool:
    """Return whether there is a JSON document at `path`, and no archive. Raises `StoreNotFound` if there is nothing."""
    if is_folder(path) or volumes_beside(path):
        return False
    try:
        with open_regular(path) as file:
            return file.read(_LOOK).lstrip()[:1] == b"{"
    except (FileNotFoundError, NotADirectoryError) as error:
        hint: str | Hint = "check the path after --since"
        if str(path).startswith(_LIVE):
            hint = step("--since takes a file; to make one: ", Command(f"inventory {path} > FILE"))
        raise StoreNotFound(f"there is no {path}", hint=hint) from error
    except OSError as error:
        if error.errno is None:
            raise UsageError(f"{path} {error}", hint="name an inventory, or an archive") from error
        raise read_error(error, str(path)) from error
