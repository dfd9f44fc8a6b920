"""`registry-push.json` in a layout folder."""

from __future__ import annotations

from ...model import Digest, Manifest
from ...model.export_document import EXPORT_FILE, ExportDocument, Exported
from ..folder_lock import locked
from ..threads import in_thread
from .layout import OCILayout


async def write_document(layout: OCILayout) -> None:
    """Write which manifests the layout has, and which of their blobs it lacks: those its reader has to have already.

    Raises as `OCILayout.index`, and `Unavailable`.
    """
    await in_thread(_write, layout)


def _write(layout: OCILayout) -> None:
    names, requires = dict[str, Digest](), set[Digest]()
    with locked(layout.path):  # another export into the folder writes its own after this one
        index = layout._read_index()
        for ref in index.refs:
            entry = index.named(ref)
            assert entry is not None, "it is one of the index's names"
            manifest = Manifest.parse(layout._read_blob(entry.digest), media_type=entry.media_type)
            names[ref] = entry.digest
            for each in (manifest, *manifest.children(lambda child: layout._read_blob(child.digest))):
                requires |= {blob.digest for blob in each.blobs if layout._size(blob.digest) is None}
        found = tuple(Exported(*each) for each in sorted(names.items()))
        layout.replace_file(EXPORT_FILE, ExportDocument(found, tuple(sorted(requires))).encode())
