"""`Bounds`: the service's limits on simultaneous work. Clients beyond them get 503 and a Retry-After."""

from __future__ import annotations

from typing import Self

from msgspec import Struct
from msgspec.structs import replace


class Bounds(Struct, frozen=True):
    """Limits on what may be open or under way at once.

    `connections`: to all registries; `per_registry`: to one, so that one that hangs leaves the rest to the others (one
    push uses that many: its 64 requests without a body, and its bodies). `pushes`: under way in all, with some thirty
    open files each; `pushes_per_registry`: to one, more than one machine can usefully send. Clients that wait for one
    push count once. `clients`: connections of clients; a hundred clients need a tenth of it. `clients_per_push`: that
    wait for one push; more get 503. `retry_after`: seconds, about the time of a small push.

    No registry can take all pushes or all waiting clients: it gets no more than are left for the others. So each
    registry that hangs leaves half, and ten have to hang before another is turned away.
    """

    connections: int = 1024
    per_registry: int = 64
    pushes: int = 256
    pushes_per_registry: int = 64
    clients: int = 1024
    clients_per_push: int = 128
    retry_after: int = 10

    def within(self, files: int) -> Self:
        """Return the limits for a process with `files` descriptors: a quarter each for registries and clients."""
        quarter = max(1, files // 4)
        connections, clients = min(self.connections, quarter), min(self.clients, quarter)
        return replace(
            self,
            connections=connections,
            per_registry=min(self.per_registry, max(1, connections // 4)),
            clients=clients,
            clients_per_push=min(self.clients_per_push, max(1, clients // 4)),
        )
