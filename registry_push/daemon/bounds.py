"""`Bounds`: how much of everything the service takes on at once. Who comes beyond it is told when to come again."""

from __future__ import annotations

from typing import Self

from msgspec import Struct
from msgspec.structs import replace


class Bounds(Struct, frozen=True):
    """Numbers of what may be open or under way at once.

    `connections`: to registries in all; `per_registry` of them to one, so that one that hangs leaves the rest to the
    others (the requests of one push, 64 beside its bodies, go over as many). `pushes`: under way in all, some thirty
    open files each; `pushes_per_registry` of them to one: more than one machine sends at a time with any use. Clients
    that wait for one push count once. `clients`: connections of clients; those of a hundred clients are a tenth of it.
    `clients_per_push`: of them, that wait for one push; more are told to come again. `retry_after`: seconds, about what
    a push of little takes.

    Nobody can take all: of pushes, and of clients that wait, one registry has no more than are left for the others. So
    each registry that hangs leaves half, and ten have to hang before another is turned away.
    """

    connections: int = 1024
    per_registry: int = 64
    pushes: int = 256
    pushes_per_registry: int = 64
    clients: int = 1024
    clients_per_push: int = 128
    retry_after: int = 10

    def within(self, files: int) -> Self:
        """These, where the process may have `files` open: a quarter to registries, one to clients, half for blobs."""
        quarter = max(1, files // 4)
        connections, clients = min(self.connections, quarter), min(self.clients, quarter)
        return replace(
            self,
            connections=connections,
            per_registry=min(self.per_registry, max(1, connections // 4)),
            clients=clients,
            clients_per_push=min(self.clients_per_push, max(1, clients // 4)),
        )
