"""Which token service may be given what: no credential leaves its origin, except to the realm it is meant for.

A registry names the realm in its challenge, so a hostile or hijacked one can name any (CVE-2025-51471, CVE-2026-33540,
CVE-2026-48978).
"""

from __future__ import annotations

from collections.abc import Collection
from enum import Enum, auto
from typing import Final

from ...errors import ForeignRealm, InvalidName, ProtocolViolation
from ...model import HTTPOrigin
from ...text.hint import Hint, Setting, step
from ..addresses import AddressKind, kind_of_host
from ..location import is_line


class Secret(Enum):
    """What would be sent to the realm, from harmless to most valuable."""

    NOTHING = auto()
    PASSWORD = auto()
    SIGNATURE = auto()


# Registries whose tokens come from another host, as their documentation says.
_SIGNING_PAIRS: Final = frozenset(
    {
        ("registry.ollama.ai", "ollama.com"),
        ("ollama.com", "registry.ollama.ai"),
        ("hf.co", "huggingface.co"),
        ("huggingface.co", "hf.co"),
    }
)
_PASSWORD_PAIRS: Final = frozenset(
    {
        ("registry-1.docker.io", "auth.docker.io"),
        ("index.docker.io", "auth.docker.io"),
        ("docker.io", "auth.docker.io"),
        ("registry.gitlab.com", "gitlab.com"),
        ("registry.redhat.io", "sso.redhat.com"),
        ("nvcr.io", "authn.nvidia.com"),
    }
)
_NO_URL: Final = "ask who runs the registry: the realm in its WWW-Authenticate header has to be a URL"


def judged(registry: HTTPOrigin, realm: str, secret: Secret, *, allowed: Collection[str] = ()) -> HTTPOrigin:
    """Return the realm's origin, if `secret` may go there; raises `ForeignRealm` or `ProtocolViolation` if not.

    `allowed` are hosts that the user has named. A signature goes to the registry's own origin and the known pairs
    only; a password to the same host, a known pair, or a parent or child domain of the registry's host. Nothing goes to
    a realm without TLS unless the registry is reached without TLS on that host too, nor, unless allowed, to a private
    or link-local address if the registry has none itself. Sibling hosts are strangers: anyone can have one below
    `co.uk` or `azurecr.io`.
    """
    if not is_line(realm):
        raise ProtocolViolation(f"{registry} names a token service that is no URL: {realm}", hint=_NO_URL)
    try:
        origin = HTTPOrigin.of(realm)
    except InvalidName as error:
        raise ProtocolViolation(f"{registry} names a token service that is no URL: {realm}", hint=_NO_URL) from error
    if origin == registry:
        return origin
    pair = (registry.host, origin.host)
    same_machine = registry.is_loopback and origin.is_loopback
    if origin.scheme == "http" and not (registry.scheme == "http" and (pair[0] == pair[1] or same_machine)):
        raise _refusal(registry, origin, "that is not https")
    if _is_inside(origin.host) and pair[0] != pair[1] and not same_machine and origin.host not in allowed:
        flag = step("if the registry's owner says that this is right: ", Setting("allow_realm", origin.host))
        raise _refusal(registry, origin, "that is an address of a private network or of the machine itself", hint=flag)
    standard = origin.port == 443
    match secret:
        case Secret.NOTHING:
            return origin
        case Secret.SIGNATURE if standard and pair in _SIGNING_PAIRS:
            return origin
        case Secret.PASSWORD if pair[0] == pair[1] or origin.host in allowed:
            return origin
        case Secret.PASSWORD if standard and (pair in _PASSWORD_PAIRS or _is_family(*pair)):
            return origin
        case Secret.PASSWORD:
            flag = step("if the registry's owner says that this is right: ", Setting("allow_realm", origin.host))
            raise _refusal(registry, origin, "that is another host", hint=flag)
        case _:
            raise _refusal(registry, origin, "a signature is for the registry's own origin")


def _refusal(registry: HTTPOrigin, realm: HTTPOrigin, why: str, *, hint: Hint | None = None) -> ForeignRealm:
    return ForeignRealm(
        f"{registry} asks for credentials to be sent to {realm}: {why}",
        hint=hint or "nothing was sent there; ask the registry's owner whether its token service is meant to be there",
    )


def _is_family(host: str, other: str) -> bool:
    """Return whether one host is a parent domain of the other: `gitlab.example.com`, `registry.gitlab.example.com`.

    A bare `com` is no parent.
    """
    above, below = sorted((host, other), key=len)
    return below.endswith(f".{above}") and "." in above and not above.rpartition(".")[2].isdigit()


def _is_inside(host: str) -> bool:
    return kind_of_host(host) not in (None, AddressKind.PUBLIC)
