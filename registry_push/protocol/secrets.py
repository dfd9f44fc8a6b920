"""`Secrets`: what was sent to registries and must not be shown when they quote it. Pure.

A registry knows what we sent it, and may quote it: in an error's body, in a reason phrase, in a Location. While all
works, nothing is searched; values are only analysed when an answer is about to become text.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, Self, TypeVar
from urllib.parse import parse_qsl, unquote_plus

from ..errors import RegistryPushError
from ..text.patterns import LazyPattern

_HIDDEN: Final = "…"
# The newest values of each kind that are remembered: more than the requests under way that could be quoted.
_MOST: Final = 64
# Characters. A shorter word is part of too many messages ("blob", "push", three digits of a digest) to be hidden by
# itself; `user:word`, its base64 and the whole header are hidden whatever the word's length.
_ALONE: Final = 6
# Bytes. A shorter value is hidden if it is a word of its own, not inside another.
_ANYWHERE: Final = 12
# Characters. A longer parameter may be secret even if its name does not say so.
_OPAQUE: Final = 16
# Parameters that we write ourselves and that name content, which messages are about.
_OURS: Final = frozenset({"mount", "from", "digest", "etag", "service", "scope", "account", "client_id", "ts"})
# Fields of one query that are looked for, the longest: presigned URLs have seven to ten.
_FIELDS: Final = 32
# Times that a text may have been escaped on its way: JSON in a string of JSON, an encoded URL in a page. Nothing is
# shown of a text that is escaped more often.
_DEPTH: Final = 4
# Bytes. So much of a value at the end of a truncated text is hidden as the whole value is.
_BEGINNING: Final = 6

_ESCAPE: Final = LazyPattern(
    rb"%[0-9A-F]{2}|\\u[D][89AB][0-9A-F]{2}\\u[D][C-F][0-9A-F]{2}|\\u[0-9A-F]{4}|\\x[0-9A-F]{2}|\\U000[0-9A-F]{5}"
    rb"|\\[0-3][0-7]{2}|[\r\n]++[ \t]*+|\\[\"'\\/bfnrt]|&(?:amp|lt|gt|quot|apos);|&#[0-9]{1,7};|&#X[0-9A-F]{1,6};",
    re.IGNORECASE,
)
_NAMED: Final = {b"amp": b"&", b"lt": b"<", b"gt": b">", b"quot": b'"', b"apos": b"'"}
_CONTROLS: Final = {b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t"}

Sent = TypeVar("Sent", str, bytes)


class Secrets:
    """Remembers what is sent, and hides it: in bytes, in text, and, as a context manager, in errors that leave it."""

    def __init__(self) -> None:
        # What was sent, and the byte strings to search for, once they are needed.
        self._credentials: dict[str, tuple[bytes, ...] | None] = {}
        self._queries: dict[str, tuple[bytes, ...] | None] = {}
        self._signed: dict[str, Mapping[str, str]] = {}  # the headers that went with a query
        self._forms: dict[bytes, tuple[bytes, ...] | None] = {}

    def sent(self, url: str, headers: Mapping[str, str], body: bytes | None = None) -> None:
        """Remember the secrets of a request. Cheap: one or two lookups in a dictionary."""
        if (authorization := headers.get("Authorization")) is not None:
            self.sent_credential(authorization)
        if "?" in url:
            query = url.partition("?")[2]
            if query not in self._queries:
                _keep(self._queries, query)
                self._signed[query] = headers
                if len(self._signed) > len(self._queries):
                    del self._signed[next(iter(self._signed))]
        if body is not None and headers.get("Content-Type") == "application/x-www-form-urlencoded":
            _keep(self._forms, body)

    def sent_credential(self, authorization: str) -> None:
        """Remember the value of a header that only a proxy sees."""
        if authorization not in self._credentials:
            _keep(self._credentials, authorization)

    def hide(self, text: str) -> str:
        """Return `text` without the secrets, however they are escaped."""
        hidden = self.hide_bytes(text.encode("utf-8", "surrogatepass"))
        return hidden.decode("utf-8", "surrogatepass")

    def hide_bytes(self, text: bytes) -> bytes:
        """As `hide`, for bytes. Strings of a JSON document stay strings."""
        spans = sorted(self._found(text, self._needles())) if text else []
        if not spans:
            return text
        pieces, end = list[bytes](), 0
        for start, stop in spans:
            if start >= end:
                pieces += (text[end:start], _HIDDEN.encode())
            end = max(end, stop)
        return b"".join((*pieces, text[end:]))

    def is_credential_in(self, text: str) -> bool:
        """Return whether `text` quotes a login or a token that was sent."""
        needles = [needle for value in self._credentials for needle in self._of_credential(value)]
        return next(self._found(text.encode("utf-8", "surrogatepass"), needles), None) is not None

    # ── errors ────────────────────────────────────────────────────────────────────────────────────

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if isinstance(error, RegistryPushError):
            self._hide_in(error)

    def _hide_in(self, error: RegistryPushError) -> None:
        """Hide the secrets in the error and in its causes that are ours; drop other causes that quote them."""
        at: BaseException | None = error
        seen = set[int]()  # causes can go round in a circle
        while isinstance(at, RegistryPushError) and id(at) not in seen:
            seen.add(id(at))
            at.rewrite(self.hide)
            cause = at.__cause__ or at.__context__
            if cause is not None and not isinstance(cause, RegistryPushError):
                told = f"{cause} {cause!r}"
                if self.hide(told) != told:
                    at.__cause__ = at.__context__ = None
            at = at.__cause__ or at.__context__

    # ── needles ───────────────────────────────────────────────────────────────────────────────────

    def _needles(self) -> list[bytes]:
        found = dict[bytes, None]()
        for credential in self._credentials:
            found.update(dict.fromkeys(self._of_credential(credential)))
        for query in self._queries:
            needles = self._queries[query]
            if needles is None:
                needles = self._queries[query] = _needles(*_secrets_of_query(query, self._signed.get(query, {})))
            found.update(dict.fromkeys(needles))
        for form in self._forms:
            needles = self._forms[form]
            if needles is None:
                needles = self._forms[form] = _needles(*_secrets_of_form(form))
            found.update(dict.fromkeys(needles))
        return list(found)

    def _of_credential(self, value: str) -> tuple[bytes, ...]:
        needles = self._credentials[value]
        if needles is None:
            needles = self._credentials[value] = _needles(*_secrets_of_header(value))
        return needles

    @staticmethod
    def _found(text: bytes, needles: list[bytes]) -> Iterator[tuple[int, int]]:
        """Yield where the secrets are in `text`, as it is and with its escapes undone."""
        level: bytes = text
        places: Sequence[int] = range(len(text) + 1)
        for depth in range(1 + _DEPTH if needles else 0):
            lower = level.lower()
            for needle in needles:
                for start, stop in _occurrences(lower, needle):
                    yield places[start], places[stop]
            unescaped, starts = _unescaped(level)
            if unescaped == level:
                return
            if depth == _DEPTH:
                yield 0, len(text)
                return
            level, places = unescaped, [places[start] for start in starts]


def _keep(values: dict[Sent, tuple[bytes, ...] | None], value: Sent) -> None:
    values[value] = None
    if len(values) > _MOST:
        del values[next(iter(values))]


def _secrets_of_header(value: str) -> Iterator[str]:
    """Yield what is secret in an `Authorization`: all of it, what follows the scheme, and what that decodes to."""
    yield value
    scheme, _, word = value.partition(" ")
    if scheme == "Basic":
        yield from (word, word.rstrip("="), word.rstrip("=").replace("+", "-").replace("/", "_"))
        try:
            login = base64.b64decode(word).decode("utf-8", "surrogateescape")
        except binascii.Error:
            return
        password = login.partition(":")[2]
        yield login
        if len(password) >= _ALONE:
            yield password
            yield password.replace(" ", "+")  # as forms spell it
    elif word:
        if len(word) >= _ALONE:
            yield word
        yield from (part for part in word.split(".") if len(part) >= _OPAQUE)  # of a JSON Web Token
    else:  # Ollama's: `<public key>:<signature>`; the public key is no secret
        yield from (each for each in value.split(":")[1:] if len(each) >= _ALONE)


def _secrets_of_query(query: str, headers: Mapping[str, str]) -> Iterator[str]:
    from ..text.redaction import is_secret  # for its patterns, as in `errors`

    fields = [field.partition("=")[::2] for field in query.split("&")]
    if any(name not in _OURS for name, _ in fields):
        yield query
    telling = [
        value for name, value in fields if len(value) >= (_ALONE if is_secret(name) else _OPAQUE) and name not in _OURS
    ]
    for value in sorted(telling, key=len, reverse=True)[:_FIELDS]:
        yield from (value, unquote_plus(value))
    for name, value in headers.items():
        if is_secret(name) and name != "Authorization" and len(value) >= _ALONE:
            yield value


def _secrets_of_form(form: bytes) -> Iterator[str]:
    from ..text.redaction import is_secret

    for name, value in parse_qsl(form.decode("utf-8", "replace")):
        if is_secret(name) and len(value) >= _ALONE:
            yield from (value, value.replace(" ", "+"), *(part for part in value.split(".") if len(part) >= _OPAQUE))


def _needles(*secrets: str) -> tuple[bytes, ...]:
    """Return the bytes to search for, in lower case: as sent, without escapes, read as Latin-1, and in hexadecimal."""
    needles = dict[bytes, None]()
    for secret in secrets:
        sent = secret.encode("utf-8", "surrogatepass")
        for needle in (sent, _unescaped(sent)[0], sent.decode("latin-1").encode(), sent.hex().encode()):
            if needle:
                needles[needle.lower()] = None
    return tuple(needles)


def _occurrences(text: bytes, needle: bytes) -> Iterator[tuple[int, int]]:
    inside = len(needle) >= _ANYWHERE
    at = text.find(needle)
    while at >= 0:
        stop = at + len(needle)
        if inside or not (text[at - 1 : at].isalnum() or text[stop : stop + 1].isalnum()):
            yield at, stop
        at = text.find(needle, stop if inside else at + 1)
    if inside and text.endswith(cut := _HIDDEN.encode()):
        for length in range(min(len(needle), len(text) - len(cut)), _BEGINNING - 1, -1):
            if text.endswith(needle[:length] + cut):
                yield len(text) - len(cut) - length, len(text)
                break


def _unescaped(text: bytes) -> tuple[bytes, list[int]]:
    """Return `text` with its escapes undone, and where each byte of the result began in `text`; the end as well."""
    pieces, starts, end = list[bytes](), list[int](), 0
    for found in _ESCAPE.compiled.finditer(text):
        meant = _meaning(found[0])
        pieces += (text[end : found.start()], meant)
        starts += range(end, found.start())
        starts += [found.start()] * len(meant)
        end = found.end()
    starts += range(end, len(text) + 1)
    return b"".join((*pieces, text[end:])), starts


def _meaning(escape: bytes) -> bytes:
    kind, rest = escape[:1], escape[1:]
    if kind in b"\r\n":  # a folded line, as base64 has in mails
        return b""
    if kind == b"%":
        return bytes.fromhex(rest.decode())
    if kind == b"&" and rest[:1] != b"#":
        return _NAMED[rest[:-1].lower()]
    if kind == b"&":
        return _character(int(rest[2:-1], 16) if rest[1:2] in b"xX" else int(rest[1:-1]))
    if len(rest) == 11:  # two halves of a character
        return bytes.fromhex((rest[1:5] + rest[7:]).decode()).decode("utf-16-be").encode()
    if len(rest) == 3 and rest.isdigit():
        return bytes([int(rest, 8)])
    if len(rest) == 3:
        return bytes.fromhex(rest[1:].decode())
    if len(rest) > 1:
        return _character(int(rest[1:], 16))
    return _CONTROLS.get(rest, rest)


def _character(code: int) -> bytes:
    return chr(code).encode("utf-8", "surrogatepass") if code < 0x110000 else b"?"
