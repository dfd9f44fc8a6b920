"""`-vv`, `--debug` and `--log-file`: what is said to a registry and what it answers, without what is secret."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import quote

import pytest

from registry_push.embedded import Basic, EmbeddedRegistry, Options
from registry_push.embedded.sample import write_sample_store
from tests.support.command import Finished, command
from tests.support.registries import EmbeddedFactory
from tests.support.scripted import Says, Scripted
from tests.support.secrets import PASSWORD

STAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z ", re.ASCII)


async def pushed(registry: EmbeddedRegistry, home: Path, *flags: str) -> Finished:
    write_sample_store(home / ".ollama/models", weights=70_000)
    line = ("push", "me/tiny", "--to", f"{registry.host}/", "--username", "me", "--password-stdin", *flags)
    done = await command(*line, home=home, stdin=PASSWORD)
    assert done.code == 0, done.err
    return done


@pytest.mark.parametrize("flag", ["-vv", "--debug"])
async def test_debug_shows_each_request_with_its_answer(
    embedded_with: EmbeddedFactory, tmp_path: Path, flag: str
) -> None:
    registry = await embedded_with(Options(auth=Basic({"me": PASSWORD})))
    done = await pushed(registry, tmp_path, flag)
    asked = re.findall(r"^> (\d+) ([A-Z]+) http", done.err, re.MULTILINE)
    answered = re.findall(r"^< (\d+) (\d+) in [\d.]+ s", done.err, re.MULTILINE)
    assert sorted(method for _, method in asked) == sorted(exchange.method for exchange in registry.log)
    assert {number for number, _ in asked} == {number for number, _ in answered}
    assert "Authorization: Basic …" in done.err and 'WWW-Authenticate: Basic realm="' in done.err
    assert PASSWORD not in done.err


async def test_the_query_of_a_realm_is_not_shown_and_the_rest_of_the_challenge_is(tmp_path: Path) -> None:
    write_sample_store(tmp_path / ".ollama/models", weights=70_000)
    async with Scripted() as registry:
        challenge = f'Bearer realm="{registry.origin}/token?X-Sig={quote(PASSWORD)}",service="x",scope="a"'
        registry.otherwise = Says(401, (("WWW-Authenticate", challenge),))
        line = ("push", "me/tiny", "--to", f"{registry.origin}/", "--retries", "0", "-vv")
        done = await command(*line, "--log-file", str(tmp_path / "log"), home=tmp_path)
        origin = registry.origin
    assert f'WWW-Authenticate: Bearer realm="{origin}/token?…",service="x",scope="a"' in done.err
    assert quote(PASSWORD) not in done.err + (tmp_path / "log").read_text()


async def test_without_it_nothing_of_them_is_shown(embedded_with: EmbeddedFactory, tmp_path: Path) -> None:
    registry = await embedded_with(Options(auth=Basic({"me": PASSWORD})))
    done = await pushed(registry, tmp_path, "-v")
    assert not re.search(r"^[<>] ", done.err, re.MULTILINE)
    quiet = await pushed(registry, tmp_path, "--json", "--log-file", str(tmp_path / "log"))
    assert not [event for event in quiet.events if event["event"].startswith("http_")]


async def test_json_has_them_as_events(embedded_with: EmbeddedFactory, tmp_path: Path) -> None:
    registry = await embedded_with(Options(auth=Basic({"me": PASSWORD})))
    events = (await pushed(registry, tmp_path, "--json", "--debug")).events
    asked = [event["number"] for event in events if event["event"] == "http_request"]
    answered = [event["number"] for event in events if event["event"] == "http_answer"]
    assert asked == list(range(1, len(registry.log) + 1)) == sorted(answered)


async def test_a_request_without_an_answer_says_why(tmp_path: Path) -> None:
    write_sample_store(tmp_path / ".ollama/models", weights=70_000)
    done = await command("push", "me/tiny", "--to", "localhost:1/", "--retries", "0", "-vv", home=tmp_path)
    assert re.search(r"^< 1 no answer in [\d.]+ s\n<   .*localhost:1", done.err, re.MULTILINE)


@pytest.mark.parametrize("flags", [(), ("-q",), ("--json",)], ids=["", "quiet", "json"])
async def test_the_log_file_has_all_of_it_with_times_whatever_the_terminal_is_told(
    embedded_with: EmbeddedFactory, tmp_path: Path, flags: tuple[str, ...]
) -> None:
    registry, log = await embedded_with(Options(auth=Basic({"me": PASSWORD}))), tmp_path / "log"
    await pushed(registry, tmp_path, "--log-file", str(log), *flags)
    await pushed(registry, tmp_path, "--log-file", str(log), *flags)
    lines = log.read_text().splitlines()
    assert all(STAMP.match(line) for line in lines)
    said = [STAMP.sub("", line, count=1) for line in lines]
    assert next(line for line in said if line.startswith("registry-push ")).endswith(" ".join(flags))
    assert sum(line == "exit code 0" for line in said) == 2, "it is appended to"
    assert sum(line.startswith("> ") and " http" in line for line in said) == len(registry.log)
    assert log.stat().st_mode & 0o777 == 0o600 and PASSWORD not in log.read_text()


async def test_the_log_file_has_the_error_and_its_code(tmp_path: Path) -> None:
    write_sample_store(tmp_path / ".ollama/models", weights=70_000)
    log = tmp_path / "log"
    line = ("push", "me/tiny", "--to", "localhost:1/", "--retries", "0", "--log-file", str(log))
    done = await command(*line, home=tmp_path)
    assert done.code == 6 and "error: " in log.read_text() and log.read_text().endswith("Z exit code 6\n")


async def test_a_login_on_the_command_line_is_not_logged(tmp_path: Path) -> None:
    write_sample_store(tmp_path / ".ollama/models", weights=70_000)
    log = tmp_path / "log"
    line = ("push", "me/tiny", "--to", f"https://me:{PASSWORD}@localhost:1/", "--log-file", str(log))
    assert (await command(*line, home=tmp_path)).code == 2
    assert PASSWORD not in log.read_text()


async def test_a_log_file_that_cannot_be_written_is_an_error_at_once(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "nowhere/log"):
        done = await command("list", "--log-file", str(path), home=tmp_path)
        assert done.code == 2 and str(path) in done.err and "Traceback" not in done.err


async def test_a_log_file_on_a_full_disk_does_not_stop_the_push(embedded_with: EmbeddedFactory, tmp_path: Path) -> None:
    registry = await embedded_with(Options(auth=Basic({"me": PASSWORD})))
    done = await pushed(registry, tmp_path, "--log-file", "/dev/full")
    assert "the log file /dev/full is not complete: No space left on device" in done.err
