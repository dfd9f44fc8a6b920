"""What newcomers type, and where a next step used to lead nowhere or told a secret."""

from __future__ import annotations

import base64
import io
import json
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from registry_push.content.ollama.blob_files import BlobFiles
from registry_push.content.ollama.small_reads import ALONE
from registry_push.content.ollama.source import OllamaStore
from registry_push.embedded import Basic, EmbeddedRegistry, Ollama, Options
from registry_push.embedded.sample import write_sample_store
from registry_push.errors import UsageError
from registry_push.model import Descriptor
from registry_push.model.place import Below, OllamaPlace, RegistryPlace, parse_destination, parse_place
from registry_push.verbs.doctor.finding import OUT_OF_TIME, State
from registry_push.verbs.doctor.report import report
from registry_push.verbs.doctor.table import chosen
from registry_push.verbs.login import LoginHost
from tests.support.command import command
from tests.support.examined import SetUp, prepared
from tests.support.scripted import Says, Scripted
from tests.support.tls import self_signed


@pytest.fixture
async def set_up(tmp_path: Path) -> AsyncIterator[SetUp]:
    async with prepared(tmp_path) as made:
        yield made


def test_a_host_called_registry_keeps_its_port() -> None:
    """As most Compose files call it. 5000 as a host is 0.0.19.136, where logins and models went."""
    assert LoginHost.parse("registry:5000").host == "registry:5000"
    assert LoginHost.parse("registry:localhost:5000").host == "localhost:5000"
    below = parse_destination("registry:5000/ns/")
    assert isinstance(below, Below) and (below.host, below.prefix) == ("registry:5000", "ns")
    assert isinstance(parse_place("registry:5000/ns/model"), OllamaPlace)
    assert isinstance(parse_place("registry:registry:5000/ns/model"), RegistryPlace)


async def test_a_password_after_the_user_name_is_not_printed(tmp_path: Path) -> None:
    write_sample_store(tmp_path / ".ollama/models", name="me/tiny:latest", weights=70_000)
    for flag in (["-u"], ["--password-stdin", "-u"]):
        done = await command("push", "me/tiny", "--to", "127.0.0.1:9/x", *flag, "me:geheim", home=tmp_path)
        assert done.code == 2 and "takes the name alone" in done.err and "geheim" not in done.err + done.out, done.err


MEANT = {
    "--cafile x": "write --ca-file FILE",
    "--ca-cert x": "write --ca-file FILE",
    "--dest-creds a:b": "pipe the password to --password-stdin",
    "--insecure-skip-tls-verify": "write --tls-verify=false",
    "-x http://p": "HTTPS_PROXY",
}


@pytest.mark.parametrize("typed", MEANT)
async def test_flags_of_other_tools(tmp_path: Path, typed: str) -> None:
    done = await command("push", "me/tiny", *typed.split(), home=tmp_path)
    assert done.code == 2 and MEANT[typed] in done.err, done.err


async def test_tls_verify_needs_no_value(tmp_path: Path) -> None:
    done = await command("push", "me/none", "--tls-verify", "--to", "127.0.0.1:9/x", home=tmp_path)
    assert "no model" in done.err or "no Ollama store" in done.err, done.err


async def test_a_file_of_logins_that_is_missing_is_proposed_to_be_written(tmp_path: Path) -> None:
    missing = tmp_path / "a b.json"
    done = await command("push", "me/tiny", "--to", "127.0.0.1:9/x", "--authfile", str(missing), home=tmp_path)
    assert f"registry-push login HOST --authfile '{missing}'" in done.err, done.err


async def test_a_login_that_is_wrong_is_proposed_for_the_target(tmp_path: Path) -> None:
    write_sample_store(tmp_path / ".ollama/models", name="me/tiny:latest", weights=70_000)
    async with EmbeddedRegistry(tmp_path / "r", Options(auth=Basic({"me": "secret"}))) as registry:
        (tmp_path / ".docker").mkdir()
        (tmp_path / ".docker/config.json").write_text(json.dumps({"auths": {registry.host: {"auth": "!!!"}}}))
        done = await command("push", "me/tiny", "--to", f"http://{registry.host}/ml/", home=tmp_path)
    assert f"registry-push login http://{registry.host}" in done.err and "HOST" not in done.err, done.err


