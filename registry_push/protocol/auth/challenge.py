"""WWW-Authenticate: every header, every challenge in it (RFC 9110, sections 11.3 and 11.6.1)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from types import MappingProxyType
from typing import Final

from msgspec import Struct, field

# What a token is asked for: `repository:<name>:<actions>`, one each (docker's token document).
Scopes = tuple[str, ...]

# RFC 9110, 5.6.2: what the grammar calls a token is made of these.
_WORD: Final = r"[!#$%&'*+.^_`|~0-9A-Za-z-]"
# One element of the header: a parameter, a token68 or the name of a scheme; the match says which. It is matched only
# where the last one ended, and no two of its parts can take the same character, so parsing is linear.
_STEP: Final = re.compile(
    rf"""
    [\s,]*+
    (?:
        (?P<key>{_WORD}++)\s*+=\s*+(?:"(?P<quoted>(?:[^"\\]|\\.)*+)"|(?P<bare>{_WORD}++))(?=\s*+(?:,|\Z)|\s++{_WORD})
      | (?P<scheme>{_WORD}++)(?=[\s,]|\Z)
      | (?P<junk>[^\s,]++)
    )
    """,
    re.VERBOSE | re.ASCII,
)
# A header this long is an attack or a fault; the longest seen in the field (Azure) has 500 characters.
_MAX_HEADER: Final = 8 * 1024
# Headers, and challenges in all of them. IIS sends four (Negotiate, NTLM, Basic, Bearer), registries one or two.
_MAX_CHALLENGES: Final = 10


class Challenge(Struct, frozen=True):
    """One challenge: `scheme` in lower case, parameter names in lower case, values unquoted."""

    scheme: str
    parameters: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def realm(self) -> str | None:
        """The URL of the token service (Bearer), or what the password is for (Basic)."""
        return self.parameters.get("realm") or None

    @property
    def service(self) -> str | None:
        """The service that the token is for."""
        return self.parameters.get("service") or None

    @property
    def scopes(self) -> tuple[str, ...]:
        """The scopes asked for, one each (they come separated by spaces)."""
        return tuple(self.parameters.get("scope", "").split())


def parse_challenges(headers: Iterable[str]) -> tuple[Challenge, ...]:
    """Return the first challenges of the first `WWW-Authenticate` headers, in order.

    Never raises; unreadable ones are left out.
    """
    found = (challenge for header in islice(headers, _MAX_CHALLENGES) for challenge in _parse(header[:_MAX_HEADER]))
    return tuple(islice(found, _MAX_CHALLENGES))


def _parse(header: str) -> Iterator[Challenge]:
    scheme, parameters, at = "", dict[str, str](), 0
    while (step := _STEP.match(header, at)) is not None:
        at = step.end()
        if step["scheme"] is not None:
            if scheme:
                yield Challenge(scheme, MappingProxyType(parameters))
            scheme, parameters = step["scheme"].lower(), {}
        elif step["key"] is not None and scheme:
            quoted = step["quoted"]
            value = step["bare"] if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
            parameters.setdefault(step["key"].lower(), value)  # RFC 9110: a name occurs once; the first one counts
    if scheme:
        yield Challenge(scheme, MappingProxyType(parameters))


def bearer(challenges: Iterable[Challenge]) -> Challenge | None:
    """Return the first Bearer challenge that names a realm."""
    return next((each for each in challenges if each.scheme == "bearer" and each.realm), None)


def basic(challenges: Iterable[Challenge]) -> Challenge | None:
    """Return the first Basic challenge."""
    return next((each for each in challenges if each.scheme == "basic"), None)


def widened(scopes: Iterable[str], wanted: Iterable[str]) -> tuple[str, ...]:
    """Return `scopes` with the actions of `wanted` added, each resource once; wanted ones come last, in their order.

    A registry that is asked HEAD first challenges for `pull` only; asking for `pull,push` at once saves the
    second trip to the token service. GitLab counts only the last scope.
    """
    wanted = tuple(wanted)
    actions: dict[str, dict[str, None]] = {}
    for scope in (*scopes, *wanted):
        resource, colon, listed = scope.rpartition(":")
        if colon:
            actions.setdefault(resource, {}).update(dict.fromkeys(listed.split(",")))
    for scope in wanted:
        resource = scope.rpartition(":")[0]
        if resource in actions:
            actions[resource] = actions.pop(resource)
    return tuple(f"{resource}:{','.join(listed)}" for resource, listed in actions.items())
