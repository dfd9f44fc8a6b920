"""Logins that are offered without being kept: for their own registry only, told, and after all that are kept."""

from __future__ import annotations

import os
from base64 import b64encode
from collections.abc import Mapping
from pathlib import Path

import pytest

from registry_push.auth.ambient import ambient_login
from registry_push.auth.credentials import Credential
from registry_push.auth.offers import is_offered, program_for
from registry_push.embedded import Basic, EmbeddedRegistry, Options, Token
from registry_push.embedded.sample import write_sample_store
from registry_push.errors import Unauthorized
from registry_push.events import Event, Warned
from tests.support.command import command
from tests.support.scripted import Clock, Says, Scripted, Seen, SignIn, authorizations, opened, unauthorized
from tests.support.secrets import BASIC, PASSWORD, TOKEN, WRONG_PASSWORD

PUSH = ("repository:a/b:pull,push",)
GITHUB = {"GITHUB_ACTIONS": "true", "GITHUB_TOKEN": TOKEN, "GITHUB_ACTOR": "octo"}
GITLAB = {"GITLAB_CI": "true", "CI_REGISTRY": "registry.gitlab.example:5050", "CI_JOB_TOKEN": TOKEN}
USER = {"CI_REGISTRY_USER": "deploy", "CI_REGISTRY_PASSWORD": PASSWORD}
DEPLOY = {"deploy": PASSWORD}
ECR = "123456789012.dkr.ecr.eu-central-1.amazonaws.com"


async def offered(host: str, environ: Mapping[str, str]) -> tuple[Credential | None, list[str]]:
    told: list[Event] = []
    login = await ambient_login(host, environ, told.append)
    return login, [event.message for event in told if isinstance(event, Warned)]


@pytest.mark.parametrize(
    ("host", "environ", "wanted"),
    [
        ("ghcr.io", GITHUB, ("octo", TOKEN, "GITHUB_TOKEN")),
        ("registry.gitlab.example:5050", GITLAB, ("gitlab-ci-token", TOKEN, "CI_JOB_TOKEN")),
        ("registry.gitlab.example:5050", GITLAB | USER, ("deploy", PASSWORD, "CI_REGISTRY_PASSWORD")),
    ],
    ids=["GitHub", "GitLab's job", "GitLab's user"],
)
async def test_a_ci_service_offers_a_login(host: str, environ: dict[str, str], wanted: tuple[str, str, str]) -> None:
    login, told = await offered(host, environ)
    assert login is not None and (login.username, login.password, login.source) == wanted
    assert told == [f"signing in at {host} with {wanted[2]}, since no login is kept for it"]


@pytest.mark.parametrize(
    ("host", "environ"),
    [
        ("ghcr.io.example", GITHUB),
        ("evil.example", GITHUB | GITLAB),
        ("ghcr.io:444", GITHUB),
        ("ghcr.io", {"GITHUB_TOKEN": TOKEN}),
        ("registry.gitlab.example", GITLAB),
        ("registry.gitlab.example:5050", {**GITLAB, "GITLAB_CI": ""}),
        ("", {"GITLAB_CI": "true", "CI_JOB_TOKEN": TOKEN}),
        (f"{ECR}.evil.example", {}),
        ("evil-azurecr.io", {}),
        ("x.pkg.dev.evil.example", {}),
    ],
)
async def test_a_login_is_offered_to_its_own_registry_only(host: str, environ: dict[str, str]) -> None:
    assert not is_offered(host, environ)
    assert await offered(host, environ) == (None, [])


PROGRAMS = {
    ECR: ("aws ecr get-login-password --region eu-central-1", "AWS"),
    "123456789012.dkr.ecr-fips.us-gov-west-1.amazonaws.com": (
        "aws ecr get-login-password --region us-gov-west-1",
        "AWS",
    ),
    "123456789012.dkr-ecr.eu-west-1.on.aws": ("aws ecr get-login-password --region eu-west-1", "AWS"),
    "123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn": ("aws ecr get-login-password --region cn-north-1", "AWS"),
    "public.ecr.aws": ("aws ecr-public get-login-password --region us-east-1", "AWS"),
    "europe-docker.pkg.dev": ("gcloud auth print-access-token", "oauth2accesstoken"),
    "eu.gcr.io": ("gcloud auth print-access-token", "oauth2accesstoken"),
    "gcr.io": ("gcloud auth print-access-token", "oauth2accesstoken"),
    "mine.azurecr.io": (
        "az acr login --name mine --expose-token --output tsv --query accessToken",
        "00000000-0000-0000-0000-000000000000",
    ),
}


def script(folder: Path, name: str, text: str) -> dict[str, str]:
    (folder / name).write_text(f"#!/bin/sh\n{text}\n")
    (folder / name).chmod(0o755)
    return {"PATH": f"{folder}:{os.environ['PATH']}"}


