"""Runs a credential helper, or a cloud's own program: found on PATH, bounded in time and output, never left behind."""

from __future__ import annotations

import asyncio
import ntpath
import os
import posixpath
import re
import sys
from asyncio.subprocess import PIPE
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Final

from ..errors import printable, redacted

MOST_OUTPUT: Final = 1024 * 1024
_STDOUT, _STDERR = 1, 2
# Bytes of stderr that are kept, which is more than is shown; the rest is read and dropped.
_MAX_ERRORS: Final = 4 * 1024
# Seconds for what is left on stderr when a helper has failed.
_LAST_WORDS: Final = 0.5
# Terminal colours, and the secrets in an answer.
_COLOURS: Final = re.compile(r"\x1b\[[0-9;]*m")
_SECRETS: Final = re.compile(r"\"[Ss]ecret\"\s*+:\s*+\"([^\"]{4,})\"")
# The beginning of an answer, or of a part of one: JSON, or a field of it.
_ANSWER: Final = re.compile(r"[{\[]|[\"']?\b(?:secret|username|password)[\"']?\s*+[:=]", re.IGNORECASE)
# The default if PATHEXT is not set on Windows (Go's exec.LookPath, by which docker finds its helpers).
_ENDINGS: Final = ".com;.exe;.bat;.cmd"


def candidates(program: str, environ: Mapping[str, str], *, windows: bool) -> Iterator[str]:
    """Yield the paths to try for `program`, in order: in the folders of PATH that begin at a root, and nowhere else.

    `shutil.which` looks in the current folder too: on Windows first of all, elsewhere for an empty entry. Whoever can
    write there, in an unpacked archive for example, could run a program as us and hand us a login.
    """
    rules: ModuleType = ntpath if windows else posixpath
    endings = environ.get("PATHEXT", _ENDINGS).split(";") if windows else [""]
    for folder in environ.get("PATH", "").split(";" if windows else ":"):
        folder = folder.strip('"') if windows else folder
        # `\\tools` begins at the root of the current drive, `C:tools` in the current folder of that one.
        if rules.isabs(folder) and (not windows or rules.splitdrive(folder)[0]):
            yield from (rules.join(folder, program + ending) for ending in endings if ending or not windows)


def found_on_path(program: str, environ: Mapping[str, str]) -> str | None:
    """Return the first of `candidates` that can be run."""
    paths = candidates(program, environ, windows=sys.platform == "win32")
    return next((path for path in paths if Path(path).is_file() and os.access(path, os.X_OK)), None)


@dataclass(frozen=True, slots=True)
class Ended:
    """A helper that has ended; `code` is None if it was killed."""

    output: bytes
    errors: bytes
    code: int | None


def reason(ended: Ended) -> str:
    """Return why a helper failed, in its words: those on stdout, by docker's convention, else those on stderr.

    Each is cut where an answer begins: some helpers print one and fail after that, and its secret must not be shown.
    """
    sentences = (sentence(said, ended) for said in (ended.output, ended.errors))
    return next((f": {words}" for words in sentences if words), "")


def sentence(said: bytes, ended: Ended) -> str:
    """Return what a helper said, as a part of a message, without what could be a secret."""
    text = _COLOURS.sub("", said.decode(errors="replace"))
    for secret in _SECRETS.findall((ended.output + ended.errors).decode(errors="replace")):
        text = text.replace(secret, "…")
    return printable(redacted(_ANSWER.split(text, maxsplit=1)[0].strip()), limit=200)


class _Listener(asyncio.SubprocessProtocol):
    """Collects the program's output, up to one part more than is allowed, and notes when it has ended.

    Used instead of asyncio's `Process`, whose `wait` before Python 3.12 also waits for children of the program that
    hold the pipe, so that a killed helper (a shell script that runs `sleep`) can still hang us.
    """

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.output = bytearray()
        self.errors = bytearray()
        self.silent: asyncio.Future[None] = loop.create_future()
        self.exited: asyncio.Future[None] = loop.create_future()
        self.told: asyncio.Future[None] = loop.create_future()  # all that goes to stderr

    def pipe_data_received(self, fd: int, data: bytes | str) -> None:
        assert isinstance(data, bytes)  # the base class leaves this open, for programs in text mode
        if fd == _STDERR:
            self.errors += data[: _MAX_ERRORS - len(self.errors)]
            return
        self.output += data
        if len(self.output) > MOST_OUTPUT:
            self.pipe_connection_lost(fd, None)

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        ends = {_STDOUT: self.silent, _STDERR: self.told}.get(fd)
        if ends is not None and not ends.done():
            ends.set_result(None)

    def process_exited(self) -> None:
        if not self.exited.done():
            self.exited.set_result(None)


async def run_program(
    path: str, arguments: Sequence[str], given: bytes, environ: Mapping[str, str], patience: float
) -> Ended:
    """Run the program with `given` on its standard input; return what it printed within `patience` seconds.

    The program is not left running, whatever happens. What it has started itself may be, and is not waited for.
    """
    transport, listener = await asyncio.get_running_loop().subprocess_exec(
        _Listener, path, *arguments, stdin=PIPE, stdout=PIPE, stderr=PIPE, env=dict(environ)
    )
    try:
        async with asyncio.timeout(patience):
            stdin = transport.get_pipe_transport(0)
            assert isinstance(stdin, asyncio.WriteTransport)  # it is PIPE above
            stdin.write(given)
            stdin.close()
            await listener.silent
            if len(listener.output) <= MOST_OUTPUT:  # else it waits for us to read the rest
                await listener.exited
            if transport.get_returncode():  # a child of it may hold stderr for longer
                await asyncio.wait([listener.told], timeout=_LAST_WORDS)
    except TimeoutError:
        return Ended(bytes(listener.output), bytes(listener.errors), None)
    finally:
        code = transport.get_returncode()
        if code is None:
            transport.kill()
            await asyncio.shield(listener.exited)
        transport.close()
    return Ended(bytes(listener.output), bytes(listener.errors), -1 if code is None else code)
