"""`login` and `logout`: what is checked, where it is kept, and who else reads it."""

from __future__ import annotations

import asyncio
import json
import os
import stat
import subprocess
from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest

from registry_push.auth.login_file import LoginFile
from registry_push.auth.login_places import LoginPlace
from registry_push.embedded import EmbeddedRegistry
from registry_push.embedded.sample import write_sample_store
from tests.support.command import Finished, command
from tests.support.peers import require
from tests.support.registries import DockerRegistry, ZuulRegistry
from tests.support.scripted import Says, Scripted
from tests.support.secrets import PASSWORD, WRONG_PASSWORD

HOST = "r.example:5000"
AUTH = b64encode(f"me:{PASSWORD}".encode()).decode()
DOCKER, PODMAN = ".docker/config.json", ".config/containers/auth.json"
# Keeps what it is given in a file beside it, a server a line.
HELPER = """#!/bin/sh
file="$(dirname "$0")/kept"
case "$1" in
store) cat >"$file" ;;
get) read -r server
    if grep -q "\\"$server\\"" "$file" 2>/dev/null; then cat "$file"; else echo "credentials not found"; exit 1; fi ;;
erase) rm -f "$file" ;;
list) [ -f "$file" ] && echo '{"r.example:5000": "me"}' || echo '{}' ;;
esac
"""


@pytest.fixture(params=["docker_registry_htpasswd", "zuul_registry"])
def locked(request: pytest.FixtureRequest) -> DockerRegistry | ZuulRegistry:
    """Each of the registries that want a login: by Basic, and by tokens."""
    found: DockerRegistry | ZuulRegistry = request.getfixturevalue(request.param)
    return found


async def login(*arguments: str, home: Path, password: str = PASSWORD, **variables: str) -> Finished:
    return await command("login", *arguments, "--password-stdin", home=home, stdin=f"{password}\n", **variables)


async def kept(*flags: str, home: Path, host: str = HOST, **variables: str) -> Finished:
    """A login that is kept without asking the registry, which is not there."""
    done = await login(host, "-u", "me", "--no-check", *flags, home=home, **variables)
    assert done.code == 0, done.err
    return done


def read(file: Path) -> Any:
    return json.loads(file.read_bytes())


@pytest.mark.real
async def test_a_login_is_checked_kept_and_used(locked: DockerRegistry | ZuulRegistry, tmp_path: Path) -> None:
    done = await login(locked.host, "--username", "me", home=tmp_path)
    assert done.code == 0, done.err
    assert done.out == f"logged in to {locked.host} as me; kept in {tmp_path / DOCKER}\n"
    assert read(tmp_path / DOCKER) == {"auths": {locked.host: {"auth": AUTH}}}
    assert stat.S_IMODE((tmp_path / DOCKER).stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / DOCKER).parent.stat().st_mode) == 0o700
    write_sample_store(tmp_path / ".ollama/models", name="login/kept", weights=70_000)
    assert (await command("push", "login/kept", "--to", f"{locked.host}/", home=tmp_path)).code == 0
    listed = await command("login", "--list", "--json", home=tmp_path)
    assert listed.events[-1]["logins"] == [{"host": locked.host, "username": "me", "source": str(tmp_path / DOCKER)}]
    out = await command("logout", locked.host, home=tmp_path)
    assert out.code == 0 and str(tmp_path / DOCKER) in out.out
    assert read(tmp_path / DOCKER) == {"auths": {}}
    assert (await command("tags", f"{locked.host}/login/kept", home=tmp_path)).code == (
        4 if isinstance(locked, DockerRegistry) else 0  # zuul-registry lets everyone read
    )


@pytest.mark.real
async def test_a_wrong_login_ends_with_4_and_is_not_kept(locked: DockerRegistry | ZuulRegistry, tmp_path: Path) -> None:
    done = await login(locked.host, "--username", "me", home=tmp_path, password=WRONG_PASSWORD)
    assert done.code == 4, done.err
    assert "refuses the login of me from --username" in done.err
    assert not (tmp_path / ".docker").exists()


