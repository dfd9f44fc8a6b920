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
from registry_push.state.kept_options import read_kept, without_files
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


def test_files_that_are_gone_do_not_count() -> None:
    table = {"cert": Path("/gone.pem"), "key_file": Path("/k.pem"), "one_put": True}
    kept = record(Settings(ca_file=Path("/gone.ca"), tls_verify=False, hosts={HOST: table})).options
    assert dict(without_files(kept, lambda path: path.startswith("/gone"))) == {
        "tls_verify": False,
        "hosts": {HOST: {"one_put": True}},
    }


@pytest.mark.parametrize(
    "hosts",
    [
        [],
        {HOST: []},
        {HOST: {"jobs": 4}},
        {HOST: {"ca_file": "relative"}},
        {HOST: {"plain_http": "yes"}},
        {HOST: {"cert": "/a"}},
        {HOST: {"one_put": True, "chunk_size": 2_000_000}},
    ],
)
def test_tables_that_we_cannot_have_written_are_none(hosts: object) -> None:
    assert read_kept({"hosts": hosts}) is None


async def begun(home: Path, registry: EmbeddedRegistry, gate: Gate, *flags: str) -> None:
    """Kills a push to the registry when one of its chunks is there."""
    process = await start_command(
        "push", "me/tiny", "--to", f"https://{registry.host}/", "--config", str(home / "config.toml"), *flags, home=home
    )
    await gate.arrived.wait()
    while not any(each.method == "PATCH" and each.status == 202 for each in registry.log):
        await asyncio.sleep(0.01)  # the registry notes its answer after it has sent it
    process.kill()
    await process.communicate()
    gate.opened.set()
    registry.log.clear()


class Gate:
    """Holds back the second chunk."""

    def __init__(self) -> None:
        self.arrived, self.opened = asyncio.Event(), asyncio.Event()

    async def hook(self, request: web.Request) -> web.StreamResponse | None:
        if request.method == "PATCH" and self.arrived.is_set() and not self.opened.is_set():
            await self.opened.wait()
        if request.method == "PATCH":
            self.arrived.set()
        return None


# What config.toml says at first, and when it is continued; the flags of each; {} is the file of the CA.
MOVED: dict[str, tuple[str, list[str], str, list[str]]] = {
    "all in the table, which is gone": ("ca-file = {}\nchunk-size = '2MB'", [], "", []),
    "a flag beside a table": ("chunk-size = '2MB'", ["--ca-file", "{}"], "chunk-size = '2MB'", []),
    "a flag that won over the table": ("tls-verify = true\nchunk-size = '2MB'", ["--tls-verify=false"], "", []),
    "a file that has moved, and is in the table": ("ca-file = {}\nchunk-size = '2MB'", [], "ca-file = {}", ["moved"]),
    "a file that has moved, and is a flag": (
        "chunk-size = '2MB'", ["--ca-file", "{}"], "chunk-size = '2MB'", ["moved", "--ca-file", "{}"]),
}  # fmt: skip


@pytest.mark.parametrize("case", MOVED)
@pytest.mark.parametrize("verb", ["resume", "resume --cancel"])
async def test_work_is_continued_and_given_up_as_it_was_begun(tmp_path: Path, verb: str, case: str) -> None:
    before, flags, now, then = MOVED[case]
    write_sample_store(tmp_path / ".ollama/models", weights=12_000_000)
    made, gate = self_signed(tmp_path / "tls"), Gate()
    options = Options(hook=gate.hook, on_cut=OnCut.ACKNOWLEDGED)
    async with EmbeddedRegistry(tmp_path / "registry", options, tls=made.server) as registry:
        certificate, config = made.cert, tmp_path / "config.toml"

        def configured(lines: str) -> None:
            quoted = json.dumps(str(certificate))
            config.write_text(f'[host."{registry.host}"]\n{lines.replace("{}", quoted)}\n')

        def typed(words: list[str]) -> list[str]:
            return [str(certificate) if word == "{}" else word for word in words if word != "moved"]

        configured(before)
        await begun(tmp_path, registry, gate, *typed(flags))
        if "moved" in then:
            certificate = certificate.rename(tmp_path / "moved.pem")
        configured(now)
        done = await command(*verb.split(), "--config", str(config), *typed(then), home=tmp_path)
        assert done.code == 0, done.err
        if verb == "resume":
            assert max(each.received for each in registry.log if each.method == "PATCH") <= 2_000_000
        else:
            assert "uploads freed at their registries: 1; only forgotten here: 0" in done.out, done.out
            assert any(each.method == "DELETE" and each.status == 204 for each in registry.log)
