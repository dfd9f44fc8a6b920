"""`--json`: one event a line on stdout, for programs."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from types import TracebackType
from typing import Final, Self, TextIO

from ...errors import RegistryPushError
from ...events import BlobDone, BlobProgress, BlobRewound, Event, HTTPAnswer, HTTPRequest, as_json, error_fields
from . import words
from .line_writer import LineWriter
from .rates import Key

# Seconds between two `blob_progress` lines of one blob.
_THINNED: Final = 0.25


class JSONLines:
    """Prints every event as `events.as_json`; of progress at most a line in 250 ms for each blob, and its last one.

    Each has the `time` of its writing. The last line is `{"event": "result", …}` or `{"event": "error", …}`, and says
    how many seconds have `elapsed`. `events.schema.json` describes them all. Nothing is written to stderr, unless
    stdout is gone: then the error is. `now` returns seconds since 1970.
    """

    def __init__(
        self,
        stream_err: TextIO,
        stream_out: TextIO,
        *,
        clock: Callable[[], float],
        now: Callable[[], float] = time.time,
        debug: bool = False,
        dry_run: bool = False,
        on_lost: Callable[[OSError], None] | None = None,
    ) -> None:
        self._err, self._out, self._clock, self._now = stream_err, stream_out, clock, now
        self._debug = debug
        self._said_of_all = {"dry_run": True} if dry_run else {}
        self._began = clock()
        self._outlet = LineWriter(on_lost)
        self._written: dict[Key, float] = {}
        self._withheld: dict[Key, BlobProgress] = {}

    def __enter__(self) -> Self:
        self._outlet.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._outlet.close()

    def __call__(self, event: Event) -> None:
        match event:
            case BlobProgress():
                self._thin(event)
                return
            case BlobDone():
                self._release((event.repository, event.blob.digest))
            case BlobRewound():
                self._release((event.repository, event.digest))
            case HTTPRequest() | HTTPAnswer() if not self._debug:
                return
            case _:
                pass
        self._put(self._line(as_json(event)))

    def error(
        self, error: RegistryPushError, lines: Iterable[str] = (), fields: Mapping[str, object] | None = None
    ) -> None:
        """Write the last line: the error's class as `code`, message, hint, origin, URL and exit code, and `fields`."""
        self._put(self._line({"event": "error", **(fields or {}), **error_fields(error), **self._elapsed()}))
        self._outlet.close()  # only after the write is known whether anybody reads
        if self._outlet.lost(self._out):
            for line in words.error(error):
                self._outlet.put(self._err, line)

    def result(self, lines: Iterable[str] = (), fields: Mapping[str, object] | None = None) -> None:
        """Write the last line: `fields`, with values that JSON does not know (digests, references) as strings."""
        self._put(self._line({"event": "result", **(fields or {}), **self._elapsed()}))

    def _thin(self, event: BlobProgress) -> None:
        key, now = (event.repository, event.digest), self._clock()
        if now - self._written.get(key, -_THINNED) < _THINNED or not self._outlet.offer(
            self._out, self._line(as_json(event))
        ):
            self._withheld[key] = event
            return
        self._written[key] = now
        self._withheld.pop(key, None)

    def _release(self, key: Key) -> None:
        self._written.pop(key, None)
        if event := self._withheld.pop(key, None):
            self._put(self._line(as_json(event)))

    def _put(self, line: str) -> None:
        self._outlet.put(self._out, line)

    def _line(self, fields: Mapping[str, object]) -> str:
        return json.dumps(
            {"event": fields["event"], "time": timestamp(self._now()), **fields, **self._said_of_all}, default=str
        )

    def _elapsed(self) -> dict[str, float]:
        return {"elapsed": round(self._clock() - self._began, 3)}


def timestamp(now: float) -> str:
    """Return `now`, seconds since 1970, as `2026-11-28T23:24:38.123Z` (RFC 3339, UTC)."""
    return datetime.fromtimestamp(now, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
