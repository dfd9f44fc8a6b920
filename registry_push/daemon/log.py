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

# What begins the lines of a traceback, as no record begins: none of them can be taken for one.
_BELOW: Final = "  | "
_RUN: Final = re.compile(r"[^ -~]+")


class Cleaner(logging.Filter):
    """Makes every record one line of what can be printed, and a traceback lines of its own below it.

    Names, paths, headers, manifests, registries and exceptions say what they like; escape sequences, line ends and
    characters that nobody sees or that turn the direction of text are written out, as `\\x1b`. On a logger it cleans
    what is logged there; on a handler what comes from anywhere.
    """

    _formatter = logging.Formatter()

    def filter(self, record: logging.LogRecord) -> bool:
        """Clean `record` in place; it always passes. Cleaning twice changes nothing."""
        try:
            text = record.getMessage()
        except Exception:  # a bug in the call; to lose what was to be said would hide another
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
    # Written out first: a line end must not keep a login from being seen as one.
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
    """Log what this process says: lines on stderr, where systemd and containers look, or JSON objects on stdout.

    What others log in this process goes the same way.
    """
    handler = logging.StreamHandler(sys.stdout if as_json else sys.stderr)
    handler.setFormatter(_Objects() if as_json else _Lines())
    handler.addFilter(Cleaner())
    logging.getLogger().addHandler(handler)
    LOG.setLevel(logging.WARNING if quiet else logging.DEBUG if verbose else logging.INFO)
    # aiohttp writes a traceback for each head that is no HTTP; the client is answered 400.
    logging.getLogger("aiohttp.server").setLevel(logging.CRITICAL)


class Answered(Struct, frozen=True):
    """A request of `client` that was answered with `status` after so many `seconds`; `model` is what it pushes."""

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
    """Write what happened in a push, if it is worth a line."""
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
