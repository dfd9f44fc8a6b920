"""Each source of a login at each real registry: the right one pushes, a wrong one ends with 4 and is named."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from registry_push.embedded.sample import write_sample_store
from tests.support.command import command
from tests.support.registries import DockerRegistry
from tests.support.scripted import Says, Scripted
from tests.support.secrets import TOKEN, WRONG_PASSWORD

from .run import REGISTRIES, Reached, tried
from .sources import DOCKER, SOURCES, Place, Source


@pytest.fixture(scope="module", params=REGISTRIES)
def reached(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reached]:
    """Each of the registries, under way."""
    with REGISTRIES[request.param](tmp_path_factory.mktemp("registry")) as registry:
        yield registry


@pytest.mark.real
@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.name)
async def test_a_login_from_every_source_is_used_and_named(source: Source, reached: Reached, tmp_path: Path) -> None:
    assert (await tried(source, reached, tmp_path)).faults == ()


@pytest.mark.parametrize("kind", ["identitytoken", "registrytoken"])
async def test_a_token_that_has_expired_ends_with_4_and_its_source_is_named(kind: str, tmp_path: Path) -> None:
    """No real registry here has such tokens: zuul-registry answers 500 to one that has ended."""
    async with Scripted() as server:
        challenge = f'Bearer realm="{server.origin}/token",service="it"'
        server.otherwise = Says(401, (("WWW-Authenticate", challenge), ("Docker-Distribution-Api-Version", "2.0")))
        server.on("POST", "/token", Says(400, body=b'{"error": "invalid_grant"}'))
        host = f"127.0.0.1:{server.port}"
        place = Place(tmp_path, host)
        file = place.file(DOCKER, {"auths": {host: {kind: TOKEN}}})
        write_sample_store(tmp_path / ".ollama/models", name="me/tiny", weights=70_000)
        done = await command("push", "me/tiny", "--to", f"{host}/", home=tmp_path)
    assert done.code == 4 and f"refuses the login of a token from {file}" in done.err, done.err
    assert f"registry-push login {host}" in done.err


@pytest.mark.real
@pytest.mark.parametrize(
    ("source", "step"),
    [
        ("--username, --password-stdin", "check the user name and the password"),
        ("DOCKER_AUTH_CONFIG", "correct DOCKER_AUTH_CONFIG"),
        ("docker's file", "log in again (registry-push login "),
    ],
)
async def test_the_next_step_is_one_that_replaces_the_login(
    docker_registry_htpasswd: DockerRegistry, tmp_path: Path, source: str, step: str
) -> None:
    """`login` keeps a login where it is found after those that were typed and set."""
    place = Place(tmp_path, docker_registry_htpasswd.host)
    given = next(each for each in SOURCES if each.name == source).give(place, WRONG_PASSWORD)
    write_sample_store(tmp_path / ".ollama/models", name="me/tiny", weights=70_000)
    line = ("push", "me/tiny", "--to", f"{place.host}/", *given.flags)
    done = await command(*line, home=tmp_path, stdin=given.stdin, **given.variables)
    assert done.code == 4 and f"→ {step}" in done.err, done.err
