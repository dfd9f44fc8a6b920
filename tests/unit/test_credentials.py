"""Where logins are found, which one wins, and to whom none is ever given."""

from __future__ import annotations

import asyncio
import base64
import json
import os
from pathlib import Path
from typing import Any

import pytest

from registry_push.auth.credential_helper import CredentialHelper
from registry_push.auth.credentials import Credential, CredentialStore
from registry_push.auth.login_document import LoginDocument
from registry_push.errors import InvalidSettings, KeyNotFound, Unauthorized

HOST = "registry.example.com"


def basic(username: str, password: str = "pw") -> dict[str, str]:
    """An entry of `auths`."""
    return {"auth": base64.b64encode(f"{username}:{password}".encode()).decode()}


class Stage:
    """A home, an environment and helpers, all in one folder."""

    def __init__(self, folder: Path) -> None:
        self.home = folder / "home"
        self.bin = folder / "bin"
        self.bin.mkdir(parents=True)
        self.environ = {"PATH": f"{self.bin}:/usr/bin:/bin", "LOG": str(folder / "log")}
        self.log = folder / "log"
        self.docker = self.home / ".docker" / "config.json"

    def write(self, path: Path, content: Any) -> Path:
        """Writes JSON, or bytes as they are."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
        return path

    def helper(self, name: str, script: str) -> None:
        """A helper that writes what it was asked to the log, then runs `script`."""
        path = self.bin / f"docker-credential-{name}"
        path.write_text(f'#!/bin/sh\nread -r server\necho "$1 $server" >> "$LOG"\n{script}\n')
        path.chmod(0o755)

    def store(self, authfile: Path | None = None, explicit: Credential | None = None) -> CredentialStore:
        return CredentialStore(authfile, self.environ, self.home, explicit)

    async def lookup(self, host: str = HOST, repository: str = "me/tiny", **store: Any) -> Credential | None:
        return await self.store(**store).lookup(host, repository)


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


def login(username: str, secret: str = "pw") -> str:
    return f"echo '{json.dumps({'ServerURL': 'x', 'Username': username, 'Secret': secret})}'"


NOT_FOUND = "echo 'credentials not found in native keychain'; exit 1"


async def test_the_places_in_their_order(stage: Stage, tmp_path: Path) -> None:
    def place(name: str) -> Path:
        return stage.write(tmp_path / name, {"auths": {HOST: basic(name)}})

    authfile = place("authfile")
    stage.environ["REGISTRY_AUTH_FILE"] = str(place("registry"))
    stage.environ["DOCKER_AUTH_CONFIG"] = json.dumps({"auths": {HOST: basic("inline")}})
    stage.environ["DOCKER_CONFIG"] = str(place("dc/config.json").parent)
    stage.write(stage.docker, {"auths": {HOST: basic("home")}})
    stage.environ["XDG_RUNTIME_DIR"] = str(place("run/containers/auth.json").parents[1])
    last = stage.write(stage.home / ".config/containers/auth.json", {"auths": {HOST: basic("last")}})

    explicit = Credential("--username", "flag", "pw")
    assert await stage.lookup(authfile=authfile, explicit=explicit) == explicit
    found = []
    for remove in (None, "REGISTRY_AUTH_FILE", "DOCKER_AUTH_CONFIG", "DOCKER_CONFIG", "home", "XDG_RUNTIME_DIR"):
        if remove == "home":
            stage.docker.unlink()
        elif remove is not None:
            del stage.environ[remove]
        credential = await stage.lookup()
        assert credential is not None
        found.append((credential.username, credential.source))
    assert (await stage.lookup(authfile=authfile) or explicit).username == "authfile"
    assert found == [
        ("registry", str(tmp_path / "registry")),
        ("inline", "DOCKER_AUTH_CONFIG"),
        ("dc/config.json", str(tmp_path / "dc/config.json")),
        ("home", str(stage.docker)),
        ("run/containers/auth.json", str(tmp_path / "run/containers/auth.json")),
        ("last", str(last)),
    ]
    last.unlink()
    assert await stage.lookup() is None


async def test_a_mounted_secret_of_kubernetes_is_a_file_of_logins(stage: Stage, tmp_path: Path) -> None:
    secret = stage.write(tmp_path / "secret/.dockerconfigjson", {"auths": {HOST: basic("pod")}})
    stage.environ["DOCKER_CONFIG"] = str(secret.parent)
    credential = await stage.lookup()
    assert credential is not None and (credential.username, credential.source) == ("pod", str(secret))


async def test_a_flag_can_be_for_one_host(stage: Stage) -> None:
    explicit = Credential("--username", "flag", "pw")
    store = CredentialStore(None, stage.environ, stage.home, explicit, explicit_host=HOST)
    assert await store.lookup(HOST, "a") == explicit
    assert await store.lookup("other.example.com", "a") is None


async def test_the_most_specific_key_wins(stage: Stage) -> None:
    auths = {HOST: basic("host"), f"{HOST}/me": basic("ns"), f"{HOST}/me/tiny": basic("repo")}
    stage.write(stage.docker, {"auths": auths})
    found = [await stage.lookup(repository=repository) for repository in ("me/tiny", "me/tinyer", "mee", "", "me")]
    assert [credential and credential.username for credential in found] == ["repo", "ns", "host", "host", "ns"]


@pytest.mark.parametrize(
    "key", [f"https://{HOST}", f"https://{HOST}/v1/", f"{HOST}/v2/", f"http://{HOST}/", "REGISTRY.example.com"]
)
async def test_dockers_old_keys(stage: Stage, key: str) -> None:
    stage.write(stage.docker, {"auths": {key: basic("old")}})
    assert await stage.lookup() == Credential(str(stage.docker), "old", "pw")
    stage.write(stage.docker, {"auths": {HOST: basic("exact"), key: basic("old")}})
    assert (await stage.lookup() or Credential("")).username == "exact"


@pytest.mark.parametrize("key", [f"{HOST}:443", f"x{HOST}", f"{HOST}.evil.com", "example.com", "*", "", f"{HOST}/m"])
async def test_no_other_key_will_do(stage: Stage, key: str) -> None:
    stage.write(stage.docker, {"auths": {key: basic("other")}})
    assert await stage.lookup() is None


HUB_KEYS = ["https://index.docker.io/v1/", "docker.io", "index.docker.io", "registry-1.docker.io"]


@pytest.mark.attack("CVE-2021-41092")
@pytest.mark.parametrize("key", HUB_KEYS)
async def test_cve_2021_41092_docker_hubs_login_is_for_docker_hub(stage: Stage, key: str) -> None:
    stage.write(stage.docker, {"auths": {key: basic("hub")}})
    for host in ("docker.io", "index.docker.io", "registry-1.docker.io"):
        assert (await stage.lookup(host) or Credential("")).username == "hub"
    for host in (HOST, "hub.docker.com", "docker.io.evil.com", "xdocker.io", "docker.io:5000"):
        assert await stage.lookup(host) is None


@pytest.mark.attack("CVE-2021-41092")
async def test_cve_2021_41092_docker_hub_gets_no_private_login(stage: Stage) -> None:
    stage.write(stage.docker, {"auths": {HOST: basic("private")}, "credHelpers": {HOST: "private"}})
    stage.helper("private", login("private"))
    for host in ("docker.io", "index.docker.io", "registry-1.docker.io"):
        assert await stage.lookup(host) is None
    assert not stage.log.exists()


@pytest.mark.attack("CVE-2021-41092")
async def test_cve_2021_41092_a_missing_helper_is_an_error_and_not_another_login(stage: Stage) -> None:
    stage.write(
        stage.docker, {"auths": {HOST: basic("file"), HUB_KEYS[0]: basic("hub")}, "credHelpers": {HOST: "gone"}}
    )
    with pytest.raises(Unauthorized, match="docker-credential-gone is not installed") as caught:
        await stage.lookup()
    assert str(stage.docker) in caught.value.message and caught.value.exit_code == 4
    # Another host's helper is no reason to fail.
    assert (await stage.lookup("docker.io") or Credential("")).username == "hub"


async def test_helpers_come_before_what_is_written(stage: Stage) -> None:
    stage.helper("own", login("own-helper", "s"))
    stage.helper("all", login("store", "t"))
    stage.write(stage.docker, {"credHelpers": {HOST: "own"}, "credsStore": "all", "auths": {HOST: basic("file")}})
    assert await stage.lookup() == Credential(f"docker-credential-own ({stage.docker})", "own-helper", "s")
    assert await stage.lookup("other:5000") == Credential(f"docker-credential-all ({stage.docker})", "store", "t")
    assert stage.log.read_text() == f"get {HOST}\nget other:5000\n"


async def test_no_login_at_a_helper_is_no_failure(stage: Stage) -> None:
    stage.helper("own", NOT_FOUND)
    stage.helper("all", NOT_FOUND)
    config = {"credHelpers": {HOST: "own"}, "credsStore": "all", "auths": {HOST: basic("file")}}
    stage.write(stage.docker, config)
    assert (await stage.lookup() or Credential("")).username == "file"
    assert stage.log.read_text() == f"get {HOST}\n" * 2
    stage.write(stage.docker, config | {"auths": {HOST: {}}})
    assert await stage.lookup() is None


async def test_docker_hub_is_asked_for_by_its_old_name(stage: Stage) -> None:
    stage.helper("all", login("hub"))
    stage.write(stage.docker, {"credsStore": "all"})
    assert (await stage.lookup("docker.io", "me/tiny") or Credential("")).username == "hub"
    assert stage.log.read_text() == "get https://index.docker.io/v1/\n"


async def test_a_helpers_token_user_means_an_identity_token(stage: Stage) -> None:
    stage.helper("all", login("<token>", "identity"))
    stage.write(stage.docker, {"credsStore": "all"})
    credential = await stage.lookup()
    assert credential == Credential(f"docker-credential-all ({stage.docker})", identity_token="identity")


async def test_a_namespaces_helper_is_asked_for_the_namespace(stage: Stage) -> None:
    stage.helper("ns", login("ns"))
    stage.write(stage.docker, {"credHelpers": {f"{HOST}/me": "ns", HOST: "gone"}})
    assert (await stage.lookup() or Credential("")).username == "ns"
    assert stage.log.read_text() == f"get {HOST}/me\n"


async def test_three_kinds_of_login(stage: Stage) -> None:
    entries: dict[str, dict[str, str]] = {
        "plain": {"username": "u", "password": "p"},
        "identity": basic("00000000-0000-0000-0000-000000000000", "") | {"identitytoken": "it"},
        "registry": {"registrytoken": "rt"},
        "colon": basic("u", "p:w"),
        "padded": {"auth": base64.b64encode(b"u:p\0\0").decode()},
        "nobody": {"email": "me@example.com"},
    }
    stage.write(stage.docker, {"auths": {f"{name}.example.com": entry for name, entry in entries.items()}})
    found = {name: await stage.lookup(f"{name}.example.com") for name in entries}
    source = str(stage.docker)
    assert found == {
        "plain": Credential(source, "u", "p"),
        "identity": Credential(source, "00000000-0000-0000-0000-000000000000", identity_token="it"),
        "registry": Credential(source, registry_token="rt"),
        "colon": Credential(source, "u", "p:w"),
        "padded": Credential(source, "u", "p"),
        "nobody": None,
    }


def test_no_secret_is_in_its_text() -> None:
    text = repr(Credential("file", "user", "secret1", "secret2", "secret3"))
    assert "secret" not in text and "user" in text and "file" in text
    assert "secret" not in repr(LoginDocument({"auths": {HOST: basic("user", "secret")}, "secret": 1}, "file"))


@pytest.mark.parametrize(
    "content",
    [
        b"{",
        b"[]",
        b"\xff\xfe",
        b"[" * 50000,
        b'{"auths": []}',
        b'{"auths": {"registry.example.com": "x"}}',
        b'{"auths": {"registry.example.com": {"auth": "!"}}}',
        b'{"auths": {"registry.example.com": {"auth": "eA=="}}}',
        b'{"auths": {"registry.example.com": {"auth": 5}}}',
        b'{"credsStore": 5}',
        b'{"credHelpers": "x"}',
        b'{"credHelpers": {"registry.example.com": ["x"]}}',
        b" " * (1 << 20) + b"{}",
    ],
)
async def test_a_broken_file_is_named(stage: Stage, content: bytes) -> None:
    stage.write(stage.docker, content)
    with pytest.raises(InvalidSettings) as caught:
        await stage.lookup()
    assert str(stage.docker) in caught.value.message


async def test_a_broken_variable_is_named(stage: Stage) -> None:
    for content in ("{", "[]", "x" * ((1 << 20) + 1)):
        stage.environ["DOCKER_AUTH_CONFIG"] = content
        with pytest.raises(InvalidSettings, match="DOCKER_AUTH_CONFIG"):
            await stage.lookup()


async def test_empty_files_and_byte_order_marks_are_no_errors(stage: Stage) -> None:
    stage.write(stage.docker, b"")
    assert await stage.lookup() is None
    stage.write(stage.docker, b"\xef\xbb\xbf" + json.dumps({"auths": {HOST: basic("u")}}).encode())
    assert (await stage.lookup() or Credential("")).username == "u"


async def test_a_named_file_must_be_there(stage: Stage, tmp_path: Path) -> None:
    with pytest.raises(KeyNotFound, match=r"--authfile .* is not there"):
        await stage.lookup(authfile=tmp_path / "absent")
    stage.environ["REGISTRY_AUTH_FILE"] = str(tmp_path / "absent")
    assert await stage.lookup() is None


async def test_a_pipe_is_no_file_of_logins(stage: Stage) -> None:
    stage.docker.parent.mkdir(parents=True)
    os.mkfifo(stage.docker)
    with pytest.raises(InvalidSettings, match="is a pipe"):
        await stage.lookup()


@pytest.mark.parametrize("name", ["../../bin/sh", "a/b", "-x", ".x", "x y", "x\n", "x;y", "é"])
async def test_a_helpers_name_is_no_path(stage: Stage, name: str) -> None:
    stage.write(stage.docker, {"credsStore": name})
    with pytest.raises(InvalidSettings, match="is not a helper's name"):
        await stage.lookup()


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("echo 'vault is locked\033[2J'; exit 3", r"failed \(code 3\): vault is locked"),
        ("exit 1", "failed"),
        ("printf '\\033[31mthe keyring is locked\\033[0m\\n' >&2; exit 1", r"failed \(code 1\): the keyring is locked"),
        ("echo on stdout; echo on stderr >&2; exit 1", "failed .code 1.: on stdout"),
        ("echo 'token=no-secret expired' >&2; exit 2", "failed"),
        (
            """echo '{"Secret": "no-secret"}'; echo 'cannot cache no-secret of ann' >&2; exit 2""",
            "cannot cache … of ann",
        ),
        ('echo \'no-secret: {"Secret": "no-secret"}\' >&2; echo ann', "not JSON"),
        ("echo 'session expired, run: aws sso login' >&2; echo", "not JSON: session expired, run: aws sso login"),
        ("head -c 2000000 /dev/zero >&2; exit 4", r"failed \(code 4\)"),
        ("echo no-secret-in-errors", "not JSON"),
        ("echo '[]'", "without Username and Secret"),
        ("""echo '{"Username": "u", "Secret": 5}'""", "without Username and Secret"),
        ("head -c 2000000 /dev/zero", "more than"),
        ("kill -9 $$", "failed"),
    ],
)
async def test_a_failing_helper_is_an_error(stage: Stage, script: str, said: str) -> None:
    stage.helper("bad", script)
    stage.write(stage.docker, {"credsStore": "bad", "auths": {HOST: basic("file")}})
    with pytest.raises(Unauthorized, match=said) as caught:
        await stage.lookup()
    assert "\033" not in caught.value.message and "no-secret" not in caught.value.message
    assert caught.value.hint == f"try it: echo {HOST} | docker-credential-bad get"


async def test_a_helper_that_reads_nothing_is_fine(stage: Stage) -> None:
    path = stage.bin / "docker-credential-deaf"
    path.write_text(f"#!/bin/sh\n{login('deaf')}\n")
    path.chmod(0o755)
    stage.write(stage.docker, {"credsStore": "deaf"})
    assert (await stage.lookup() or Credential("")).username == "deaf"


async def test_a_helper_that_cannot_start_is_an_error(stage: Stage) -> None:
    (stage.bin / "docker-credential-text").write_bytes(b"\x00not a program")
    (stage.bin / "docker-credential-text").chmod(0o755)
    with pytest.raises(Unauthorized, match="can't be started"):
        await CredentialHelper("text", "file", stage.environ).get(HOST)


async def test_a_hanging_helper_is_an_error(stage: Stage, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "never")
    stage.helper("slow", f"exec cat {tmp_path / 'never'}")
    with pytest.raises(Unauthorized, match="has not answered for 0 s"):
        await CredentialHelper("slow", "file", stage.environ, patience=0).get(HOST)


async def test_cancelling_kills_the_helper_even_if_its_child_holds_the_pipe(stage: Stage, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "started")
    os.mkfifo(tmp_path / "never")
    stage.helper("slow", f"(echo $$ > {tmp_path / 'started'}; cat {tmp_path / 'never'}); echo late")
    task = asyncio.create_task(CredentialHelper("slow", "file", stage.environ).get(HOST))
    pid = int(await asyncio.to_thread((tmp_path / "started").read_text))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    # Lets the orphan go, wherever it is: waiting for a writer, or about to.
    writer = os.open(tmp_path / "never", os.O_RDWR)
    (tmp_path / "never").unlink()
    os.close(writer)
