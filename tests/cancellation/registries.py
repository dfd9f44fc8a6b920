"""The four registries of the table, each in a process of its own, and what they hold on their disks."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from tests.support.registries import docker_registry_at


class Kind(Enum):
    """What becomes of an upload session when the line breaks inside a body."""

    DOCKER = "docker-registry 2.8"
    KEEP = "embedded, keep"
    ACKNOWLEDGED = "embedded, acknowledged"
    LOSE = "embedded, lose"

    @property
    def word(self) -> str:
        """For the command line."""
        return self.name.lower()

    @property
    def keeps_sessions(self) -> bool:
        """Whether a session outlives a cut body."""
        return self in (Kind.KEEP, Kind.ACKNOWLEDGED)


@dataclass(slots=True)
class Running:
    """A registry under way. After its end `received` has the bytes of upload bodies that it says it got, and `largest`
    the largest it was announced; None for docker-registry, which does not say."""

    host: str
    root: Path
    blobs: str
    received: int | None = None
    largest: int | None = None

    def committed(self) -> dict[str, Path]:
        """Every blob that it has committed, by the hex of its digest; docker's has its manifests among them."""
        found = {}
        for path in self.root.glob(self.blobs):
            name = path.parent.name if path.name == "data" else path.name
            if len(name) == 64:
                found[name] = path
        return found


@contextmanager
def running(kind: Kind, folder: Path) -> Iterator[Running]:
    """The registry, empty, its files in `folder`."""
    folder.mkdir(parents=True)
    if kind is Kind.DOCKER:
        with docker_registry_at(folder) as docker:
            yield Running(docker.host, docker.root, "docker/registry/v2/blobs/sha256/*/*/data")
        return
    root = folder / "root"
    command = [sys.executable, "-m", "tests.cancellation.serve", str(root), kind.word]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        registry = Running(process.stdout.readline().strip(), root, "*/blobs/sha256/*")
        try:
            yield registry
        finally:
            report = json.loads(process.communicate()[0])
            registry.received, registry.largest = report["received"], report["largest"]