@pytest.mark.real
@pytest.mark.parametrize("path", [DOCKER, PODMAN])
async def test_skopeo_reads_what_we_keep_and_we_read_what_it_keeps(
    docker_registry_htpasswd: DockerRegistry, tmp_path: Path, path: str
) -> None:
    host, skopeo = docker_registry_htpasswd.host, require("skopeo")
    file = tmp_path / path
    assert (await login(host, "-u", "me", "--authfile", str(file), home=tmp_path)).code == 0

    def run(verb: str, *arguments: str) -> str:
        line = [skopeo, verb, f"--authfile={file}", *arguments]
        return subprocess.run(line, check=True, capture_output=True, text=True, input=PASSWORD).stdout

    assert run("login", "--get-login", host).strip() == "me"
    write_sample_store(tmp_path / ".ollama/models", name="login/skopeo", weights=70_000)
    assert (await command("push", "login/skopeo", "--to", f"{host}/", home=tmp_path)).code == 0
    assert "latest" in run("list-tags", "--tls-verify=false", f"docker://{host}/login/skopeo")
    assert (await command("logout", host, "--authfile", str(file), home=tmp_path)).code == 0
    run("login", "--tls-verify=false", "--username=me", "--password-stdin", host)
    assert (await command("tags", f"{host}/login/skopeo", "--authfile", str(file), home=tmp_path)).out == "latest\n"
    run("logout", host)
    assert (await command("tags", f"{host}/login/skopeo", "--authfile", str(file), home=tmp_path)).code == 4


async def test_a_registry_that_asks_for_no_login_is_told_and_the_login_is_kept(
    embedded: EmbeddedRegistry, tmp_path: Path
) -> None:
    done = await login(embedded.host, "-u", "me", home=tmp_path)
    assert done.code == 0 and "asks for no login at /v2/, so this one was not checked" in done.err
    assert embedded.host in read(tmp_path / DOCKER)["auths"]


@pytest.mark.parametrize(
    ("flags", "variables", "path"),
    [
        ([], {}, DOCKER),
        (["--compat", "podman"], {}, PODMAN),
        (["--compat", "podman"], {"XDG_RUNTIME_DIR": "run"}, "run/containers/auth.json"),
        (["--compat", "docker"], {"REGISTRY_AUTH_FILE": "other.json"}, DOCKER),
        ([], {"REGISTRY_AUTH_FILE": "other.json"}, "other.json"),
        ([], {"DOCKER_CONFIG": "docker"}, "docker/config.json"),
        (["--authfile", "mine/auth.json"], {"DOCKER_CONFIG": "docker"}, "mine/auth.json"),
    ],
    ids=str,
)
async def test_where_a_login_is_kept(tmp_path: Path, flags: list[str], variables: dict[str, str], path: str) -> None:
    paths = {name: str(tmp_path / value) for name, value in variables.items()}
    arguments = [str(tmp_path / each) if "/" in each else each for each in flags]
    await kept(*arguments, home=tmp_path, **paths)
    assert read(tmp_path / path) == {"auths": {HOST: {"auth": AUTH}}}
    assert list(tmp_path.rglob("*.json")) == [tmp_path / path]
    out = await command("logout", HOST, *arguments, home=tmp_path, **paths)
    assert out.code == 0 and read(tmp_path / path) == {"auths": {}}


async def test_the_file_that_is_there_is_used(tmp_path: Path) -> None:
    (tmp_path / PODMAN).parent.mkdir(parents=True)
    (tmp_path / PODMAN).write_text("{}")
    await kept(home=tmp_path)
    assert HOST in read(tmp_path / PODMAN)["auths"] and not (tmp_path / DOCKER).exists()


@pytest.mark.parametrize(("compat", "key"), [("docker", "https://index.docker.io/v1/"), ("podman", "docker.io")])
@pytest.mark.parametrize("host", ["docker.io", "https://index.docker.io/v1/", "registry-1.docker.io"])
async def test_docker_hub_s_login_is_where_each_looks_for_it(tmp_path: Path, compat: str, key: str, host: str) -> None:
    await kept("--compat", compat, home=tmp_path, host=host)
    assert [*read(tmp_path / (DOCKER if compat == "docker" else PODMAN))["auths"]] == [key]
    assert (await command("logout", "docker.io", "--compat", compat, home=tmp_path)).out.startswith("logged out")


