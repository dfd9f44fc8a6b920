"""Pushes told as events, and the screen and clock that they are told to."""

from __future__ import annotations

import io
import re
from typing import Any

from rich.console import Console

from registry_push.cli.render.bars import Bars
from registry_push.events import (
    BlobProgress,
    ManifestPushed,
    ModelDone,
    ModelStarted,
    RunStarted,
    Sink,
)
from registry_push.model import Descriptor, Digest, Reference

GB = 10**9
REPO = "me/big"
TARGET = Reference.parse("localhost:5000/me/big:latest")
MANIFEST = Digest.of(b"manifest")


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def blob(name: object, size: int, kind: str = "model") -> Descriptor:
    return Descriptor(f"application/vnd.ollama.image.{kind}", Digest.of(str(name).encode()), size)


def begin(sink: Sink, *blobs: Descriptor, models: int = 1) -> None:
    size = sum(each.size for each in blobs)
    sink(RunStarted(models, len(blobs), size))
    sink(ModelStarted("me/big:latest", TARGET, len(blobs), size))


def move(sink: Sink, clock: Clock, what: Descriptor, begin: int, end: int, *, rate: float, step: int) -> None:
    for offset in range(begin + step, end + 1, step):
        clock.now += step / rate
        sink(BlobProgress(REPO, what.digest, offset, what.size))


def finish(sink: Sink, sent: int, *, uploaded: int = 1, present: int = 0) -> None:
    sink(ManifestPushed(TARGET, MANIFEST, True))
    sink(ModelDone("me/big:latest", TARGET, MANIFEST, uploaded, 0, present, sent))


class Screen:
    """Bars on a console of a given size; `frame` is what one drawing shows."""

    def __init__(self, width: int, height: int, **options: Any) -> None:
        self.clock, self.file, self.out = Clock(), io.StringIO(), io.StringIO()
        self.console = Console(
            file=self.file, force_terminal=True, width=width, height=height, highlight=False, _environ={}
        )
        self.bars = Bars(self.console, self.out, clock=self.clock, every=None, **options)

    def written(self) -> str:
        text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", self.file.getvalue()).replace("\r", "")
        self.file.seek(0)
        self.file.truncate()
        return text

    def frame(self) -> list[str]:
        self.written()
        self.bars.draw()
        return self.written().split("\n")
