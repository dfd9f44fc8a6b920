"""Every regular expression takes time in proportion to what it reads, however that is made up."""

from __future__ import annotations

import ast
import importlib
import json
import re
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

import registry_push
from registry_push.embedded import EmbeddedRegistry
from registry_push.errors import RegistryPushError, printable, redacted
from registry_push.protocol.auth.challenge import bearer, parse_challenges
from registry_push.protocol.diagnostics import MAX_ERROR_BYTES, diagnose
from registry_push.protocol.secrets import Secrets
from registry_push.text.patterns import LazyPattern

pytestmark = pytest.mark.attack("S10")

PACKAGE = Path(registry_push.__file__).parent
# What a pattern is used for, if not for `match`, which begins at one place only.
_SEARCHES = {
    "registry_push.daemon.address": (),
    "registry_push.text.safe_text": ("_UNPRINTABLE",),
    "registry_push.text.natural_order": ("_NUMBER",),
    "registry_push.model.reference": ("_NOT_ALLOWED",),
    "registry_push.protocol.diagnostics": ("_TITLE",),
    "registry_push.protocol.location": ("_UNUSABLE",),
    "registry_push.protocol.secrets": ("_ESCAPE",),
    "registry_push.protocol.auth.signing": ("_BAD_ESCAPE",),
    "registry_push.text.redaction": ("_RUN", "_PARAMETER", "_MEMBER", "_HEADER", "_BEARER", "_BASIC", "_JWT"),
    "registry_push.http.bounded_handler": ("_END_OF_HEAD",),
    "registry_push.auth.helper_process": ("_ANSWER", "_COLOURS", "_SECRETS"),
    "registry_push.http.no_proxy": ("_SEPARATORS", "_PORT"),
    "registry_push.http.proxy_errors": ("_OF_A_PROGRAM",),
    "registry_push.http.reasons": ("_NUMBER",),
    "registry_push.http.tls": ("_PYTHONS_OWN",),
    "registry_push.text.user_part": ("_URL", "_AUTHORITY_END", "_QUERY"),
}
# Written where they are used, on what is bounded by then: the names of files, and one header of 8 KiB.
_INLINE = {
    ("cli/usage.py", r"\S+"),
    ("cli/usage.py", r"\. Recognized values: .*"),
    ("daemon/address.py", "[0-9]{1,9}"),
    ("protocol/auth/challenge.py", r"\\(.)"),
    ("content/ollama/names.py", "%3a"),
}
_UNITS = (
    *("http://", "http://a@", "http://a?", "https://a:b", "a", "A", "0", " ", "\t", "\\", '"', "'", "=", ":", "/", "-"),
    *("_", ".", "%", "%3D", "&", ",", ";", "?", "@", "(", "<", "[", "{", "\n", "\x1b", "\u200b", "\x85", "\u2003"),
    *('a="', 'a="\\', "a=", "a=b", "a =", "a: ", "a-", "a b", "a.", "x-a", "x-a: ", "0-", "1.", "0 ", "%a", "\\u00"),
    *("bearer ", "bearer:", "basic ", "basic YTpi", "eyJ", "eyJhbGciOi.", "authorization", "authorization: bearer "),
    *(
        "token=",
        '"token":"',
        '\\"token\\":\\"',
        "sha256:",
        "sha256-",
        "<title>",
        "&#",
        "&amp",
        "\\ud8",
        "secret",
        "password",
    ),
    *("bytes=", "0-1/", "GET /", "/v2/", "/v2/a/blobs/uploads/", "blobs/uploads/a", "::", "[a]:"),
)
Pattern = re.Pattern[str] | re.Pattern[bytes]
_SIZE = 32 * 1024
# Seconds of this thread's CPU time. One pattern takes up to 20 ms if it is linear, and 2 s or more if it is
# quadratic.
_LONGEST = 1
# The same for all that is done to one text of 64 KiB: to search it for 768 secrets, at five depths of escapes, takes
# up to 0.9 s; a quadratic pattern takes 11 s or more.
_LONGEST_TOGETHER = 5


