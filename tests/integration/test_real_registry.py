"""The real command against Debian's docker-registry and zuul-registry, and what others' eyes see there."""

from __future__ import annotations

import base64
import hashlib
import json
import subprocess
from pathlib import Path

import pytest

from registry_push.embedded.sample import write_sample_store
from registry_push.model import Manifest, ModelName
from tests.support.command import command
from tests.support.peers import require
from tests.support.registries import DockerRegistry, ZuulRegistry
from tests.support.stores import make_big_store, make_many_store

pytestmark = pytest.mark.real

# The limit that is promised for a push of 1 GB.
MAX_RESIDENT = 60_000_000


def manifest_of(store: Path, name: ModelName) -> Manifest:
    return Manifest.parse(store.joinpath("manifests", *name.path_parts).read_bytes())


def fetched(url: str, *flags: str) -> bytes:
    return subprocess.run([require("curl"), "-sSf", *flags, url], check=True, capture_output=True).stdout


Real = DockerRegistry | ZuulRegistry


@pytest.fixture(params=["docker_registry", "zuul_registry"])
def real(request: pytest.FixtureRequest) -> Real:
    """Each of the registries."""
    found: Real = request.getfixturevalue(request.param)
    return found


@pytest.fixture(params=["docker_registry_htpasswd", "zuul_registry"])
def locked(request: pytest.FixtureRequest) -> Real:
    """Each of the registries that takes uploads from `me` with `PASSWORD` alone: by Basic, and by tokens."""
    found: Real = request.getfixturevalue(request.param)
    return found


def login_of(registry: Real) -> dict[str, str]:
    """The variables that hold the login for this registry, if it wants one."""
    if registry.username is None:
        return {}
    return {"REGISTRY_PUSH_USERNAME": registry.username, "REGISTRY_PUSH_PASSWORD": str(registry.password)}


def check_at(registry: Real, repository: str, manifest: Manifest) -> None:
    """What curl and skopeo find is what was pushed."""
    base = f"{registry.origin}/v2/{repository}"
    creds = f"{registry.username}:{registry.password}" if registry.username is not None else None
    if isinstance(registry, ZuulRegistry):
        login = ["-H", f"Authorization: {registry.bearer}"]
    else:
        login = ["-u", creds] if creds is not None else []
    accept = f"Accept: {manifest.media_type}"
    assert fetched(f"{base}/manifests/latest", "-H", accept, *login) == manifest.raw
    for blob in manifest.blobs:
        with subprocess.Popen(
            [require("curl"), "-sSf", *login, f"{base}/blobs/{blob.digest}"], stdout=subprocess.PIPE
        ) as curl:
            assert curl.stdout is not None
            assert hashlib.file_digest(curl.stdout, "sha256").hexdigest() == blob.digest.hex  # type: ignore[arg-type]  # typeshed wants readinto's protocol
    flags = [f"--creds={creds}"] if creds is not None else []
    skopeo = [require("skopeo"), "inspect", "--raw", "--tls-verify=false", *flags]
    raw = subprocess.run(
        [*skopeo, f"docker://{registry.host}/{repository}:latest"], check=True, capture_output=True
    ).stdout
    assert raw == manifest.raw


async def test_a_tiny_model_arrives_byte_for_byte(real: Real, tmp_path: Path) -> None:
    store = tmp_path / "models"
    name = write_sample_store(store, name="real/tiny")
    done = await command(
        "push", "real/tiny", "--models", str(store), "--to", f"{real.host}/", home=tmp_path, **login_of(real)
    )
    assert done.code == 0, done.err
    check_at(real, "real/tiny", manifest_of(store, name))


