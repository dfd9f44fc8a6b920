"""Runs a command's work until it ends or a signal ends it."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, Final, NoReturn, TypeVar

from .. import collector
from ..content.ollama.small_reads import ALONE
from ..content.threads import no_thread
from ..errors import Interrupted, RegistryPushError
from ..events import Warned
from ..http import lookup_loop
from .render import Renderer, Verb

T = TypeVar("T")

# Seconds that heeding a signal, and stopping, seldom take; and the word on it if it takes longer.
_UNUSUAL: Final = 2.0
_HANGS: Final = Warned(
    "stopping takes long: a disk or a program does not answer", "press Ctrl-C again to leave without waiting for it"
)
# ECMA-48's DECTCEM, which terminals have from the VT220: a bar hides the cursor.
_SHOW_CURSOR: Final = b"\x1b[?25h"


def until_signalled(
    work: Callable[[Renderer, asyncio.Event], Coroutine[Any, Any, T]], show: Renderer, verb: Verb, *, finishes: bool
) -> T:
    """Run `work`, handling SIGINT and SIGTERM.

    The first signal asks it to finish, if it can; the next cancels it, which still cleans up; a third does not wait for
    that. Nor does a second that finds the first not heeded: the event loop hangs, in a disk. Raises `Interrupted`.
    """
    received: list[signal.Signals] = []
    heeded, first_at = 0, 0.0
    ended: list[T | RegistryPushError] = []
    loop: asyncio.AbstractEventLoop | None = None
    act: Callable[[], None] = _do_nothing

    # The loop's own handlers are not used: they are removed while it closes, and an exception there would be printed.
    def on_signal(number: int, _: FrameType | None) -> None:
        nonlocal first_at
        received.append(signal.Signals(number))
        if len(received) == 1:
            first_at = time.monotonic()
        hangs = not heeded and time.monotonic() - first_at > _UNUSUAL
        if len(received) > 1 + finishes or hangs:
            _leave()
        if loop is not None and not loop.is_closed():
            loop.call_soon_threadsafe(act)

    async def watched() -> None:
        nonlocal loop, act
        task, stop = asyncio.current_task(), asyncio.Event()
        assert task is not None

        def asked_to_stop() -> None:
            nonlocal heeded
            heeded += 1
            if finishes and len(received) == 1:
                stop.set()
                name = received[0].name
                again = "press Ctrl-C again" if received[0] is signal.SIGINT else f"send {name} again"
                show(Warned(f"{name}: {verb.stopping}", f"{again} to stop at once"))
            else:
                task.cancel()
                asyncio.get_running_loop().call_later(_UNUSUAL, show, _HANGS)

        ALONE.set(True)
        loop, act = asyncio.get_running_loop(), asked_to_stop
        loop.call_soon(collector.resume)  # when `work` waits for the first time: it has imported what it needs
        if received:  # before there was a loop
            loop.call_soon(act)
        try:
            ended.append(await work(show, stop))
        except RegistryPushError as error:
            ended.append(error)

    try:
        with _handled(on_signal), _woken() as new_loop, asyncio.Runner(loop_factory=new_loop) as runner:
            runner.run(watched())
    except (asyncio.CancelledError, KeyboardInterrupt):
        name = received[0].name if received else "SIGINT"
        raise Interrupted(f"stopped by {name}; {verb.kept}" if finishes else f"stopped by {name}") from None
    except RuntimeError as error:
        # asyncio ends its threads in another thread, which may fail to start; the work's result is known by then.
        if (short := no_thread(error)) is None:
            raise
        if not ended:
            raise short from error
    outcome = ended[0]
    if isinstance(outcome, RegistryPushError):
        raise outcome
    return outcome


def _leave() -> NoReturn:
    """End the process at once, with the terminal's cursor as it was."""
    with suppress(OSError):
        if os.isatty(2):
            os.write(2, _SHOW_CURSOR)
    os._exit(Interrupted.exit_code)


def _do_nothing() -> None:
    """Do nothing."""


@contextmanager
def _handled(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Call `handler` for SIGINT and SIGTERM, in the main thread; afterwards restore what they did before."""
    before = {which: signal.signal(which, handler) for which in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for which, old in before.items():
            signal.signal(which, old)


@contextmanager
def _woken() -> Iterator[Callable[[], asyncio.AbstractEventLoop]]:
    """Yield a function that makes an event loop which signals wake, also those that the system gives another thread.

    Python runs handlers in the main thread, when that does something (documentation of `signal.set_wakeup_fd`).
    """
    if os.name != "posix":  # that loop does so itself
        yield lookup_loop.new_loop
        return
    awake, wake = socket.socketpair()
    with awake, wake:
        awake.setblocking(False)
        wake.setblocking(False)

        def new_loop() -> asyncio.AbstractEventLoop:
            loop = lookup_loop.new_loop()
            loop.add_reader(awake, awake.recv, 64)
            return loop

        before = signal.set_wakeup_fd(wake.fileno(), warn_on_full_buffer=False)
        try:
            yield new_loop
        finally:
            signal.set_wakeup_fd(before)
