"""`doctor` against set-ups that are broken in one way each, and against healthy ones."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from aiohttp import web

from registry_push.auth.identity import Identity
from registry_push.embedded import ECR, Basic, EmbeddedRegistry, Options, Quirks, Token
from registry_push.embedded.sample import write_sample_store
from registry_push.model import Reference
from registry_push.settings import Settings
from registry_push.verbs.doctor.examine import Subject, examine
from registry_push.verbs.doctor.finding import State
from registry_push.verbs.doctor.table import CHECKS
from tests.support.command import command
from tests.support.examined import REPOSITORY, SetUp, prepared
from tests.support.other_user import command_as_other, public_folder
from tests.support.registries import Registry
from tests.support.scripted import Says
from tests.support.secrets import PASSWORD, PROXY_PASSWORD, WRONG_PASSWORD
from tests.support.tls import Authority, self_signed

JSON = ("Content-Type", "application/json")
SHUT = "http://127.0.0.1:9"  # nobody listens at the port of discard


@pytest.fixture
async def set_up(tmp_path: Path) -> AsyncIterator[SetUp]:
    async with prepared(tmp_path) as made:
        yield made


Break = Callable[[SetUp], Awaitable[None]]
BROKEN: dict[str, tuple[str, State, str, str, Break]] = {}


def broken(check: str, state: State, words: str, fix: str) -> Callable[[Break], Break]:
    """A set-up, the check that finds what is wrong with it, and words of what is found and of the mend."""

    def add(case: Break) -> Break:
        BROKEN[case.__name__.replace("_", " ")] = (check, state, words, fix, case)
        return case

    return add


@broken("key.pair", State.FAIL, "is the public half of another key", "ssh-keygen -y -f")
async def a_key_with_the_public_half_of_another(at: SetUp) -> None:
    await at.embedded()
    at.given["dialect"] = "ollama"
    for name in ("own", "other"):
        Identity.create(at.home / name)
    (at.home / "other.pub").replace(at.home / "own.pub")
    at.given["key"] = at.home / "own"


@broken("auth.scope", State.FAIL, "does not let in the key", "add this public key")
async def a_key_that_the_registry_does_not_know(at: SetUp) -> None:
    await at.embedded(Options(auth=Token(keys=frozenset())))
    Identity.create(at.home / "own")
    at.given["key"], at.writes = at.home / "own", True


@broken("key.mode", State.WARN, "others can use your key", "chmod 600")
async def a_key_that_others_can_read(at: SetUp) -> None:
    await at.embedded()
    Identity.create(at.home / "own")
    (at.home / "own").chmod(0o644)
    at.given["key"] = at.home / "own"


@broken("clock.skew", State.WARN, "minutes behind", "timedatectl")
async def a_clock_that_is_wrong(at: SetUp) -> None:
    await at.embedded(Options(auth=Token(users={"me": PASSWORD}, clock=lambda: time.time() + 3600)))
    at.given |= {"username": "me", "password": PASSWORD}


@broken("proxy.used", State.FAIL, "the proxy on the way", "NO_PROXY")
async def a_proxy_that_is_gone(at: SetUp) -> None:
    at.host, at.given["environ"] = "registry.example", {"https_proxy": SHUT}


@broken("proxy.used", State.FAIL, "it wants a login", "put NAME:PASSWORD@ before its host in HTTPS_PROXY")
async def a_proxy_that_wants_a_login(at: SetUp) -> None:
    await at.scripted(Says(407, (("Proxy-Authenticate", "Basic realm=x"),)))
    at.host, at.given["environ"] = "registry.example", {"HTTPS_PROXY": f"http://{at.host}"}


@broken("proxy.used", State.FAIL, "takes no such login", "percent-encoded")
async def a_proxy_with_another_login(at: SetUp) -> None:
    await at.scripted(Says(407, (("Proxy-Authenticate", "Basic realm=x"),)))
    proxy = f"http://me:{PROXY_PASSWORD}@{at.host}"
    at.host, at.given["environ"] = "registry.example", {"HTTPS_PROXY": proxy}


@broken("net.dns", State.FAIL, "cannot resolve", "check the spelling")
async def a_name_that_is_none(at: SetUp) -> None:
    at.host = "registry.invalid"


@broken("net.tcp", State.FAIL, "no connection", "check the address and the port")
async def a_port_that_nobody_listens_at(at: SetUp) -> None:
    at.host = "127.0.0.1:9"


@broken("tls.chain", State.FAIL, "no trusted TLS connection", "--ca-file")
async def a_certificate_of_an_unknown_authority(at: SetUp) -> None:
    made = self_signed(at.home / "tls")
    await at.embedded(tls=made.server)
    at.host = f"https://{at.host}"


@broken("tls.chain", State.FAIL, "has expired", "clock")
async def a_certificate_that_has_expired(at: SetUp) -> None:
    authority = Authority.create(at.home / "ca")
    await at.embedded(tls=authority.issue(at.home / "tls", last=-1).server)
    at.given["ca_file"] = authority.cert


@broken("tls.chain", State.WARN, "its certificate ends in", "to renew it")
async def a_certificate_that_ends_soon(at: SetUp) -> None:
    authority = Authority.create(at.home / "ca")
    await at.embedded(tls=authority.issue(at.home / "tls", last=3).server)
    at.given["ca_file"] = authority.cert


@broken("tls.name", State.FAIL, "registry.example", "write the name that it is for")
async def a_certificate_of_another_host(at: SetUp) -> None:
    authority = Authority.create(at.home / "ca")
    await at.embedded(tls=authority.issue(at.home / "tls", hosts=["registry.example"], last=60).server)
    at.given["ca_file"] = authority.cert


@broken("http.instead-of-https", State.FAIL, "does not speak https", "--plain-http")
async def http_where_https_was_typed(at: SetUp) -> None:
    await at.embedded()
    at.host = f"https://{at.host}"


@broken("http.instead-of-https", State.FAIL, "speaks https", "--ca-file")
async def https_where_http_was_typed(at: SetUp) -> None:
    made = self_signed(at.home / "tls")
    await at.embedded(tls=made.server)
    at.host = f"http://{at.host}"


@broken("registry.v2", State.FAIL, "is no registry", "captive portal")
async def a_web_page_instead_of_a_registry(at: SetUp) -> None:
    await at.scripted(Says(200, (("Content-Type", "text/html"),), b"<html>sign in</html>"))


@broken("registry.v2", State.FAIL, "HTTP 503", "try again later")
async def a_registry_that_is_down(at: SetUp) -> None:
    await at.scripted(Says(503))


@broken("limits.rate", State.FAIL, "no more requests", "wait 77 seconds")
async def a_quota_that_is_spent(at: SetUp) -> None:
    await at.scripted(Says(429, (JSON, ("Retry-After", "77"), ("RateLimit-Remaining", "0"))))


@broken("auth.source", State.FAIL, "there is none here", "registry-push login")
async def no_login(at: SetUp) -> None:
    await at.embedded(Options(auth=Basic({"me": PASSWORD})))


@broken("auth.token", State.FAIL, "refuses the login of me from --username", "check the user name and the password")
async def a_wrong_password(at: SetUp) -> None:
    await at.embedded(Options(auth=Basic({"me": PASSWORD})))
    at.given |= {"username": "me", "password": WRONG_PASSWORD}


@broken("auth.push", State.FAIL, "to open an upload", "everyone may write")
async def no_permission_on_the_namespace(at: SetUp) -> None:
    async def refuse(request: web.Request) -> web.StreamResponse | None:
        return web.json_response({"errors": [{"code": "DENIED"}]}, status=403) if request.method == "POST" else None

    await at.embedded(Options(hook=refuse))
    at.writes = True


@broken("chunk.max", State.WARN, "no chunk of 8 MiB", "--chunk-size 1MiB")
async def chunks_that_are_capped(at: SetUp) -> None:
    await at.embedded(Options(max_chunk=5_000_000))
    at.writes = True


@broken("chunk.max", State.WARN, "no chunk of 8 MiB", "--one-put")
async def a_registry_that_takes_no_chunks(at: SetUp) -> None:
    await at.embedded(Options(quirks=Quirks(refuses_patch=405)))
    at.writes = True


@broken("session.survives", State.WARN, "is gone after a chunk", "sticky sessions")
async def sessions_that_do_not_survive(at: SetUp) -> None:
    async def forget(request: web.Request) -> web.StreamResponse | None:
        return web.Response(status=404) if request.method == "GET" and "uploads" in request.path else None

    await at.embedded(Options(hook=forget))
    at.writes = True


@broken("state.writable", State.WARN, "can't be resumed", "--state-dir DIR")
async def a_state_folder_that_is_a_file(at: SetUp) -> None:
    await at.embedded()
    (at.home / "state").write_text("a file")


@broken("store.blobs", State.WARN, "me/tiny:latest can't be pushed", "ollama pull me/tiny")
async def a_blob_that_is_missing(at: SetUp) -> None:
    await at.embedded()
    next((at.home / "models/blobs").iterdir()).unlink()


@broken("store.manifests", State.WARN, "me/tiny:latest can't be pushed", "ollama pull me/tiny")
async def a_manifest_that_is_damaged(at: SetUp) -> None:
    await at.embedded()
    (manifest,) = (at.home / "models/manifests").rglob("latest")
    manifest.write_text("{")


@broken("store.found", State.FAIL, "is no folder", "holds manifests and blobs")
async def a_store_that_is_not_there(at: SetUp) -> None:
    await at.embedded()
    at.given["models"] = at.home / "none"


@pytest.mark.parametrize("case", BROKEN)
async def test_what_is_broken_is_named_with_its_mend(set_up: SetUp, case: str) -> None:
    check, state, words, fix, break_it = BROKEN[case]
    await break_it(set_up)
    models = set_up.given.pop("models", set_up.home / "models")
    if models != set_up.home / "models":
        (set_up.home / "models").rename(set_up.home / "elsewhere")
    done = await set_up.examine()
    found = {each.id: each.finding for each in done.checks}
    assert (found[check].state, words in found[check].summary) == (state, True), found[check]
    assert fix in (found[check].fix or ""), found[check]
    # Nothing else is blamed, and what depends on a failed check is not done.
    blamed = {name for name, finding in found.items() if finding.state in (State.WARN, State.FAIL, State.CRASHED)}
    assert blamed == {check}
    assert (done.exit_code != 0) == (state is State.FAIL)
    for each in CHECKS:
        if check in each.needs and state is State.FAIL and each.id in found:
            assert found[each.id].needs == check
    assert (words in done.verdict) == (state is State.FAIL)


async def test_a_registry_that_takes_long_chunks_only_is_well(set_up: SetUp) -> None:
    await set_up.embedded(Options(quirks=ECR))
    set_up.writes = True
    done = await set_up.examine()
    assert [each for each in done.checks if each.finding.state in (State.WARN, State.FAIL)] == []


async def test_a_registry_whose_uploads_are_slow_is_no_failure(set_up: SetUp) -> None:
    async def dawdle(request: web.Request) -> web.StreamResponse | None:
        if request.method == "PATCH":
            await asyncio.Event().wait()
        return None

    await set_up.embedded(Options(hook=dawdle))
    set_up.writes = True
    done = await set_up.examine("session.status", patience=1.0)
    found = {each.id: each.finding for each in done.checks}
    assert found["chunk.max"].state is State.WARN and found["session.status"].needs == "chunk.max"
    assert done.exit_code == 0 and done.verdict == "nothing that stops pushes was found by these checks"


async def test_a_store_that_may_not_be_read_is_named() -> None:
    with public_folder() as home:
        write_sample_store(home / ".ollama/models", weights=70_000)
        for blob in (home / ".ollama/models/blobs").iterdir():
            blob.chmod(0o600)
        done = await command_as_other("doctor", home=str(home))
        assert done.code == 4, done.out
        assert "FAIL  store.blobs" in done.out and "sudo -u root" in done.out
        (home / ".ollama/models/manifests").chmod(0o700)
        done = await command_as_other("doctor", home=str(home))
        assert done.code == 4 and "FAIL  store.readable" in done.out


async def test_a_healthy_registry_raises_no_alarm(registry: Registry, set_up: SetUp) -> None:
    """docker-registry and zuul-registry as Debian and PyPI have them, and the embedded one."""
    set_up.host, set_up.writes = registry.host, True
    if (name := getattr(registry, "username", None)) is not None:
        set_up.given |= {"username": name, "password": PASSWORD}
    done = await set_up.examine()
    assert [each for each in done.checks if each.finding.state not in (State.OK, State.SKIPPED)] == []
    assert done.verdict == f"ready to push to {registry.host}" and done.exit_code == 0


async def test_the_uploads_of_the_checks_are_deleted(set_up: SetUp) -> None:
    async with EmbeddedRegistry(set_up.home / "registry") as registry:
        set_up.host, set_up.writes = registry.host, True
        await set_up.examine()
        opened = [each for each in registry.log if each.method == "POST" and each.status == 202]
        deleted = [each for each in registry.log if each.method == "DELETE" and each.status == 204]
        assert len(opened) == len(deleted) > 0
        changed = {each.method for each in registry.log} - {"GET", "HEAD"}
        registry.log.clear()
        set_up.writes = False
        await set_up.examine()
        assert changed == {"POST", "PATCH", "DELETE"} and {each.method for each in registry.log} <= {"GET", "HEAD"}


async def test_a_registry_that_hangs_ends_within_the_time_of_all(set_up: SetUp) -> None:
    async def hang(request: web.Request) -> web.StreamResponse | None:
        await asyncio.Event().wait()
        return None

    await set_up.embedded(Options(hook=hang))
    settings = Settings(home=set_up.home, models=set_up.home / "models", state_dir=set_up.home / "state")
    subject = Subject(Reference.parse(f"{set_up.host}/{REPOSITORY}"))
    done = await examine([subject], settings=settings, tell=lambda _: None, deadline=12.0)
    assert done.exit_code == 6
    assert [each.finding.code for each in done.troubles] == ["TimedOut"]


async def test_the_command(embedded: EmbeddedRegistry, tmp_path: Path) -> None:
    write_sample_store(tmp_path / ".ollama/models", weights=70_000)
    done = await command("doctor", embedded.host, home=tmp_path)
    assert done.code == 0, done.err
    assert done.out.startswith("this machine\n  ok    config.valid")
    assert f"\n{embedded.host}\n" in done.out and done.out.endswith(f"ready to push to {embedded.host}\n")
    told = (await command("doctor", embedded.host, "--json", home=tmp_path)).events[-1]
    assert told["success"] is True and {each["state"] for each in told["checks"]} <= {"ok", "skipped"}
    assert {*told["checks"][0]} == {"id", "host", "repository", "state", "summary", "evidence", "fix", "code"}
    failed = await command("doctor", "127.0.0.1:9", home=tmp_path)
    assert failed.code == 6 and "which need net.tcp" in failed.out
    report = await command("doctor", embedded.host, "--report", home=tmp_path)
    assert embedded.host not in report.out and str(tmp_path) not in report.out and "| net.tcp | host-" in report.out
    named = await command("doctor", embedded.host, "--report", "--hosts", home=tmp_path)
    assert embedded.host in named.out
    listed = await command("doctor", "--list", home=tmp_path)
    assert all(check.id in listed.out for check in CHECKS)


async def test_a_configuration_that_is_broken_is_one_of_the_checks(tmp_path: Path) -> None:
    write_sample_store(tmp_path / ".ollama/models", weights=70_000)
    config = tmp_path / "config.toml"
    config.write_text("jbos = 4\n")
    done = await command("doctor", "--config", str(config), home=tmp_path)
    assert done.code == 2 and "FAIL  config.valid" in done.out and "line 1" in done.out and "jobs" in done.out


BAD = {
    "a layout": (["oci:./x"], "registry-push inspect"),
    "no repository": (["--write", "localhost:5000"], "HOST/REPOSITORY"),
    "no check": (["--only", "tls.versoin"], "tls.version"),
}


@pytest.mark.parametrize("case", BAD)
async def test_bad_usage_names_the_next_step(tmp_path: Path, case: str) -> None:
    arguments, step = BAD[case]
    done = await command("doctor", *arguments, home=tmp_path)
    assert done.code == 2 and step in done.err, done.err
