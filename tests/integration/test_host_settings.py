"""Settings of one registry: tables of the configuration file, and `Settings.hosts`."""

from __future__ import annotations

import json
from base64 import b64encode
from pathlib import Path

import pytest

import registry_push as rp
from registry_push.embedded import Basic, EmbeddedRegistry, Options, Token
from registry_push.embedded.sample import write_sample_store
from registry_push.errors import InvalidSettings
from tests.support.command import command
from tests.support.registries import EmbeddedFactory
from tests.support.scripted import Says, Scripted
from tests.support.secrets import PASSWORD
from tests.support.tls import self_signed

MB = 1_000_000
SECOND = f"{PASSWORD}2"


def configured(folder: Path, text: str) -> list[str]:
    (folder / "config.toml").write_text(text)
    return ["--config", str(folder / "config.toml")]


def chunks(registry: EmbeddedRegistry) -> set[int]:
    """The sizes of the chunks that were sent, but for the last."""
    return {exchange.received for exchange in registry.log if exchange.method == "PATCH"}


async def test_each_registry_has_its_own(embedded_with: EmbeddedFactory, tmp_path: Path) -> None:
    one, other = await embedded_with(Options()), await embedded_with(Options())
    write_sample_store(tmp_path / ".ollama/models", weights=12 * MB)
    flags = configured(tmp_path, f'chunk-size = "4MB"\n[host."{one.host}"]\nchunk-size = "3MB"\n')
    for registry in (one, other):
        assert (await command("push", "me/tiny", "--to", f"{registry.host}/", *flags, home=tmp_path)).code == 0
    assert 3 * MB in chunks(one) and max(chunks(one)) == 3 * MB
    assert max(chunks(other)) == 4 * MB
    one.log.clear()
    flag = ["--chunk-size", "5MB", "--recheck"]
    assert (await command("push", "me/tiny", "--to", f"{one.host}/again/", *flag, *flags, home=tmp_path)).code == 0
    assert not chunks(one) or max(chunks(one)) == 5 * MB, "a flag wins"


async def test_a_copy_between_registries_with_different_certificates_and_logins(tmp_path: Path) -> None:
    made = [self_signed(tmp_path / name) for name in ("one", "other")]
    write_sample_store(tmp_path / ".ollama/models", weights=70_000)
    async with (
        EmbeddedRegistry(tmp_path / "a", Options(auth=Basic({"me": PASSWORD})), tls=made[0].server) as one,
        EmbeddedRegistry(tmp_path / "b", Options(auth=Token(users={"me": SECOND})), tls=made[1].server) as other,
    ):
        sections = []
        for registry, certificate, password in ((one, made[0], PASSWORD), (other, made[1], SECOND)):
            logins = tmp_path / f"{registry.host.replace(':', '-')}.json"
            auth = b64encode(f"me:{password}".encode()).decode()
            logins.write_text(json.dumps({"auths": {registry.host: {"auth": auth}}}))
            sections.append(
                f'[host."{registry.host}"]\nca-file = {json.dumps(str(certificate.cert))}\n'
                f"authfile = {json.dumps(str(logins))}\n"
            )
        flags = configured(tmp_path, "\n".join(sections))
        pushed = await command("push", "me/tiny", "--to", f"{one.host}/", *flags, home=tmp_path)
        assert pushed.code == 0, pushed.err
        copied = await command(
            "copy", f"registry:{one.host}/me/tiny", f"registry:{other.host}/me/tiny", *flags, home=tmp_path
        )
        assert copied.code == 0, copied.err
        flags = configured(tmp_path, sections[0])
        refused = await command("tags", f"https://{other.host}/me/tiny", *flags, home=tmp_path)
        assert refused.code == 6 and "--ca-file" in refused.err


async def test_http_and_a_default_port(tmp_path: Path) -> None:
    settings = rp.Settings(hosts={"Registry.LAN": {"plain_http": True}, "other.lan:443": {"one_put": True}})
    assert settings.at("registry.lan").plain_http and not settings.at("registry.lan:5000").plain_http
    assert settings.at("other.lan").one_put and not settings.at("elsewhere.lan").one_put


async def test_a_table_is_for_its_own_port_and_no_other(tmp_path: Path) -> None:
    assert not rp.Settings(hosts={"a.example:80": {"plain_http": True}}).at("a.example").plain_http