def _found_in(value: object) -> Iterator[Pattern]:
    match value:
        case re.Pattern():
            yield value
        case LazyPattern():
            yield value.compiled
        case dict():
            yield from _found_in([*value.values()])
        case tuple() | list():
            for each in value:
                yield from _found_in(each)


def _patterns() -> dict[str, tuple[Pattern, bool]]:
    """Each pattern of the package, and whether it searches."""
    found: dict[str, tuple[Pattern, bool]] = {}
    for file in sorted(PACKAGE.rglob("*.py")):
        if re.search(r"re\.compile\(|LazyPattern\(", file.read_text()):
            module = ".".join(("registry_push", *file.relative_to(PACKAGE).with_suffix("").parts))
            for name, value in vars(importlib.import_module(module)).items():
                for number, pattern in enumerate(_found_in(value)):
                    found[f"{module}.{name}.{number}"] = pattern, name in _SEARCHES.get(module, ())
    for number, route in enumerate(EmbeddedRegistry(Path("nowhere"))._routes):
        found[f"route {number}"] = route.path, False
    return found


_ALL = _patterns()


def _took(work: Callable[..., object], *arguments: object) -> float:
    began = time.thread_time()
    work(*arguments)
    return time.thread_time() - began


@pytest.mark.parametrize("name", _ALL)
def test_no_pattern_is_slow(name: str) -> None:
    pattern, searches = _ALL[name]
    for unit in _UNITS:
        for text in (f"{unit * (_SIZE // len(unit))}\x00", f"0{unit * (_SIZE // len(unit))}!"):
            subject = text.encode() if isinstance(pattern.pattern, bytes) else text
            use = partial(pattern.sub, b"" if isinstance(subject, bytes) else "") if searches else pattern.match
            assert _took(use, subject) < _LONGEST, unit


def test_the_patterns_that_search_are_there() -> None:
    named = {f"{module}.{name}.0" for module, names in _SEARCHES.items() for name in names}
    assert named <= _ALL.keys()


def test_no_other_pattern_is_written_where_it_is_used() -> None:
    inline = set()
    for file in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            match node:
                case ast.Call(
                    func=ast.Attribute(value=ast.Name(id="re"), attr=used), args=[ast.Constant(value=pattern), *_]
                ) if used != "compile":
                    inline.add((file.relative_to(PACKAGE).as_posix(), pattern))
    assert inline == _INLINE


@pytest.mark.parametrize("unit", _UNITS)
def test_no_text_of_a_registry_holds_up_the_event_loop(unit: str) -> None:
    text = unit * (MAX_ERROR_BYTES // len(unit))
    secrets = Secrets()
    for number in range(64):
        url = f"https://h/x?_state={unit * 10}{number}&X-Amz-Signature={unit * 20}"
        secrets.sent(url, {"Authorization": f"Bearer {unit * 50}{number}.{unit * 9}"})
    document = json.dumps({"errors": [{"message": text, "detail": text}]}).encode()
    for work in (
        lambda: RegistryPushError(text, url=text),
        lambda: redacted(text),
        lambda: printable(text),
        lambda: diagnose(text.encode()),
        lambda: diagnose(document),
        lambda: secrets.hide_bytes(text.encode()),
        lambda: parse_challenges([text] * 100),
        lambda: parse_challenges([f"Bearer {text}"] * 100),
    ):
        assert _took(work) < _LONGEST_TOGETHER, unit


def test_only_a_handful_of_challenges_is_read() -> None:
    assert len(parse_challenges(['Basic realm="x"'] * 1000)) <= 10
    assert len(parse_challenges(["Basic, " * 1000])) <= 10
    assert bearer(parse_challenges(["Negotiate", "NTLM", "Basic", 'Bearer realm="x"'])) is not None
