"""Which of http and https is spoken, and what is said where it was the wrong one."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from registry_push.embedded import EmbeddedRegistry, Options
from registry_push.embedded.sample import write_sample_store
from registry_push.errors import RegistryPushError
from registry_push.events import ignore
from registry_push.model import Reference
from registry_push.registry.registries import Registries
from registry_push.settings import Settings
from registry_push.verbs.push import push
from tests.support.command import command
from tests.support.registries import docker_registry_at
from tests.support.service import sample, serving
from tests.support.tls import Authority, Certificate

HOSTS = ["localhost:5000", "127.0.0.1:5000", "[::1]:5000", "localhost", "a.localhost:1"]


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """A private CA."""
    return Authority.create(tmp_path / "ca")


@pytest.fixture
def certificate(authority: Authority, tmp_path: Path) -> Certificate:
    """For 127.0.0.1."""
    return authority.issue(tmp_path / "server")


def _folder(home: Path, host: str, folder: str = ".docker/certs.d") -> dict[str, Any]:
    """Makes the folder for its certificates; no setting goes with it."""
    (home / folder / host).mkdir(parents=True)
    return {}


SPEAKS_OF_TLS: dict[str, Callable[[Path, str], dict[str, Any]]] = {
    "--ca-file": lambda home, _: {"ca_file": home / "ca.crt"},
    "--cert": lambda home, _: {"cert": home / "x.crt", "key_file": home / "x.key"},
    "--tls-verify=false": lambda _, __: {"tls_verify": False},
    "certs.d of docker": _folder,
    "certs.d of podman": lambda home, host: _folder(home, host, ".config/containers/certs.d"),
}


def scheme(host: str, settings: Settings, *, said: str = "") -> str:
    """What is spoken to it."""
    return Registries(settings, ignore).origin(Reference.parse(f"{said}{host}/a/b")).scheme


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize("what", SPEAKS_OF_TLS)
def test_this_machine_is_spoken_to_by_https_if_something_speaks_of_tls(tmp_path: Path, host: str, what: str) -> None:
    assert scheme(host, Settings(home=tmp_path)) == "http"
    settings = Settings(home=tmp_path, **SPEAKS_OF_TLS[what](tmp_path, host))
    assert scheme(host, settings) == "https"
    assert scheme(host, settings, said="http://") == "http", "what is said in the target goes first"
    assert scheme(host, replace(settings, plain_http=True)) == "http", "and so does --plain-http"


def test_a_folder_for_another_host_or_port_says_nothing(tmp_path: Path) -> None:
    _folder(tmp_path, "localhost:5001")
    _folder(tmp_path, "registry.example.com")
    assert scheme("localhost:5000", Settings(home=tmp_path)) == "http"
    assert scheme("localhost:5001", Settings(home=tmp_path)) == "https"


def test_a_client_key_of_ollama_does_not_speak_of_tls(tmp_path: Path) -> None:
    """`--key` is the key to sign in with, and logins are no certificates."""
    settings = Settings(home=tmp_path, key=tmp_path / "id", username="ann", password="x", authfile=tmp_path / "auth")
    assert scheme("localhost:5000", settings) == "http"


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A store with me/tiny."""
    write_sample_store(tmp_path / "models", weights=70_000)
    return tmp_path / "models"


@pytest.mark.parametrize("way", ["flag", "variable", "config", "folder", "unverified"])
async def test_push_and_inspect_without_a_scheme_reach_a_tls_registry_on_this_machine(
    tmp_path: Path, store: Path, authority: Authority, certificate: Certificate, way: str
) -> None:
    async with EmbeddedRegistry(tmp_path / "registry", tls=certificate.server) as registry:
        flags: list[str] = []
        variables: dict[str, str] = {}
        match way:
            case "flag":
                flags = ["--ca-file", str(authority.cert)]
            case "variable":
                variables = {"REGISTRY_PUSH_CA_FILE": str(authority.cert)}
            case "config":
                (tmp_path / ".config/registry-push").mkdir(parents=True)
                (tmp_path / ".config/registry-push/config.toml").write_text(f'ca-file = "{authority.cert}"\n')
            case "folder":
                _folder(tmp_path, registry.host)
                (tmp_path / ".docker/certs.d" / registry.host / "ca.crt").write_bytes(authority.cert.read_bytes())
            case "unverified":
                flags = ["--tls-verify=false"]
        models = ("--models", str(store))
        done = await command(
            "push", "me/tiny", "--to", f"{registry.host}/", *models, *flags, home=tmp_path, **variables
        )
        assert done.code == 0, done.err
        place = f"registry:{registry.host}/me/tiny"
        done = await command("inspect", place, *models, *flags, home=tmp_path, **variables)
        assert done.code == 0, done.err


