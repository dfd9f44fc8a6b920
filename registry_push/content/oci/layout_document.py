"""`registry-push.json` in a layout folder."""

from __future__ import annotations

from ...model import Digest
from ...model.export_document import EXPORT_FILE, ExportDocument, Exported
from ..threads import in_thread
from .layout import OCILayout


async def write_document(layout: OCILayout) -> None:
    """Write which manifests the layout has, and which of their blobs it lacks: those its reader has to have already.

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
