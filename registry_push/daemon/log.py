"""The service's log: a line for each push that begins or ends, warnings and retries; nothing secret, nothing raw."""

from __future__ import annotations

import logging

from ..events import Event, ModelDone, ModelFailed, ModelStarted, Retrying, Warned
from .failures import words_of

LOG = logging.getLogger("registry_push.daemon")


def tell(event: Event) -> None:
    """Writes what happened in a push, if it is worth a line."""
    match event:
        case ModelStarted():
            LOG.info("pushing %s to %s: %d blobs, %d bytes", event.model, event.target, event.blobs, event.size)
        case ModelDone():
            LOG.info(
                "pushed %s to %s: %d uploaded, %d mounted, %d there already, %d bytes sent",
                *(event.model, event.target, event.uploaded, event.mounted, event.present, event.sent),
            )
        case ModelFailed():
            LOG.error("push of %s to %s failed: %s", event.model, event.target, words_of(event.error))
        case Retrying():
            LOG.warning("%s: %s; again in %.1f s", event.what, event.reason, event.delay)
        case Warned():
            LOG.warning("%s%s", event.message, f"; {event.hint}" if event.hint else "")
        case _:
            pass
