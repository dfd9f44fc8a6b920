"""How much the service takes on, and what it says of what it can't."""

from __future__ import annotations

import asyncio
import errno
import os
from typing import Any

import pytest

from registry_push.daemon.bounds import Bounds
from registry_push.daemon.loop_errors import LoopErrors

pytestmark = pytest.mark.attack("S11")


@pytest.mark.parametrize("files", [1, 4, 64, 1024, 4096, 10**6])
def test_of_the_files_there_are_a_quarter_goes_to_either_side(files: int) -> None:
    bounds = Bounds().within(files)
    assert 1 <= bounds.clients <= max(1, files // 4) and 1 <= bounds.connections <= max(1, files // 4)
    assert 1 <= bounds.per_registry <= max(1, bounds.connections // 4), "one registry leaves most to the others"


def test_with_files_enough_they_are_as_written() -> None:
    assert Bounds().within(20_000) == Bounds()


def _context(number: int) -> dict[str, Any]:
    return {"message": "socket.accept() out of system resource", "exception": OSError(number, os.strerror(number))}


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM])
async def test_out_of_files_is_said_once_a_minute(caplog: pytest.LogCaptureFixture, number: int) -> None:
    time = 0.0
    errors, loop = LoopErrors(lambda: time), asyncio.get_running_loop()
    for _ in range(1000):
        errors(loop, _context(number))
    assert len(caplog.records) == 1 and "Traceback" not in caplog.text
    time = 61.0
    errors(loop, _context(number))
    assert len(caplog.records) == 2


async def test_what_else_the_loop_met_is_told_as_usual(caplog: pytest.LogCaptureFixture) -> None:
    errors, loop = LoopErrors(lambda: 0.0), asyncio.get_running_loop()
    errors(loop, {"message": "Task exception was never retrieved", "exception": ValueError("x")})
    errors(loop, {"message": "something", "exception": OSError(errno.EMFILE, "no files")})
    assert [record.name for record in caplog.records] == ["asyncio", "asyncio"]
