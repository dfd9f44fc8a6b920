"""What people see, as it was recorded: `fixtures/screens/SCENE-WIDTH.txt`.

After a change that is meant, record anew, and read the difference:

    REGISTRY_PUSH_RECORD=1 python -m pytest tests/unit/test_screens.py
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest
from click.testing import CliRunner

from registry_push.cli.main import group
from registry_push.cli.render import PUSH, VERIFY, Kind, Verb, renderer
from registry_push.errors import ConnectionLost, ContentDamaged
from registry_push.events import (
    BlobDone,
    BlobRewound,
    BlobStarted,
    BlobWaiting,
    ManifestPushed,
    ModelDone,
    ModelFailed,
    ModelStarted,
    Placement,
    Retrying,
    RunStarted,
    Sink,
    Stopping,
    TagSet,
)
from registry_push.model import Digest
from tests.support.pushes import GB, MANIFEST, REPO, TARGET, Clock, Screen, begin, blob, finish, move

SCREENS: Final = Path(__file__).parents[2] / "fixtures" / "screens"
WIDTHS: Final = (45, 80, 120)
MB: Final = 10**6
_BIG: Final = blob("weights", 40 * GB)

# Each yields where a look is taken.
Scene = Callable[[Sink, Clock], Iterator[None]]


def one_big_blob(sink: Sink, clock: Clock) -> Iterator[None]:
    begin(sink, _BIG, blob("params", 12, "params"))
    yield
    sink(BlobDone(REPO, blob("params", 12, "params"), Placement.PRESENT, 0))
    sink(BlobStarted(REPO, _BIG, 0))
    yield
    move(sink, clock, _BIG, 0, 13 * GB, rate=112e6, step=50 * MB)
    yield
    move(sink, clock, _BIG, 13 * GB, _BIG.size, rate=112e6, step=50 * MB)
    yield
    sink(BlobDone(REPO, _BIG, Placement.UPLOADED, _BIG.size))
    finish(sink, _BIG.size, present=1)


def many_small_blobs(sink: Sink, clock: Clock) -> Iterator[None]:
    blobs = [blob(number, 64 * 1024, "tensor") for number in range(400)]
    begin(sink, *blobs)
    for number, each in enumerate(blobs):
        sink(BlobStarted(REPO, each, 0))
        move(sink, clock, each, 0, each.size, rate=20e6, step=each.size)
        sink(BlobDone(REPO, each, Placement.UPLOADED, each.size))
        if number == 150:
            yield
    finish(sink, 400 * 64 * 1024, uploaded=400)


def an_error(sink: Sink, clock: Clock) -> Iterator[None]:
    begin(sink, _BIG)
    sink(BlobStarted(REPO, _BIG, 0))
    move(sink, clock, _BIG, 0, 2 * GB, rate=50e6, step=50 * MB)
    sink(Retrying("upload of 1234abcd5678", "the connection broke: it was closed by the other side", 2.1))
    yield
    error = ConnectionLost(
        "the connection to registry.example.com broke: it was closed by the other side",
        hint="uploaded data is kept; run the same command again",
        url="https://registry.example.com/v2/me/big/blobs/uploads/1",
    )
    sink(ModelFailed("me/big:latest", TARGET, error))


def a_stop(sink: Sink, clock: Clock) -> Iterator[None]:
    begin(sink, _BIG)
    sink(BlobStarted(REPO, _BIG, 0))
    move(sink, clock, _BIG, 0, 200 * MB, rate=100e3, step=10 * MB)
    sink(Stopping(14_300_000, 140.0, 2_100_000, loses_uploads=False))
    yield


def a_resume(sink: Sink, clock: Clock) -> Iterator[None]:
    begin(sink, _BIG)
    sink(BlobStarted(REPO, _BIG, 30 * GB))
    sink(BlobRewound(REPO, _BIG.digest, 29 * GB, _BIG.size, "the registry lost a chunk", GB))
    move(sink, clock, _BIG, 29 * GB, 31 * GB, rate=100e6, step=50 * MB)
    yield
    move(sink, clock, _BIG, 31 * GB, _BIG.size, rate=100e6, step=50 * MB)
    sink(BlobDone(REPO, _BIG, Placement.UPLOADED, 11 * GB))
    finish(sink, 11 * GB)


def a_wait(sink: Sink, clock: Clock) -> Iterator[None]:
    begin(sink, _BIG, blob("other", GB))
    sink(BlobWaiting(REPO, _BIG))
    sink(BlobWaiting(REPO, blob("other", GB)))
    clock.now += 60
    yield


def a_verification(sink: Sink, clock: Clock) -> Iterator[None]:
    broken, mended = blob("broken", GB), blob("mended", GB)
    begin(sink, _BIG, broken, mended)
    for each in (_BIG, broken, mended):
        sink(BlobStarted(REPO, each, 0))
    move(sink, clock, _BIG, 0, 2 * GB, rate=2e9, step=50 * MB)
    move(sink, clock, broken, 0, GB, rate=2e9, step=50 * MB)
    yield
    sink(BlobDone(REPO, broken, Placement.DAMAGED, 0))
    sink(BlobDone(REPO, mended, Placement.REPAIRED, GB))
    move(sink, clock, _BIG, 2 * GB, 30 * GB, rate=2e9, step=50 * MB)
    yield
    sink(BlobDone(REPO, _BIG, Placement.UPLOADED, _BIG.size))
    error = ContentDamaged(
        f"me/big:latest is damaged: the content of model blob {broken.digest} hashes to {MANIFEST}",
        hint="mend it: registry-push verify me/big:latest --repair registry:registry.ollama.ai/me/big:latest",
    )
    sink(ModelFailed("me/big:latest", TARGET, error))


def a_dry_run(sink: Sink, clock: Clock) -> Iterator[None]:
    small = blob("params", 12, "params")
    size = _BIG.size + small.size
    sink(RunStarted(1, 2, size, dry_run=True))
    sink(ModelStarted("me/big:latest", TARGET, 2, size, dry_run=True))
    sink(BlobDone(REPO, small, Placement.PRESENT, 0, dry_run=True))
    yield
    sink(BlobDone(REPO, _BIG, Placement.UPLOADED, _BIG.size, dry_run=True))
    sink(ManifestPushed(TARGET, MANIFEST, True, dry_run=True))
    clock.now += 1
    tags = (TagSet("latest", None), TagSet("v2", Digest.of(b"before")))
    sink(ModelDone("me/big:latest", TARGET, MANIFEST, 1, 0, 1, _BIG.size, tags, dry_run=True))


SCENES: Final[tuple[Scene, ...]] = (
    one_big_blob,
    many_small_blobs,
    an_error,
    a_stop,
    a_resume,
    a_wait,
    a_dry_run,
    a_verification,
)


def verb_of(scene: Scene) -> Verb:
    """The verb of the command that shows such a scene."""
    return VERIFY if scene is a_verification else PUSH


def check(name: str, seen: str) -> None:
    """Compare with what was recorded, or record."""
    path = SCREENS / f"{name}.txt"
    if os.environ.get("REGISTRY_PUSH_RECORD"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(seen)
    assert path.exists(), f"{path} was never recorded"
    assert seen == path.read_text()


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.__name__)
def test_a_terminal_shows_what_was_recorded(scene: Scene, width: int) -> None:
    screen = Screen(width, 24, verb=verb_of(scene))
    looks = list[str]()
    with screen.bars as sink:
        for _ in scene(sink, screen.clock):
            screen.written()
            screen.bars.draw()
            stays = screen.written()
            screen.bars.draw()
            moves = screen.written()
            looks.append(moves if stays == moves else stays + moves)
        screen.written()
    looks.append(screen.written() + screen.out.getvalue())
    check(f"{scene.__name__}-{width}", "\n──\n".join(looks).rstrip() + "\n")


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.__name__)
def test_a_log_shows_what_was_recorded(scene: Scene) -> None:
    clock, err, out = Clock(), io.StringIO(), io.StringIO()
    with renderer(Kind.PLAIN, err, out, clock=clock, verb=verb_of(scene)) as sink:
        for _ in scene(sink, clock):
            pass
    check(f"{scene.__name__}-log", f"{err.getvalue()}── stdout\n{out.getvalue()}")


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize(
    "arguments", [("--help",), ("push", "--help"), ("resume", "--help"), ("serve", "--help"), ("verify", "--help")]
)
def test_the_help_shows_what_was_recorded(arguments: tuple[str, ...], width: int) -> None:
    result = CliRunner().invoke(group, list(arguments), prog_name="registry-push", terminal_width=width, color=False)
    assert result.exit_code == 0
    name = "help" if len(arguments) == 1 else f"{arguments[0]}-help"
    check(f"{name}-{width}", result.output)


def test_nothing_else_was_recorded() -> None:
    scenes = {f"{scene.__name__}-{width}" for scene in SCENES for width in (*WIDTHS, "log")}
    helps = {
        f"{name}-{width}"
        for name in ("help", "push-help", "resume-help", "serve-help", "verify-help")
        for width in WIDTHS
    }
    assert {path.stem for path in SCREENS.glob("*.txt")} == scenes | helps
