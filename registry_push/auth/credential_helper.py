"""docker's credential helpers: programs that keep logins (docker-credential-helpers, client/command.go)."""

from __future__ import annotations

import asyncio
import json
import ntpath
import os
import posixpath
import re
import sys
from asyncio.subprocess import PIPE
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Final

from ..content.threads import in_thread
from ..errors import InvalidSettings, Unauthorized, printable, redacted
from ..text.hint import Setting, step

# A name becomes part of a program's name: no slash, no leading dash or dot.
_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*\Z")
# Seconds. Helpers may ask their user to unlock a keyring, or a cloud service for a token. One that takes longer hangs.
PATIENCE: Final = 30.0
_MAX_ANSWER: Final = 1024 * 1024
_STDOUT, _STDERR = 1, 2
# Bytes of stderr that are kept, which is more than is shown; the rest is read and dropped.
_MAX_ERRORS: Final = 4 * 1024
# Seconds for what is left on stderr when a helper has failed.
_LAST_WORDS: Final = 0.5
# Terminal colours, and the secrets in an answer.
_COLOURS: Final = re.compile(r"\x1b\[[0-9;]*m")
_SECRETS: Final = re.compile(r"\"[Ss]ecret\"\s*+:\s*+\"([^\"]{4,})\"")
# What every helper says on stdout where it holds no login (credentials/error.go there).
_NOT_FOUND: Final = "credentials not found"
# The beginning of an answer, or of a part of one: JSON, or a field of it.
_ANSWER: Final = re.compile(r"[{\[]|[\"']?\b(?:secret|username|password)[\"']?\s*+[:=]", re.IGNORECASE)
# The default if PATHEXT is not set on Windows (Go's exec.LookPath, by which docker finds its helpers).
_ENDINGS: Final = ".com;.exe;.bat;.cmd"


@dataclass(frozen=True, slots=True)
class HelperAnswer:
    """A login as a helper returns it."""

    username: str
    secret: str = field(repr=False)


async def ask_helper(
    name: str, server: str, source: str, environ: Mapping[str, str], *, patience: float = PATIENCE
) -> HelperAnswer | None:
    """Return what `docker-credential-<name> get` says of `server`; None if it has no login. Cancelling kills it.

    `source` is the file that named the helper. Raises `InvalidSettings` for a name that can't be one, and
    `Unauthorized` for a helper that is missing, fails, or takes longer than `patience` seconds.
    """
    if not _NAME.match(name):
        raise InvalidSettings(f"{printable(repr(name), limit=80)} is not a helper's name, in {source}")
    program = f"docker-credential-{name}"
    path = await in_thread(_find, program, environ)
    if path is None:
        raise Unauthorized(
            f"{program} is not installed; {source} says that it keeps the login for {server}",
            hint=step(
                f"install it, or take it out of {source}, or say who you are: ",
                Setting("username", "NAME"),
                " ",
                Setting("password_stdin"),
            ),
        )
    hint = f"try it: echo {server} | {program} get"
    try:
        ended = await _run(path, server, environ, patience)
    except OSError as error:
        raise Unauthorized(f"{program} can't be started: {error.strerror}", hint=hint) from error
    if ended.code is None:
        raise Unauthorized(f"{program} has not answered for {patience:g} s{_reason(ended)}", hint=hint)
    if len(ended.output) > _MAX_ANSWER:
        raise Unauthorized(f"{program} answered more than {_MAX_ANSWER} bytes", hint=hint)
    if ended.code != 0:
        if _NOT_FOUND in ended.output.decode(errors="replace"):
            return None
        raise Unauthorized(f"{program} failed (code {ended.code}){_reason(ended)}", hint=hint)
    # stderr is no part of an answer.
    return _parse(ended.output, program, hint, beside=_sentence(ended.errors, ended))


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


def _find(program: str, environ: Mapping[str, str]) -> str | None:
    paths = candidates(program, environ, windows=sys.platform == "win32")
    return next((path for path in paths if Path(path).is_file() and os.access(path, os.X_OK)), None)


@dataclass(frozen=True, slots=True)
class _Ended:
    """A helper that has ended; `code` is None if it was killed."""

    output: bytes
    errors: bytes
    code: int | None


def _reason(ended: _Ended) -> str:
    """Return why a helper failed, in its words: those on stdout, by docker's convention, else those on stderr.

    Each is cut where an answer begins: some helpers print one and fail after that, and its secret must not be shown.
    """
    sentences = (_sentence(said, ended) for said in (ended.output, ended.errors))
    return next((f": {sentence}" for sentence in sentences if sentence), "")


def _sentence(said: bytes, ended: _Ended) -> str:
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
        if len(self.output) > _MAX_ANSWER:
            self.pipe_connection_lost(fd, None)

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        ends = {_STDOUT: self.silent, _STDERR: self.told}.get(fd)
        if ends is not None and not ends.done():
            ends.set_result(None)

    def process_exited(self) -> None:
        if not self.exited.done():
            self.exited.set_result(None)


async def _run(path: str, server: str, environ: Mapping[str, str], patience: float) -> _Ended:
    """Ask the helper about `server` and return its answer. Nothing is left running, whatever happens."""
    transport, listener = await asyncio.get_running_loop().subprocess_exec(
        _Listener, path, "get", stdin=PIPE, stdout=PIPE, stderr=PIPE, env=dict(environ)
    )
    try:
        async with asyncio.timeout(patience):
            stdin = transport.get_pipe_transport(0)
            assert isinstance(stdin, asyncio.WriteTransport)  # it is PIPE above
            stdin.write(f"{server}\n".encode())
            stdin.close()
            await listener.silent
            if len(listener.output) <= _MAX_ANSWER:  # else it waits for us to read the rest
                await listener.exited
            if transport.get_returncode():  # a child of it may hold stderr for longer
                await asyncio.wait([listener.told], timeout=_LAST_WORDS)
    except TimeoutError:
        return _Ended(bytes(listener.output), bytes(listener.errors), None)
    finally:
        code = transport.get_returncode()
        if code is None:
            transport.kill()
            await asyncio.shield(listener.exited)
        transport.close()
    return _Ended(bytes(listener.output), bytes(listener.errors), -1 if code is None else code)


def _parse(output: bytes, program: str, hint: str, *, beside: str = "") -> HelperAnswer | None:
    try:
        answer = json.loads(output)
    except (ValueError, RecursionError):
        # Not the cause of this error: its text could hold the secret.
        what = f"what is not JSON: {beside}" if beside else "what is not JSON"
        raise Unauthorized(f"{program} answered {what}", hint=hint) from None
    username, secret = (answer.get("Username"), answer.get("Secret")) if isinstance(answer, dict) else (None, None)
    if not isinstance(username, str) or not isinstance(secret, str):
        raise Unauthorized(f"{program} answered without Username and Secret", hint=hint)
    return HelperAnswer(username, secret) if username or secret else None
