"""`Exchanges`: tells of requests and answers, for those who want to see them (`--debug`), without what is secret."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from ..errors import RegistryPushError, printable, redacted
from ..events import HTTPAnswer, HTTPRequest, Sink
from ..protocol.secrets import Secrets
from ..text.user_part import without_user_parts
from .response import Response

if TYPE_CHECKING:
    from .body.payload import SpanPayload

_HIDDEN: Final = "…"
# Headers whose values are secrets, though their names don't end as those do that `is_secret` knows.
_COOKIES: Final = ("cookie", "set-cookie")


class Exchange:
    """One request, and what came of it."""

    def __init__(self) -> None:
        self.response: Response | None = None


class Exchanges:
    """Numbers the exchanges of one run, and tells `sink` of both halves of each."""

    def __init__(self, sink: Sink, secrets: Secrets, clock: Callable[[], float]) -> None:
        self._sink = sink
        self._secrets = secrets
        self._clock = clock
        self._count = 0

    @contextmanager
    def told(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | SpanPayload | None
    ) -> Iterator[Exchange]:
        """Tell of a request when it begins; when it ends, of the response that was put into the exchange, or of the
        error."""
        self._count += 1
        number, began, exchange = self._count, self._clock(), Exchange()
        self._secrets.sent(url, headers, body if isinstance(body, bytes) else None)
        size = len(body) if isinstance(body, bytes) else (body.size or 0) if body else 0
        self._sink(HTTPRequest(number, method, self._safe(url), self._headers(headers), size))
        try:
            yield exchange
        except RegistryPushError as error:
            self._sink(HTTPAnswer(number, None, {}, self._safe(error.message), self._clock() - began))
            raise
        except asyncio.CancelledError:
            self._sink(HTTPAnswer(number, None, {}, "not waited for any longer", self._clock() - began))
            raise
        if (response := exchange.response) is not None:
            said = self._safe(response.body.decode("utf-8", "replace")) if response.status >= 400 else None
            headers = self._headers(response.headers)
            self._sink(HTTPAnswer(number, response.status, headers, said or None, self._clock() - began))

    def _headers(self, headers: Mapping[str, str]) -> dict[str, str]:
        return {printable(name): self._value(name, value) for name, value in headers.items()}

    def _value(self, name: str, value: str) -> str:
        from ..text.redaction import is_secret, without_queries  # for its patterns, as in `errors`

        if is_secret(name) or name.lower() in _COOKIES:
            scheme, space, _ = value.partition(" ")
            return f"{printable(scheme, limit=20)} {_HIDDEN}" if space and scheme.isalpha() else _HIDDEN
        if name.lower() == "www-authenticate":  # how to sign in: its words look like those of a login
            return printable(without_queries(without_user_parts(self._secrets.hide(value))))
        return self._safe(value)

    def _safe(self, text: str) -> str:
        return printable(redacted(self._secrets.hide(text)))
