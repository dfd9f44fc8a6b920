"""Breaches of the protocol by clients: recorded in words for the tests, and refused if a server would."""

from __future__ import annotations

from collections.abc import Collection

from aiohttp import web

from .answers import Code, RefusedRequest
from .call import Exchange


class Rules:
    """Records breaches. Without `strict` only those of the protocol itself, not what Ollama's own client never does."""

    def __init__(self, *, strict: bool = False) -> None:
        self.strict = strict
        self.breaches: list[str] = []

    def broken(self, exchange: Exchange, what: str) -> None:
        """Record a breach. Paths are recorded without their query, which may be a capability."""
        self.breaches.append(f"{exchange.method} {exchange.target.partition('?')[0]}: {what}")

    def unusual(self, exchange: Exchange, what: str) -> None:
        """Record what is a breach to the strict only."""
        if self.strict:
            self.broken(exchange, what)

    def refusal(self, exchange: Exchange, code: Code, what: str) -> RefusedRequest:
        """Record a breach and return the answer that refuses it."""
        self.broken(exchange, what)
        return RefusedRequest(code, what)

    def check_extensions(self, request: web.Request, exchange: Exchange, known: Collection[str]) -> None:
        """Record each `X-…` header that is not among `known` (in small letters)."""
        for name in sorted({name.lower() for name in request.headers} - set(known)):
            if name.startswith("x-"):
                self.unusual(exchange, f"an unknown header, {name}")
