"""From a request to what is to be done, before anything is sent."""

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
    """One push: what goes where, read from `store`, with whose login (`settings`)."""

    plan: PushJob
    store: OllamaStore
    settings: Settings

    @property
    def key(self) -> Key:
        """What two requests have to have in common to be one push: the content, the place, the login."""
        settings, plan = self.settings, self.plan
        return plan.target, plan.manifest.digest, settings.plain_http, settings.username, settings.password


async def planned_push(
    request: PushRequest, settings: Settings, targets: AllowedTargets, sink: Sink, *, searching: asyncio.Lock
) -> PlannedPush:
    """Return the push that `request` means. Whoever searches the whole store for a name holds `searching`.

    Raises `UsageError`, `TargetNotAllowed`, `ModelNotFound`, and what reading the manifest raises. The name is looked
    at before the store is: whether a file exists is not to be found out by names (CVE-2024-39722).
    """
    name = ModelName.parse(request.model)
    targets.check(name)
    # ollama:server/images.go, PushModel: "insecure protocol http". As for the command, this machine needs no word.
    if name.scheme == "http" and not request.insecure and not is_loopback(bare_host(name.host)):
        raise UsageError(f"{name} is to be reached by plain http", hint='say "insecure": true')
    store = open_store(settings)
    try:
        name = await _as_stored(store, name, searching)
        plan = await planned_model(store, name, (Reference.for_model(name),), sink)
    except ModelNotFound as error:  # without the path of the store, which is not the client's business
        raise ModelNotFound(f"model {name.short} not found", hint=error.hint) from error
    # As Ollama (server/images.go, makeRequest): insecure is http, not TLS unchecked. Its own registry needs none.
    theirs = replace(
        settings,
        plain_http=settings.plain_http or (request.insecure and not plan.target.is_ollama),
        # Nobody who asks can have the logins of this service sent in clear text.
        http_said_by="runner" if settings.plain_http else "request",
        username=request.username,
        password=request.password,
    )
    return PlannedPush(plan, store, theirs)


async def _as_stored(store: OllamaStore, name: ModelName, searching: asyncio.Lock) -> ModelName:
    """`name` in the case that the store has it in (server/routes.go, getExistingName). Raises `ModelNotFound`.

    One search at a time: it reads every name of the store, and requests for unknown models would take all threads.
    """
    if store.root.joinpath("manifests", *name.path_parts).is_file():
        return name
    async with searching:
        alike = [model.name for model in await store.models() if model.name.same_as(name)]
        if len(alike) == 1:
            return ModelName(*alike[0].path_parts, name.scheme)
        await store.resolve(name)  # which says why, unless the listing has missed it
    return name