@pytest.mark.parametrize("gives_up", [False, True])
async def test_resume_goes_on_by_https(
    tmp_path: Path, authority: Authority, certificate: Certificate, gives_up: bool
) -> None:
    """How the registry is reached is noted with the push, which has no scheme in its target."""
    is_broken = True

    async def hook(request: web.Request) -> web.StreamResponse | None:
        return web.Response(status=503) if is_broken and request.method == "PATCH" else None

    write_sample_store(tmp_path / ".ollama/models", weights=12_000_000)
    options = Options(hook=hook)
    async with EmbeddedRegistry(tmp_path / "registry", options, tls=certificate.server) as registry:
        trusted = ("--ca-file", str(authority.cert), "--retries", "0")
        done = await command("push", "me/tiny", "--to", f"{registry.host}/", *trusted, home=tmp_path)
        assert done.code == 6, done.err
        is_broken = False
        if gives_up:
            done = await command("resume", "--cancel", "--json", *trusted, home=tmp_path)
        else:
            done = await command("resume", "--json", home=tmp_path)
    assert done.code == 0, done.err
    if gives_up:
        assert done.events[-1]["freed"] and not done.events[-1]["forgotten"]
    else:
        assert [model["event"] for model in done.events[-1]["models"]] == ["model_done"]


@pytest.mark.parametrize("insecure", [False, True])
async def test_the_service_reaches_this_machine_by_https_unless_asked_for_http(
    tmp_path: Path, authority: Authority, certificate: Certificate, insecure: bool
) -> None:
    """Whoever runs the service speaks of TLS; a client's "insecure" is its word for http, as --plain-http is."""
    async with EmbeddedRegistry(tmp_path / "registry", tls=certificate.server) as registry:
        name = sample(tmp_path, registry.host)
        settings = Settings(home=tmp_path, models=tmp_path / "models", ca_file=authority.cert, retries=0)
        async with serving(settings) as service:
            _, lines = await service.push(name, insecure=insecure)
    if insecure:
        assert "speaks https" in lines[-1]["error"]
    else:
        assert lines[-1] == {"status": "success"}


@pytest.mark.real
@pytest.mark.parametrize("method", ["push", "inspect"])
async def test_http_to_a_go_registry_that_speaks_https_says_what_to_write(
    tmp_path: Path, store: Path, certificate: Certificate, method: str
) -> None:
    """Go answers 400 with words that HEAD makes unreadable."""
    with docker_registry_at(tmp_path, tls=certificate) as registry:
        arguments = {
            "push": ("push", "me/tiny", "--to", f"{registry.host}/", "--models", str(store)),
            "inspect": ("inspect", f"registry:http://{registry.host}/me/tiny"),
        }[method]
        done = await command(*arguments, "--json", home=tmp_path)
    error = json.loads(done.out.splitlines()[-1])
    assert done.code == 6
    assert error["message"].endswith(
        f"{registry.host} speaks https: write https:// before it (https://{registry.host})"
    )


@pytest.mark.real
async def test_a_go_registry_that_wants_a_client_certificate(
    tmp_path: Path, store: Path, authority: Authority, certificate: Certificate
) -> None:
    settings = Settings(home=tmp_path, models=store, ca_file=authority.cert, retries=0)
    own, other = authority.issue(tmp_path / "own"), Authority.create(tmp_path / "x").issue(tmp_path / "other")
    with docker_registry_at(tmp_path, tls=certificate, clients=authority.cert) as registry:
        without = await push(["me/tiny"], to=f"{registry.host}/", settings=settings)
        assert without.error is not None
        assert "wants a client certificate" in _said(without.error)
        wrong = replace(settings, cert=other.cert, key_file=other.key)
        refused = await push(["me/tiny"], to=f"{registry.host}/", settings=wrong)
        assert refused.error is not None
        assert f"does not take the client certificate {other.cert}" in _said(refused.error)
        right = replace(settings, cert=own.cert, key_file=own.key)
        assert (await push(["me/tiny"], to=f"{registry.host}/", settings=right)).error is None


def _said(error: RegistryPushError) -> str:
    text = f"{error.message} → {error.hint}"
    assert "_ssl.c" not in text
    assert "--cert" in text
    return text
