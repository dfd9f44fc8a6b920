"""Logins, helpers and certs.d that are filed under another spelling of the same origin: with its port, or without."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from registry_push.auth.credentials import CredentialStore
from registry_push.embedded.sample import write_sample_store
from registry_push.http.tls import context_for
from registry_push.model.origin import spellings
from registry_push.settings import Settings
from registry_push.verbs.push import push
from tests.support.scripted import Says, Scripted, unauthorized, wants
from tests.support.tls import self_signed

from .test_credentials import NOT_FOUND, Stage, basic, login

BARE, WITH_PORT = "reg.example", "reg.example:443"


@pytest.mark.parametrize(
    ("host", "scheme", "expected"),
    [
        (BARE, "https", (BARE, WITH_PORT)),
        (WITH_PORT, "https", (WITH_PORT, BARE)),
        (BARE, "http", (BARE, "reg.example:80")),
        ("reg.example:80", "http", ("reg.example:80", BARE)),
        (WITH_PORT, "http", (WITH_PORT,)),
        ("reg.example:80", "https", ("reg.example:80",)),
        ("reg.example:5000", "https", ("reg.example:5000",)),
        ("[2001:db8::443]", "https", ("[2001:db8::443]", "[2001:db8::443]:443")),
        ("[2001:db8::5]:443", "https", ("[2001:db8::5]:443", "[2001:db8::5]")),
    ],
)
def test_an_origin_has_two_spellings_if_its_port_is_the_schemes_own(
    host: str, scheme: str, expected: tuple[str, ...]
) -> None:
    assert spellings(host, scheme) == expected


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


@pytest.mark.parametrize(("asked", "filed"), [(BARE, WITH_PORT), (WITH_PORT, BARE)])
@pytest.mark.parametrize("key", ["{}", "https://{}/v2/", "{}/me", "{}/me/tiny"])
async def test_a_login_under_the_other_spelling_is_found(stage: Stage, asked: str, filed: str, key: str) -> None:
    stage.write(stage.docker, {"auths": {key.format(filed): basic("ann")}})
    found = await stage.store().lookup(asked, "me/tiny", scheme="https")
    assert found is not None and found.username == "ann"


@pytest.mark.parametrize("asked", [BARE, WITH_PORT])
async def test_a_login_is_looked_for_first_as_it_is_written(stage: Stage, asked: str) -> None:
    stage.write(stage.docker, {"auths": {BARE: basic(BARE), WITH_PORT: basic("port")}})
    found = await stage.store().lookup(asked, "me/tiny", scheme="https")
    assert found is not None and found.username == (BARE if asked == BARE else "port")


@pytest.mark.parametrize(
    ("asked", "filed", "scheme"),
    [
        (BARE, "reg.example:80", "https"),
        (BARE, WITH_PORT, "http"),
        (WITH_PORT, BARE, "http"),
        (BARE, "reg.example:5000", "https"),
        ("reg.example:5000", BARE, "https"),
        (BARE, f"{WITH_PORT}0", "https"),
    ],
)
async def test_another_origin_is_no_spelling_of_this_one(stage: Stage, asked: str, filed: str, scheme: str) -> None:
    stage.write(stage.docker, {"auths": {filed: basic("other")}})
    assert await stage.store().lookup(asked, "me/tiny", scheme=scheme) is None


@pytest.mark.parametrize(("asked", "filed"), [(BARE, WITH_PORT), (WITH_PORT, BARE)])
@pytest.mark.parametrize("is_for_all", [False, True])
async def test_a_helper_is_asked_for_the_other_spelling_too(
    stage: Stage, asked: str, filed: str, is_for_all: bool
) -> None:
    stage.helper("own", f'test "$server" = "{filed}" || {{ {NOT_FOUND}; }}\n{login("ann")}')
    stage.write(stage.docker, {"credsStore": "own"} if is_for_all else {"credHelpers": {filed: "own"}})
    found = await stage.store().lookup(asked, "me/tiny", scheme="https")
    assert found is not None and found.username == "ann"


@pytest.mark.parametrize(("asked", "filed"), [(BARE, WITH_PORT), (WITH_PORT, BARE)])
def test_a_certs_d_folder_under_the_other_spelling_is_used(tmp_path: Path, asked: str, filed: str) -> None:
    made = self_signed(tmp_path / "made")
    folder = tmp_path / ".config/containers/certs.d" / filed
    folder.mkdir(parents=True)
    (folder / "ca.crt").write_bytes(made.cert.read_bytes())
    context = context_for(asked, Settings(home=tmp_path), is_registry=True)
    assert "registry-push test" in str([found["subject"] for found in context.get_ca_certs()])


@pytest.mark.parametrize(("written", "filed"), [("reg.test:80", "reg.test"), ("reg.test", "reg.test:80")])
async def test_r4_a_push_signs_in_with_a_login_under_the_other_spelling(
    tmp_path: Path, written: str, filed: str
) -> None:
    write_sample_store(tmp_path / "models", weights=1000)
    authfile = tmp_path / "auth.json"
    authfile.write_text(json.dumps({"auths": {filed: basic("ann")}}))
    header = f"Basic {basic('ann')['auth']}"
    closed = unauthorized('Basic realm="it"')
    async with Scripted(otherwise=wants(header, otherwise=closed, then=Says(200))) as proxy:
        told = Settings(
            home=tmp_path,
            models=tmp_path / "models",
            authfile=authfile,
            retries=0,
            plain_http=True,
            environ={"http_proxy": proxy.origin},
        )
        await push(["me/tiny"], to=f"{written}/x/", settings=told)
        assert header in [seen.authorization for seen in proxy.seen]


async def test_without_a_scheme_only_what_is_written_is_looked_for(stage: Stage) -> None:
    stage.write(stage.docker, {"auths": {WITH_PORT: basic("ann")}})
    store: CredentialStore = stage.store()
    assert await store.lookup(BARE, "me/tiny") is None
