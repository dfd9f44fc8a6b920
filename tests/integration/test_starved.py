"""No threads and no memory: an error that says what to do, exit 6, and no traceback."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from registry_push.cli.render import Kind, renderer
from registry_push.content.body import BytesBody, FileBody
from registry_push.content.hashing import Hasher
from registry_push.content.ollama.source import OllamaStore
from registry_push.content.threads import in_thread
from registry_push.embedded import EmbeddedRegistry
from registry_push.embedded.sample import write_sample_store
from registry_push.errors import Origin, OutOfResources
from registry_push.events import Warned
from registry_push.model import ModelName
from registry_push.settings import Settings
from registry_push.verbs.push import push
from tests.support.pushes import Screen

pytestmark = pytest.mark.attack("S15")

FIXTURES = Path(__file__).parents[2] / "fixtures" / "ollama"


def no_threads(_: threading.Thread) -> None:
    raise RuntimeError("can't start new thread")


# The same in a process of its own: after `%d` threads none is to be had.
SCRIPT = """
import sys, threading
left, start = int(sys.argv.pop(1)), threading.Thread.start
def starved(self):
    global left
    left -= 1
    if left < 0:
        raise RuntimeError("can't start new thread")
    start(self)
threading.Thread.start = starved
from registry_push.__main__ import main
main()
"""


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, cwd=FIXTURES.parents[1], check=False
    )


@pytest.mark.parametrize("left", range(8))
@pytest.mark.parametrize("face", [[], ["--json"], ["-q"]], ids=["plain", "json", "quiet"])
def test_a_command_without_threads(left: int, face: list[str], tmp_path: Path) -> None:
    push_it = ["push", "me/tiny", "--models", str(FIXTURES), "--to", "127.0.0.1:1/", "--retries", "0"]
    done = run("-c", SCRIPT, str(left), *push_it, "--state-dir", str(tmp_path), *face)
    assert done.returncode == 6
    assert "Traceback" not in done.stderr
    assert left or "ulimit -u" in done.stderr + done.stdout


@pytest.mark.parametrize("left", range(4))
def test_what_was_done_counts_though_no_thread_is_left_to_end_the_others(left: int) -> None:
    done = run("-c", SCRIPT, str(left), "list", "--models", str(FIXTURES))
    assert done.returncode in (0, 6) and "Traceback" not in done.stderr
    assert ("me/tiny" in done.stdout) == (done.returncode == 0)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems don't hold a process to RLIMIT_AS")
@pytest.mark.parametrize("mebibytes", range(40, 140, 10))
def test_a_command_without_memory(mebibytes: int) -> None:
    limited = (
        "import resource\n"
        f"resource.setrlimit(resource.RLIMIT_AS, ({mebibytes} << 20, {mebibytes} << 20))\n"
        "from registry_push.__main__ import main\n"
        "main()\n"
    )
    done = run("-c", limited, "list", "--models", str(FIXTURES))
    assert done.returncode in (0, 6)
    assert "Traceback" not in done.stderr


async def test_the_library_raises_what_it_promises(
    embedded: EmbeddedRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_sample_store(tmp_path / "models", weights=300_000)
    settings = Settings(models=tmp_path / "models", home=tmp_path)
    store = OllamaStore(tmp_path / "models")
    monkeypatch.setattr(threading.Thread, "start", no_threads)
    with pytest.raises(OutOfResources) as caught:
        await push(["me/tiny"], to=f"{embedded.host}/", settings=settings)
    assert (caught.value.exit_code, caught.value.origin) == (6, Origin.LOCAL)
    assert "ulimit -u" in (caught.value.hint or "")
    with pytest.raises(OutOfResources):
        await store.resolve(ModelName.parse("me/tiny"))


async def test_hashing_without_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "blob").write_bytes(bytes(1_000_000))
    body, hasher = FileBody((tmp_path / "blob").open("rb", buffering=0)), Hasher()
    monkeypatch.setattr(threading.Thread, "start", no_threads)
    await hasher.sha256(BytesBody(b"so little needs none"))
    for much in (body, BytesBody(bytes(1_000_000))):
        with pytest.raises(OutOfResources):
            await hasher.sha256(much)
    monkeypatch.undo()
    await body.close()
    hasher.close()


async def test_other_runtime_errors_stay_what_they_are() -> None:
    def fail() -> None:
        raise RuntimeError("a bug")

    with pytest.raises(RuntimeError, match="a bug"):
        await in_thread(fail)


def test_the_faces_do_without(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(threading.Thread, "start", no_threads)
    for kind in (Kind.PLAIN, Kind.QUIET, Kind.JSON):
        with renderer(kind, sys.stderr, sys.stdout) as show:
            show(Warned("mind"))
    out, err = capsys.readouterr()
    assert (out.count("mind"), err.count("mind")) == (1, 2)
    screen = Screen(80, 24)
    with screen.bars as sink:
        sink(Warned("mind"))
    assert "mind" in screen.written()
