"""The service's log: whatever is logged, by whom ever, is one line a record."""

from __future__ import annotations

import io
import logging
import re
import traceback

import pytest

from registry_push.daemon.log import Cleaner, tell
from registry_push.errors import ConnectionLost
from registry_push.events import ModelFailed, ModelStarted, Retrying, Warned
from registry_push.model import Reference

pytestmark = pytest.mark.attack("S9")

FORGED = "2026-01-01T00:00:00Z INFO pushed everything"
EVIL = [
    f"a\n{FORGED}", f"a\r{FORGED}", f"a\r\n{FORGED}", f"a\x0b{FORGED}", f"a\x0c{FORGED}", f"a\x1c{FORGED}",
    f"a\x85{FORGED}", f"a\u2028{FORGED}", f"a\u2029{FORGED}", "\x1b[2J\x1b[31m", "\x9b31m", "\x00", "\x7f", "\x08\x08",
    "\u202e", "\u2066", "\u061c", "\u200b", "\u200f", "\ufeff", "\U000e0041", "\ud800", "\u00ad",
]  # fmt: skip


@pytest.fixture
def log(request: pytest.FixtureRequest) -> tuple[logging.Logger, io.StringIO]:
    """A logger of somebody's, and what a handler as the service's writes of it."""
    logger, out = logging.getLogger(f"test.{request.node.name}"), io.StringIO()
    handler = logging.StreamHandler(out)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s", "%Y-%m-%dT%H:%M:%SZ"))
    handler.addFilter(Cleaner())
    logger.handlers, logger.propagate = [handler], False
    return logger, out


def fails(words: str) -> None:
    try:
        raise KeyError(words)  # noqa: TRY301  # it is what the test is about
    except KeyError as error:
        raise ValueError(words) from error


def check(text: str, records: int) -> None:
    """So many records, each a line, and lines below them that can't be taken for one; all of it can be printed."""
    *lines, last = text.split("\n")
    assert last == ""
    assert all(line.isprintable() for line in lines), lines
    assert sum(re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ [A-Z]+ ", line) is not None for line in lines) == records
    assert all(line.startswith(("2", "  | ")) for line in lines)


@pytest.mark.parametrize("evil", EVIL, ids=ascii)
def test_every_record_is_one_line(log: tuple[logging.Logger, io.StringIO], evil: str) -> None:
    logger, out = log
    logger.warning("said: %s", evil)
    logger.warning(evil)
    logger.warning("%s", {"key": evil})
    check(out.getvalue(), 3)


@pytest.mark.parametrize("evil", EVIL, ids=ascii)
def test_a_traceback_stays_readable_and_is_no_record(log: tuple[logging.Logger, io.StringIO], evil: str) -> None:
    logger, out = log
    frames = 0
    try:
        fails(evil)
    except ValueError:
        logger.exception("a bug in %s", evil, stack_info=True)
        frames = traceback.format_exc().count("  File ")
    check(out.getvalue(), 1)
    assert out.getvalue().count("  |   File ") >= frames
    assert "  | ValueError: " in out.getvalue() and "  | The above exception was" in out.getvalue()


def test_words_of_any_language_stay(log: tuple[logging.Logger, io.StringIO]) -> None:
    logger, out = log
    logger.error("Größe 模型 🦙 … → 100 %")
    assert out.getvalue().endswith(" ERROR Größe 模型 🦙 … → 100 %\n")


def test_logins_and_queries_in_tracebacks_are_left_out(log: tuple[logging.Logger, io.StringIO]) -> None:
    logger, out = log
    words = "no http://me:HUNT/ER2@host.example/x?sig=HUNTER2"  # not in the line that the traceback shows
    try:
        fails(words)
    except ValueError:
        logger.exception("in https://me:HUNT\nER2@host.example/")
    assert "ER2" not in out.getvalue() and "HUNTER2" not in out.getvalue()


def test_two_cleaners_are_as_good_as_one(caplog: pytest.LogCaptureFixture) -> None:
    caplog.handler.addFilter(Cleaner())
    tell(Warned("from\n\x1b[31m/home/me", "remove\nit"))
    assert caplog.records[-1].getMessage() == "from\\n\\x1b[31m/home/me; remove\\nit"


def test_a_call_that_is_wrong_is_logged_all_the_same(log: tuple[logging.Logger, io.StringIO]) -> None:
    logger, out = log
    logger.warning("%d", "x\ny")
    check(out.getvalue(), 1)


@pytest.mark.parametrize("evil", EVIL, ids=ascii)
def test_what_happens_in_a_push_is_logged_in_one_line_each(caplog: pytest.LogCaptureFixture, evil: str) -> None:
    caplog.set_level("INFO", logger="registry_push.daemon")
    target = Reference("host.example", "me/m", "latest")
    tell(ModelStarted(evil, target, 1, 1))
    tell(ModelFailed(evil, target, ConnectionLost(evil, hint=evil)))
    tell(Retrying(evil, evil, 1.0))
    tell(Warned(evil, evil))
    assert len(caplog.records) == 4
    assert all(record.getMessage().isprintable() for record in caplog.records)
