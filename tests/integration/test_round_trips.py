"""How many requests a push takes: counted at the embedded registry, so no clock is asked."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path

import pytest

from registry_push.embedded import EmbeddedRegistry, Options, Token
from registry_push.protocol import throughput
from registry_push.protocol.upload.chunks import SINGLE_PUT
from registry_push.settings import Settings
from registry_push.verbs.push import push
from tests.support.registries import EmbeddedFactory
from tests.support.secrets import PASSWORD
from tests.support.stores import make_many_store

# With the config, which is a blob as well.
LAYERS = 12
BLOBS = LAYERS + 1
KIB = 1024


@pytest.fixture(autouse=True)
def every_registry_is_near(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a busy machine makes of the round trips: a registry that is far is asked ahead."""
    monkeypatch.setattr(throughput, "NEAR", math.inf)


class Store:
    """A model of equal layers, in `folder`."""

    def __init__(self, folder: Path, layer_size: int) -> None:
        self.models = folder / "models"
        self.home = folder / "home"
        self.home.mkdir()
        self.name = make_many_store(self.models, layers=LAYERS, layer_size=layer_size).short

    async def push(self, registry: EmbeddedRegistry, repository: str = "me/model", **settings: object) -> Counter[str]:
        """Pushes it, and counts the requests of this push by what they ask for."""
        before = len(registry.log)
        report = await push(
            [self.name],
            to=f"{registry.host}/{repository}",
            settings=Settings(models=self.models, home=self.home, **settings),  # type: ignore[arg-type]  # any of its fields
        )
        assert report.error is None
        return Counter(_said(exchange.method, exchange.target) for exchange in registry.log[before:])


def _said(method: str, target: str) -> str:
    path = target.partition("?")[0]
    if path == "/token":
        return "token"
    kind = "manifest" if "/manifests/" in path else "session" if "/blobs/uploads/" in path else "blob"
    return f"{method} {kind}"


async def test_a_blob_that_is_there_takes_one_request(tmp_path: Path, embedded: EmbeddedRegistry) -> None:
    store = Store(tmp_path, KIB)
    await store.push(embedded)
    assert await store.push(embedded, recheck=True) == {"HEAD blob": BLOBS, "HEAD manifest": 1}


async def test_a_model_that_is_there_takes_one_request(tmp_path: Path, embedded: EmbeddedRegistry) -> None:
    store = Store(tmp_path, KIB)
    await store.push(embedded)
    assert await store.push(embedded) == {"HEAD manifest": 1}


@pytest.mark.parametrize("size", [KIB, 64 * KIB, SINGLE_PUT], ids=["1 KiB", "64 KiB", "the largest in one PUT"])
async def test_a_small_blob_that_is_absent_takes_three(tmp_path: Path, embedded: EmbeddedRegistry, size: int) -> None:
    requests = await Store(tmp_path, size).push(embedded)
    blobs = {said: count for said, count in requests.items() if said.endswith(("blob", "session"))}
    assert blobs == {"HEAD blob": BLOBS, "POST session": BLOBS, "PUT session": BLOBS}
    assert requests - Counter(blobs) == {"HEAD manifest": 1, "PUT manifest": 1}


async def test_a_large_blob_on_a_line_that_is_not_known_takes_four(tmp_path: Path, embedded: EmbeddedRegistry) -> None:
    requests = await Store(tmp_path, SINGLE_PUT + 1).push(embedded)
    assert requests["HEAD blob"] == BLOBS
    assert requests["POST session"] == BLOBS
    assert requests["PUT session"] == BLOBS
    assert requests["PATCH session"] == LAYERS
    assert requests["GET session"] == 0, "nobody asks how far it is while nothing went wrong"


async def test_one_sign_in_serves_all_blobs(tmp_path: Path, embedded_with: EmbeddedFactory) -> None:
    registry = await embedded_with(Options(auth=Token(users={"me": PASSWORD})))
    requests = await Store(tmp_path, KIB).push(registry, username="me", password=PASSWORD)
    assert requests["token"] == 1
    refused = [exchange for exchange in registry.log if exchange.status == 401]
    assert requests["POST session"] == requests["PUT session"] == BLOBS
    assert {exchange.method for exchange in refused} == {"HEAD"}, "no body is sent to be refused"


async def test_a_large_model_that_is_there_is_told_of_once(tmp_path: Path, embedded: EmbeddedRegistry) -> None:
    store = Store(tmp_path, SINGLE_PUT + 1)
    await store.push(embedded)
    requests = await store.push(embedded)
    assert requests == {"HEAD manifest": 1}
