"""What was begun with settings of one registry is continued and given up with them, whatever is configured now."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from aiohttp import web

from registry_push.embedded import EmbeddedRegistry, OnCut, Options
from registry_push.embedded.sample import write_sample_store
from registry_push.model import ModelName, Reference
from registry_push.settings import Settings
from registry_push.state.kept_options import hosts_of, read_kept
from registry_push.state.push_record import PushRecord
from tests.support.command import command, start_command
from tests.support.tls import self_signed

HOST = "registry.lan:5000"


def record(settings: Settings) -> PushRecord:
    """As it is read again."""
    name = ModelName.parse("me/tiny")
    made = PushRecord.of(Path("/models"), name, [Reference.parse(f"{HOST}/me/tiny")], settings)
    read = PushRecord.read(made.text)
    assert read == made
    return read


def test_a_table_is_recorded_and_wins_over_the_one_that_is_there_now() -> None:
    """A flag of the first run has won over a part of its table, which must not come back."""
    began = record(Settings(hosts={HOST: {"ca_file": Path("/first.pem"), "allow_realms": ("a.example",)}}))
    now = Settings(hosts={HOST: {"one_put": True, "ca_file": Path("/other.pem")}, "b.example": {"plain_http": True}})
    again = began.settings(now)
    assert again.at(HOST).ca_file == Path("/first.pem") and again.at(HOST).allow_realms == ("a.example",)
    assert not again.at(HOST).one_put and again.at("b.example").plain_http
    assert began.settings(Settings()).at(HOST).ca_file == Path("/first.pem")


def test_uploads_are_given_up_as_they_were_begun() -> None:
    flags = record(Settings(tls_verify=False))
    table = record(Settings(tls_verify=True, hosts={HOST: {"tls_verify": False}}))
    for each in (flags, table):
        assert not Settings(hosts=hosts_of([(each.origin, each.options)])).at(HOST).tls_verify


@pytest.mark.parametrize(
    "hosts",
    [[], {HOST: []}, {HOST: {"jobs": 4}}, {HOST: {"ca_file": "relative"}}, {HOST: {"plain_http": "yes"}}],
)
def test_tables_that_we_cannot_have_written_are_none(hosts: object) -> None:
    assert read_kept({"hosts": hosts}) is None


@pytest.mark.parametrize("verb", ["resume", "resume --cancel"])
async def test_without_the_configuration(tmp_path: Path, verb: str) -> None:
    arrived, opened = asyncio.Event(), asyncio.Event()

    async def hold(request: web.Request) -> web.StreamResponse | None:
        if request.method == "PATCH" and arrived.is_set() and not opened.is_set():
            await opened.wait()
        if request.method == "PATCH":
            arrived.set()
        return None

    write_sample_store(tmp_path / ".ollama/models", weights=12_000_000)
    made = self_signed(tmp_path / "tls")
    async with EmbeddedRegistry(
        tmp_path / "registry", Options(hook=hold, on_cut=OnCut.ACKNOWLEDGED), tls=made.server
    ) as registry:
        config = tmp_path / "config.toml"
        config.write_text(f'[host."{registry.host}"]\nca-file = {json.dumps(str(made.cert))}\nchunk-size = "2MB"\n')
        process = await start_command(
            "push", "me/tiny", "--to", f"https://{registry.host}/", "--config", str(config), home=tmp_path
        )
        await arrived.wait()
        while not any(each.method == "PATCH" and each.status == 202 for each in registry.log):
            await asyncio.sleep(0.01)
        process.kill()
        await process.communicate()
        opened.set()
        registry.log.clear()
        done = await command(*verb.split(), home=tmp_path)
        assert done.code == 0, done.err
        if verb == "resume":
            assert max(each.received for each in registry.log if each.method == "PATCH") <= 2_000_000
        else:
            assert "only forgotten here: 0" in done.out, done.out
            assert any(each.method == "DELETE" and each.status == 204 for each in registry.log)
