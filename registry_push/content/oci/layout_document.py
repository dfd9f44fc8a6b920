"""`registry-push.json` in a layout folder."""

from __future__ import annotations

from ...errors import Unreadable
from ...model import Digest
from ...model.export_document import EXPORT_FILE, MAX_EXPORT_BYTES, ExportDocument, Exported
from ..ollama.paths import open_regular, read_bounded
from ..threads import in_thread
from .layout import OCILayout


def read_document(layout: OCILayout) -> ExportDocument | None:
    """Return what the export that wrote the layout says of it; None if it was no export of ours.

    Blocks on the disk. Raises `ArchiveCorrupt`, `Unreadable`.
    """
    path = layout.path / EXPORT_FILE
    try:
        with open_regular(path) as file:
            raw = read_bounded(file, MAX_EXPORT_BYTES)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        raise Unreadable(f"{path} can't be read: {error}", hint="copy the folder again") from error
    return ExportDocument.parse(raw, str(layout.path))


async def write_document(layout: OCILayout) -> None:
    """Write down which manifests are in the layout, and which of their blobs whoever reads it needs besides.

    Raises as `OCILayout.index`, and `Unavailable`.
    """
    names, requires = dict[str, Digest](), set[Digest]()
    for ref in (await layout.index()).refs:
        manifest = await layout.resolve(ref)
        names[ref] = manifest.digest
        for each in (manifest, *await layout.children(manifest)):
            requires |= {blob.digest for blob in each.blobs if not await layout.has(blob.digest)}
    found = tuple(Exported(*each) for each in sorted(names.items()))
    await in_thread(layout.replace_file, EXPORT_FILE, ExportDocument(found, tuple(sorted(requires))).encode())
