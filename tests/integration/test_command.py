"""The command as a user meets it: its words, its exit codes, its signals."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from aiohttp import web

from registry_push.embedded import EmbeddedRegistry, Options
from registry_push.embedded.sample import write_sample_store
from tests.support.command import command, start_command
from tests.support.registries import EmbeddedFactory

LARGE = 12_000_000

# What takes longer to import than all that these need.
THIRD_PARTIES = {"aiohttp", "aiofiles", "cryptography", "rich"}
STANDARD = {"asyncio", "ssl", "hashlib", "tomllib"}


@pytest.mark.parametrize(
    ("arguments", "heavy"),
    [("--version", THIRD_PARTIES | STANDARD), ("--help", THIRD_PARTIES | STANDARD), ("push --help", THIRD_PARTIES)],
)
def test_what_needs_no_work_imports_nothing_heavy(arguments: str, heavy: set[str]) -> None:
    probe = (
        "import sys; from registry_push.cli.main import command; "
        f"sys.argv = ['registry-push', *{arguments.split()!r}]; code = command(); "
        f"print('HEAVY', sorted({heavy!r} & set(sys.modules))); sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "HEAVY []"


USAGE = {
    "no model": ["push"],
    "a name and --all": ["push", "x", "--all"],
    "a bad name": ["push", "a/b/c/d/e"],
    "a target without a repository": ["push", "me/tiny", "--to", "localhost:5000"],
    "a target that may be two things": ["push", "me/tiny", "--to", "me/"],
    "an unknown flag": ["push", "me/tiny", "--frobnicate"],
    "a bad size": ["push", "me/tiny", "--chunk-size", "many"],
    "jobs out of range": ["push", "me/tiny", "--jobs", "0"],
    "half a login": ["push", "me/tiny", "--username", "me"],
    "a bad tag": ["push", "me/tiny", "--to", "localhost:5000/a/b", "--tag", "-x"],
    "an unknown command": ["frobnicate"],
}


@pytest.mark.parametrize("arguments", USAGE.values(), ids=USAGE.keys())
async def test_bad_usage_ends_with_2(tmp_path: Path, arguments: list[str]) -> None:
    write_sample_store(tmp_path / ".ollama/models", weights=70_000)
    done = await command(*arguments, home=tmp_path)
    assert done.code == 2
    assert "Traceback" not in done.err and done.err.strip()


async def test_a_model_that_is_not_there_ends_with_3_and_names_the_nearest(tmp_path: Path) -> None:
    write_sample_store(tmp_path / ".ollama/models", weights=70_000)
    done = await command("push", "me/tinny", "--to", "localhost:1/", home=tmp_path)
    assert done.code == 3
    assert "me/tiny" in done.err


async def test_no_store_ends_with_3_and_names_the_places(tmp_path: Path) -> None:
    done = await command("list", "--models", str(tmp_path / "nowhere"), home=tmp_path)
    assert done.code == 3
    assert str(tmp_path / "nowhere") in done.err


async def test_nobody_at_the_target_ends_with_6_and_says_what_is_kept(tmp_path: Path) -> None:
    write_sample_store(tmp_path / ".ollama/models", weights=70_000)
    done = await command("push", "me/tiny", "--to", "localhost:1/", "--retries", "0", home=tmp_path)
    assert done.code == 6
    assert "localhost:1" in done.err and "→" in done.err


async def test_json_ends_with_an_error_and_its_codes(tmp_path: Path) -> None:
    write_sample_store(tmp_path / ".ollama/models", weights=70_000)
    done = await command("push", "me/tiny", "--to", "localhost:1/", "--retries", "0", "--json", home=tmp_path)
    last = done.events[-1]
    assert (done.code, last["event"], last["exit_code"]) == (6, "error", 6)
    assert last["code"] == "ConnectionLost" and last["message"] and last["hint"]


async def test_a_cloud_stub_ends_with_3(tmp_path: Path) -> None:
    models = Path(__file__).parents[2] / "fixtures/ollama"
    listed = await command("list", "--json", "--models", str(models), home=tmp_path)
    stub = next(model["name"] for model in listed.events[-1]["models"] if "cloud" in model["name"])
    done = await command("push", stub, "--models", str(models), "--to", "localhost:1/", home=tmp_path)
    assert done.code == 3


async def test_list_shows_the_fixtures(tmp_path: Path) -> None:
    models = Path(__file__).parents[2] / "fixtures/ollama"
    done = await command("list", "--models", str(models), home=tmp_path)
    assert done.code == 0
    assert done.out.splitlines()[0].split() == ["NAME", "ID", "SIZE", "MODIFIED"]
    assert len(done.out.splitlines()) > 3


async def test_inspect_gives_the_manifests_own_bytes(tmp_path: Path) -> None:
    name = write_sample_store(tmp_path / ".ollama/models", weights=70_000)
    raw = (tmp_path / ".ollama/models/manifests").joinpath(*name.path_parts).read_text()
    done = await command("inspect", "me/tiny", "--raw", home=tmp_path)
    assert (done.code, done.out) == (0, raw)


async def test_inspect_looks_at_a_registry(embedded: EmbeddedRegistry, tmp_path: Path) -> None:
    write_sample_store(tmp_path / ".ollama/models", weights=70_000)
    assert (await command("push", "me/tiny", "--to", f"{embedded.host}/", home=tmp_path)).code == 0
    done = await command("inspect", f"registry:{embedded.host}/me/tiny:latest", "--json", home=tmp_path)
    here = await command("inspect", "me/tiny", "--json", home=tmp_path)
    assert done.events[-1]["digest"] == here.events[-1]["digest"]
    missing = await command("inspect", f"registry:{embedded.host}/me/none", home=tmp_path)
    assert missing.code == 3


@pytest.mark.parametrize(
    ("tag", "hint"), [("lates", "did you mean latest?"), ("v9", "it has: latest"), ("sha256:" + 64 * "0", "latest")]
)
async def test_a_tag_that_a_registry_has_not_is_answered_with_the_nearest(
    embedded: EmbeddedRegistry, tmp_path: Path, tag: str, hint: str
) -> None:
    write_sample_store(tmp_path / ".ollama/models", weights=70_000)
    assert (await command("push", "me/tiny", "--to", f"{embedded.host}/", home=tmp_path)).code == 0
    mark = "@" if ":" in tag else ":"
    done = await command("inspect", f"registry:{embedded.host}/me/tiny{mark}{tag}", home=tmp_path)
    assert done.code == 3 and hint in done.err and "registry-push list" not in done.err


async def test_a_repository_that_is_not_there_has_no_tags_to_name(embedded: EmbeddedRegistry, tmp_path: Path) -> None:
    done = await command("inspect", f"registry:{embedded.host}/me/none:v1", home=tmp_path)
    assert done.code == 3 and "check the name and the tag" in done.err


@pytest.mark.parametrize(("typed", "meant"), [("me/tiny:v22", "me/tiny:v2"), ("me/tiny:latset", "me/tiny:latest")])
async def test_a_mistyped_tag_of_a_local_model_is_answered_with_the_nearest(
    tmp_path: Path, typed: str, meant: str
) -> None:
    for tag in ("latest", "v2"):
        write_sample_store(tmp_path / ".ollama/models", name=f"me/tiny:{tag}", weights=70_000)
    done = await command("push", typed, "--to", "localhost:1/", home=tmp_path)
    assert done.code == 3 and f"did you mean {meant}" in done.err


async def test_key_create_then_show_and_never_twice(tmp_path: Path) -> None:
    created = await command("key", "create", home=tmp_path)
    assert created.code == 0 and "ssh-ed25519 " in created.out
    shown = await command("key", "show", "--json", home=tmp_path)
    assert shown.events[-1]["public"] in created.out
    assert (await command("key", "create", home=tmp_path)).code == 2
    assert (await command("key", "show", "--key", str(tmp_path / "none"), home=tmp_path)).code == 3


async def test_a_key_that_others_can_read_is_warned_of(tmp_path: Path) -> None:
    await command("key", "create", home=tmp_path)
    (tmp_path / ".ollama/id_ed25519").chmod(0o644)
    shown = await command("key", "show", home=tmp_path)
    assert shown.code == 0 and "warning" in shown.err and "chmod 600" in shown.err


async def test_every_flag_has_a_variable_and_a_line_in_the_file(embedded: EmbeddedRegistry, tmp_path: Path) -> None:
    """Defaults < file < environment < flags."""
    write_sample_store(tmp_path / "models", weights=LARGE)
    config = tmp_path / "config.toml"
    config.write_text(f'models = "{tmp_path / "models"}"\nchunk-size = "1MB"\njson = true\nmount = "never"\n')

    async def patches(*flags: str, **variables: str) -> int:
        embedded.log.clear()
        to = f"{embedded.host}/n{len(flags)}{len(variables)}/"
        done = await command("push", "me/tiny", "--config", str(config), "--to", to, *flags, home=tmp_path, **variables)
        assert done.code == 0, done.err
        assert done.events[-1]["event"] == "result"
        return sum(exchange.method == "PATCH" for exchange in embedded.log)

    assert await patches() == 13
    assert await patches(REGISTRY_PUSH_CHUNK_SIZE="4MB") == 4
    assert await patches("--chunk-size", "9MB", REGISTRY_PUSH_CHUNK_SIZE="4MB") == 2


@pytest.mark.parametrize("line", ["frobnicate = 1", "jobs = [", "[jobs]\nx = 1"])
async def test_a_bad_configuration_file_ends_with_2_and_is_named(tmp_path: Path, line: str) -> None:
    (tmp_path / "config.toml").write_text(line)
    done = await command("push", "x", "--config", str(tmp_path / "config.toml"), home=tmp_path)
    assert done.code == 2
    assert "config.toml" in done.err


@pytest.mark.parametrize("which", [signal.SIGINT, signal.SIGTERM])
async def test_two_signals_end_at_once_with_130_and_commit_nothing(
    embedded_with: EmbeddedFactory, tmp_path: Path, which: signal.Signals
) -> None:
    arrived = asyncio.Event()

    async def hold_back(request: web.Request) -> web.StreamResponse | None:
        if request.method == "PATCH":
            arrived.set()
            await asyncio.Event().wait()
        return None

    registry = await embedded_with(Options(hook=hold_back))
    write_sample_store(tmp_path / ".ollama/models", weights=LARGE)
    process = await start_command("push", "me/tiny", "--to", f"{registry.host}/", home=tmp_path)
    await arrived.wait()
    process.send_signal(which)
    assert process.stderr is not None
    while b"finishing the chunks" not in await process.stderr.readline():
        pass
    process.send_signal(which)
    _, err = await process.communicate()
    assert process.returncode == 130
    assert which.name in err.decode() and "run the same command again" in err.decode()
    assert "Traceback" not in err.decode()
    assert not any(exchange.method == "PUT" and "manifests" in exchange.target for exchange in registry.log)


async def test_demo_signs_in_is_cut_resumes_and_verifies(tmp_path: Path) -> None:
    done = await command("demo", home=tmp_path)
    assert done.code == 0, done.err
    assert "cut" in done.out and "verified" in done.out
    fields = json.loads((await command("demo", "--json", home=tmp_path)).out.splitlines()[-1])
    assert fields["cuts"] == 1 and fields["sent_again"] == 0 and fields["verified"] == 6


@pytest.mark.parametrize("redirection", [">&-", "2>&-", ">&- 2>&-", "> /dev/full", "> /dev/full 2>&1"])
def test_a_stream_that_is_closed_or_full_is_no_traceback(tmp_path: Path, redirection: str) -> None:
    models = Path(__file__).parents[2] / "fixtures/ollama"
    line = f"'{sys.executable}' -m registry_push list --models '{models}' {redirection}"
    done = subprocess.run(["/bin/sh", "-c", line], capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr
    assert done.returncode == (141 if "full" in redirection else 0)
    assert ("No space left on device" in done.stderr) == redirection.endswith("full")


@pytest.mark.parametrize("line", ["--help", "--version", "copy --help", "help copying", "completion bash", ""])
@pytest.mark.parametrize("stream", ["full", "without a reader", "all full"])
def test_text_that_can_not_be_printed_is_no_traceback(line: str, stream: str) -> None:
    """What click prints by itself, and what may be paged; without arguments the help goes to stderr."""
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as broken, Path("/dev/full").open("w") as full:
        lost = full if "full" in stream else broken
        done = subprocess.run(
            [sys.executable, "-m", "registry_push", *line.split()],
            stdout=lost if line else subprocess.PIPE,
            stderr=lost if not line or stream == "all full" else subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 141
    said = "error: what was to be printed could not be written: No space left on device\n"
    assert (done.stderr or "") == (said if stream == "full" and line else "")


@pytest.mark.parametrize("stdout", ["closed", "full", "without a reader"])
def test_a_raw_manifest_that_can_not_be_printed_is_no_traceback(tmp_path: Path, stdout: str) -> None:
    name = write_sample_store(tmp_path / "models", weights=1000)
    line = [sys.executable, "-m", "registry_push", "inspect", "--raw", str(name), "--models", str(tmp_path / "models")]
    if stdout == "closed":
        line = ["/bin/sh", "-c", '"$@" >&-', "sh", *line]
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as broken, Path("/dev/full").open("w") as full:
        out = full if stdout == "full" else broken
        done = subprocess.run(line, stdout=out, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == (0 if stdout == "closed" else 141)
    said = "error: what was to be printed could not be written: No space left on device\n"
    assert done.stderr == (said if stdout == "full" else "")


def test_the_end_is_quick_but_loses_nothing_that_was_written() -> None:
    script = (
        "import atexit, sys; sys.argv[1:] = ['inspect', 'nobody/nothing', '--models', '/nowhere', *sys.argv[1:]]\n"
        "atexit.register(print, 'taken apart')\n"
        "sys.stdout.write('x' * 100_000)\n"  # in the buffer, or on its way
        "from registry_push.__main__ import main\n"
        "main()\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (3, "x" * 100_000)
    assert "error: /nowhere is no folder" in done.stderr
