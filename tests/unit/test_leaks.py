"""The watch over secrets finds what it is for: a leak of each kind, in each output, fails its test."""

from __future__ import annotations

import base64
import subprocess
import sys
from pathlib import Path

import pytest
from aiohttp import ClientSession

from registry_push.auth.identity import Identity
from registry_push.embedded import Basic, EmbeddedRegistry, Ollama, Options, Token
from registry_push.embedded.sample import write_sample_store
from registry_push.errors import Refused
from registry_push.events import Retrying, Warned
from registry_push.settings import Settings
from registry_push.verbs.push import push
from tests.support import leaks, secrets
from tests.support.scripted import Says, Scripted, SignIn, opened, token, unauthorized

ROOT = Path(__file__).parents[2]

_LEAKY = """
import logging, sqlite3, sys
import pytest
from registry_push.errors import Refused
from tests.support.secrets import PASSWORD, PLANTED, TOKEN

def test_prints():
    print(f"the password is {PASSWORD}")

def test_complains():
    sys.stderr.write(f"Authorization: Bearer {TOKEN}")

def test_logs():
    logging.getLogger("any").debug("not shown")
    logging.getLogger("any").warning("using %s", PASSWORD)

def test_raises():
    with pytest.raises(Refused):
        raise Refused("no", hint=f"{PASSWORD} is wrong")

def test_raises_from():
    with pytest.raises(Refused):
        try:
            raise ValueError(TOKEN)
        except ValueError as error:
            raise Refused("no") from error

def test_reads_what_was_printed(capsys):
    print(PASSWORD)
    assert capsys.readouterr().out

def test_notes(tmp_path):
    (tmp_path / "state").mkdir()
    database = sqlite3.connect(tmp_path / "state" / "journal.sqlite3")
    database.execute("CREATE TABLE pushes (job)")
    database.execute("INSERT INTO pushes VALUES (?)", [PASSWORD])
    database.commit()
    database.close()

@pytest.fixture
def leaky_end():
    yield
    print(TOKEN)

def test_ends(leaky_end):
    pass

def test_is_clean(tmp_path):
    print("Bearer realm, Basic realm, pass word")
    (tmp_path / "credentials.json").write_text(PASSWORD)
"""


def test_a_test_that_leaks_fails_and_another_does_not(tmp_path: Path) -> None:
    file = tmp_path / "test_leaky.py"
    file.write_text(_LEAKY)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-rA", "-p", "no:cacheprovider", "-p", "tests.support.leaks", str(file)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    # Its output holds the planted words, so none of it may be shown here.
    told = [line for line in done.stdout.splitlines() if "::" in line]
    failed = {line.split("::")[1].split(" ")[0] for line in told if line.startswith("ERROR")}
    failing = ["prints", "complains", "logs", "raises", "raises_from", "reads_what_was_printed", "notes"]
    assert failed == {f"test_{name}" for name in [*failing, "ends"]}
    assert any(line.startswith("PASSED") and line.endswith("::test_is_clean") for line in told)


@pytest.mark.parametrize("before", ["", "a", "ab", "abc"])
def test_a_planted_word_is_found_in_the_base64_of_any_login(before: str) -> None:
    with leaks.watching() as watch:
        watch.note("a header", base64.b64encode(f"{before}:{secrets.PASSWORD}".encode()).decode())
        assert watch.leaks()


async def test_what_a_server_was_sent_is_secret(tmp_path: Path) -> None:
    """Whatever it was: no test needs to plant it."""
    who = SignIn()
    with leaks.watching() as watch:
        async with Scripted() as server, opened(server.origin, who) as client:
            server.on("GET", "/token", token("a token that nobody planted".replace(" ", "-")))
            server.on("GET", "/v2/x", unauthorized(f'Bearer realm="{server.origin}/token"'), Says(200))
            await client.request("GET", client.url("/v2/x?sig=a%2Fsignature+of-it"), ("repository:a/b:pull",))
        watch.note("an output", "got a-token-that-nobody-planted")
        watch.note("an output", "at /v2/x?sig=a%2Fsignature%2Bof-it")
        assert len({leak.partition(" in ")[0] for leak in watch.leaks()}) == 2


@pytest.mark.parametrize("auth", ["basic", "token", "key"])
async def test_the_embedded_registrys_logins_tokens_signatures_and_urls_are_secret(tmp_path: Path, auth: str) -> None:
    write_sample_store(tmp_path / "models")
    key, password = Identity.create(tmp_path / "key"), "a word of nobody"
    kinds: dict[str, Basic | Token] = {
        "basic": Basic({"me": password}),
        "token": Token(users={"me": password}),
        "key": Token(keys=frozenset({key.public_wire})),
    }
    login = {"username": "me", "password": password} if auth != "key" else {"key": tmp_path / "key"}
    ollama = Ollama() if auth == "key" else None
    with leaks.watching() as watch:
        options = Options(auth=kinds[auth], ollama=ollama)
        async with EmbeddedRegistry(tmp_path / "registry", options) as registry:
            dialect = {"dialect": "ollama"} if auth == "key" else {}
            settings = Settings(home=tmp_path, models=tmp_path / "models", **login, **dialect)  # type: ignore[arg-type]
            report = await push(["me/tiny"], to=f"{registry.host}/", settings=settings)
            assert report.error is None
        assert watch.leaks() == []
        assert watch.capabilities, "the URLs of sessions or parts"
        wire = base64.b64encode(key.public_wire).decode()
        assert (password in watch.logins) == (auth != "key") and wire not in watch.logins
        signatures = {secret for secret in watch.logins if len(secret) == 88 and secret.endswith("==")}
        assert bool(signatures) == (auth == "key")
        for secret in watch.logins | watch.capabilities:
            with leaks.watching() as other:
                other.logins, other.capabilities = watch.logins, watch.capabilities
                other.note_event(Retrying("PATCH", f"{secret} was refused", 1.0))
                assert other.leaks()


def test_events_and_errors_are_watched() -> None:
    with leaks.watching() as watch:
        told: list[object] = []
        leaks.noting(told.append)(Warned("nothing", f"try {secrets.TOKEN}"))
        Refused(f"no: {secrets.PASSWORD}")
        assert len(told) == 1
        assert {leak.split(" in ")[1].partition(":")[0] for leak in watch.leaks()} == {"an event", "an error"}


def test_a_journal_may_hold_the_urls_of_sessions_and_no_login(tmp_path: Path) -> None:
    (tmp_path / "journal.sqlite3").write_bytes(b"?_state=the-state-of-a-session")
    with leaks.watching() as watch:
        watch.folders.add(tmp_path)
        watch.learn_target("/v2/x?_state=the-state-of-a-session")
        assert watch.leaks() == []
        watch.learn_header("Bearer the-state-of-a-session")
        assert len(watch.leaks()) == 1


async def test_tokens_of_the_embedded_registry_can_be_searched_for(tmp_path: Path) -> None:
    auth = Token(users={"me": secrets.PASSWORD})
    async with EmbeddedRegistry(tmp_path, Options(auth=auth)) as registry, ClientSession() as session:
        headers = {"Authorization": secrets.BASIC}
        async with session.get(f"{registry.origin}/token?service=embedded", headers=headers) as answer:
            assert (await answer.json())["token"].startswith("embedded-token-")
