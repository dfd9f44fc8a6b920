"""A second handshake, unverified, with a server with which TLS has failed, to see its certificates. Sends no request.

In TLS 1.2 the server's part can be read (RFC 5246, section 7.4): its certificates, and whether it asks for one of ours.
A server with TLS 1.3 only shows its own at the end of the handshake; if it wants one of ours, it hangs up after that.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterator
from contextlib import suppress
from enum import Enum
from typing import Final

from msgspec import Struct

from ..content.threads import no_thread

_ALERT, _HANDSHAKE = 21, 22  # content types of records
_CERTIFICATE, _CERTIFICATE_REQUEST, _SERVER_HELLO_DONE = 11, 13, 14  # types of handshake messages
# Seconds. If the handshake takes longer, the error is left as it is.
_PATIENCE: Final = 10.0
# Seconds in which a server that wants a certificate hangs up, and one that does not sends a ticket.
_VERDICT: Final = 2.0
# A server's part has a few kilobytes; this bounds what something else than TLS can make us read.
_MOST: Final = 256 * 1024


class Speech(Enum):
    """What a server answers to the beginning of a handshake."""

    TLS = "TLS"
    HTTP = "HTTP without TLS"
    OTHER = "another protocol"
    NONE = "the end of the connection"
    SILENT = "nothing"


class NotTLS(ConnectionError):
    """A server's answer to the beginning of a handshake is not TLS: it is `speech`."""

    def __init__(self, speech: Speech) -> None:
        super().__init__("this is no TLS")
        self.speech = speech


class Shown(Struct, frozen=True):
    """The handshake of a TLS server: its certificates in DER, its own first; none if it hung up before."""

    certificates: tuple[bytes, ...] = ()
    wants_certificate: bool = False


async def look(host: str, port: int, *, patience: float) -> Shown | None:
    """Return the server's handshake; None if it speaks no TLS, or can't be reached now. Cancelling is safe."""
    try:
        async with asyncio.timeout(min(patience, _PATIENCE)):
            first = await _Handshake(host, ssl.TLSVersion.TLSv1_2).run(port)
            if first is not None and first.certificates:
                return first
            return await _Handshake(host, ssl.TLSVersion.TLSv1_3).run(port) or first
    except OSError:  # of which TimeoutError is one
        return None
    except RuntimeError as error:
        if no_thread(error) is None:  # to look up the host
            raise
        return None


async def spoken(host: str, port: int, *, patience: float) -> Speech:
    """Return what a server speaks that takes connections, waiting up to `patience` seconds. Cancelling is safe."""
    try:
        async with asyncio.timeout(patience):
            for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
                if await _Handshake(host, version).run(port) is not None:
                    return Speech.TLS
    except NotTLS as error:
        return error.speech
    except TimeoutError:
        return Speech.SILENT
    except OSError:
        pass
    return Speech.NONE


class _Handshake:
    def __init__(self, host: str, version: ssl.TLSVersion) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        context.minimum_version = context.maximum_version = version
        self._host = host
        self._is_readable = version == ssl.TLSVersion.TLSv1_2
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=host)

    async def run(self, port: int) -> Shown | None:
        """Return the handshake; None if the server hung up silently. Raises `OSError`, and `NotTLS`, which is one."""
        reader, writer = await asyncio.open_connection(self._host, port)
        try:
            return await self._shown(reader, writer)
        finally:
            writer.transport.abort()

    async def _shown(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Shown | None:
        seen = bytearray()
        while len(seen) <= _MOST:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                pass
            except ssl.SSLError:
                break
            else:  # a message of 1.3, which can't be read
                writer.write(self._outgoing.read())
                own = self._tls.getpeercert(binary_form=True)
                return Shown((own,) if own else (), wants_certificate=await self._is_hung_up_on(reader))
            writer.write(self._outgoing.read())
            piece = await _read(reader)
            if not piece:
                break
            seen += piece
            if self._is_readable and _SERVER_HELLO_DONE in (messages := dict(_messages(bytes(seen)))):
                return Shown(_certificates(messages.get(_CERTIFICATE, b"")), _CERTIFICATE_REQUEST in messages)
            self._incoming.write(piece)
        if seen and not _is_tls(seen):
            raise NotTLS(Speech.HTTP if seen.startswith(b"HTTP/") else Speech.OTHER)
        return Shown() if seen else None

    async def _is_hung_up_on(self, reader: asyncio.StreamReader) -> bool:
        try:
            async with asyncio.timeout(_VERDICT):
                piece = await _read(reader)
        except TimeoutError:
            return False
        self._incoming.write(piece)
        try:
            self._tls.read(1)
        except ssl.SSLWantReadError:
            return not piece
        except ssl.SSLError:  # an alert
            return True
        return False


async def _read(reader: asyncio.StreamReader) -> bytes:
    """Return the received bytes; none if the server hung up."""
    with suppress(ConnectionError):
        return await reader.read(_MOST)
    return b""


def _is_tls(seen: bytes | bytearray) -> bool:
    return len(seen) > 1 and seen[0] in (_ALERT, _HANDSHAKE) and seen[1] == 3


def _messages(seen: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the complete handshake messages in `seen`, each with its type."""
    content = bytearray()
    while len(seen) >= 5 and seen[0] == _HANDSHAKE:
        end = 5 + int.from_bytes(seen[3:5])
        if len(seen) < end:
            break
        content += seen[5:end]
        seen = seen[end:]
    while len(content) >= 4:
        end = 4 + int.from_bytes(content[1:4])
        if len(content) < end:
            break
        yield content[0], bytes(content[4:end])
        content = content[end:]


def _certificates(message: bytes) -> tuple[bytes, ...]:
    """Return the certificates in a Certificate message: the total length, then each with its length."""
    found, rest = [], message[3:]
    while len(rest) > 3:
        end = 3 + int.from_bytes(rest[:3])
        found.append(rest[3:end])
        rest = rest[end:]
    return tuple(found)
