"""Next steps after a refusal, as far as its status suggests one. Pure."""

from __future__ import annotations

from typing import Final

from .response import Kind, RegistryResponse

_TOO_LARGE: Final = (
    "the registry, or the proxy before it, takes no request of this size: have its limit raised"
    " (nginx: client_max_body_size 0; Apache: LimitRequestBody 0)"
)
_METHOD_NOT_ALLOWED: Final = 405
_READ_ONLY: Final = "it may be a mirror, or read-only for a while: ask who runs it, or push to another"


def hint_for(answer: RegistryResponse) -> str | None:
    """Return the next step after a final refusal; None if there is only what the registry says."""
    if answer.kind is Kind.TOO_LARGE:
        return _TOO_LARGE
    return _READ_ONLY if answer.status == _METHOD_NOT_ALLOWED else None
