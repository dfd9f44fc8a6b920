"""Where the service listens: `$OLLAMA_HOST`, read as Ollama reads it (envconfig/config.go, Host)."""

from __future__ import annotations

import ipaddress
import re
from typing import Final

from msgspec import Struct

from ..model.origin import is_loopback
from ..text.user_part import without_login

DEFAULT_HOST: Final = "127.0.0.1"
DEFAULT_PORT: Final = 11434
# A scheme only chooses the port: Ollama speaks plain http behind https:// too, for the proxy in front of it.
_PORTS: Final = {"http": 80, "https": 443}
# As net.SplitHostPort: an IPv6 address with a port has brackets; anything else has one colon.
_HOST_PORT: Final = re.compile(r"(?:\[(?P<v6>[^\[\]]*)\]|(?P<name>[^:\[\]]*)):(?P<port>[^:\[\]]*)\Z")


class Address(Struct, frozen=True):
    """A host without brackets, and a port. An empty host means all addresses of this machine; port 0 any free port."""

    host: str = DEFAULT_HOST
    port: int = DEFAULT_PORT

    @property
    def is_local(self) -> bool:
        """Whether only this machine can reach it. Names other than `localhost` don't count as local."""
        return is_loopback(self.host.lower())

    def __str__(self) -> str:
        host = without_login(self.host)
        return f"[{host}]:{self.port}" if ":" in host else f"{host}:{self.port}"


def parse_ollama_host(value: str) -> Address:
    """Parse `$OLLAMA_HOST`. An invalid port becomes Ollama's own; nothing is refused."""
    text = value.strip().strip("\"'").strip()
    scheme, separator, rest = text.partition("://")
    if not separator:
        scheme, rest = "", text
    default = _PORTS.get(scheme, DEFAULT_PORT)
    rest = rest.partition("/")[0]
    found = _HOST_PORT.match(rest)
    if found is None:
        return Address(_bare_ip(rest) or rest or DEFAULT_HOST, default)
    host = found["v6"] if found["v6"] is not None else found["name"]
    port = found["port"]
    is_port = re.fullmatch("[0-9]{1,9}", port) is not None and int(port) <= 65535
    return Address(host, int(port) if is_port else default)


def _bare_ip(text: str) -> str | None:
    try:
        return str(ipaddress.ip_address(text.strip("[]")))
    except ValueError:
        return None
