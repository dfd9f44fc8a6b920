"""Syncs that are killed or interrupted, and begun again: what has arrived is not sent twice."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import pytest
from aiohttp import web

from registry_push.embedded import EmbeddedRegistry, OnCut, Options
from tests.support.command import command, start_command
from tests.support.line import Line
from tests.support.registries import DockerRegistry, EmbeddedFactory, docker_registry_at
from tests.support.sync_stage import Log, Peer

MiB: Final = 1 << 20
CHUNK: Final = MiB // 2
JOBS: Final = 2
KILLS: Final = 10
# Bytes of a blob.
LARGEST: Final = 3 * MiB
# Bytes a second: slow enough that a process is killed soon after the byte at which it is to be.
RATE: Final = 30_000_000
# Bytes of the heads of a request.
HEAD: Final = 1500


@pytest.fixture
def source(tmp_path: Path) -> Iterator[DockerRegistry]:
    (tmp_path / "a").mkdir()
    with docker_registry_at(tmp_path / "a") as registry:
        yield registry


async def ten_kills(source: DockerRegistry, target: str, home: Path) -> tuple[int, set[str], dict[str, str]]:
    """Sync with ten kills; return the bytes that went twice, the big blobs of one repository, and all manifests."""
    a = Peer(source.host)
    blobs: dict[str, int] = {}
    for number in range(5):
        for tag in ("v1", "v2"):
            await a.put(f"ml/m{number}", tag, f"{number}{tag} ", size=LARGEST)
            blobs[(await a.blobs(f"ml/m{number}", tag))[-1]] = LARGEST
    # The same in two repositories: mounted in the second, also where a kill has left a part of it in each.
    for number in range(2):
        await a.put(f"shared/s{number}", "v1", "of both ", size=LARGEST)
        blobs[(await a.blobs(f"shared/s{number}", "v1"))[-1]] = LARGEST
    total, kills, plan = sum(blobs.values()), 0, home / "plan.toml"
    with Line(target, rate=RATE) as line:
        plan.write_text(
            f"[defaults]\njobs = {JOBS}\n"
            f'[host."{line.host}"]\nchunk-size = "{CHUNK}"\n'
            f'[[sync]]\nsource = "registry:{source.host}/ml/"\ntarget = "registry:{line.host}/"\n'
            f'[[sync]]\nsource = "registry:{source.host}/shared/"\ntarget = "registry:{line.host}/"\n'
        )
        while True:
            process = await start_command("sync", str(plan), "--quiet", home=home)
            if kills < KILLS:
                _kill_at(line, max((kills + 1) * total // (KILLS + 3), line.up + CHUNK), process)
            _, err = await process.communicate()
            if process.returncode != -signal.SIGKILL:
                break
            kills += 1
        assert process.returncode == 0, err
        assert kills == KILLS
        there = await a.everything()
        assert await Peer(target).everything() == there
        return line.up - total, set(blobs), there


def sent_once(requests: Sequence[tuple[str, str, int]], blobs: set[str], there: dict[str, str]) -> None:
    """Assert that each blob and each manifest was put once."""
    committed = Counter[str]()
    for method, target, status in requests:
        if method == "PUT" and "/blobs/" in target and status == 201:
            committed.update(blob for blob in blobs if blob.partition(":")[2] in target)
    assert committed == dict.fromkeys(blobs, 1)
    manifests = Counter(target for method, target, _ in requests if method == "PUT" and "/manifests/" in target)
    assert len(manifests) == len(there) and set(manifests.values()) == {1}


@pytest.mark.real
@pytest.mark.parametrize("program", ["docker-registry", "registry3"])
async def test_ten_kills(source: DockerRegistry, tmp_path: Path, program: str) -> None:
    if program == "registry3" and shutil.which(program) is None:
        pytest.skip("registry3 is not installed")  # no package has it: not in CI either
    (tmp_path / "b").mkdir()
    with docker_registry_at(tmp_path / "b", logs_requests=True, program=program) as target:
        log = Log(target)
        again, blobs, there = await ten_kills(source, target.host, tmp_path)
        requests = [(each.method, each.target, each.status) for each in log.requests]
    sent_once(requests, blobs, there)
    # distribution 2 forgets an upload with all of its chunks if one of them is cut; 3 forgets nothing.
    most = LARGEST if program == "docker-registry" else CHUNK
    assert again <= KILLS * JOBS * most + len(requests) * HEAD


@pytest.mark.real
async def test_ten_kills_where_cut_chunks_are_kept(
    source: DockerRegistry, embedded: EmbeddedRegistry, tmp_path: Path
) -> None:
    again, blobs, there = await ten_kills(source, embedded.host, tmp_path)
    requests = [(each.method, each.target, each.status or 0) for each in embedded.log]
    sent_once(requests, blobs, there)
    assert again <= KILLS * JOBS * CHUNK + len(requests) * HEAD


def _kill_at(line: Line, point: int, process: asyncio.subprocess.Process) -> None:
    """Kill the process when so many bytes have gone, unless it has ended."""
    loop = asyncio.get_running_loop()

    def kill() -> None:
        if process.returncode is None:
            process.kill()

    def from_thread() -> None:
        loop.call_soon_threadsafe(kill)

    line.at(point, from_thread)


class Gate:
    """Holds chunk number `at` back until it is opened."""

    def __init__(self, at: int) -> None:
        self._left = at
        self.arrived, self.open = asyncio.Event(), asyncio.Event()

    async def hook(self, request: web.Request) -> web.StreamResponse | None:
        if request.method == "PATCH":
            self._left -= 1
            if self._left == 0:
                self.arrived.set()
                await self.open.wait()
        return None


SIZE: Final = 6 * MiB


async def staged(
    embedded_with: EmbeddedFactory, gate: Gate, home: Path, on_cut: OnCut = OnCut.LOSE
) -> tuple[EmbeddedRegistry, list[str]]:
    """A target that holds a chunk of the second entry back, once the first is done; and the command."""
    source = await embedded_with(Options())
    target = await embedded_with(Options(hook=gate.hook, on_cut=on_cut))
    await Peer(source.host).put("ml/small", "v1", "1")
    await Peer(source.host).put("ml/big", "v1", "of many ", size=SIZE)
    # Both entries may write one repository: the second begins after the first is listed.
    (home / "plan.toml").write_text(
        f'[defaults]\njobs = 1\n[host."{target.host}"]\nchunk-size = "1MiB"\n'
        f'[[sync]]\nsource = "registry:{source.host}/ml/small"\ntarget = "registry:{target.host}/ml/"\n'
        f'[[sync]]\nsource = "registry:{source.host}/ml/big"\ntarget = "registry:{target.host}/ml/"\n'
    )
    return target, ["sync", str(home / "plan.toml"), "--report", str(home / "report.json")]


def patched(registry: EmbeddedRegistry) -> int:
    return sum(each.received for each in registry.log if each.method == "PATCH")


@pytest.mark.parametrize("which", [signal.SIGINT, signal.SIGTERM])
async def test_the_first_interrupt_finishes_the_chunk_and_the_next_run_continues(
    embedded_with: EmbeddedFactory, tmp_path: Path, which: signal.Signals
) -> None:
    gate = Gate(at=3)
    target, arguments = await staged(embedded_with, gate, tmp_path)
    process = await start_command(*arguments, home=tmp_path)
    assert process.stderr is not None
    await gate.arrived.wait()
    process.send_signal(which)
    said = b""
    while b"again to stop" not in said:
        line = await process.stderr.readline()
        assert line, said
        said += line
    gate.open.set()
    _, err = await process.communicate()
    assert process.returncode == 130, err
    assert b"run the same command again" in err
    entries = json.loads((tmp_path / "report.json").read_text())["entries"]
    assert "copied" not in {each["action"] for each in entries if "big" in (each["source"] or "")}
    done = await command(*arguments, home=tmp_path)
    assert done.code == 0, done.err
    assert patched(target) == SIZE, "no byte went twice"
    assert (await Peer(target.host).everything()).keys() == {"ml/ml/small:v1", "ml/ml/big:v1"}


async def test_the_second_interrupt_stops_at_once(embedded_with: EmbeddedFactory, tmp_path: Path) -> None:
    gate = Gate(at=3)
    target, arguments = await staged(embedded_with, gate, tmp_path, OnCut.ACKNOWLEDGED)
    process = await start_command(*arguments, home=tmp_path)
    assert process.stderr is not None
    await gate.arrived.wait()
    process.send_signal(signal.SIGINT)
    said = b""
    while b"again to stop" not in said:
        said += await process.stderr.readline()
    os.kill(process.pid, signal.SIGINT)
    _, err = await process.communicate()
    assert process.returncode == 130, err
    gate.open.set()
    done = await command(*arguments, home=tmp_path)
    assert done.code == 0, done.err
    assert patched(target) <= SIZE + MiB
    assert (await Peer(target.host).everything()).keys() == {"ml/ml/small:v1", "ml/ml/big:v1"}
