"""Why a server's certificate is not trusted, in words: its dates, names or authority, and how to fix that."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.x509.oid import NameOID
from msgspec import Struct

from ..errors import printable
from ..text.hint import Hint, Setting, step

# OpenSSL's X509_V_ERR_… (x509_vfy.h), which are Python's `verify_code`.
_DATES: Final = (9, 10)
_NAMES: Final = (62, 64)
_SIGNATURE: Final = 7
_SELF_SIGNED: Final = 18
_AUTHORITY: Final = (2, _SIGNATURE, _SELF_SIGNED, 19, 20, 21)
# Names of a certificate that are shown; hosting services have hundreds in one.
_SHOWN_NAMES: Final = 8


class Reason(Struct, frozen=True):
    """One thing that is wrong with a certificate, and the next step."""

    words: str
    hint: str | Hint


def reasons(
    code: int,
    words: str,
    chain: Sequence[bytes],
    *,
    netloc: str,
    host: str,
    now: datetime,
    ca_file: Path | None = None,
) -> list[Reason]:
    """Return why the certificate of `netloc` is not trusted: OpenSSL's first error (`code`, `words`), and others.

    `chain` are the server's certificates in DER, its own first; empty if unknown. `ca_file` was trusted in vain.
    """
    known = _parsed(chain)
    # An expired CA that the server sends needlessly does not matter: it counts only if OpenSSL says so.
    dates = _dates(known if code in _DATES else known[:1], netloc, now)
    names = _names(known[0], netloc, host) if known else None
    if code in _DATES:
        found = [dates or _unknown_dates(netloc, now, is_own=not known), names]
    elif code in _NAMES:
        found = [names or Reason(f"its certificate is not valid for {host}", _names_hint(netloc)), dates]
    elif code in _AUTHORITY:
        # First the problems that --ca-file does not fix.
        found = [dates, names, _authority(code, known, netloc, ca_file)]
    else:
        found = [Reason(f"its certificate is not accepted: {words}", f"ask who runs {netloc} for another")]
    return [reason for reason in found if reason is not None]


def _parsed(chain: Sequence[bytes]) -> list[x509.Certificate]:
    try:
        return [x509.load_der_x509_certificate(each) for each in chain]
    except ValueError:
        return []


def _dates(chain: Sequence[x509.Certificate], netloc: str, now: datetime) -> Reason | None:
    for number, each in enumerate(chain):
        first, last = each.not_valid_before_utc, each.not_valid_after_utc
        if first <= now <= last:
            continue
        whose = "its certificate" if number == 0 else f"the CA {_name(each.subject)} above its certificate"
        state = "has expired" if now > last else "is not valid yet"
        dates = f"it is valid from {_time(first)} to {_time(last)}, and this machine's clock says {_time(now)}"
        return Reason(f"{whose} {state}: {dates}", _clock_hint(netloc))
    return None


def _unknown_dates(netloc: str, now: datetime, *, is_own: bool) -> Reason:
    whose = "its certificate" if is_own else "a CA above its certificate, known here,"
    return Reason(
        f"{whose} has expired, or is not valid yet: this machine's clock says {_time(now)}", _clock_hint(netloc)
    )


def _clock_hint(netloc: str) -> str:
    return f"check this machine's clock: date -u; if that is right, who runs {netloc} has to renew the certificate"


def _names(own: x509.Certificate, netloc: str, host: str) -> Reason | None:
    try:
        names = own.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return Reason("its certificate names no host: it has no subjectAltName", _names_hint(netloc))
    hosts, addresses = names.get_values_for_type(x509.DNSName), names.get_values_for_type(x509.IPAddress)
    address = _address(host)
    if any(_fits(host, name) for name in hosts) if address is None else address in addresses:
        return None
    shown = [printable(str(name), limit=80) for name in (*hosts, *addresses)]
    more = f" and {len(shown) - _SHOWN_NAMES} more" if len(shown) > _SHOWN_NAMES else ""
    listed = ", ".join(shown[:_SHOWN_NAMES]) or "no host at all"
    return Reason(f"its certificate is for {listed}{more}, and not valid for {host}", _names_hint(netloc))


def _names_hint(netloc: str) -> str:
    return f"write the name that it is for, if that leads to the same registry; or check where {netloc} leads"


def _address(host: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None


def _fits(host: str, name: str) -> bool:
    """Match a host with a name (RFC 6125, section 6.4): without case, and a star stands for the whole first label."""
    host, name = host.lower().rstrip("."), name.lower().rstrip(".")
    return host == name or (name.startswith("*.") and host.partition(".")[2] == name[2:])


def _authority(code: int, chain: Sequence[x509.Certificate], netloc: str, ca_file: Path | None) -> Reason:
    before = "if it is to be trusted, " if ca_file is None else f"{ca_file} does not hold it; "
    hint = step(f"{before}name its CA: ", Setting("ca_file", "FILE"))
    if code == _SIGNATURE:
        return Reason("its certificate is from a CA that has the name of a trusted one, and another key", hint)
    if code == _SELF_SIGNED or (len(chain) == 1 and chain[0].issuer == chain[0].subject):
        return Reason(
            "its certificate is self-signed, and not known here",
            step(f"{before}name it: ", Setting("ca_file", "FILE")),
        )
    if not chain:
        return Reason("its certificate is from a CA that is not trusted here", hint)
    if len(chain) == 1:
        hint = step(*hint.parts, f"; if that is a public CA, {netloc} has to send its intermediate certificate too")
    issuer = _name(chain[-1].issuer)
    return Reason(f"its certificate is from a CA that is not trusted here: {issuer}", hint)


def _name(name: x509.Name) -> str:
    common = name.get_attributes_for_oid(NameOID.COMMON_NAME)
    text = common[0].value if common else name.rfc4514_string()
    return printable(repr(text if isinstance(text, str) else text.decode(errors="replace")), limit=120)


def _time(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")
