"""What `doctor` concludes: nothing that is not so, and of whom."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from registry_push.auth.identity import Identity
from registry_push.embedded import EmbeddedRegistry, Options
from registry_push.embedded.sample import write_sample_store
from registry_push.verbs.doctor.finding import State
from registry_push.verbs.doctor.upload import Upload
from tests.support.command import command
from tests.support.examined import SetUp, prepared
from tests.support.registries import Registry
from tests.support.scripted import Says
from tests.support.tls import self_signed


@pytest.fixture
async def set_up(tmp_path: Path) -> AsyncIterator[SetUp]:
    async with prepared(tmp_path) as made:
        yield made


Break = Callable[[Path], object]
KEYS: dict[str, tuple[str, Break]] = {
    "missing": ("key.found", lambda _: None),
    "damaged": ("key.pair", lambda key: key.write_text("no key")),
    "a folder": ("key.pair", lambda key: key.mkdir()),
}


@pytest.mark.parametrize("case", KEYS)
async def test_a_key_that_cannot_be_used_stops_pushes_only_where_keys_are_taken(set_up: SetUp, case: str) -> None:
    check, break_it = KEYS[case]
    key = set_up.home / "own"
    break_it(key)
    await set_up.embedded()
    set_up.given["key"] = key
    done = await set_up.examine()
    found = {each.id: each.finding for each in done.checks}
    assert found[check].state is State.WARN and "Ollama" in found[check].evidence, found[check]
    assert done.exit_code == 0 and done.verdict == f"ready to push to {set_up.host}"
    set_up.given["dialect"] = "ollama"
    done = await set_up.examine()
    assert {each.id: each.finding for each in done.checks}[check].state is State.FAIL and done.exit_code != 0


async def test_what_was_not_tried_is_said(embedded: EmbeddedRegistry, tmp_path: Path) -> None:
    write_sample_store(tmp_path / ".ollama/models", weights=70_000)
    read = await command("doctor", embedded.host, home=tmp_path)
    assert (
        f"may write at {embedded.host} was not tried" in read.out and f"--write {embedded.host}/REPOSITORY" in read.out
    )
    written = await command("doctor", "--write", f"{embedded.host}/me/x", home=tmp_path)
    assert "was not tried" not in written.out and written.out.endswith(f"ready to push to {embedded.host}\n")


async def test_a_repository_that_cannot_be_written_is_not_ready(set_up: SetUp) -> None:
    async def refuse(request: web.Request) -> web.StreamResponse | None:
        return web.Response(status=405) if request.method == "POST" else None

    await set_up.embedded(Options(hook=refuse))
    assert "was not tried" in ((await set_up.examine()).untried or "")
    set_up.writes = True
    done = await set_up.examine()
    assert done.untried is None and "problem stops pushes" in done.verdict


async def test_only_the_registry_with_the_problem_is_blamed(set_up: SetUp) -> None:
    await set_up.embedded()
    done = await set_up.examine(also=("127.0.0.1:9",))
    assert len(done.hosts) == 2
    assert done.verdict == "1 problem stops pushes to 127.0.0.1:9: no connection to 127.0.0.1:9"


async def test_each_write_counts_and_a_typed_scheme_stays(embedded: EmbeddedRegistry, tmp_path: Path) -> None:
    write_sample_store(tmp_path / ".ollama/models", weights=70_000)
    host = embedded.host
    writes = ["--write", f"{host}/me/a", "--write", f"{host}/me/b"]
    done = await command("doctor", *writes, home=tmp_path)
    assert "me/a takes uploads" in done.out and "me/b takes uploads" in done.out, done.out
    done = await command("doctor", f"https://{host}", *writes, home=tmp_path)
    assert "does not speak https" in done.out and done.code == 6, done.out


BAD = {
    "a check of a registry": (["--only", "net.tcp"], "registry-push doctor HOST --only net.tcp"),
    "a name that push refuses": (["--write", "localhost:5000/Me/X"], "lower case"),
    "Docker's library": (["--write", "docker.io/library/x"], "docker.io/ACCOUNT/x"),
}


@pytest.mark.parametrize("case", BAD)
async def test_what_cannot_be_examined_is_refused(tmp_path: Path, case: str) -> None:
    arguments, step = BAD[case]
    done = await command("doctor", *arguments, home=tmp_path)
    assert done.code == 2 and step in done.err and not done.out, done.err


async def test_several_checks_of_one_flag(tmp_path: Path) -> None:
    done = await command("doctor", "--only", "key.found,state.space", home=tmp_path)
    assert done.code == 0 and "key.found" in done.out and "state.space" in done.out and "store.found" not in done.out


async def test_an_upload_that_opens_while_the_checks_stop_is_deleted(
    set_up: SetUp, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone, usual_end = asyncio.Event(), Upload.end

    async def end(upload: Upload) -> None:
        gone.set()
        await usual_end(upload)

    async def dawdle(request: web.Request) -> web.StreamResponse | None:
        if request.method == "POST":
            await gone.wait()
        return None

    async with EmbeddedRegistry(set_up.home / "registry", Options(hook=dawdle)) as registry:
        set_up.host, set_up.writes = registry.host, True
        monkeypatch.setattr(Upload, "end", end)
        done = await set_up.examine("auth.push", patience=2.0)
        assert done.exit_code == 6 and "no answer" in done.verdict
        deleted = [each for each in registry.log if each.method == "DELETE"]
        assert [each.status for each in deleted] == [204]


@asynccontextmanager
async def listening(says: bytes | None, *, closes: bool) -> AsyncIterator[str]:
    """A port whose service says `says` to whatever comes, and hangs up or does not."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        stack.callback(writer.transport.abort)
        try:
            await reader.read(1)
            if says is not None:
                writer.write(says)
            if not closes:
                await reader.read()
        finally:
            writer.close()

    async with AsyncExitStack() as stack:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        stack.callback(server.close)
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"


