"""A repository at a scripted server, with nothing shared between runs."""

from __future__ import annotations

import asyncio
import time

from registry_push.content.hashing import Hasher
from registry_push.events import ignore
from registry_push.registry.client import Client
from registry_push.registry.host import Host
from registry_push.registry.keeper import KeepNothing
from registry_push.registry.limits import Limits
from registry_push.registry.repository import Repository
from registry_push.registry.run import Run
from registry_push.registry.under_way import UnderWay
from registry_push.settings import Settings


def repository_at(client: Client, name: str, settings: Settings, hasher: Hasher) -> Repository:
    """The repository `name`, of which nothing is remembered, with one slot."""
    return Repository(Host(client, Limits(1), KeepNothing(), settings), name, run_of(settings, hasher))


def run_of(settings: Settings, hasher: Hasher) -> Run:
    """A run that keeps nothing and tells nobody."""
    return Run(settings, hasher, ignore, KeepNothing(), asyncio.Event(), UnderWay(time.monotonic))
