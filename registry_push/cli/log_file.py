"""`--log-file`: everything that happens, one line each with its time, whatever the terminal shows."""

from __future__ import annotations

import io
import os
import platform
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from ..errors import InvalidSettings, RegistryPushError, Unwritable, printable, redacted
from ..events import Event
from ..text.user_part import without_login
from ..version import __version__
from .render import PUSH, Kind, Renderer, Verb, renderer
from .render.jsonl import timestamp


class _Stamped(io.TextIOWrapper):
    """A text stream that puts the time before each line. Whole lines are written to it."""

    def __init__(self, file: io.BufferedWriter, now: Callable[[], float]) -> None:
        super().__init__(file, encoding="utf-8")
        self._now = now

    def write(self, text: str) -> int:
        return super().write(f"{timestamp(self._now())} {text}")


class Logged:
    """A renderer that passes everything to `shown`, and also appends it to a file.

    If the log can't be written any more, it is given up, and `on_lost` is called; the work continues.
    """

    def __init__(
        self,
        shown: Renderer,
        path: Path,
        command_line: Sequence[str],
        *,
        verb: Verb = PUSH,
        on_lost: Callable[[OSError], None],
        now: Callable[[], float] = time.time,
    ) -> None:
        self._shown = shown
        self._file = _Stamped(_opened(path), now)
        self._log = renderer(Kind.PLAIN, self._file, self._file, verbose=True, debug=True, verb=verb, on_lost=on_lost)
        self._command_line = command_line

    def __enter__(self) -> Self:
        self._log.__enter__()
        words = (redacted(without_login(word)) for word in self._command_line)
        about = f"{platform.python_implementation()} {platform.python_version()}, {platform.platform()}"
        self._log.result([printable(f"registry-push {__version__}, {about}: {' '.join(words)}")])
        self._shown.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._shown.__exit__(kind, error, traceback)
        self._log.__exit__(kind, error, traceback)
        with suppress(OSError):  # it was reported before
            self._file.close()

    def __call__(self, event: Event) -> None:
        self._shown(event)
        self._log(event)

    def error(
        self, error: RegistryPushError, lines: Iterable[str] = (), fields: Mapping[str, object] | None = None
    ) -> None:
        """Report the error in both places."""
        lines = list(lines)
        self._shown.error(error, lines, fields)
        self._log.error(error, lines)
        self._log.result([f"exit code {error.exit_code}"])

    def result(self, lines: Iterable[str] = (), fields: Mapping[str, object] | None = None) -> None:
        """Report the result in both places."""
        lines = list(lines)
        self._shown.result(lines, fields)
        self._log.result([*lines, "exit code 0"])


def _opened(path: Path) -> io.BufferedWriter:
    """Open `path` to append; a new file is readable by its user only. Raises `Unwritable`, `InvalidSettings`."""
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_CLOEXEC", 0)
    try:
        return os.fdopen(os.open(path, flags, 0o600), "ab")
    except PermissionError as error:
        raise Unwritable(f"the log file {path} may not be written", hint="name another: --log-file FILE") from error
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise InvalidSettings(
            f"the log file {path} can't be written: {reason}", hint="name another: --log-file FILE"
        ) from error
