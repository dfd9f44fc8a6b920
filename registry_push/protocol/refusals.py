"""What to do about a refusal, as far as its status says. Pure."""

from __future__ import annotations

from typing import Final

from .response import Kind, RegistryResponse

_TOO_LARGE: Final = (
    "the registry, or the proxy before it, takes no request of this size: have its limit raised"
    " (nginx: client_max_body_size 0; Apache: LimitRequestBody 0)"
)


def hint_for(answer: RegistryResponse) -> str | None:
    """Return the next step after a refusal that is final; None if the registry's words have to do."""
    return _TOO_LARGE if answer.kind is Kind.TOO_LARGE else None
