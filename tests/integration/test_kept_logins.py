"""Logins at registries that do not ask for them, and work that is continued with a login that was missing."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from multidict import CIMultiDict, CIMultiDictProxy

from registry_push.embedded import Basic, EmbeddedRegistry, OnCut, Options, Quirks
from registry_push.embedded.sample import LAYER_TYPE, Layer, config, write_model
from registry_push.errors import Interrupted, NotAllowed
from registry_push.events import BlobProgress, Event
from registry_push.http.response import Response
from registry_push.model import HTTPOrigin, ModelName
from registry_push.registry.root import Root
from registry_push.settings import Settings
from registry_push.verbs.copy import copy
from registry_push.verbs.push import push
from registry_push.verbs.resume import go_on
from tests.support.registries import EmbeddedFactory
from tests.support.secrets import PASSWORD

LOGIN = {"username": "me", "password": PASSWORD}
NO_HEADERS = CIMultiDictProxy(CIMultiDict[str]())
USERS = Basic({"me": PASSWORD})


def settings(folder: Path, **given: object) -> Settings:
    return Settings(home=folder, models=folder / "models", state_dir=folder / "state", **given)  # type: ignore[arg-type]


def written(folder: Path, *names: str) -> None:
    for number, name in enumerate(names):
        layer = Layer(LAYER_TYPE + "model", bytes([number]) * 12_000_000)
        write_model(folder / "models", ModelName.parse(name), config(), [layer])


@pytest.mark.parametrize("status", [401, 403, 404])
async def test_a_login_serves_all_repositories_of_a_registry_that_asks_for_it_at_its_root_only(
    embedded_with: EmbeddedFactory, tmp_path: Path, status: int
) -> None:
    registry = await embedded_with(Options(auth=USERS, quirks=Quirks(unchallenged=status)))
    written(tmp_path, "me/one", "me/two", "me/three")
    report = await push(["*"], to=f"{registry.host}/", settings=settings(tmp_path, **LOGIN))
    assert report.error is None
    assert sum(each.target == "/v2/" for each in registry.log) == 1, "its root is asked once"


async def test_who_was_cancelled_while_the_root_was_asked_has_not_asked() -> None:
    asked, answer = asyncio.Event(), Response(200, "https://r.example/v2/", NO_HEADERS, b"{}")

    async def get(_: str) -> Response:
        if not asked.is_set():
            asked.set()
            await asyncio.Event().wait()
        return answer

    root = Root(HTTPOrigin.of("https://r.example"), get, has_none=False)
    asking = asyncio.create_task(root.answer())
    await asked.wait()
    asking.cancel()
    assert await root.answer() is answer


async def begun(folder: Path, registry: EmbeddedRegistry, *, copies: bool) -> None:
    """A push or a copy of a model that was stopped at its first bytes."""
    written(folder, "me/one")
    stop = asyncio.Event()

    def sink(event: Event) -> None:
        if isinstance(event, BlobProgress):
            stop.set()

    wanted = settings(folder, **LOGIN, chunk_size=1_000_000)
    with pytest.raises(Interrupted):
        if copies:
            await copy("ollama:me/one", f"registry:{registry.host}/me/one", settings=wanted, sink=sink, stop=stop)
        else:
            await push(["me/one"], to=f"{registry.host}/", settings=wanted, sink=sink, stop=stop)


@pytest.mark.parametrize("copies", [False, True], ids=["push", "copy"])
@pytest.mark.parametrize("wrong", [{}, {"username": "me", "password": "mistyped"}], ids=["none", "mistyped"])
async def test_a_run_is_not_forgotten_for_lack_of_a_login(
    embedded_with: EmbeddedFactory, tmp_path: Path, copies: bool, wrong: dict[str, str]
) -> None:
    registry = await embedded_with(Options(auth=USERS, on_cut=OnCut.ACKNOWLEDGED))
    await begun(tmp_path, registry, copies=copies)
    refused = await go_on(settings=settings(tmp_path, **wrong))
    assert isinstance(refused.error, NotAllowed)
    report = await go_on(settings=settings(tmp_path, **LOGIN))
    assert report.error is None and len(report.models) == 1
    assert (await go_on(settings=settings(tmp_path, **LOGIN))).models == (), "done is done"
