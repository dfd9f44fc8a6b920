"""A registry that quotes everything it was sent, wherever it can: nothing of it is shown, logged, kept or passed on."""

from __future__ import annotations

import base64
import json
import logging
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from registry_push.embedded.sample import LAYER_TYPE, Layer, config, write_model
from registry_push.errors import RegistryPushError
from registry_push.events import Event, Warned, as_json
from registry_push.model import ModelName
from registry_push.settings import Settings
from registry_push.verbs.push import push
from tests.support.command import command
from tests.support.scripted import Says, Scripted, Seen, unauthorized
from tests.support.service import serving

pytestmark = pytest.mark.attack("S6")

PASSWORD = "pä$$ word/9"
TOKEN = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJtZSBhbmQgeW91In0.c2lnbmF0dXJlLWlzLWhlcmU"
STATE = "b3BhcXVlLXN0YXRlLW9mLWEtc2Vzc2lvbg"
LOGIN = base64.b64encode(f"me:{PASSWORD}".encode()).decode()
PLANTED = (PASSWORD, json.dumps(PASSWORD)[1:-1], LOGIN, LOGIN.rstrip("="), TOKEN, *TOKEN.split(".")[1:], STATE)


class Echo(Scripted):
    """Signs in by a token or by Basic, and then quotes, in the way of `quote`, whatever it is asked."""

    def __init__(self, quote: Callable[[Seen], Says], *, basic: bool) -> None:
        super().__init__()
        self._quote = quote
        self._basic = basic
        self._script = self  # type: ignore[assignment]  # asked for the answers to a path

    def get(self, key: tuple[str, str], default: object) -> list[Callable[[Seen], Says]]:
        return [self._answer]

    def _answer(self, seen: Seen) -> Says:
        if seen.path == "/token":
            return Says(200, body=json.dumps({"token": TOKEN}).encode())
        if seen.authorization is None:
            return unauthorized('Basic realm="x"' if self._basic else f'Bearer realm="{self.origin}/token"')
        return self._quote(seen)


def _said(seen: Seen) -> str:
    authorization = seen.authorization or ""
    state = STATE if STATE in seen.target else ""
    return f"{authorization} {authorization.split()[-1]} me:{PASSWORD} '{PASSWORD}' {seen.target} {state}"


def _refusal(seen: Seen, status: int, body: str) -> Says:
    """A blob that is asked for is not there; what else is asked for is refused."""
    return Says(404 if seen.method == "HEAD" else status, body=body.encode())


def _in_a_body(seen: Seen) -> Says:
    return Says(
        404 if seen.method == "HEAD" else 403,
        body=json.dumps({"errors": [{"code": "DENIED", "message": _said(seen)}]}).encode(),
    )


def _in_a_detail(seen: Seen) -> Says:
    detail = {"headers": {"Authorization": seen.authorization}, "password": PASSWORD, "url": seen.target}
    return Says(
        404 if seen.method == "HEAD" else 400, body=json.dumps({"errors": [{"code": "X", "detail": detail}]}).encode()
    )


def _in_a_page(seen: Seen) -> Says:
    return _refusal(seen, 502, f"<html><title>{_said(seen)}</title>")


def _in_plain_text(seen: Seen) -> Says:
    return _refusal(seen, 503, _said(seen))


def _in_an_odd_location(seen: Seen) -> Says:
    location = f"http://[{(seen.authorization or '').split()[-1]}"
    return Says(404) if seen.method == "HEAD" else Says(202, (("Location", location),))


def _in_a_path(seen: Seen) -> Says:
    if seen.method == "POST":
        word = (seen.authorization or "").split()[-1].replace("/", "_")
        return Says(202, (("Location", f"/v2/me/x/blobs/uploads/{word}?_state={STATE}"),))
    return Says(404) if seen.method == "HEAD" else Says(500, body=_said(seen).encode())


def _in_a_realm(seen: Seen) -> Says:
    return unauthorized(f'Bearer realm="ftp://{seen.authorization}/"')


def _in_no_http(seen: Seen) -> Says:
    return Says(raw=f"HTTP/1.1 200 OK\r\nX-Echo: \0{_said(seen)}\r\n\r\n".encode())


def _in_a_redirect(seen: Seen) -> Says:
    return Says(307, (("Location", f"http://{TOKEN[:40]}.[x/{seen.authorization}"),))


