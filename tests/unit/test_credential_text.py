"""Logins that are no text, or that no header can carry: errors that say where they come from, and not what they are."""

from __future__ import annotations

import base64
import io
import json
import traceback
from pathlib import Path

import pytest

from registry_push.auth.credential_helper import CredentialHelper
from registry_push.auth.credentials import Credential, CredentialStore
from registry_push.auth.helper_process import candidates
from registry_push.auth.sign_in import SignIn
from registry_push.errors import InvalidSettings, Unauthorized
from registry_push.http.transport import Transport
from registry_push.model import HTTPOrigin
from registry_push.options.flags import settings_of
from registry_push.settings import Settings
from tests.support.command import command
from tests.support.scripted import Says, Scripted, opened, unauthorized, wants
from tests.support.scripted import SignIn as Who

pytestmark = pytest.mark.attack("S15")

HOST = "registry.example.com"
PULL = ("repository:a/b:pull",)


def _entry(login: bytes) -> dict[str, str]:
    return {"auth": base64.b64encode(login).decode()}


def _told(error: BaseException) -> str:
    return "".join(traceback.format_exception(error)) + repr(error) + repr(error.__cause__)


FILES: dict[str, tuple[bytes | dict[str, str], str]] = {
    "base64 of no UTF-8": (_entry(b"me:hunter\xff"), "not UTF-8"),
    "half a character": ({"username": "me", "password": "hunter\ud800"}, "password from .* is not UTF-8"),
    "half a character in a name": ({"username": "hunter\udfff", "password": "x"}, "user name from .* is not UTF-8"),
    "half an identity token": ({"identitytoken": "hunter\ud800"}, "identity token from .* is not UTF-8"),
    "a token of other letters": ({"registrytoken": "hunterž"}, "no header can carry"),
    "a token of two lines": ({"registrytoken": "hunter\r\nX: y"}, "no header can carry"),
    "half a token": ({"registrytoken": "hunter\ud800"}, "no header can carry"),
    "a file of no UTF-8": (b'{"auths": {"registry.example.com": {"password": "hunter\xff"}}}', "is not UTF-8"),
}


@pytest.mark.parametrize("what", FILES)
async def test_a_file_of_logins(what: str, tmp_path: Path) -> None:
    entry, said = FILES[what]
    content = entry if isinstance(entry, bytes) else json.dumps({"auths": {HOST: entry}}).encode()
    path = tmp_path / "auth.json"
    path.write_bytes(content)
    with pytest.raises(InvalidSettings, match=said) as caught:
        await CredentialStore(path, {}, tmp_path, None).lookup(HOST, "me/x")
    assert str(path) in caught.value.message
    assert "hunter" not in _told(caught.value)


@pytest.mark.parametrize(
    "content", [f'{{"auths":{{"{HOST}":{{"username":"me","password":"hunter\udcff"}}}}}}', "\udcff"]
)
async def test_the_environment(content: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidSettings, match="DOCKER_AUTH_CONFIG") as caught:
        await CredentialStore(None, {"DOCKER_AUTH_CONFIG": content}, tmp_path, None).lookup(HOST, "me/x")
    assert "hunter" not in _told(caught.value)


async def test_a_helper(tmp_path: Path) -> None:
    helper = tmp_path / "docker-credential-odd"
    helper.write_text("""#!/bin/sh\necho '{"Username": "me", "Secret": "hunter\\ud800"}'\n""")
    helper.chmod(0o755)
    (tmp_path / ".docker").mkdir()
    (tmp_path / ".docker" / "config.json").write_text('{"credsStore": "odd"}')
    with pytest.raises(InvalidSettings, match=r"password from docker-credential-odd .* is not UTF-8") as caught:
        await CredentialStore(None, {"PATH": f"{tmp_path}:/usr/bin:/bin"}, tmp_path, None).lookup(HOST, "me/x")
    assert "hunter" not in _told(caught.value)


@pytest.mark.parametrize("errors", ["strict", "surrogateescape"])
def test_standard_input(errors: str, monkeypatch: pytest.MonkeyPatch) -> None:
    stdin = io.TextIOWrapper(io.BytesIO(b"hunter\xff\n"), encoding="utf-8", errors=errors)
    monkeypatch.setattr("sys.stdin", stdin)
    with pytest.raises(InvalidSettings, match="password from standard input is not UTF-8") as caught:
        settings_of({"username": "me", "password_stdin": True})
    assert "hunter" not in _told(caught.value)


def test_no_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", None)
    with pytest.raises(InvalidSettings, match="standard input is closed"):
        settings_of({"username": "me", "password_stdin": True})


