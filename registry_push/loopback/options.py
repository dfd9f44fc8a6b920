"""What an embedded registry is told to be like."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from types import MappingProxyType

from aiohttp import web

Hook = Callable[[web.Request], Awaitable[web.StreamResponse | None]]

_NOBODY: Mapping[str, str] = MappingProxyType({})


class OnCut(Enum):
    """What is left of an upload session when the connection breaks inside a body (protocol.md, 6)."""

    KEEP = "keep"
    """Every byte that arrived: distribution 3."""
    ACKNOWLEDGED = "acknowledged"
    """The chunks that were answered: ECR, R2."""
    LOSE = "lose"
    """Nothing, the session is gone: distribution 2.7 and 2.8, zot."""


@dataclass(frozen=True, slots=True)
class Basic:
    """HTTP Basic; `users` maps names to passwords."""

    users: Mapping[str, str]
    realm: str = "embedded"


@dataclass(frozen=True, slots=True)
class Token:
    """Bearer tokens, issued at `/token` to `users`, to holders of `keys`, and for pulling to anyone if so said.

    `keys` are ed25519 public keys in SSH's wire form, as Ollama signs in with (protocol.md, 3). `lifetime` is in
    seconds; `clock` gives unix seconds.
    """

    keys: frozenset[bytes] = frozenset()
    users: Mapping[str, str] = field(default_factory=lambda: _NOBODY)
    anonymous_pull: bool = False
    service: str = "embedded"
    lifetime: int = 300
    clock: Callable[[], float] = time.time


@dataclass(frozen=True, slots=True)
class Options:
    """The honest defaults: no sign-in, absolute Locations, no limits, and every byte kept.

    `min_chunk` (bytes) is told as `OCI-Chunk-Min-Length`; a body over `max_chunk` is answered 413, as a proxy in
    front would. `cut_after`: the connection breaks, once, when that many bytes of upload bodies have come in.
    `hook` sees each request first, and may answer it.
    """

    relative_locations: bool = False
    min_chunk: int | None = None
    max_chunk: int | None = None
    on_cut: OnCut = OnCut.KEEP
    auth: Basic | Token | None = None
    cut_after: int | None = None
    hook: Hook | None = None
