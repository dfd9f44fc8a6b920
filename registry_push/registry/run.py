"""`Run`: what the uploads of one run share, whatever their registry."""

from __future__ import annotations

import asyncio

from msgspec import Struct

from ..content.hashing import Hasher
from ..events import Sink
from ..protocol.bandwidth import Bandwidth
from ..settings import Settings
from .keeper import Keeper
from .under_way import UnderWay


class Run(Struct, frozen=True, eq=False):
    """The settings, the threads that hash, the sink, the keeper, and the event that stops the run.

    `downloads` are bytes a second of all content that is read, of all runs together; uploads have a limit of their own.
    """

    settings: Settings
    hasher: Hasher
    sink: Sink
    keeper: Keeper
    stop: asyncio.Event
    under_way: UnderWay
    downloads: Bandwidth | None = None
