"""The options of an embedded registry."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from enum import Enum
from types import MappingProxyType

from aiohttp import web
from msgspec import Struct

from .faults import NO_FAULTS, Schedule
from .quirks import Quirks
from .rate_limiter import RateLimit

Hook = Callable[[web.Request], Awaitable[web.StreamResponse | None]]

_NOBODY: Mapping[str, str] = MappingProxyType({})
# A type that no client would choose by itself, and a value that must not be trimmed or quoted again.
_SIGNED: Mapping[str, str] = MappingProxyType(
    {"Content-Type": "application/vnd.embedded.blob", "X-Amz-Meta-Note": "a%2fb+c ~d"}
)


class OnCut(Enum):
    """What is left of an upload session when the connection breaks inside a body."""

    KEEP = "keep"
    """Every byte that arrived: distribution 3."""
    ACKNOWLEDGED = "acknowledged"
    """The chunks that were answered: ECR, R2."""
    LOSE = "lose"
    """Nothing, the session is gone: distribution 2.7 and 2.8, zot."""


class Basic(Struct, frozen=True):
    """HTTP Basic; `users` maps names to passwords."""

    users: Mapping[str, str]
    realm: str = "embedded"


class Token(Struct, frozen=True):
    """Bearer tokens, issued at `/token` to `users`, to holders of `keys`, and for pulling to anyone if so said.

    `keys` are ed25519 public keys in SSH's wire form, as Ollama signs in with. If they are mapped to namespaces, a key
    may push into those only. `lifetime` is in seconds; `clock` returns unix seconds, and the registry's answers carry
    it as their `Date`.
    """

    keys: frozenset[bytes] | Mapping[bytes, frozenset[str]] = frozenset()
    users: Mapping[str, str] = _NOBODY
    anonymous_pull: bool = False
    service: str = "embedded"
    lifetime: int = 300
    clock: Callable[[], float] = time.time


class Ollama(Struct, frozen=True):
    """Ollama's registry instead of a plain one, with a storage at an origin of its own.

    - `strict`: what Ollama's own client never does is a breach, even where a server could live with it.
    - `redirect`: whether a part that may be redirected is; a function is asked with its offset and its size.
    - `direct`: whether direct uploads are offered. The PUT there must carry `signed_headers`, is answered with
      `direct_status`, and, as the parts, holds only if its URL is used byte for byte.
    - `session_in`: the headers in which a 202 gives the next session URL. A 307 has it in Docker-Upload-Location.
    - `status`: whether a session can be asked how far it is. Nothing says that Ollama's can.
    - `min_part`: the smallest part, in bytes, but for the last. The storage behind Ollama's registry takes 5 MiB.
    - `lifetime`: seconds for which a presigned URL holds, by `clock`; the `expire_first` first ones never do.
    - `discards`: bytes of a body that was answered early which are still read before the line is cut, None for all
      of them; Go's net/http reads 256 KiB. `close_early`: such an answer says `Connection: close`, always.
    - `storage_hook` sees each request to the storage first, and may answer it.
    """

    strict: bool = True
    redirect: bool | Callable[[int, int], bool] = True
    direct: bool = True
    direct_status: int = 200
    signed_headers: Mapping[str, str] = _SIGNED
    session_in: tuple[str, ...] = ("Docker-Upload-Location", "Location")
    status: bool = False
    min_part: int = 0
    lifetime: int = 86_400
    expire_first: int = 0
    clock: Callable[[], float] = time.time
    discards: int | None = 256 * 1024
    close_early: bool = False
    storage_hook: Hook | None = None


class HuggingFace(Struct, frozen=True):
    """hf.co instead of a plain registry, with a storage at an origin of its own; it is filled through `repositories`.

    - `tells_digest`: whether manifests come with their digest.
    - `lifetime`: seconds for which a URL of the storage holds, by `clock`; the `expire_first` first ones never do.
    - `storage_hook` sees each request to the storage first, and may answer it.
    """

    tells_digest: bool = True
    lifetime: int = 3600
    expire_first: int = 0
    clock: Callable[[], float] = time.time
    storage_hook: Hook | None = None


class Options(Struct, frozen=True):
    """The honest defaults: no sign-in, absolute Locations, no limits, and every byte kept.

    `min_chunk` (bytes) is sent as `OCI-Chunk-Min-Length`; a body over `max_chunk` is answered 413, as a proxy in
    front would. `cut_after`: the connection breaks, once, when that many bytes of upload bodies have come in.
    `hook` sees each request first, and may answer it. `zot_like`: a POST with a digest must hold the whole blob,
    else it is answered 415 or 400 as by zot. `ollama`: another kind of registry, for which `min_chunk` and `on_cut`
    mean nothing; and so is `hugging_face`, where nothing can be pushed. `faults`: what else goes wrong, after `hook`.
    `verifies`: whether what was sent must have the digest it is committed as; the spec does not say that a registry
    must look. `quirks`: what it does as real registries do, and the specification does not say; an Ollama registry has
    none of those of uploads. `rate_limit`: how many reads it answers in a window of time; None: any number.
    """

    relative_locations: bool = False
    min_chunk: int | None = None
    max_chunk: int | None = None
    on_cut: OnCut = OnCut.KEEP
    auth: Basic | Token | None = None
    cut_after: int | None = None
    hook: Hook | None = None
    zot_like: bool = False
    ollama: Ollama | None = None
    hugging_face: HuggingFace | None = None
    faults: Schedule = NO_FAULTS
    verifies: bool = True
    quirks: Quirks = Quirks()
    rate_limit: RateLimit | None = None
