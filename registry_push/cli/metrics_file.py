"""`--metrics-file`: how the last run ended, for Prometheus; also of a run that could not start."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from ..content.ollama.paths import read_small
from ..content.write_errors import check_writable, write_error
from ..errors import RegistryPushError, UsageError

if TYPE_CHECKING:
    from ..verbs.sync.totals import SyncReport

_SUFFIX: Final = ".prom"
# Bytes. A plan with 1,000 entries that all fail has 100,000.
_MOST_BYTES: Final = 4 * 1024 * 1024
# The collector is another user.
_MODE: Final = 0o644
_BUG, _INTERRUPTED = 1, 130


class MetricsFile:
    """The file at `path`, about the runs of `plan`. `report` is set once there is one."""

    def __init__(self, path: Path, plan: str) -> None:
        self._path = path
        self._plan = plan
        self._started = time.time()
        self.report: SyncReport | None = None

    def write(self, exit_code: int) -> None:
        """Replace the file, whole or not at all. Raises `Unwritable`, `Unavailable`."""
        from ..verbs.sync.metrics import RunMetrics, last_success_in

        old, now = "", time.time()
        with suppress(OSError, ValueError):  # it may be anything, or not be there yet
            old = read_small(self._path, _MOST_BYTES).decode()
        metrics = RunMetrics(
            plan=self._plan,
            started=self._started,
            ended=now,
            exit_code=exit_code,
            report=self.report,
            last_success=last_success_in(old, self._plan, now=now),
        )
        try:
            _replace(self._path, metrics.text())
        except OSError as error:
            raise write_error(error, self._path) from error


@contextmanager
def metrics_file(path: Path | None, plan: Path) -> Iterator[MetricsFile | None]:
    """Write the file at `path` however the block ends, with the exit code that this means; without a path do nothing.

    What keeps it from being written is a warning: it is noticed by the old times in the file. Raises `UsageError` and
    `Unwritable` before the block.
    """
    if path is None:
        yield None
        return
    _check(path)
    file, code = MetricsFile(path, str(plan.absolute())), _BUG
    try:
        yield file
        code = 0
    except RegistryPushError as error:
        code = error.exit_code
        raise
    except click.exceptions.Exit as end:
        code = end.exit_code
        raise
    except KeyboardInterrupt:
        code = _INTERRUPTED
        raise
    finally:
        try:
            file.write(code)
        except RegistryPushError as error:
            with suppress(OSError):
                click.echo(f"warning: the metrics file is not written: {error.message}", err=True)


def _check(path: Path) -> None:
    if path.suffix != _SUFFIX:
        raise UsageError(
            f"the metrics file {path} does not end in {_SUFFIX}, and node_exporter reads no other",
            hint=f"call it {path.name}{_SUFFIX}",
        )
    if not path.absolute().parent.is_dir():
        raise UsageError(
            f"the metrics file {path} can't be written: its folder is not there",
            hint="name the folder that node_exporter reads: its --collector.textfile.directory",
        )
    check_writable(path)


def _replace(path: Path, text: str) -> None:
    """Replace the file at `path` by one with `text` that everyone may read, also after a power cut."""
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".partial", dir=path.absolute().parent)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(descriptor)
        Path(name).chmod(_MODE)
        Path(name).replace(path)
    except OSError:
        Path(name).unlink(missing_ok=True)
        raise
