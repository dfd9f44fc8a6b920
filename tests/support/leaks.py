"""A pytest plugin: a test fails in whose outputs a secret turns up.

Secret is what secrets.py plants, and what a test's registries and proxies are sent or hand out: passwords, tokens,
signatures of keys, presigned queries, the URLs of sessions. Outputs are what is captured and logged, what commands and
services print and answer, events, errors with what caused them, and journals; a journal may hold URLs of sessions.
"""

from __future__ import annotations

import base64
import binascii
import json
import logging
import re
import sys
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import wraps
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl, quote, quote_plus

import pytest

from registry_push.embedded.auth import TOKEN_MARK
from registry_push.embedded.call import Exchange
from registry_push.errors import RegistryPushError
from registry_push.events import Event, as_json
from registry_push.protocol.secrets import Secrets

from .secrets import PLANTED

# Shorter words occur by chance.
_TELLING: Final = 8
# Parameters of URLs that are capabilities, and fields of forms and answers that are logins.
_CAPABILITIES: Final = frozenset({"_state", "uploadId", "sig", "X-Amz-Signature", "X-Amz-Security-Token"})
_LOGINS: Final = frozenset({"password", "refresh_token", "token", "access_token", "Secret"})
_JOURNAL: Final = "journal.sqlite3*"
_BASE64: Final = re.compile(r"[A-Za-z0-9+/_-]{16,}={0,2}")

# How many of the blocks that hide secrets in the errors leaving them the current task is in: until it has left the
# outermost, an error is nobody's to see.
_inside: ContextVar[int] = ContextVar("blocks", default=0)


@dataclass
class Watch:
    """What was secret, and what came out, during one test."""

    logins: set[str] = field(default_factory=lambda: {PLANTED, TOKEN_MARK, *_in_base64(PLANTED)})
    capabilities: set[str] = field(default_factory=set)
    outputs: list[tuple[str, str]] = field(default_factory=list)
    causes: list[str] = field(default_factory=list)
    folders: set[Path] = field(default_factory=set)

    def learn(self, value: str | None) -> None:
        """A login, a token or a signature; what Basic holds as well."""
        for secret in {value or "", *_decoded(value or "")}:
            if len(secret) >= _TELLING:
                self.logins |= {secret, quote(secret, safe=""), quote_plus(secret), json.dumps(secret)[1:-1]}

    def learn_header(self, authorization: str | None) -> None:
        """The value of an `Authorization` or `Proxy-Authorization`. Of a key's signature its public half is none."""
        scheme, space, word = (authorization or "").partition(" ")
        self.learn(word if space else scheme.partition(":")[2])

    def learn_target(self, target: str) -> None:
        """The capabilities in a URL that was sent or handed out."""
        for name, value in parse_qsl(target.partition("?")[2].replace("+", "%2B")):
            if name in _CAPABILITIES and len(value) >= _TELLING:
                self.capabilities |= {value, quote(value, safe="")}

    def learn_fields(self, fields: Mapping[str, Any]) -> None:
        """The logins in a form or an answer."""
        for name in _LOGINS & fields.keys():
            self.learn(str(fields[name]))

    def note(self, where: str, text: str) -> None:
        """Something that came out."""
        if text:
            self.outputs.append((where, text))

    def note_error(self, error: RegistryPushError, cause: BaseException | None) -> None:
        """An error as it leaves, and what a traceback shows with it."""
        self.note("an error", f"{error} {error.hint} {error.url}")
        seen = set[int]()
        while cause is not None and id(cause) not in seen:  # contexts can go round in a circle
            seen.add(id(cause))
            self.causes.append(f"{type(cause).__name__}: {cause}")
            cause = cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)

    def note_event(self, event: Event) -> None:
        """An event as it is printed."""
        if event.name != "blob_progress":
            self.note("an event", json.dumps(as_json(event), ensure_ascii=False))

    def leaks(self) -> list[str]:
        """What came out that is secret, and where."""
        found = []
        everything = self.logins | self.capabilities
        for where, text in dict.fromkeys(self.outputs):
            found += [_told(secret, where, text) for secret in everything if secret in text]
        for text in dict.fromkeys(self.causes):
            found += [_told(secret, "the cause of an error", text) for secret in everything if secret in text]
        return found + [leak for folder in self.folders for leak in self.in_journals(folder)]

    def in_journals(self, folder: Path) -> list[str]:
        """The logins in journals below `folder`."""
        found = []
        for file in (file for file in folder.rglob(_JOURNAL) if file.is_file()):
            text = file.read_bytes().decode("latin-1")
            found += [f"{secret!r} in {file.name}" for secret in self.logins if secret in text]
        return found


