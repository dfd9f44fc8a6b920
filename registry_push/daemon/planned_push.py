"""From a request to a planned push, before anything is sent."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from msgspec import Struct

from ..content.ollama.source import OllamaStore, open_store
from ..errors import ModelNotFound, UsageError
from ..events import Sink
from ..model import Digest, ModelName, Reference
from ..model.origin import is_loopback
from ..settings import Settings
from ..transfer.job import PushJob
from ..verbs.selection import planned_model
from .access import bare_host
from .push_request import PushRequest
from .targets import AllowedTargets

Key = tuple[Reference, Digest, bool, str | None, str | None]


class PlannedPush(Struct, frozen=True):
    """One push: the source in `store`, the target, and the login (`settings`)."""

    plan: PushJob
    store: OllamaStore
    settings: Settings

    @property
    def key(self) -> Key:
        """What two requests must have in common to share a push: the content, the target, the login."""
        settings, plan = self.settings, self.plan
        is_plain = settings.at(plan.target.host).plain_http
        return plan.target, plan.manifest.digest, is_plain, settings.username, settings.password


async def planned_push(
    request: PushRequest, settings: Settings, targets: AllowedTargets, sink: Sink, *, searching: asyncio.Lock
) -> PlannedPush:
    """Return the push for `request`. `searching` is held while the whole store is searched for a name.

    Raises `UsageError`, `TargetNotAllowed`, `ModelNotFound`, and what reading the manifest raises. The name is checked
    before the store is read: clients must not be able to find out whether files exist (CVE-2024-39722).
    """
    name = ModelName.parse(request.model)
    targets.check(name)
    # ollama:server/images.go, PushModel: "insecure protocol http". As with the command, this machine needs no flag.
    if name.scheme == "http" and not request.insecure and not is_loopback(bare_host(name.host)):
        raise UsageError(f"{name} is to be reached by plain http", hint='say "insecure": true')
    store = open_store(settings)
    try:
        name = await _as_stored(store, name, searching)
        plan = await planned_model(store, name, (Reference.for_model(name),), sink)
    except ModelNotFound as error:  # without the path of the store, which the client must not learn
        raise ModelNotFound(f"model {name.short} not found", hint=error.next_step) from error
    is_plain = settings.at(plan.target.host).plain_http
    # As in Ollama (server/images.go, makeRequest), insecure means http, not unverified TLS. Its own registry needs
    # none.
    theirs = replace(
        settings,
        plain_http=is_plain or (request.insecure and not plan.target.is_ollama),
        # No client can have the logins of this service sent in clear text.
        http_said_by="runner" if is_plain else "request",
        username=request.username,
        password=request.password,
    )
    return PlannedPush(plan, store, theirs)


async def _as_stored(store: OllamaStore, name: ModelName, searching: asyncio.Lock) -> ModelName:
    """Return `name` in the store's spelling (server/routes.go, getExistingName). Raises `ModelNotFound`.

    Only one search runs at a time: it reads every name of the store, and requests for unknown models would use up all
    threads.
    """
    if store.root.joinpath("manifests", *name.path_parts).is_file():
        return name
    async with searching:
        alike = [model.name for model in await store.models() if model.name.same_as(name)]
        if len(alike) == 1:
            return ModelName(*alike[0].path_parts, name.scheme)
        await store.resolve(name)  # raises the reason, unless the listing has missed it
    return name