async def test_what_else_is_in_the_file_stays(tmp_path: Path) -> None:
    file, real = tmp_path / DOCKER, tmp_path / "elsewhere.json"
    other: dict[str, Any] = {"auths": {"other.example": {"auth": AUTH}}, "psFormat": "x", "currentContext": "ü"}
    real.write_text(json.dumps({**other, "auths": {**other["auths"], f"https://{HOST}/v1/": {"auth": "b2xkOm9sZA=="}}}))
    real.chmod(0o640)
    file.parent.mkdir()
    file.symlink_to(real)
    done = await kept(home=tmp_path)
    assert read(file) == {**other, "auths": {**other["auths"], HOST: {"auth": AUTH}}}, "one entry a registry"
    assert file.is_symlink() and stat.S_IMODE(real.stat().st_mode) == 0o640
    assert "other users can read" in done.err and "chmod 600" in done.err
    assert [*tmp_path.glob(".elsewhere*")] == []


async def test_a_part_of_a_registry_has_a_login_of_its_own_in_podman_s_file(tmp_path: Path) -> None:
    await kept("--compat", "podman", home=tmp_path, host=f"{HOST}/ml")
    assert [*read(tmp_path / PODMAN)["auths"]] == [f"{HOST}/ml"]
    refused = await login(f"{HOST}/ml", "-u", "me", "--no-check", "--compat", "docker", home=tmp_path)
    assert refused.code == 2 and "--compat podman" in refused.err


@pytest.mark.parametrize("section", [{"credsStore": "test"}, {"credHelpers": {HOST: "test"}}], ids=["store", "helper"])
@pytest.mark.parametrize("path", [DOCKER, PODMAN])
async def test_a_helper_keeps_the_password(tmp_path: Path, section: dict[str, Any], path: str) -> None:
    helper, file = tmp_path / "bin/docker-credential-test", tmp_path / path
    helper.parent.mkdir()
    helper.write_text(HELPER)
    helper.chmod(0o755)
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps(section))
    variables = {"PATH": f"{helper.parent}:{os.environ['PATH']}"}
    done = await kept(home=tmp_path, **variables)
    assert f"in docker-credential-test ({file})" in done.out
    assert read(helper.parent / "kept") == {"ServerURL": HOST, "Username": "me", "Secret": PASSWORD}
    assert AUTH not in file.read_text()
    assert read(file) == section | ({"auths": {HOST: {}}} if path == DOCKER else {})
    listed = await command("login", "--list", home=tmp_path, **variables)
    assert listed.code == 0 and "docker-credential-test" in listed.out and HOST in listed.out
    out = await command("logout", HOST, home=tmp_path, **variables)
    assert "docker-credential-test" in out.out and not (helper.parent / "kept").exists()


async def test_a_helper_that_fails_keeps_the_login_out_of_the_file_too(tmp_path: Path) -> None:
    (tmp_path / DOCKER).parent.mkdir()
    (tmp_path / DOCKER).write_text('{"credsStore": "absent"}')
    done = await login(HOST, "-u", "me", "--no-check", home=tmp_path)
    assert done.code == 4 and "docker-credential-absent is not installed" in done.err
    assert read(tmp_path / DOCKER) == {"credsStore": "absent"}


@pytest.mark.parametrize("content", ["{", "[]", '{"auths": 1}'])
async def test_a_file_that_is_none_of_logins_is_left_alone(tmp_path: Path, content: str) -> None:
    (tmp_path / DOCKER).parent.mkdir()
    (tmp_path / DOCKER).write_text(content)
    done = await login(HOST, "-u", "me", "--no-check", home=tmp_path)
    assert done.code == 2 and str(tmp_path / DOCKER) in done.err
    assert (tmp_path / DOCKER).read_text() == content