async def test_doctor_is_proposed_with_the_flags_that_reach_the_registry(tmp_path: Path) -> None:
    write_sample_store(tmp_path / ".ollama/models", name="me/tiny:latest", weights=70_000)
    shown = self_signed(tmp_path / "tls")
    (tmp_path / "c.toml").write_text("jobs = 2\n")
    given = ["--ca-file", str(shown.cert), "--config", str(tmp_path / "c.toml")]
    async with EmbeddedRegistry(tmp_path / "r", Options(auth=Basic({"me": "secret"})), tls=shown.server) as registry:
        done = await command("push", "me/tiny", "--to", f"https://{registry.host}/x", *given, home=tmp_path)
    proposed = done.err.partition("registry-push doctor ")[2].split("\n")[0]
    assert proposed.split()[0] == f"https://{registry.host}" and all(each in proposed for each in given), done.err


async def test_a_dry_run_that_failed_ends_with_its_error(tmp_path: Path) -> None:
    write_sample_store(tmp_path / ".ollama/models", name="me/tiny:latest", weights=70_000)
    done = await command("push", "me/tiny", "--to", "127.0.0.1:9/x", "--dry-run", "--retries", "0", home=tmp_path)
    assert done.code == 6 and "It did not check" not in done.err + done.out


@pytest.mark.parametrize("alone", [False, True])
async def test_only_the_command_reads_on_its_loop(tmp_path: Path, alone: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that hangs must not hold the rest of a program, or the service's other clients."""
    write_sample_store(tmp_path, name="me/tiny:latest", weights=70_000)
    threads, usual = list[threading.Thread](), BlobFiles.open

    def noted(files: BlobFiles, blob: Descriptor) -> io.FileIO:
        threads.append(threading.current_thread())
        return usual(files, blob)

    monkeypatch.setattr(BlobFiles, "open", noted)
    ALONE.set(alone)
    store = OllamaStore(tmp_path)
    [stored] = await store.models()
    body = await store.open((await store.resolve(stored.name)).blobs[-1])
    await body.close()
    assert [thread is threading.current_thread() for thread in threads] == [alone]


# ── doctor ────────────────────────────────────────────────────────────────────────────────────────


def test_a_group_of_checks() -> None:
    ids = {check.id for check in chosen(["tls"], host="r.example", writes=False)}
    assert {"tls.version", "tls.chain", "tls.name"} <= ids and "auth.token" not in ids
    assert {check.id for check in chosen(["store.*"], host=None, writes=False)} == {
        *("store.found", "store.readable", "store.manifests", "store.blobs", "store.owner")
    }
    with pytest.raises(UsageError, match="is about a registry"):
        chosen(["tls"], host=None, writes=False)


async def test_the_check_that_tells_a_dead_registry_is_done_too(set_up: SetUp) -> None:
    async with Scripted(otherwise=Says(raw=b"")) as server:
        set_up.host = f"127.0.0.1:{server.port}"
        done = await set_up.examine("clock.skew")
    assert [each.id for each in done.troubles] == ["registry.v2"] and done.exit_code == 6


async def test_the_key_of_a_host_s_table_is_examined_for_each_of_its_repositories(set_up: SetUp) -> None:
    await set_up.embedded(Options(ollama=Ollama()))
    (set_up.home / "bad").write_text("no key")
    set_up.given |= {"hosts": {set_up.host: {"key": set_up.home / "bad", "dialect": "ollama"}}}
    done = await set_up.examine("key.pair", also=(set_up.host,))
    assert [each.id for each in done.troubles] == ["key.pair"], done.verdict


async def test_one_wrong_login_is_one_problem_for_two_repositories(set_up: SetUp) -> None:
    await set_up.embedded(Options(auth=Basic({"me": "secret"})))
    auth = base64.b64encode(b"me:wrong").decode()
    (set_up.home / "auth.json").write_text(json.dumps({"auths": {set_up.host: {"auth": auth}}}))
    set_up.given |= {"authfile": set_up.home / "auth.json"}
    assert (await set_up.examine(also=(set_up.host,))).verdict.startswith("1 problem stops")


async def test_a_check_without_time_blames_nobody(set_up: SetUp) -> None:
    await set_up.embedded()
    done = await set_up.examine(patience=0.1)  # 0.2 s for all
    assert {each.finding.state for each in done.checks} <= {State.WARN, State.SKIPPED}
    assert any(each.finding is OUT_OF_TIME for each in done.checks)
    assert done.exit_code == 0 and done.verdict.endswith("there was no time for all checks")


async def test_a_report_of_a_host_with_a_usual_name(set_up: SetUp) -> None:
    set_up.host = "http://store"
    done = await set_up.examine("store.found", "net.dns")
    lines = "\n".join(report(done, home=set_up.home, users=["net"], hosts=False))
    assert (
        "| store.found |" in lines and "| net.dns | host-" in lines and "| store" not in lines.replace("| store.", "")
    )


async def test_a_report_names_no_other_registry_and_no_namespace(tmp_path: Path) -> None:
    models = tmp_path / ".ollama/models"
    write_sample_store(models, name="alice/tiny:verse", weights=70_000)
    (models / "manifests/registry.ollama.ai/alice/tiny/verse").write_text("{")
    (tmp_path / "c.toml").write_text('[host."secret.example:5000"]\nchunk-size = "8MiB"\none-put = true\n')
    done = await command("doctor", "--report", "--config", str(tmp_path / "c.toml"), home=tmp_path)
    assert "store.manifests" in done.out and "alice" not in done.out and "secret.example" not in done.out, done.out


async def test_a_login_says_how_its_flags_are_used_from_now_on(tmp_path: Path) -> None:
    """What it prints is put into the file as it is, and then a push needs no flag."""
    write_sample_store(tmp_path / ".ollama/models", name="me/tiny:latest", weights=70_000)
    shown = self_signed(tmp_path / "its CA")
    given = ["--username", "me", "--password-stdin", "--ca-file", str(shown.cert)]
    async with EmbeddedRegistry(tmp_path / "r", Options(auth=Basic({"me": "secret"})), tls=shown.server) as registry:
        said = await command("login", registry.host, *given, stdin=b"secret\n", home=tmp_path)
        assert said.code == 0, said.err
        before, table = said.out.split(":\n\n", 1)
        file = Path(before.rpartition("add this to ")[2])
        file.parent.mkdir(parents=True)
        file.write_text(table)
        pushed = await command("push", "me/tiny", "--to", f"{registry.host}/me/x", home=tmp_path)
    assert pushed.code == 0, pushed.err


async def test_a_login_without_such_flags_says_nothing_of_them(embedded: EmbeddedRegistry, tmp_path: Path) -> None:
    given = ["--username", "me", "--password-stdin", "--no-check"]
    said = await command("login", embedded.host, *given, stdin=b"secret\n", home=tmp_path)
    assert said.code == 0 and len(said.out.splitlines()) == 1, said.out


@pytest.mark.parametrize(
    ("second", "target"),
    [
        ("localhost:5000/me/", "localhost:5000/me/"),
        ("localhost:5000/me/tiny:v1", "localhost:5000/me/tiny:v1"),
        ("https://r.example/me/", "https://r.example/me/"),
        ("r.example", "r.example/"),
    ],
)
async def test_a_second_name_that_is_a_registry_s_is_proposed_as_the_target(
    tmp_path: Path, second: str, target: str
) -> None:
    write_sample_store(tmp_path / ".ollama/models", name="me/tiny:v1", weights=70_000)
    done = await command("push", "me/tiny:v1", second, home=tmp_path)
    assert done.code in (2, 3) and f"leave that name out; to push there: --to {target}\n" in done.err, done.err


@pytest.mark.parametrize("line", ["doctor", "login", "pull", "inspect"])
async def test_one_slash_after_the_scheme(tmp_path: Path, line: str) -> None:
    done = await command(line, "https:/registry.example/x/y", home=tmp_path)
    assert done.code == 2 and "write two slashes: https://HOST" in done.err, done.err


async def test_the_version_by_a_letter(tmp_path: Path) -> None:
    assert (await command("-V", home=tmp_path)).out == (await command("--version", home=tmp_path)).out


@pytest.mark.parametrize(
    ("second", "step"),
    [
        ("https:/r.example", "https://HOST"),
        ("ftp://r.example", "https:// or"),
        ("oci:l", "registry-push copy ollama:me/tiny:v1 oci:l"),
        ("localhost:5000/X/y", "write it in lower case"),
    ],
)
async def test_a_second_name_that_is_no_target_either(tmp_path: Path, second: str, step: str) -> None:
    write_sample_store(tmp_path / ".ollama/models", name="me/tiny:v1", weights=70_000)
    done = await command("push", "me/tiny:v1", second, home=tmp_path)
    assert done.code in (2, 3) and step in done.err and "--to" not in done.err, done.err


@pytest.mark.parametrize(
    "answer",
    [
        '{"Username":"me","Secret":"geheim"}',
        '{"username":"me","secret":"geheim"}',
        '{"ServerURL":"r.example","Username":"me","IdentityToken":"geheim"}',
    ],
)
async def test_a_helper_that_answers_a_login_to_all_is_not_listed(tmp_path: Path, answer: str) -> None:
    program = tmp_path / "bin/docker-credential-any"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\ncat >/dev/null\necho '{answer}'\n")
    program.chmod(0o755)
    (tmp_path / ".docker").mkdir()
    (tmp_path / ".docker/config.json").write_text('{"credsStore": "any"}')
    for flags in ([], ["--json"]):
        done = await command("login", "--list", *flags, home=tmp_path, PATH=f"{program.parent}:/usr/bin:/bin")
        assert "geheim" not in done.out + done.err, done.out
        assert "docker-credential-any answered a login where it was asked for a list" in done.out + done.err


@pytest.mark.parametrize(
    ("line", "is_so"),
    [("[host.127.0.0.1:5000]", True), ('["host".127.0.0.1:5000]', True), ("jobs =\n[host.127.0.0.1:5000]", False)],
)
async def test_a_table_whose_host_is_not_quoted(tmp_path: Path, line: str, is_so: bool) -> None:
    (tmp_path / "c.toml").write_text(f"{line}\nplain-http = true\n")
    done = await command("tags", "127.0.0.1:9/x", "--config", str(tmp_path / "c.toml"), home=tmp_path)
    step = 'put the host in quotes: [host."127.0.0.1:5000"]' if is_so else "correct the file"
    assert done.code == 2 and step in done.err, done.err


@pytest.mark.parametrize("host", ["r.example", "r.example/ml"])
async def test_a_logout_that_reaches_no_login_is_an_error(tmp_path: Path, host: str) -> None:
    file = tmp_path / ".config/containers/auth.json"
    file.parent.mkdir(parents=True)
    login = base64.b64encode(b"ci:token").decode()
    file.write_text(json.dumps({"auths": {host: {"auth": login}}}))
    done = await command("logout", host, "--compat", "docker", home=tmp_path)
    assert done.code == 3 and f"registry-push logout {host} --authfile {file}" in done.err, done.err
    assert (await command("logout", host, "--authfile", str(file), home=tmp_path)).code == 0
    assert (await command("logout", host, "--compat", "docker", home=tmp_path)).code == 0


async def test_a_logout_of_a_part_names_the_login_of_the_whole(tmp_path: Path) -> None:
    file = tmp_path / ".config/containers/auth.json"
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps({"auths": {"r.example": {"auth": base64.b64encode(b"ci:token").decode()}}}))
    done = await command("logout", "r.example/ml", "--compat", "docker", home=tmp_path)
    assert done.code == 3 and "but one for r.example, of ci" in done.err, done.err
    assert f"registry-push logout r.example --authfile {file}" in done.err


async def test_a_logout_of_a_login_in_the_environment(tmp_path: Path) -> None:
    login = json.dumps({"auths": {"r.example": {"auth": base64.b64encode(b"ci:token").decode()}}})
    done = await command("logout", "r.example", home=tmp_path, DOCKER_AUTH_CONFIG=login)
    assert done.code == 3 and "take it out of DOCKER_AUTH_CONFIG" in done.err, done.err