@pytest.mark.parametrize("host", PROGRAMS)
async def test_a_cloud_s_own_program_is_asked(tmp_path: Path, host: str) -> None:
    """The clouds themselves were not tried: their programs are scripts here, with the arguments they document."""
    line, username = PROGRAMS[host]
    name, _, arguments = line.partition(" ")
    environ = script(tmp_path, name, f'[ "$*" = "{arguments}" ] && echo "{TOKEN}"')
    login, told = await offered(host, environ)
    assert login is not None and (login.username, login.password, login.source) == (username, TOKEN, line)
    assert len(told) == 1 and line in told[0]


async def test_a_program_that_is_not_there_offers_nothing(tmp_path: Path) -> None:
    assert program_for(ECR) is not None
    assert await offered(ECR, {"PATH": str(tmp_path)}) == (None, [])


@pytest.mark.parametrize("text", ["echo 'You must log in first' >&2; exit 255", "true", "printf 'a\\nb\\n'"])
async def test_a_program_that_fails_is_told_and_offers_nothing(tmp_path: Path, text: str) -> None:
    login, told = await offered(ECR, script(tmp_path, "aws", text))
    assert login is None and len(told) == 1
    assert told[0].startswith(f"aws has no login for {ECR}")
    assert ("You must log in first" in told[0]) == ("255" in text)


@pytest.mark.parametrize("end", ["exit 1", "echo why >&2; exit 1", "kill -9 $$"])
async def test_what_a_program_that_fails_has_printed_is_not_told(tmp_path: Path, end: str) -> None:
    login, told = await offered(ECR, script(tmp_path, "aws", f"echo {TOKEN}; {end}"))
    assert login is None and len(told) == 1 and TOKEN not in told[0]
    assert told[0].endswith(": why") == ("why" in end)


@pytest.mark.parametrize(
    "auth", [Basic({"deploy": PASSWORD}), Token(users={"deploy": PASSWORD})], ids=["Basic", "Bearer"]
)
async def test_a_push_uses_it_if_no_login_is_kept(tmp_path: Path, auth: Basic | Token) -> None:
    write_sample_store(tmp_path / ".ollama/models", weights=70_000)
    async with EmbeddedRegistry(tmp_path / "registry", Options(auth=auth)) as registry:
        environ = {**GITLAB, **USER, "CI_REGISTRY": registry.host}
        done = await command("push", "me/tiny", "--to", f"{registry.host}/", home=tmp_path, **environ)
        assert done.code == 0, done.err
        assert done.err.count("with CI_REGISTRY_PASSWORD, since no login is kept") == 1
        kept = await command(
            "push", "me/tiny", "--to", f"{registry.host}/b/", "--username", "me", "--password-stdin",
            home=tmp_path, stdin=WRONG_PASSWORD, **environ,
        )  # fmt: skip
        assert kept.code == 4, "a wrong login is not replaced by another one"


class Renewed(SignIn):
    """A login that is another one each time, as `aws ecr get-login-password` gives them."""

    async def lookup(self, repository: str) -> Credential | None:
        self.asked.append(repository)
        return Credential("the test", "me", f"{PASSWORD}{len(self.asked) - 1 or ''}")


async def test_a_login_that_has_expired_is_looked_up_again() -> None:
    async with Scripted() as server, opened(server.origin, Renewed()) as client:
        valid = [BASIC]

        def answer(seen: Seen) -> Says:
            return Says(200) if seen.authorization in valid else unauthorized('Basic realm="test"')

        server.on("GET", "/v2/x", answer)
        assert (await client.request("GET", client.url("/v2/x"), PUSH)).status == 200
        valid[:] = [basic(1)]
        assert (await client.request("GET", client.url("/v2/x"), PUSH)).status == 200
        assert authorizations(server.seen) == [None, BASIC, BASIC, basic(1)]
        valid.clear()
        with pytest.raises(Unauthorized):  # not again and again: the second one was refused when it was new
            await client.request("GET", client.url("/v2/x"), PUSH)
        assert len(server.seen) <= 8


def basic(number: int) -> str:
    return f"Basic {b64encode(f'me:{PASSWORD}{number}'.encode()).decode()}"


async def test_a_login_that_was_never_taken_is_not_looked_up_again() -> None:
    who = Renewed()
    async with Scripted() as server, opened(server.origin, who) as client:
        server.on("GET", "/v2/x", unauthorized('Basic realm="test"'))
        with pytest.raises(Unauthorized):
            await client.request("GET", client.url("/v2/x"), PUSH)
    assert len(who.asked) == 1


async def test_a_token_service_that_refuses_a_login_it_took_is_asked_with_the_next(tmp_path: Path) -> None:
    users, clock = {"me": PASSWORD}, Clock()
    async with (
        EmbeddedRegistry(tmp_path, Options(auth=Token(users=users))) as registry,
        opened(str(registry.origin), Renewed(), clock=clock) as client,
    ):
        url = client.url("/v2/a/b/tags/list")
        assert (await client.request("GET", url, PUSH)).status == 404
        users["me"] = f"{PASSWORD}1"
        clock.time += 400
        assert (await client.request("GET", url, PUSH)).status == 404
