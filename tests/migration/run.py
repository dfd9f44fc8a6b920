"""The migration itself: a process for each repository, killed now and then, and what it cost.

What is counted. At the source, the registry's own log says which blobs were read, and the line how many bytes came. At
the target, the log says which were uploaded and which mounted, and the line how many bytes went. On the disk, the
kernel says what each process wrote (`ru_oublock`), and the folders that it could write to are compared with before.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.support.line import Line
from tests.support.registries import DockerRegistry

from .stage import Content, Request, damaged, requests_at, wrong_at

# Bytes. Smaller blobs are sent again sooner than they are looked up: once for each repository.
WORTH_REMEMBERING: Final = 4096
# Of heads, for each request, and of the manifests beside.
_HEAD: Final = 1500
_BLOCK: Final = 512  # the kernel's unit of ru_oublock and st_blocks, in bytes


@dataclass(slots=True)
class Moved:
    """What a migration cost, and what was wrong with it, in words."""

    received: int = 0
    sent: int = 0
    written: int = 0  # to disks, by all processes
    left: int = 0  # in files, at the end
    kills: int = 0
    starts: int = 0
    read: Counter[str] = field(default_factory=Counter)  # GETs of each blob
    uploaded: Counter[str] = field(default_factory=Counter)
    mounted: int = 0
    requests: int = 0
    faults: list[str] = field(default_factory=list)


def migrate(
    source: DockerRegistry, target: DockerRegistry, content: Content, folder: Path, *, kills: int = 0, seed: int = 0
) -> Moved:
    """Copy every repository, each by its own process, with `kills` of them at random bytes of what is read."""
    done, dice = Moved(), random.Random(f"migration {seed}")
    points = sorted(dice.randrange(content.size) for _ in range(kills))
    begun = source.log.stat().st_size, target.log.stat().st_size
    home = folder / "home"
    for each in (home, folder / "tmp", folder / "work"):
        each.mkdir(parents=True)
    with Line(source.host, back_rate=300e6) as back, Line(target.host) as there:
        for repository in content.repositories:
            arguments = ["copy", f"registry:{back.host}/{repository}", f"registry:{there.host}/{repository}"]
            while not _copied(arguments, folder, back, points, done):
                done.faults += [f"after kill {done.kills}: {each}" for each in damaged(target)]
            if done.faults:
                break
        done.received, done.sent = back.down, there.up
    _read_logs(requests_at(source, begun[0]), requests_at(target, begun[1]), done)
    done.left = sum(file.stat().st_blocks * _BLOCK for file in folder.rglob("*") if file.is_file())
    done.faults += [
        f"{file.relative_to(folder)} was written"
        for file in folder.rglob("*")
        if file.is_file() and not file.is_relative_to(home / ".local" / "state")
    ]
    done.faults += wrong_at(target, content)
    return done


def _copied(arguments: Sequence[str], folder: Path, line: Line, points: list[int], done: Moved) -> bool:
    """Run the command once. Returns whether it came to its end; a failure is noted, and the end of it."""
    environment = {
        "HOME": str(folder / "home"),
        "TMPDIR": str(folder / "tmp"),
        "PATH": os.environ["PATH"],
        "PYTHONPATH": os.pathsep.join(sys.path),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    command = [sys.executable, "-m", "registry_push", *arguments, "--quiet"]
    with subprocess.Popen(command, env=environment, cwd=folder / "work", stderr=subprocess.PIPE) as process:
        lock, over = threading.Lock(), False

        def kill() -> None:
            with lock:
                if not over:
                    process.kill()

        if points:
            line.at_down(max(points[0], line.down + 1), kill)
        assert process.stderr is not None
        words = process.stderr.read().decode()
        with lock:  # who kills must not hit another process with this number
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode, over = os.waitstatus_to_exitcode(status), True
    done.starts += 1
    done.written += usage.ru_oublock * _BLOCK
    if process.returncode == -9 and points:
        points.pop(0)
        done.kills += 1
        return False
    if process.returncode:
        done.faults.append(f"{arguments[1]} ended with {process.returncode}: {words}")
    return True


def _read_logs(source: Sequence[Request], target: Sequence[Request], done: Moved) -> None:
    done.requests = len(source) + len(target)
    for each in source:
        if each.method == "GET" and "/blobs/" in each.target and each.digest and each.status in (200, 206):
            done.read[each.digest] += 1
    for each in target:
        if each.method == "PUT" and "/blobs/" in each.target and each.digest and each.status == 201:
            done.uploaded[each.digest] += 1
        elif each.method == "POST" and "mount=" in each.target and each.status == 201:
            done.mounted += 1
        elif each.method == "GET" and "/uploads/" not in each.target:
            done.faults.append(f"{each.target} was read at the target, where that counts as a pull")


def twice(moved: Moved, content: Content) -> list[str]:
    """What went over a wire more often than once, if nothing was killed; in words."""
    found = []
    for digest, size in content.sizes.items():
        most = 1 if size >= WORTH_REMEMBERING else len(content.repositories)
        for what, counts in (("read", moved.read), ("uploaded", moved.uploaded)):
            if not 1 <= counts[digest] <= most:
                found.append(f"{digest[:12]} of {size} bytes was {what} {counts[digest]} times")
    small = sum(size * (moved.read[each] - 1) for each, size in content.sizes.items())
    manifests = sum(len(raw) for tags in content.repositories.values() for raw in tags.values())
    most = content.size + small + 2 * manifests + moved.requests * _HEAD
    for what, carried in (("received", moved.received), ("sent", moved.sent)):
        if carried > most:
            found.append(f"{carried} bytes were {what}, and {most} are explained")
    return found
