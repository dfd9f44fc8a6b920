"""What regsync's `creds` say of a registry, less the logins."""

from __future__ import annotations

from typing import Final

from ...settings import LARGEST_CHUNK_SIZE, SMALLEST_CHUNK_SIZE
from .converted import Notes, Unconvertible
from .images import parse_host
from .plan_writer import Value
from .reading import Reader
from .yaml_tree import Pair, Table

_LOGIN: Final = ("user", "pass", "token", "credHelper", "credExpire", "credHost")
_SAVED: Final = "save it as a file, and name that in {}"
# What is to say about keys that are not taken over; their values may be secret and are never repeated.
_NOT_TAKEN: Final = {
    "regcert": _SAVED.format("ca-file"),
    "clientCert": _SAVED.format("cert"),
    "clientKey": _SAVED.format("key-file"),
    "hostname": "a registry is reached by its own name here",
    "pathPrefix": "write the path into the sources",
    "mirrors": "mirrors are not asked here",
    "priority": "mirrors are not asked here",
    "api": "there are no other interfaces here",
    "apiOpts": "there are no other interfaces here",
    "reqPerSec": "requests are not counted by the second here; a registry's 429 slows them down",
    "reqConcurrent": "jobs in [defaults] counts the uploads at once",
}
# These change nothing at the values for which regsync does without them.
_ZERO: Final = ("priority", "reqPerSec", "reqConcurrent")
_KNOWN: Final = frozenset({"registry", "tls", "scheme", "repoAuth", "blobChunk", "blobMax", *_LOGIN, *_NOT_TAKEN})


def host_settings(table: Table, hosts: dict[str, dict[str, Value]], notes: Notes) -> None:
    """Add to `hosts` what one item of `creds` says."""
    read = Reader(notes)
    named = table.get("registry")
    text = read.text(named, "creds.registry")
    host = None
    try:
        host = parse_host(text) if text else None
    except Unconvertible as error:
        notes.add(table.line if named is None else named.line, "creds.registry", str(error))
    if text is None or text == "":
        notes.add(table.line, "creds.registry", "it names no registry")
    values = hosts.setdefault(host, {}) if host is not None else {}
    shown = host or "HOST"
    for key, pair in table.items():
        if key not in _KNOWN and not key.startswith("x-"):
            notes.add(pair.line, "creds", "regsync has no such key")  # which may be a slip that has a secret in it
    for key in _LOGIN:
        if (login := table.get(key)) is not None:
            said = f"logins are not taken over: log in with registry-push login {shown}"
            notes.add(login.line, f"creds.{key}", said)
            break
    _connection(table, values, notes)
    _uploads(table, values, notes)
    for key, said in _NOT_TAKEN.items():
        found = table.get(key)
        if found is None or (key in _ZERO and read.text(found, f"creds.{key}") in ("0", "0.0")):
            continue
        if key == "hostname" and read.text(found, "creds.hostname") == text:
            continue
        notes.add(found.line, f"creds.{key}", said)


def _connection(table: Table, values: dict[str, Value], notes: Notes) -> None:
    tls, scheme = table.get("tls"), table.get("scheme")
    match _word(tls, notes, "creds.tls"):
        case "disabled":
            values["plain-http"] = True
        case "insecure":
            values["tls-verify"] = False
        case None | "" | "enabled":
            pass
        case _ if tls is not None:
            notes.add(tls.line, "creds.tls", "this has to be enabled, insecure or disabled")
    if _word(scheme, notes, "creds.scheme") == "http":
        values["plain-http"] = True


def _word(pair: Pair | None, notes: Notes, key: str) -> str | None:
    text = Reader(notes).text(pair, key)
    return None if text is None else text.lower()


def _uploads(table: Table, values: dict[str, Value], notes: Notes) -> None:
    read = Reader(notes)
    chunk, most = table.get("blobChunk"), table.get("blobMax")
    size, largest = read.whole(chunk, "creds.blobChunk"), read.whole(most, "creds.blobMax")
    if largest is not None and largest < 0:
        values["one-put"] = True
        values.pop("chunk-size", None)
    elif most is not None and largest:
        notes.add(most.line, "creds.blobMax", "one-put = true sends every blob in one request; else none is")
    if chunk is None or not size:
        return
    if values.get("one-put"):
        notes.add(chunk.line, "creds.blobChunk", "with blobMax: -1 nothing is sent in chunks")
    elif SMALLEST_CHUNK_SIZE <= size <= LARGEST_CHUNK_SIZE:
        values["chunk-size"] = size
    else:
        notes.add(chunk.line, "creds.blobChunk", f"chunks have {SMALLEST_CHUNK_SIZE} bytes or more here")