async def test_logins_at_two_registries_at_once_are_both_kept(tmp_path: Path) -> None:
    """docker and podman change the file at any time: a change is made to what is there when it is written."""
    place = LoginPlace(tmp_path / "auth.json", is_docker_s=False)
    hosts = [f"r{number}.example" for number in range(8)]
    await asyncio.gather(*(LoginFile(place, {}).keep(host, "", "me", "x") for host in hosts[:4]))
    await asyncio.gather(*(LoginFile(place, {}).keep(host, "", "me", "x") for host in hosts[4:]))
    assert sorted(read(place.path)["auths"]) == hosts


async def test_another_login_that_is_found_first_is_told(tmp_path: Path) -> None:
    first = json.dumps({"auths": {HOST: {"auth": b64encode(b"ci:token").decode()}}})
    done = await kept(home=tmp_path, DOCKER_AUTH_CONFIG=first)
    assert "the login of ci from DOCKER_AUTH_CONFIG is found before this one" in done.err
    out = await command("logout", HOST, home=tmp_path, DOCKER_AUTH_CONFIG=first)
    assert f"there is still a login for {HOST}, of ci, in DOCKER_AUTH_CONFIG" in out.err


async def test_a_file_that_nobody_looks_into_by_itself_is_told(tmp_path: Path) -> None:
    file = tmp_path / "mine.json"
    done = await kept("--authfile", str(file), home=tmp_path)
    assert f"{file} is only read if it is named" in done.err and "REGISTRY_AUTH_FILE" in done.err


async def test_ollamas_registry_takes_a_key(tmp_path: Path) -> None:
    assert (await command("key", "create", home=tmp_path)).code == 0
    for host in ("ollama.com", "registry.ollama.ai"):
        done = await command("login", host, home=tmp_path)
        assert done.code == 0 and "ssh-ed25519 " in done.out and "https://ollama.com/settings/keys" in done.out
    assert not (tmp_path / ".docker").exists()


BAD: dict[str, tuple[list[str], str]] = {
    "nothing": (["login"], "name the registry"),
    "a host and a list": (["login", HOST, "--list"], "leave the host out"),
    "no name": (["login", HOST], "give --username NAME"),
    "no password": (["login", HOST, "-u", "me"], "--password-stdin"),
    "no host": (["login", "https://"], "→"),
    "a login in it": (["login", f"me:secret@{HOST}", "-u", "me"], "→"),
}


@pytest.mark.parametrize("case", BAD)
async def test_bad_usage_ends_with_2_and_the_next_step(tmp_path: Path, case: str) -> None:
    arguments, step = BAD[case]
    done = await command(*arguments, home=tmp_path)
    assert done.code == 2, done.err
    assert step in done.err and "secret" not in done.err


async def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / ".docker").write_text("a file")
    done = await login(HOST, "-u", "me", "--no-check", home=tmp_path)
    assert done.code == 4 and ".docker" in done.err and "→" in done.err


async def test_a_part_of_a_registry_is_not_given_to_a_helper_that_has_all_of_it(tmp_path: Path) -> None:
    """It was kept under the registry's name: the login for all of it was lost, and the part's used everywhere."""
    helper, file = tmp_path / "bin/docker-credential-test", tmp_path / PODMAN
    helper.parent.mkdir()
    helper.write_text(HELPER)
    helper.chmod(0o755)
    file.parent.mkdir(parents=True)
    file.write_text('{"credsStore": "test"}')
    variables = {"PATH": f"{helper.parent}:{os.environ['PATH']}"}
    await kept("--compat", "podman", home=tmp_path, **variables)
    before = (helper.parent / "kept").read_bytes()
    part = await login(f"{HOST}/ml", "-u", "other", "--no-check", "--compat", "podman", home=tmp_path, **variables)
    assert part.code == 2 and "knows no parts of a registry" in part.err
    await command("logout", f"{HOST}/ml", "--compat", "podman", home=tmp_path, **variables)
    assert (helper.parent / "kept").read_bytes() == before


