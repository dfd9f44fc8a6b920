"""Pushes with a login from one source to one real registry: with the right password, and with a wrong one."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from msgspec import Struct

from registry_push.embedded.sample import write_sample_store
from tests.support.command import Finished, command
from tests.support.registries import docker_registry_at, zuul_registry_at
from tests.support.secrets import PASSWORD, WRONG_PASSWORD
from tests.support.tls import Authority

from .sources import USER, Place, Source

NOT_SIGNED_IN: Final = 4


class Reached(Struct, frozen=True):
    """A running registry that wants the login of `USER`, and how it is reached; see `Place`."""

    host: str
    flags: tuple[str, ...] = ()
    certificates: Path | None = None


@contextmanager
def _basic(folder: Path) -> Iterator[Reached]:
    with docker_registry_at(folder, htpasswd=(USER, PASSWORD)) as registry:
        yield Reached(registry.host)


@contextmanager
def _tls(folder: Path) -> Iterator[Reached]:
    with _by_https(folder, is_mutual=False) as reached:
        yield reached


@contextmanager
def _mutual_tls(folder: Path) -> Iterator[Reached]:
    with _by_https(folder, is_mutual=True) as reached:
        yield reached


@contextmanager
def _by_https(folder: Path, *, is_mutual: bool) -> Iterator[Reached]:
    authority = Authority.create(folder / "ca")
    clients = Authority.create(folder / "clients", name="Clients' CA") if is_mutual else None
    server, certificates = authority.issue(folder / "server"), folder / "certificates"
    certificates.mkdir()
    (certificates / "ca.crt").write_bytes(authority.cert.read_bytes())
    flags: tuple[str, ...] = ("--ca-file", str(authority.cert))
    if clients is not None:
        client = clients.issue(folder / "client")
        (certificates / "client.cert").write_bytes(client.cert.read_bytes())
        (certificates / "client.key").write_bytes(client.key.read_bytes())
        flags += ("--cert", str(client.cert), "--key-file", str(client.key))
    with docker_registry_at(
        folder, htpasswd=(USER, PASSWORD), tls=server, clients=clients.cert if clients is not None else None
    ) as registry:
        yield Reached(registry.host, flags, certificates)


@contextmanager
def _tokens(folder: Path) -> Iterator[Reached]:
    with zuul_registry_at(folder) as registry:
        yield Reached(registry.host)


REGISTRIES: Final = {
    "docker-registry, Basic": _basic,
    "docker-registry, TLS": _tls,
    "docker-registry, mTLS": _mutual_tls,
    "zuul-registry, Bearer": _tokens,
}


class Cell(Struct, frozen=True):
    """The two pushes: how each ended, and what is wrong with it."""

    right: int
    wrong: int
    faults: tuple[str, ...]


async def tried(source: Source, reached: Reached, folder: Path) -> Cell:
    """Push with the right login and with a wrong one, each from a home of its own."""
    right = await _pushed(source, reached, folder / "right", PASSWORD)
    wrong = await _pushed(source, reached, folder / "wrong", WRONG_PASSWORD)
    faults = []
    if right.code:
        faults.append(f"the right login ends with {right.code}: {right.err}")
    if wrong.code != NOT_SIGNED_IN:
        faults.append(f"the wrong login ends with {wrong.code}: {wrong.err}")
    if source.told not in wrong.err:
        faults.append(f"{source.told} is not named: {wrong.err}")
    return Cell(right.code, wrong.code, tuple(faults))


async def _pushed(source: Source, reached: Reached, home: Path, password: str) -> Finished:
    place = Place(home, reached.host, reached.flags, reached.certificates)
    home.mkdir(parents=True)
    name = f"{home.name}/{hashlib.sha256(source.name.encode()).hexdigest()[:12]}"
    write_sample_store(home / ".ollama/models", name=name, weights=70_000)
    given = source.give(place, password)
    line = ("push", name, "--to", f"{reached.host}/", *place.flags, *given.flags)
    return await command(*line, home=home, stdin=given.stdin, **given.variables)
