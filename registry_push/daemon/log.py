"""The service's log: a line for each push that begins or ends, warnings and retries; nothing secret, nothing raw."""

from __future__ import annotations

import json
import logging
import re
import sys
import time
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import asdict

from ..errors import redacted
from ..events import BlobWaiting, Event, ModelDone, ModelFailed, ModelStarted, Retrying, Stopping, Warned
from .failures import words_of

# The prefix of a traceback's lines. No record begins so, hence no line of one can be mistaken for a record.
_BELOW: Final = "  | "
_RUN: Final = re.compile(r"[^ -~]+")


class Cleaner(logging.Filter):
    """Makes every record one line of printable text, and a traceback separate lines below it.

    Names, paths, headers, manifests, registries and exceptions may contain anything; escape sequences, line ends,
    invisible characters and those that change the direction of text are escaped, as `\\x1b`. On a logger it cleans what
    is logged there, on a handler everything.
    """

    _formatter = logging.Formatter()

    def filter(self, record: logging.LogRecord) -> bool:
        """Clean `record` in place; it always passes. Cleaning twice changes nothing."""
        try:
            text = record.getMessage()
        except Exception:  # a bug in the logging call; losing the record could hide another
            text = f"{record.msg} {record.args}"
        record.msg, record.args = _line(text), None
        if record.exc_info and record.exc_text is None:
            record.exc_text = self._formatter.formatException(record.exc_info)
        if record.exc_text:
            record.exc_text = _block(record.exc_text)
        if record.stack_info:
            record.stack_info = _block(record.stack_info)
        return True


def _line(text: str) -> str:
    # Escaped first: a line end inside a login must not keep it from being recognised.
    return redacted(_RUN.sub(_written_out, text))


def _written_out(run: re.Match[str]) -> str:
    if run[0].isprintable():
        return run[0]
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in run[0])


def _block(text: str) -> str:
    return "\n".join(f"{_BELOW}{_line(line.removeprefix(_BELOW))}" for line in text.split("\n"))


LOG = logging.getLogger("registry_push.daemon")
LOG.addFilter(Cleaner())

_TIME: Final = "%Y-%m-%dT%H:%M:%SZ"


class _Lines(logging.Formatter):
    """Lines for people, with the time in UTC."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(message)s")

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: N802  # logging's name
        """In UTC."""
        return time.strftime(datefmt or _TIME, time.gmtime(record.created))


class _Objects(_Lines):
    """One JSON object a record: time, level, message, and the fields of a request's record."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as JSON."""
        fields: dict[str, Any] = {
            "time": self.formatTime(record),
            "level": record.levelname.lower(),
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        below = [text for text in (record.exc_text, record.stack_info) if text]
        return json.dumps({**fields, "traceback": "\n".join(below)} if below else fields)


def begin(*, quiet: bool = False, verbose: bool = False, as_json: bool = False) -> None:
    """Set up logging: lines on stderr, where systemd and containers look, or JSON objects on stdout.

    Records of other packages in this process are logged in the same way.
    """
    handler = logging.StreamHandler(sys.stdout if as_json else sys.stderr)
    handler.setFormatter(_Objects() if as_json else _Lines())
    handler.addFilter(Cleaner())
    logging.getLogger().addHandler(handler)
    LOG.setLevel(logging.WARNING if quiet else logging.DEBUG if verbose else logging.INFO)
    # aiohttp logs a traceback for each head that is not HTTP; the client gets 400.
    logging.getLogger("aiohttp.server").setLevel(logging.CRITICAL)


class Answered(Struct, frozen=True):
    """A request of `client`, answered with `status` after `seconds`; `model` is what it pushes."""

    client: str
    method: str
    path: str
    status: int
    seconds: float
    model: str | None = None

    def __str__(self) -> str:
        what = " ".join((self.client, self.method, self.path, *([self.model] if self.model else [])))
        return f"{what}: {self.status} after {self.seconds:.2f} s"


def tell_of_request(answered: Answered, level: int) -> None:
    """Log an answered request."""
    LOG.log(level, "%s", answered, extra={"fields": asdict(answered)})


def tell(event: Event) -> None:
    """Log an event of a push, if it is worth a line."""
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
        case BlobWaiting():
            LOG.info("blob %s: another push sends it; this one waits for that", event.blob.digest.short)
        case Stopping():
            LOG.info("%d bytes under way are left", event.left)
        case _:
            pass
