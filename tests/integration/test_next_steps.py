"""What a second newcomer and breaker found: false words, dead ends and secrets in the words for people."""

from __future__ import annotations

import base64
import json
import shlex
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from registry_push.auth import login_places
from registry_push.auth.credentials import CredentialStore
from registry_push.auth.identity import Identity
from registry_push.content.write_errors import write_error
from registry_push.embedded import Basic, EmbeddedRegistry, Options
from registry_push.embedded.sample import write_sample_store
from registry_push.verbs.doctor.finding import State
from tests.support.command import command
from tests.support.examined import SetUp, prepared
from tests.support.secrets import PASSWORD
from tests.support.tls import self_signed


@pytest.fixture
async def set_up(tmp_path: Path) -> AsyncIterator[SetUp]:
    async with prepared(tmp_path) as made:
        yield made


async def test_a_login_of_podman_without_a_session_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As root by ssh, and in containers, podman and skopeo keep it below /run/containers."""
    monkeypatch.setattr(login_places, "RUN", tmp_path)
    monkeypatch.setattr("os.getuid", lambda: 54321)
    (tmp_path / "54321").mkdir()
    auth = base64.b64encode(f"me:{PASSWORD}".encode()).decode()
    (tmp_path / "54321/auth.json").write_text(json.dumps({"auths": {"r.example": {"auth": auth}}}))
    found = await CredentialStore(None, {}, tmp_path / "home", None).lookup("r.example", "")
    assert found is not None and found.username == "me"
    session = {"XDG_RUNTIME_DIR": str(tmp_path / "session")}
    assert await CredentialStore(None, session, tmp_path / "home", None).lookup("r.example", "") is None


def test_a_folder_that_is_missing_is_not_blamed_on_another_user(tmp_path: Path) -> None:
    error = write_error(PermissionError(13, "Permission denied"), tmp_path / "none/at/all")
    assert f"{tmp_path} belongs to" in error.message and "another user" not in error.message


async def test_the_key_of_the_registry_s_own_table_is_examined(set_up: SetUp) -> None:
    await set_up.embedded()
    for name in ("good", "other"):
        Identity.create(set_up.home / name)
    (set_up.home / "bad").write_text("no key")
    set_up.given |= {"key": set_up.home / "bad", "dialect": "ollama"}
    set_up.given["hosts"] = {set_up.host: {"key": set_up.home / "good", "dialect": "ollama"}}
    assert (await set_up.examine()).exit_code == 0


async def test_a_registry_that_asks_for_nothing_needs_no_key(set_up: SetUp) -> None:
    await set_up.embedded()
    set_up.given["dialect"] = "ollama"
    assert (await set_up.found())["auth.source"].state is State.OK


async def test_a_limit_below_a_chunk_stops_pushes(set_up: SetUp) -> None:
    await set_up.embedded(Options(max_chunk=500_000))
    set_up.writes = True
    found = (await set_up.found())["chunk.max"]
    assert (
        found.state is State.FAIL and "none of 1 MiB either" in found.summary and "raise the limit" in (found.fix or "")
    )


async def test_what_is_no_host_s_name_is_no_crash(set_up: SetUp) -> None:
    set_up.host = "a..b.example"
    done = await set_up.examine()
    assert [each.id for each in done.troubles] == ["net.dns"] and done.exit_code == 2


async def test_a_report_names_no_proxy(tmp_path: Path) -> None:
    done = await command(
        "doctor", "r.example", "--report", home=tmp_path, HTTPS_PROXY="http://proxy.corp.example:9", NO_PROXY=""
    )
    assert "proxy.corp.example" not in done.out and "| net.tcp |" in done.out


TABLES = {
    "half of a certificate": ('[host."r.example"]\ncert = "/c.pem"\n', "give key-file too", "r.example"),
    "settings without a host": ('[host]\nca-file = "/x"\n', '[host."HOST"]', "ca-file is a value"),
    "another name of the table": ('[hosts."r.example"]\nca-file = "/x"\n', '[host."HOST"]', "hosts"),
    "no quotes": (
        "[host.registry.example]\nplain-http = true\n",
        '[host."registry.example…"]',
        "dot outside of quotes",
    ),
    "twice": ('[host."a.b"]\none-put = true\n[host."a.b:443"]\none-put = true\n', "into one table", "the same host"),
    "a port that is none": ('[host."a.b:99999"]\none-put = true\n', "HOST:PORT", "names no host"),
    "several of one": ("[[host]]\nx = 1\n", '[host."HOST:PORT"]', "is no table"),
    "a file that is gone": ('[host."127.0.0.1:9"]\nca-file = "/no/ca.pem"\n', "config.toml", '[host."127.0.0.1:9"]'),
}


@pytest.mark.parametrize("case", TABLES)
async def test_a_table_of_a_host_that_is_wrong_is_named_with_its_mend(tmp_path: Path, case: str) -> None:
    text, step, words = TABLES[case]
    config = tmp_path / "config.toml"
    config.write_text(text)
    done = await command("tags", "127.0.0.1:9/x", "--config", str(config), home=tmp_path)
    assert done.code in (2, 3) and step in done.err and words in done.err, done.err


async def test_a_password_in_the_name_of_a_table_is_not_shown(tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text(f'[host."me:{PASSWORD}@r.example"]\none-put = true\n')
    for command_line in (["tags", "127.0.0.1:9/x"], ["doctor", "--json"], ["doctor", "--report"]):
        done = await command(*command_line, "--config", str(config), home=tmp_path)
        assert done.code == 2 and PASSWORD not in done.out + done.err


WORDS = {
    "docker's -p": (["login", "r.example", "-p", "x"], "--password-stdin"),
    "--insecure": (["push", "x", "--to", "r.example/x", "--insecure"], "--plain-http"),
    "curl's --cacert": (["tags", "r.example/x", "--cacert", "x"], "--ca-file FILE"),
    "a login in a host": (["login", "me:pw@r.example"], "--username"),
    "no host's name": (["login", "bad_host!"], "write HOST"),
    "a report in JSON": (["doctor", "--report", "--json"], "leave one of them out"),
}


@pytest.mark.parametrize("case", WORDS)
async def test_what_was_meant_is_told(tmp_path: Path, case: str) -> None:
    arguments, step = WORDS[case]
    done = await command(*arguments, home=tmp_path)
    said = done.err + done.out
    assert done.code == 2 and step in said and "library" not in said and "me:pw" not in said, said


async def test_a_login_is_proposed_with_the_flags_that_reach_its_registry(tmp_path: Path) -> None:
    """As typed, in a push as in doctor: without its CA the proposed login could not be checked."""
    write_sample_store(tmp_path / ".ollama/models", name="me/tiny:latest", weights=70_000)
    shown = self_signed(tmp_path / "its CA")
    given = ["--ca-file", str(shown.cert), "--authfile", str(tmp_path / "auth.json")]
    (tmp_path / "auth.json").write_text("{}")
    async with EmbeddedRegistry(tmp_path / "r", Options(auth=Basic({"me": "secret"})), tls=shown.server) as registry:
        host = f"https://{registry.host}"
        pushed = await command("push", "me/tiny", "--to", f"{host}/me/x", *given, home=tmp_path)
        examined = await command("doctor", host, *given, home=tmp_path)
    for said in (pushed.err, examined.out):
        proposed = next(line for line in said.splitlines() if "registry-push login " in line)
        typed = shlex.split(proposed.partition("registry-push login ")[2].partition(";")[0])
        assert typed[0] in (host, registry.host) and sorted(typed[1:]) == sorted(given), proposed


@pytest.mark.parametrize("there", [False, True])
async def test_a_registry_that_is_read_only_is_told(tmp_path: Path, there: bool) -> None:
    """As distribution answers in maintenance, with its blobs there or not; its 405 is not about the manifest's kind."""
    is_closed = not there

    async def refuse(request: web.Request) -> web.StreamResponse | None:
        if not is_closed or request.method in ("GET", "HEAD"):
            return None
        return web.json_response({"errors": [{"code": "UNSUPPORTED", "message": "unsupported"}]}, status=405)

    write_sample_store(tmp_path / ".ollama/models", name="me/tiny:latest", weights=70_000)
    async with EmbeddedRegistry(tmp_path / "r", Options(hook=refuse)) as registry:
        first = await command("push", "me/tiny", "--to", f"{registry.host}/me/x:first", home=tmp_path)
        is_closed = True
        done = await command("push", "me/tiny", "--to", f"{registry.host}/me/x:second", home=tmp_path)
    assert first.code == (0 if there else 5)
    assert done.code == 5 and "HTTP 405" in done.err and "read-only for a while" in done.err, done.err
