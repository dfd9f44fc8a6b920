"""`OllamaMender`: replaces broken blobs of an Ollama store."""

from __future__ import annotations

from ...model import Descriptor
from .partial import PartialBlob
from .target import OllamaTarget


class OllamaMender(OllamaTarget):
    """As `OllamaTarget`, but a blob that is there is replaced, at once and only by content that has its digest."""

    async def exists(self, blob: Descriptor) -> bool:
        """Return False: what is there is broken."""
        return False

    def _claimed(self, blob: Descriptor) -> PartialBlob:
        partial = PartialBlob.claim(self._files, blob)
        try:
            partial.hash_on()
        except BaseException:  # Ctrl-C too: nobody else closes it
            partial.close()
            raise
        return partial