SERVICES: dict[str, tuple[bytes | None, bool, str, str]] = {
    "silent": (None, False, "does not answer", "holds the connection open"),
    "closing": (None, True, "closes the connection", "http://"),
    "another protocol": (b"220 mail.example ESMTP\r\n", True, "neither https nor http", "check the port"),
    "http": (b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n", True, "it speaks http", "--plain-http"),
}


@pytest.mark.parametrize("case", SERVICES)
async def test_what_else_answers_at_a_port_of_https_is_told_apart(set_up: SetUp, case: str) -> None:
    says, closes, words, fix = SERVICES[case]
    async with listening(says, closes=closes) as host:
        set_up.host = f"https://{host}"
        done = await set_up.examine()
    found = {each.id: each.finding for each in done.checks}["http.instead-of-https"]
    assert found.state is State.FAIL and words in found.summary and fix in (found.fix or ""), found
    assert done.verdict.startswith("1 problem stops")


@pytest.mark.parametrize("case", ["silent", "closing", "another protocol"])
async def test_what_else_answers_at_a_port_of_http_is_no_matter_of_tls(set_up: SetUp, case: str) -> None:
    says, closes, _, _ = SERVICES[case]
    async with listening(says, closes=closes) as host:
        set_up.host = f"http://{host}"
        done = await set_up.examine(patience=8.0)
    assert [each.id for each in done.troubles] == ["registry.v2"], done.verdict


async def test_a_redirect_without_end_is_no_registry(set_up: SetUp) -> None:
    await set_up.scripted(Says(307, (("Location", "/v2/"),)))
    done = await set_up.examine()
    found = {each.id: each.finding for each in done.checks}
    assert [each.id for each in done.troubles] == ["registry.v2"] and found["limits.redirects"].state is State.WARN


async def test_a_proxy_that_cannot_be_used_is_one_of_the_checks(tmp_path: Path) -> None:
    done = await command("doctor", "registry.example", home=tmp_path, HTTPS_PROXY="socks5://127.0.0.1:1080")
    assert done.code == 2 and "FAIL  proxy.used" in done.out and "SOCKS proxies are not supported" in done.out
    assert "which need proxy.used" in done.out and "config.valid" in done.out


async def test_a_cloud_s_program_that_fails_is_named(set_up: SetUp) -> None:
    programs = set_up.home / "bin"
    programs.mkdir()
    (programs / "az").write_text("#!/bin/sh\necho 'Please run az login' >&2\nexit 1\n")
    (programs / "az").chmod(0o755)
    await set_up.scripted(Says(401, (("WWW-Authenticate", "Basic realm=x"),)))
    proxy = set_up.host
    set_up.given["environ"] = {"PATH": f"{programs}:/usr/bin:/bin", "http_proxy": f"http://{proxy}"}
    set_up.host = "http://me.azurecr.io"
    found = (await set_up.found())["auth.source"]
    assert found.state is State.FAIL and "Please run az login" in found.summary and "az acr login" in (found.fix or "")


async def test_a_healthy_registry_raises_no_alarm_without_writing(registry: Registry, set_up: SetUp) -> None:
    set_up.host = registry.host
    done = await set_up.examine()
    alarms = {each.id for each in done.checks if each.finding.state not in (State.OK, State.SKIPPED)}
    assert alarms <= {"auth.source"}  # where a login is wanted and none was given


async def test_a_self_signed_registry_is_blamed_once(set_up: SetUp) -> None:
    await set_up.embedded(tls=self_signed(set_up.home / "tls").server)
    Identity.create(set_up.home / "own")
    set_up.given["key"], set_up.host = set_up.home / "own", f"https://{set_up.host}"
    assert [each.id for each in (await set_up.examine()).troubles] == ["tls.chain"]