async def test_a_second_push_sends_no_body_byte(real: Real, tmp_path: Path) -> None:
    store = tmp_path / "models"
    # Sizes that no other test has: a blob of one repository may be one of all.
    write_sample_store(store, name="real/twice", weights=123_457)
    arguments = ("push", "real/twice", "--models", str(store), "--to", f"{real.host}/", "--json")
    first = await command(*arguments, home=tmp_path, **login_of(real))
    again = await command(*arguments, home=tmp_path, **login_of(real))
    assert first.events[-1]["models"][0]["sent"] > 0
    assert again.events[-1]["models"][0]["sent"] == 0
    assert [event["sent"] for event in again.events if event["event"] == "manifest_pushed"] == [False]


@pytest.mark.big
async def test_one_gigabyte_and_400_layers_in_60_mb(docker_registry: DockerRegistry, tmp_path: Path) -> None:
    store = tmp_path / "models"
    big = make_big_store(store, size=1_000_000_000, name="real/big")
    many = make_many_store(store, layers=400, layer_size=65_536, name="real/many")
    arguments = ("push", "--all", "--models", str(store), "--to", f"{docker_registry.host}/", "--json")
    first = await command(*arguments, home=tmp_path)
    assert first.code == 0, first.err
    assert 0 < first.peak < MAX_RESIDENT
    again = await command(*arguments, home=tmp_path)
    assert [model["sent"] for model in again.events[-1]["models"]] == [0, 0]
    check_at(docker_registry, "real/big", manifest_of(store, big))
    check_at(docker_registry, "real/many", manifest_of(store, many))


@pytest.mark.parametrize("way", ["flags", "environment", "authfile", "docker config", "DOCKER_AUTH_CONFIG"])
async def test_a_login_is_found_where_users_keep_it(locked: Real, tmp_path: Path, way: str) -> None:
    registry = locked
    user, password = str(registry.username), str(registry.password)
    store, model = tmp_path / "models", f"login/{way.replace(' ', '-').lower()}"
    name = write_sample_store(store, name=model, weights=70_000)
    auth = base64.b64encode(f"{user}:{password}".encode()).decode()
    config = json.dumps({"auths": {registry.host: {"auth": auth}}})
    flags: list[str] = []
    variables: dict[str, str] = {}
    stdin = ""
    match way:
        case "flags":
            flags, stdin = ["--username", user, "--password-stdin"], f"{password}\n"
        case "environment":
            variables = {"REGISTRY_PUSH_USERNAME": user, "REGISTRY_PUSH_PASSWORD": password}
        case "authfile":
            (tmp_path / "auth.json").write_text(config)
            flags = ["--authfile", str(tmp_path / "auth.json")]
        case "docker config":
            (tmp_path / ".docker").mkdir()
            (tmp_path / ".docker/config.json").write_text(config)
        case _:
            variables = {"DOCKER_AUTH_CONFIG": config}
    done = await command(
        "push", model, "--models", str(store), "--to", f"{registry.host}/", *flags,
        home=tmp_path, stdin=stdin, **variables,
    )  # fmt: skip
    assert done.code == 0, done.err
    check_at(registry, model, manifest_of(store, name))


async def test_a_wrong_password_ends_with_4_and_names_its_source(locked: Real, tmp_path: Path) -> None:
    store = tmp_path / "models"
    write_sample_store(store, name="login/wrong", weights=70_000)
    to = f"{locked.host}/"
    done = await command(
        "push", "login/wrong", "--models", str(store), "--to", to, "--username", "me", "--password-stdin",
        home=tmp_path, stdin="guess\n",
    )  # fmt: skip
    assert done.code == 4
    assert "--username" in done.err and "check the user name and the password" in done.err
    assert "guess" not in done.err + done.out


async def test_no_login_ends_with_4_and_says_how_to_log_in(locked: Real, tmp_path: Path) -> None:
    store = tmp_path / "models"
    write_sample_store(store, name="login/none", weights=70_000)
    to = f"{locked.host}/"
    done = await command("push", "login/none", "--models", str(store), "--to", to, home=tmp_path)
    assert done.code == 4
    assert f"registry-push login {locked.host}" in done.err
