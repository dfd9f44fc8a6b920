"""Who copies from a registry: we and our peers, to another registry, into a layout or an Ollama store."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

from .clients import EARLIER, HASHLIB, STREAM, US, Client, Task, hashlib_command, stream_command
from .registries import find
from .scenarios import Kind
from .source import PLAIN
from .stage import MODEL, TAG

Command = Callable[[Task], list[str]]
# Peers have no Ollama store: what they pull goes into a layout.
_LOCAL: Final = (Kind.LAYOUT, Kind.PULL)
# Checks nothing that goes from one registry to another; what it writes here it does.
_ORAS: Final = "oras"


def found_copiers(peers: Path | None, kind: Kind, earlier: Path | None = None) -> tuple[Client, ...]:
    """As `found_clients`, for copies of `kind`."""
    ours = _pull if kind is Kind.PULL else _copy
    found = [Client(US, True, ours(Path(sys.executable).with_name("registry-push")))]
    if earlier is not None:
        found.append(Client(EARLIER, True, ours(earlier)))
    for name, build in (("regctl", _regctl), ("crane", _crane), (_ORAS, _oras), ("skopeo", _skopeo)):
        program = find(name, peers)
        if program is not None:
            hashes = name != _ORAS or kind in _LOCAL
            found.append(Client(name, hashes, build(str(program))))
    return (*found, Client(HASHLIB, False, hashlib_command), Client(STREAM, False, stream_command))


def _copy(program: Path) -> Command:
    def command(task: Task) -> list[str]:
        target = f"oci:{task.folder}:{TAG}" if task.folder else f"registry:{task.reference}"
        return [str(program), "copy", f"registry:{_source(task)}", target]

    return command


def _pull(program: Path) -> Command:
    def command(task: Task) -> list[str]:
        return [
            str(program),
            "pull",
            f"{task.source}/{MODEL.namespace}/{MODEL.model}:{TAG}",
            "--models",
            str(task.folder),
        ]

    return command


def _regctl(program: str) -> Command:
    def command(task: Task) -> list[str]:
        hosts = [task.source, *([] if task.folder else [task.host])]
        options = [word for host in hosts for word in ("--host", f"reg={host},tls=disabled")]
        target = f"ocidir://{task.folder}:{TAG}" if task.folder else task.reference
        return [program, "image", "copy", *options, _source(task), target]

    return command


def _crane(program: str) -> Command:
    def command(task: Task) -> list[str]:
        if task.folder:
            return [program, "pull", "--format", "oci", _source(task), str(task.folder)]
        return [program, "copy", _source(task), task.reference]

    return command


def _oras(program: str) -> Command:
    def command(task: Task) -> list[str]:
        words = [program, "copy", "--no-tty", "--from-plain-http", _source(task)]
        if task.folder:
            return [*words, "--to-oci-layout", f"{task.folder}:{TAG}"]
        return [*words, "--to-plain-http", task.reference]

    return command


def _skopeo(program: str) -> Command:
    def command(task: Task) -> list[str]:
        words = [program, "--insecure-policy", "copy", "--preserve-digests", "--src-tls-verify=false"]
        if task.folder:
            return [*words, f"docker://{_source(task)}", f"oci:{task.folder}:{TAG}"]
        return [*words, "--dest-tls-verify=false", f"docker://{_source(task)}", f"docker://{task.reference}"]

    return command


def _source(task: Task) -> str:
    return f"{task.source}/{MODEL.namespace}/{MODEL.model}:{PLAIN}"
