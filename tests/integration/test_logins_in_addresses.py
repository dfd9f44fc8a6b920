"""What the command and the service say of proxies and targets that have a login in them."""

from __future__ import annotations

from pathlib import Path

import pytest

from registry_push.embedded import EmbeddedRegistry
from tests.support.command import command
from tests.support.service import sample

pytestmark = pytest.mark.attack("S4")

PROXIES = [
    {"HTTPS_PROXY": "socks5://me:HUNTER2@127.0.0.1:1080"},
    {"http_proxy": "me:HUNTER2@127.0.0.1:badport"},
    {"ALL_PROXY": "http://me:HUNTER2/x@127.0.0.1"},
]


@pytest.mark.parametrize("variables", PROXIES, ids=str)
async def test_a_bad_proxy_ends_with_2_before_anything_else(
    embedded: EmbeddedRegistry, tmp_path: Path, variables: dict[str, str]
) -> None:
    model = sample(tmp_path, embedded.host)
    models = ["--models", str(tmp_path / "models")]
    for arguments in (
        ["push", model, *models],
        ["push", model, *models, "--json"],
        ["push", "not/there", *models],
        ["resume"],
        ["inspect", f"registry:{embedded.host}/me/tiny"],
        ["serve", "--port", "0", *models],
    ):
        done = await command(*arguments, home=tmp_path, **variables)
        assert done.code == 2, arguments
        said = done.out + done.err
        assert next(iter(variables)) in said and "127.0.0.1" in said
        assert "HUNTER2" not in said and "Traceback" not in said
    assert not embedded.log


@pytest.mark.parametrize(
    "arguments",
    [
        ["push", "x/m", "--to", "me:HUNTER2@host.example/ns/"],
        ["push", "x/m", "--to", "me:HUNTER2@host/", "--json"],
        ["push", "http://me:HUNTER2/x@host.example/ns/m"],
        ["push", "me:HUNTER2@host.example/*"],
        ["inspect", "me:HUNTER2@host.example/ns/m"],
        ["list", "http://me:HUNTER2@host.example/"],
        ["push", "x/m", "--jobs", "http://me:HUNTER2@host.example/"],
        ["serve", "--allow-target", "https://me:HUNTER2@host.example"],
        ["serve", "--host", "me:HUNTER2@host.example"],
    ],
    ids=" ".join,
)
async def test_a_login_that_was_typed_is_not_repeated(tmp_path: Path, arguments: list[str]) -> None:
    sample(tmp_path, "localhost:1", name="x/m")
    done = await command(*arguments, home=tmp_path, OLLAMA_MODELS=str(tmp_path / "models"))
    assert done.code in (2, 3)
    assert "HUNTER2" not in done.out + done.err and "Traceback" not in done.err
