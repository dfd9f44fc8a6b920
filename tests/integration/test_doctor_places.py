"""What `doctor` says of several repositories, of settings for one registry, and of what does not answer."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from registry_push.embedded import EmbeddedRegistry
from registry_push.embedded.sample import write_sample_store
from registry_push.model import Reference
from registry_push.settings import Settings
from registry_push.verbs.doctor.examine import Subject, examine
from registry_push.verbs.doctor.finding import OUT_OF_TIME, State
from registry_push.verbs.doctor.report import report
from registry_push.verbs.doctor.table import CHECKS, About
from tests.support.command import command
from tests.support.examined import REPOSITORY, SetUp, prepared
from tests.support.scripted import Says, Scripted
from tests.support.tls import self_signed


@pytest.fixture
async def set_up(tmp_path: Path) -> AsyncIterator[SetUp]:
    async with prepared(tmp_path) as made:
        yield made


async def test_two_repositories_of_a_registry_are_told_apart(embedded: EmbeddedRegistry, tmp_path: Path) -> None:
    write_sample_store(tmp_path / ".ollama/models", weights=70_000)
    host = embedded.host
    places = [f"{host}/me/a", "--write", f"{host}/me/b"]
    done = await command("doctor", *places, home=tmp_path)
    assert f"\n{host}/me/a\n" in done.out and f"\n{host}/me/b\n" in done.out, done.out
    assert f"may write at {host}/me/a was not tried; to try it: --write {host}/me/a\n" in done.out
    assert done.out.endswith(f"ready to push to {host}/me/a, {host}/me/b\n")
    checks = json.loads((await command("doctor", *places, "--json", home=tmp_path)).out)["checks"]
    assert {each["repository"] for each in checks if each["host"] == host} == {None, "me/a", "me/b"}
    of_both = {each["id"] for each in checks if each["repository"] in ("me/a", "me/b")}
    assert [each["id"] for each in checks if each["host"] == host and each["repository"] is None] == [
        check.id for check in CHECKS if check.about is About.THERE and check.id not in of_both
    ]
    told = (await command("doctor", *places, "--report", "--hosts", home=tmp_path)).out
    assert f"| {host}, repository 2 |" in told and "me/a" not in told and "me/b" not in told, told


async def test_one_registry_needs_no_repository_to_be_told_by(embedded: EmbeddedRegistry, tmp_path: Path) -> None:
    write_sample_store(tmp_path / ".ollama/models", weights=70_000)
    told = await command("doctor", f"{embedded.host}/me/a:latest", home=tmp_path)
    assert f"was not tried; to try it: --write {embedded.host}/me/a\n" in told.out
    done = await command("doctor", f"{embedded.host}/me/a", "--json", home=tmp_path)
    assert {each["repository"] for each in json.loads(done.out)["checks"]} == {None}


async def test_an_answer_that_does_not_come_is_one_problem(set_up: SetUp) -> None:
    await set_up.scripted(Says(after=asyncio.Event()))
    done = await set_up.examine(patience=6.0)
    assert [each.id for each in done.troubles] == ["registry.v2"], done.verdict
    kept_back = {each.id for each in done.checks if each.finding.needs == "registry.v2"}
    assert {"clock.skew", "limits.redirects", "auth.challenge"} <= kept_back


async def test_a_program_that_hangs_is_not_taken_for_the_registry(set_up: SetUp) -> None:
    programs = set_up.home / "bin"
    programs.mkdir()
    (programs / "docker-credential-slow").write_text("#!/bin/sh\nexec sleep 600\n")
    (programs / "docker-credential-slow").chmod(0o755)
    authfile = set_up.home / "auth.json"
    authfile.write_text('{"credsStore": "slow"}')
    await set_up.scripted(Says(401, (("WWW-Authenticate", "Basic realm=x"),)))
    set_up.given |= {"authfile": authfile, "environ": {"PATH": f"{programs}:/usr/bin:/bin"}}
    found = {each.id: each.finding for each in (await set_up.examine(patience=6.0)).checks}["auth.source"]
    assert found.state is State.FAIL and "from the program that keeps the login" in found.summary, found
    assert "login --list" in str(found.fix)


async def test_a_broken_key_stops_no_push_that_uses_a_login(set_up: SetUp) -> None:
    key = set_up.home / "own"
    key.write_text("no key")
    await set_up.embedded()
    set_up.given |= {"key": key, "dialect": "ollama"}
    assert (await set_up.found())["key.pair"].state is State.FAIL
    set_up.given |= {"username": "me", "password": "secret"}
    assert (await set_up.found())["key.pair"].state is State.WARN


async def test_an_upload_that_leads_to_another_host_is_the_proxy_s_matter(set_up: SetUp) -> None:
    async with Scripted(otherwise=Says(404)) as server:
        server.on("GET", "/v2/", Says())
        location = "http://registry.invalid/v2/me/tiny/blobs/uploads/1"
        server.on("POST", f"/v2/{REPOSITORY}/blobs/uploads/", Says(202, (("Location", location),)))
        set_up.host, set_up.writes = f"127.0.0.1:{server.port}", True
        found = (await set_up.found())["chunk.max"]
    assert found.state is State.FAIL and found.exit_code == 5, found
    assert "sends the upload to http://registry.invalid" in found.summary and "X-Forwarded-Host" in str(found.fix)


CONFIGURATIONS = {
    "half of a certificate": ('[host."registry.example"]\ncert = "/tmp/x.pem"\n', "half of a client certificate"),
    "two that exclude each other": (
        '[host."registry.example"]\nchunk-size = "8MiB"\none-put = true\n',
        "chunk-size says how long chunks are, and one-put sends none",
    ),
    "a list of tables": ('[[hosts]]\nname = "x"\n', "'hosts' is a table, not a value"),
}


@pytest.mark.parametrize("case", CONFIGURATIONS)
async def test_a_wrong_table_of_another_registry_is_a_finding(tmp_path: Path, case: str) -> None:
    lines, words = CONFIGURATIONS[case]
    (tmp_path / "c.toml").write_text(lines)
    done = await command(
        "doctor", "--only", "config.valid,key.found", "--config", str(tmp_path / "c.toml"), home=tmp_path
    )
    assert done.code == 2 and "FAIL  config.valid" in done.out and words in done.out, done.out + done.err
    assert "key.found" in done.out


async def test_what_is_wrong_beside_the_tables_is_raised(tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text('[host."registry.example"]\nplain-http = true\n')
    (tmp_path / "x.pem").touch()
    given = ["--cert", str(tmp_path / "x.pem"), "--config", str(tmp_path / "c.toml")]
    done = await command("doctor", *given, home=tmp_path)
    assert done.code == 2 and "half of a client certificate" in done.err and not done.out


async def test_a_proxy_that_cannot_be_used_stops_pushes_from_this_machine(tmp_path: Path) -> None:
    done = await command("doctor", "--only", "config.valid", home=tmp_path, HTTPS_PROXY="ftp://127.0.0.1:1080")
    assert done.code == 2 and "the proxy 127.0.0.1:1080 in HTTPS_PROXY can't be used" in done.out, done.out


async def test_what_is_no_http_is_shown_in_one_line(set_up: SetUp) -> None:
    async with Scripted() as server:
        server.on("GET", "/v2/", Says(raw=b"SSH-2.0-OpenSSH_9.6\r\n"))
        set_up.host = f"127.0.0.1:{server.port}"
        found = (await set_up.found())["registry.v2"]
    assert found.summary.endswith("gave no readable HTTP answer: Bad status line, b'SSH-2.0-OpenSSH_9.6'"), found
    assert "the address and the port" in str(found.fix)


@pytest.mark.parametrize("table", ["key-file = 1", 'chunk-sise = "1MiB"', 'cert = "/c.pem"'])
async def test_what_may_fail_for_want_of_the_configuration_is_not_blamed(set_up: SetUp, table: str) -> None:
    certificate = self_signed(set_up.home / "tls")
    await set_up.embedded(tls=certificate.server)
    config = set_up.home / "c.toml"
    config.write_text(f'[host."{set_up.host}"]\nca-file = "{certificate.cert}"\n{table}\n')
    given = [f"https://{set_up.host}", "--models", str(set_up.home / "models"), "--config", str(config), "--json"]
    told = json.loads((await command("doctor", *given, home=set_up.home)).out)
    found = {each["id"]: each for each in told["checks"]}
    assert [name for name, each in found.items() if each["state"] == "fail"] == ["config.valid"], told
    assert {found[name]["summary"] for name in ("tls.chain", "registry.v2")} == {"skipped (needs config.valid)"}
    config.write_text(f'[host."{set_up.host}"]\nca-file = "{certificate.cert}"\n')
    assert (await command("doctor", *given, home=set_up.home)).code == 0


async def test_a_table_for_another_port_is_named_where_its_lines_are_missed(set_up: SetUp) -> None:
    await set_up.embedded(tls=self_signed(set_up.home / "tls").server)
    address, set_up.host = set_up.host, f"https://{set_up.host}"
    set_up.given["hosts"] = {"127.0.0.1:1": {"one_put": True}, "other.example": {"one_put": True}}
    found = (await set_up.found())["tls.chain"]
    assert found.evidence.endswith(f"the configuration has a table for 127.0.0.1:1, and none for {address}"), found
    assert f'name it [host."{address}"]' in str(found.fix)
    set_up.given["hosts"] |= {address: {"one_put": True}}
    assert "has a table" not in (await set_up.found())["tls.chain"].evidence


async def test_a_registry_that_leads_to_another_host_is_named_to_be_examined(set_up: SetUp) -> None:
    await set_up.scripted(Says(307, (("Location", "http://registry.invalid/v2/"),)))
    found = (await set_up.found())["limits.redirects"]
    assert found.state is State.WARN and "registry-push doctor http://registry.invalid;" in str(found.fix), found


async def test_a_report_says_which_error_it_leaves_out(set_up: SetUp) -> None:
    await set_up.embedded(tls=self_signed(set_up.home / "tls").server)
    set_up.host = f"https://{set_up.host}"
    lines = report(await set_up.examine(), home=set_up.home, users=(), hosts=False)
    told = next(line for line in lines if line.startswith("| tls.chain"))
    assert told.endswith("| fail | left out: it can name users or hosts, TLSFailed; exit code 6 |"), told


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('chunk-size = "1"', "config.toml, line 1: chunk-size 1 B is out of range"),
        ("jobs = 0", "config.toml, line 1: jobs 0 is out of range"),
        ('[host."r.example"]\nchunk-size = "1"', 'config.toml: [host."r.example"]: chunk-size 1 B is out of range'),
    ],
)
async def test_lines_that_only_a_push_reads_are_examined_too(tmp_path: Path, line: str, words: str) -> None:
    (tmp_path / "config.toml").write_text(line)
    given = ["--only", "config.valid", "--config", str(tmp_path / "config.toml")]
    done = await command("doctor", *given, home=tmp_path)
    assert done.code == 2 and "FAIL  config.valid" in done.out and words in done.out, done.out + done.err


@pytest.mark.parametrize("key", ["authfile", "ca-file"])
async def test_a_line_that_names_a_missing_file_is_a_finding(set_up: SetUp, key: str) -> None:
    await set_up.embedded(tls=self_signed(set_up.home / "tls").server)
    config = set_up.home / "c.toml"
    config.write_text(f'{key} = "{set_up.home}/none"\n')
    done = await command("doctor", f"https://{set_up.host}", "--config", str(config), home=set_up.home)
    assert done.code == 3, done.out + done.err
    assert f"FAIL  config.valid           {config}, line 1: {key} {set_up.home}/none is not there" in done.out, done.out
    assert "1 problem stops pushes" in done.out and "--ca-file" not in done.out


@pytest.mark.parametrize(("key", "check"), [("authfile", "auth.source"), ("ca-file", "tls.chain")])
async def test_a_finding_names_the_table_that_is_at_fault(set_up: SetUp, key: str, check: str) -> None:
    certificate = self_signed(set_up.home / "tls")
    await set_up.embedded(tls=certificate.server if key == "ca-file" else None)
    scheme, config = "https" if key == "ca-file" else "http", set_up.home / "c.toml"
    config.write_text(f'[host."{set_up.host}"]\n{key} = "{set_up.home}/none"\n')
    given = [f"{scheme}://{set_up.host}", "--config", str(config), "--json"]
    checks = json.loads((await command("doctor", *given, home=set_up.home)).out)["checks"]
    found = next(each for each in checks if each["id"] == check)
    assert found["state"] == "fail" and found["code"] == "KeyNotFound", checks
    assert f"check --{key}" not in found["fix"], found
    assert found["summary"].endswith(f'({key} is set below [host."{set_up.host}"] in {config})'), found
    assert "login HOST" not in found["fix"], found


async def test_a_check_that_got_little_time_blames_nobody(set_up: SetUp) -> None:
    await set_up.scripted(Says(after=asyncio.Event()))
    settings = Settings(home=set_up.home, models=set_up.home / "models", state_dir=set_up.home / "state")
    subject = Subject(Reference.parse(f"{set_up.host}/{REPOSITORY}"))
    done = await examine([subject], settings=settings, only=["registry.v2"], tell=lambda _: None, deadline=5.0)
    assert [each.finding for each in done.checks if each.id == "registry.v2"] == [OUT_OF_TIME]


async def test_registries_that_differ_by_their_port_do_so_in_a_report(set_up: SetUp) -> None:
    await set_up.embedded()
    async with Scripted(otherwise=Says(404)) as other:
        done = await set_up.examine(also=(f"127.0.0.1:{other.port}",))
    lines = report(done, home=set_up.home, users=(), hosts=False)
    shown = {line.split("|")[2].strip() for line in lines if line.startswith("| net.tcp")}
    assert len(shown) == 2 and not any("127" in each for each in shown), lines


async def test_all_lines_that_name_what_cannot_be_read_are_named(tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text(f'authfile = "{tmp_path}/none"\nca-file = "{tmp_path}"\n')
    given = ["--only", "config.valid", "--config", str(tmp_path / "c.toml")]
    done = await command("doctor", *given, home=tmp_path)
    assert done.code == 3 and "line 1: authfile" in done.out, done.out + done.err
    assert f"line 2: ca-file {tmp_path} is a folder, not a file" in done.out


async def test_a_wrong_configuration_is_told_by_one_check_too(set_up: SetUp) -> None:
    await set_up.embedded(tls=self_signed(set_up.home / "tls").server)
    (set_up.home / "c.toml").write_text("jobz = 4\n")
    given = ["--only", "tls.chain", "--config", str(set_up.home / "c.toml")]
    done = await command("doctor", f"https://{set_up.host}", *given, home=set_up.home)
    assert done.code == 2 and "FAIL  config.valid" in done.out and "FAIL  tls.chain" not in done.out, done.out