def _decoded(value: str) -> Iterator[str]:
    """The password in the base64 of `user:password`."""
    if _BASE64.fullmatch(value):
        try:
            login = base64.b64decode(value, validate=True).decode()
        except (binascii.Error, ValueError):
            return
        yield login.partition(":")[2]


def _in_base64(word: str) -> Iterator[str]:
    """How `word` looks in the base64 of a text, at each of the three places where it can begin."""
    for shift in range(3):
        encoded = base64.b64encode(b"\0" * shift + word.encode()).decode().rstrip("=")
        # The first and the last digits depend on the neighbours too.
        yield encoded[-(-8 * shift // 6) : (shift + len(word)) * 8 // 6]


_watches: list[Watch] = [Watch()]


def current() -> Watch:
    """The watch of the test that runs; fixtures of a session may have an earlier one."""
    return _watches[-1]


@contextmanager
def watching() -> Iterator[Watch]:
    """A watch of its own for what happens inside."""
    _watches.append(Watch())
    try:
        yield current()
    finally:
        _watches.pop()


# ── the plugin ────────────────────────────────────────────────────────────────────────────────────


def pytest_configure(config: pytest.Config) -> None:
    """Begin to watch, before any test module imports what is watched."""
    if not hasattr(RegistryPushError.__init__, "__wrapped__"):
        install()
        logging.getLogger().addHandler(_Handler())


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """A new watch for each test."""
    _watches[:] = [Watch()]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Fail the test's teardown, when all that it patched is as it was, if something got out."""
    report = yield
    watch = current()
    for title, text in report.sections:
        watch.note(title, text)
    if isinstance(folder := getattr(item, "funcargs", {}).get("tmp_path"), Path):
        watch.folders.add(folder)
    if call.when == "teardown" and report.outcome == "passed" and (leaks := watch.leaks()):
        report.outcome = "failed"
        report.longrepr = "a secret got out\n" + "\n".join(leaks)
    return report


class _Handler(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        current().note("the log", self.format(record))


# ── what is watched ───────────────────────────────────────────────────────────────────────────────


def install() -> None:
    """Watch the embedded registry's requests, errors, pushes' events, and what is read of captured output."""
    from registry_push.verbs import push as pushing

    raw_of = Exchange.of.__func__  # type: ignore[attr-defined]  # a class method's function

    @wraps(raw_of)
    def of(cls: type[Exchange], request: Any, began: int) -> Exchange:
        current().learn_header(request.headers.get("Authorization"))
        current().learn_target(request.raw_path)
        made: Exchange = raw_of(cls, request, began)
        return made

    Exchange.of = classmethod(of)  # type: ignore[method-assign,assignment]

    raw_init = RegistryPushError.__init__

    @wraps(raw_init)
    def init(self: RegistryPushError, *arguments: Any, **options: Any) -> None:
        raw_init(self, *arguments, **options)
        if not _inside.get():
            current().note_error(self, sys.exc_info()[1])

    RegistryPushError.__init__ = init  # type: ignore[method-assign]

    raw_enter, raw_exit = Secrets.__enter__, Secrets.__exit__

    @wraps(raw_enter)
    def enter(self: Secrets) -> Secrets:
        _inside.set(_inside.get() + 1)
        return raw_enter(self)

    @wraps(raw_exit)
    def leave(self: Secrets, kind: object, error: BaseException | None, traceback: object) -> None:
        raw_exit(self, kind, error, traceback)
        _inside.set(_inside.get() - 1)
        if isinstance(error, RegistryPushError) and not _inside.get():
            current().note_error(error, error.__cause__ or error.__context__)

    Secrets.__enter__ = enter  # type: ignore[method-assign,assignment]  # Self is Secrets
    Secrets.__exit__ = leave  # type: ignore[method-assign]

    raw_push = pushing.push

    @wraps(raw_push)
    async def push(*arguments: Any, **options: Any) -> Any:
        if "sink" in options:
            options["sink"] = noting(options["sink"])
        return await raw_push(*arguments, **options)

    pushing.push = push

    raw_read = pytest.CaptureFixture.readouterr

    @wraps(raw_read)
    def readouterr(self: Any) -> Any:
        result = raw_read(self)
        current().note("captured output", f"{result.out!s}\n{result.err!s}")
        return result

    pytest.CaptureFixture.readouterr = readouterr  # type: ignore[method-assign]


def noting(sink: Callable[[Event], None]) -> Callable[[Event], None]:
    """`sink`, whose events are watched."""

    def noted(event: Event) -> None:
        current().note_event(event)
        sink(event)

    return noted


def _told(secret: str, where: str, text: str) -> str:
    place = text.find(secret)
    return f"{secret!r} in {where}: {text[max(0, place - 80) : place + len(secret) + 40]!r}"


__all__ = ["Watch", "current", "noting", "watching"]