@pytest.mark.parametrize("table", ['chunk-size = "5MB"', "one-put = true"])
@pytest.mark.parametrize("flag", [["--one-put"], ["--chunk-size", "4MB"], []], ids=["one put", "chunks", "none"])
async def test_of_chunks_and_one_put_the_flag_wins(
    embedded_with: EmbeddedFactory, tmp_path: Path, table: str, flag: list[str]
) -> None:
    registry = await embedded_with(Options())
    write_sample_store(tmp_path / ".ollama/models", weights=12 * MB)
    flags = configured(tmp_path, f'[host."{registry.host}"]\n{table}\n')
    done = await command("push", "me/tiny", "--to", f"{registry.host}/", *flag, *flags, home=tmp_path)
    assert done.code == 0, done.err
    in_one_put = "--one-put" in flag or (not flag and "one-put" in table)
    assert any(each.method == "PATCH" for each in registry.log) != in_one_put


WRONG = {
    '[host."https://x"]\none-put = true': "names no host",
    '[host."a b"]\none-put = true': "names no host",
    '[host."x"]\njobs = 4': "can't be set for a host",
    '[host."x"]\nchunk-sise = "1MB"': "did you mean chunk-size?",
    '[host."x"]\nchunk-size = true': 'a size, as "64MiB"',
    '[host."x"]\nchunk-size = "1"': 'config.toml: [host."x"]: chunk-size 1 B is out of range',
    'host.x = "y"': 'write [host."x"]',
    '[host."x"]\ncert = "/c.pem"': "give key-file too",
}


@pytest.mark.parametrize("text", WRONG)
async def test_what_is_wrong_in_a_table_is_named(tmp_path: Path, text: str) -> None:
    done = await command("push", "me/x", "--to", "localhost:1/", *configured(tmp_path, text), home=tmp_path)
    assert done.code == 2 and WRONG[text] in done.err, done.err


@pytest.mark.parametrize("hosts", [3, {"x": 3}, {"x": {"jobs": 3}}, {"x": {"chunk_size": 1}}])
def test_the_library_checks_them_too(hosts: object) -> None:
    with pytest.raises(InvalidSettings):
        rp.Settings(hosts=hosts)  # type: ignore[arg-type]


async def test_login_trusts_the_token_service_no_more_because_of_the_registrys_table(tmp_path: Path) -> None:
    made = self_signed(tmp_path / "one")
    async with Scripted(tls=made.server) as tokens, Scripted(tls=made.server) as server:
        elsewhere = f"localhost:{tokens.port}"
        server.on("GET", "/v2/", Says(401, (("WWW-Authenticate", f'Bearer realm="https://{elsewhere}/token"'),)))
        host = f"127.0.0.1:{server.port}"
        flags = configured(tmp_path, f'[host."{host}"]\ntls-verify = false\nallow-realm = ["localhost"]\n')
        line = ("login", host, "--username", "me", "--password-stdin", *flags)
        done = await command(*line, home=tmp_path, stdin=PASSWORD)
    assert done.code == 6 and f"TLS connection to {elsewhere}" in done.err, done.err
    assert server.seen and not tokens.seen and not (tmp_path / ".docker").exists()


@pytest.mark.parametrize("host", ["docker.io", "index.docker.io", "Registry-1.docker.io"])
def test_a_table_for_a_name_of_docker_hub_counts_for_all_of_them(host: str) -> None:
    settings = rp.Settings(hosts={"docker.io": {"chunk_size": 50_000_000}})
    assert settings.at(host).chunk_size == 50_000_000


async def test_config_shows_them(tmp_path: Path) -> None:
    flags = configured(tmp_path, '[host."r.example"]\nchunk-size = "50MB"\n')
    shown = await command("config", *flags, home=tmp_path)
    assert shown.code == 0 and 'host."r.example".chunk-size' in shown.out


async def test_serve_s_address_is_still_a_line(tmp_path: Path) -> None:
    """`host` is a flag of `serve`, and the name of the tables."""
    shown = await command("config", *configured(tmp_path, 'host = "127.0.0.2"\n'), "--json", home=tmp_path)
    assert {"127.0.0.2"} <= {each["value"] for each in shown.events[-1]["settings"] if each["name"] == "host"}