@pytest.mark.parametrize("status", [302, 400, 404, 418])
async def test_only_a_success_proves_a_login(tmp_path: Path, status: int) -> None:
    async with Scripted() as server:
        shown = ("Docker-Distribution-Api-Version", "registry/2.0")
        challenge = Says(401, (("WWW-Authenticate", 'Basic realm="x"'), shown))
        server.on("GET", "/v2/", challenge, Says(status, (("Location", "http://localhost:1/"),)))
        done = await login(f"127.0.0.1:{server.port}", "-u", "me", home=tmp_path)
    assert done.code in (4, 5) and not (tmp_path / ".docker").exists(), done.err


async def test_a_login_under_the_other_spelling_of_the_host_is_forgotten(tmp_path: Path) -> None:
    (tmp_path / DOCKER).parent.mkdir()
    (tmp_path / DOCKER).write_text(json.dumps({"auths": {"r.example:443": {"auth": AUTH}}}))
    assert (await command("logout", "r.example", home=tmp_path)).code == 0
    assert read(tmp_path / DOCKER) == {"auths": {}}


@pytest.mark.parametrize("value", ['"\\ud800x"', "1e999"], ids=["half a character", "infinity"])
async def test_what_is_written_can_be_read_again(tmp_path: Path, value: str) -> None:
    (tmp_path / DOCKER).parent.mkdir()
    (tmp_path / DOCKER).write_text(f'{{"detachKeys": {value}}}')
    done = await login(HOST, "-u", "me", "--no-check", home=tmp_path)
    assert done.code == (2 if "e" in value else 0), done.err
    assert (HOST in (await command("login", "--list", home=tmp_path)).out) == (done.code == 0)
    json.loads((tmp_path / DOCKER).read_bytes())


async def test_a_password_that_no_file_of_logins_can_hold_is_refused(tmp_path: Path) -> None:
    done = await login(HOST, "-u", "me", "--no-check", home=tmp_path, password="x" * 3_000_000)
    assert done.code == 2 and "bytes with this login" in done.err
    assert not (tmp_path / DOCKER).exists()


async def test_a_file_that_leads_in_a_circle_is_named(tmp_path: Path) -> None:
    (tmp_path / DOCKER).parent.mkdir()
    (tmp_path / DOCKER).symlink_to("config.json")
    done = await login(HOST, "-u", "me", "--no-check", home=tmp_path)
    assert done.code == 2 and str(tmp_path / DOCKER) in done.err


async def test_the_file_of_a_host_s_table_is_the_one_that_is_used(tmp_path: Path) -> None:
    config, file = tmp_path / "config.toml", tmp_path / "mine.json"
    file.write_text("{}")
    config.write_text(f'[host."{HOST}"]\nauthfile = {json.dumps(str(file))}\n')
    assert "only read if it is named" not in (await kept("--config", str(config), home=tmp_path)).err
    assert [*read(file)["auths"]] == [HOST] and not (tmp_path / DOCKER).exists()
    assert HOST in (await command("login", "--list", "--config", str(config), home=tmp_path)).out
    assert (await command("logout", HOST, "--config", str(config), home=tmp_path)).out.startswith("logged out")


async def test_a_wrong_entry_does_not_hide_the_others_of_the_list(tmp_path: Path) -> None:
    helpers = {"a.example": 3, "b.example": "test"}
    (tmp_path / DOCKER).parent.mkdir()
    (tmp_path / DOCKER).write_text(json.dumps({"auths": {HOST: {"auth": AUTH}}, "credHelpers": helpers}))
    listed = await command("login", "--list", home=tmp_path)
    assert "credHelpers[a.example] is not a string" in listed.err
    assert HOST in listed.out and "b.example" in listed.out and "a.example" not in listed.out


async def test_what_forgets_a_login_does_not_ask_who_you_are(tmp_path: Path) -> None:
    (tmp_path / DOCKER).parent.mkdir()
    (tmp_path / DOCKER).write_text('{"credsStore": "missing"}')
    done = await command("logout", HOST, home=tmp_path)
    assert done.code == 4 and f"install it, or take it out of {tmp_path / DOCKER}\n" in done.err