QUOTES = (_in_a_body, _in_a_detail, _in_a_page, _in_plain_text, _in_an_odd_location, _in_a_path)
MORE = (_in_a_realm, _in_no_http, _in_a_redirect)


def _store(folder: Path) -> None:
    # Above SINGLE_PUT: a session that is written to the journal.
    write_model(folder / "models", ModelName.parse("me/x"), config(), [Layer(LAYER_TYPE + "model", b"x" * 9_000_000)])


@pytest.mark.parametrize("basic", [False, True], ids=["token", "Basic"])
@pytest.mark.parametrize("debug", [False, True], ids=["", "debug"])
@pytest.mark.parametrize("quote", [*QUOTES, *MORE])
async def test_nothing_that_a_registry_quotes_is_shown_or_kept(
    quote: Callable[[Seen], Says], basic: bool, debug: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    _store(tmp_path)
    events: list[Event] = []
    (tmp_path / "home").mkdir()
    async with Echo(quote, basic=basic) as registry:
        settings = Settings(
            models=tmp_path / "models",
            home=tmp_path / "home",
            state_dir=tmp_path / "state",
            username="me",
            password=PASSWORD,
            retries=0,
            debug=debug,
        )
        to = f"127.0.0.1:{registry.port}/me/x:latest"
        report = await push(["me/x"], to=to, settings=settings, sink=events.append)
        assert isinstance(report.error, RegistryPushError)
        assert len(registry.seen) > 1, "it was signed in"
    told = "".join(traceback.format_exception(report.error)) + json.dumps(
        [as_json(event) for event in events], ensure_ascii=False
    )
    told += f"{report.error.hint} {report.error.url} {caplog.text}"
    kept = b"".join(path.read_bytes() for path in (tmp_path / "state").rglob("*") if path.is_file())
    assert [secret for secret in PLANTED if secret in told] == []
    assert [secret for secret in PLANTED[:-1] if secret.encode() in kept] == []


async def test_a_password_that_comes_back_as_a_digest_is_not_shown_in_a_warning(tmp_path: Path) -> None:
    password = "0123456789abcdef" * 4
    _store(tmp_path)

    def quote(seen: Seen) -> Says:
        if seen.method == "HEAD":
            return Says(200, (("Docker-Content-Digest", f"sha256:{password}"), ("Content-Length", "0")))
        return Says(403)

    events: list[Event] = []
    async with Echo(quote, basic=True) as registry:
        settings = Settings(models=tmp_path / "models", home=tmp_path, username="me", password=password, retries=0)
        report = await push(
            ["me/x"], to=f"127.0.0.1:{registry.port}/me/x:latest", settings=settings, sink=events.append
        )
    assert report.error is not None
    warnings = [event.message for event in events if isinstance(event, Warned)]
    assert warnings and password not in str([as_json(event) for event in events])


@pytest.mark.parametrize("quote", [_in_a_body, _in_a_path])
async def test_the_command_prints_nothing_of_it(quote: Callable[[Seen], Says], tmp_path: Path) -> None:
    _store(tmp_path)
    async with Echo(quote, basic=True) as registry:
        log = tmp_path / "log"
        for flags in (("--json",), ("-v",), ("-vv", "--log-file", str(log)), ("--debug", "--json")):
            ended = await command(
                *("push", "me/x", "--to", f"127.0.0.1:{registry.port}/me/x", "--models", str(tmp_path / "models")),
                *("--username", "me", "--password-stdin", "--retries", "0", *flags),
                home=tmp_path,
                stdin=f"{PASSWORD}\n",
            )
            assert ended.code in (4, 6)
            told = ended.out + ended.err + (log.read_text() if log.exists() else "")
            assert [secret for secret in PLANTED if secret in told] == []


async def test_a_client_of_the_service_is_told_nothing_of_it(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with Echo(_in_a_body, basic=False) as registry:
        name = f"127.0.0.1:{registry.port}/me/x"
        write_model(tmp_path / "models", ModelName.parse(name), config(), [Layer(LAYER_TYPE + "model", b"x")])
        settings = Settings(models=tmp_path / "models", home=tmp_path, retries=0)
        async with serving(settings) as service:
            status, lines = await service.push(name, insecure=True, username="me", password=PASSWORD)
    told: Any = json.dumps([status, lines], ensure_ascii=False) + caplog.text
    assert "DENIED" in told or "refused" in told
    assert [secret for secret in PLANTED if secret in told] == []