def test_the_variable_of_the_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REGISTRY_PUSH_PASSWORD", "hunter\udcff")
    with pytest.raises(InvalidSettings, match="password from REGISTRY_PUSH_PASSWORD is not UTF-8") as caught:
        settings_of({"username": "me"})
    assert "hunter" not in _told(caught.value)


def test_the_name_of_the_user() -> None:
    with pytest.raises(InvalidSettings, match="user name from --username is not UTF-8"):
        settings_of({"username": "m\udcff"})


async def test_the_library() -> None:
    settings = Settings(home=Path("nowhere"), username="me", password="hunter\ud800")
    async with Transport(settings) as transport:
        with pytest.raises(InvalidSettings, match="password from --username is not UTF-8"):
            SignIn(settings, lambda _: None).at(HTTPOrigin.of("https://h"), transport, prefers_signature=False)


async def test_the_command_ends_with_2_and_a_sentence(tmp_path: Path) -> None:
    ended = await command(
        *("push", "me/x", "--to", "127.0.0.1:1/me/x", "--username", "me"),
        home=tmp_path,
        REGISTRY_PUSH_PASSWORD="hunter\udcff",
    )
    assert ended.code == 2
    assert "REGISTRY_PUSH_PASSWORD is not UTF-8" in ended.err
    assert "Traceback" not in ended.err and "hunter" not in ended.err


async def test_a_password_in_any_script_is_sent_as_utf_8() -> None:
    login = Credential("a test", "mé", "pässwörd 模型 🦙")
    expected = "Basic " + base64.b64encode("mé:pässwörd 模型 🦙".encode()).decode()
    async with Scripted() as registry, opened(registry.origin, Who(login)) as client:
        registry.on("GET", "/v2/x", wants(expected, otherwise=unauthorized('Basic realm="x"'), then=Says(200)))
        assert (await client.request("GET", client.url("/v2/x"), PULL)).status == 200


# ── helpers ───────────────────────────────────────────────────────────────────────────────────────

_ANSWER = json.dumps({"ServerURL": HOST, "Username": "me", "Secret": "hunter2"})


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        (_ANSWER, ""),
        (f"warning: the vault is old\n{_ANSWER}", ": warning: the vault is old"),
        ('"Secret": "hunter2"', ""),
        ("Username: me\nSecret: hunter2", ""),
        ("secret=hunter2", ""),
        (f"[{_ANSWER}]", ""),
        (_ANSWER[:-9], ""),
        ("gpg: decryption failed: No secret key", ": gpg: decryption failed: No secret key"),
        ("token=hunter2", ": token=…"),
    ],
)
async def test_a_helper_that_answers_and_then_fails_shows_no_secret(said: str, shown: str, tmp_path: Path) -> None:
    helper = tmp_path / "docker-credential-late"
    helper.write_text(f"#!/bin/sh\ncat <<'END'\n{said}\nEND\nexit 3\n")
    helper.chmod(0o755)
    with pytest.raises(Unauthorized) as caught:
        await CredentialHelper("late", "a file", {"PATH": f"{tmp_path}:/usr/bin:/bin"}).get(HOST)
    assert caught.value.message == f"docker-credential-late failed (code 3){shown}"


@pytest.mark.parametrize(
    ("environ", "found"),
    [
        ({"PATH": "C:\\bin"}, ["C:\\bin\\x.com", "C:\\bin\\x.exe", "C:\\bin\\x.bat", "C:\\bin\\x.cmd"]),
        ({"PATH": ".;;bin;..\\bin;C:bin;\\bin;C:\\a", "PATHEXT": ".EXE"}, ["C:\\a\\x.EXE"]),
        (
            {"PATH": '"C:\\Program Files";\\\\host\\tools', "PATHEXT": ".EXE;"},
            ["C:\\Program Files\\x.EXE", "\\\\host\\tools\\x.EXE"],
        ),
        ({}, []),
    ],
)
def test_on_windows_no_helper_is_looked_for_in_the_current_folder(environ: dict[str, str], found: list[str]) -> None:
    assert [*candidates("x", environ, windows=True)] == found


@pytest.mark.parametrize("path", ["", ":", ".", "./", "bin", "../bin", ":/nowhere"])
async def test_nor_is_it_elsewhere(path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder in (tmp_path, tmp_path / "bin"):
        folder.mkdir(exist_ok=True)
        (folder / "docker-credential-here").write_text(f"#!/bin/sh\necho '{_ANSWER}'\n")
        (folder / "docker-credential-here").chmod(0o755)
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd" if path == "../bin" else tmp_path)
    with pytest.raises(Unauthorized, match="is not installed"):
        await CredentialHelper("here", "a file", {"PATH": path}).get(HOST)
