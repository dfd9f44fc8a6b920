"""Who pushes: we, our peers, and the yardsticks, each as the command that is run."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.support.tls import Certificate

from .registries import find, free_port
from .stage import MODEL, TAG, Stage

US: Final = "registry-push"
# Blobs already hashed in an earlier push, by the same user, to another registry.
US_AGAIN: Final = "registry-push, hashed before"
# Another version of ours, to be compared with in the same run.
EARLIER: Final = "registry-push, earlier"
HASHLIB: Final = "hashlib.file_digest"
STREAM: Final = "one TCP stream"
YARDSTICKS: Final = (HASHLIB, STREAM)

_HASHING = Path(__file__).with_name("hashing.py")
_STREAM = Path(__file__).with_name("stream.py")
_CURL = Path(__file__).with_name("curl.sh")
_OLLAMA = Path(__file__).with_name("ollama.sh")
# Go chooses HTTP/2 over TLS; so it is held to HTTP/1.1.
_HTTP_1: Final = {"GODEBUG": "http2client=0"}
_ORAS = """
import sys
from oras.client import OrasClient
target, folder, insecure, ca = sys.argv[1:5]
client = OrasClient(insecure=insecure == "http", tls_verify=ca or True)
import os
files = sorted(os.path.join(folder, name) for name in os.listdir(folder))
client.push(target, files=files, disable_path_validation=True)
"""


@dataclass(frozen=True, slots=True)
class Task:
    """One push: what, to which `host` and `repository`, from which home. `drain` is where a plain stream goes.

    A copy comes from the registry `source`, and goes into `folder` if there is one, else to `host`.
    """

    stage: Stage
    host: str
    repository: str
    home: Path
    certificate: Certificate | None = None
    jobs: int | None = None
    drain: str | None = None
    source: str = ""
    folder: Path | None = None

    @property
    def reference(self) -> str:
        """`HOST/REPOSITORY:TAG`."""
        return f"{self.host}/{self.repository}:{TAG}"

    @property
    def origin(self) -> str:
        """`http://HOST` or `https://HOST`."""
        return f"http{'s' if self.certificate else ''}://{self.host}"


@dataclass(frozen=True, slots=True)
class Client:
    """A way to push. `hashes` says whether it checks what it sends against the digest."""

    name: str
    hashes: bool
    command: Callable[[Task], list[str]]
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def keeps_home(self) -> bool:
        """Whether it profits from an earlier push of its own."""
        return self.name == US_AGAIN

    @property
    def is_peer(self) -> bool:
        """Whether it is somebody else's client."""
        return self.name not in (US, US_AGAIN, EARLIER, *YARDSTICKS)

    def variables(self, task: Task) -> dict[str, str]:
        """The environment of the command: nothing of ours but PATH."""
        trusted = str(task.certificate.cert) if task.certificate else ""
        return {
            "HOME": str(task.home),
            "PATH": os.environ["PATH"],
            **({"SSL_CERT_FILE": trusted} if trusted else {}),
            **self.environment,
        }


def found_clients(peers: Path | None, earlier: Path | None = None) -> tuple[Client, ...]:
    """We, the yardsticks, and the peers of this machine; `peers` is looked into before PATH.

    `earlier` is the program of another version of ours.
    """
    us = _registry_push(Path(sys.executable).with_name("registry-push"))
    found = [Client(US, True, us), Client(US_AGAIN, True, us)]
    if earlier is not None:
        found.append(Client(EARLIER, True, _registry_push(earlier)))
    programs = {name: find(name, peers) for name in ("regctl", "crane", "skopeo", "ollama", "curl")}
    for name, hashes, build in (("regctl", True, _regctl), ("crane", False, _crane), ("skopeo", True, _skopeo)):
        program = programs[name]
        if program is not None:
            command = build(str(program))
            found += [Client(name, hashes, command), Client(f"{name}, HTTP/1.1", hashes, command, _HTTP_1)]
    if programs["ollama"] is not None:
        found.append(Client("ollama", False, _ollama(str(programs["ollama"]))))
    if importlib.util.find_spec("oras") is not None:
        found.append(Client("oras-py", False, _oras))
    if programs["curl"] is not None:
        found.append(Client("curl", False, _curl))
    found += [Client(HASHLIB, False, hashlib_command), Client(STREAM, False, stream_command)]
    return tuple(found)


def _registry_push(program: Path) -> Callable[[Task], list[str]]:
    def command(task: Task) -> list[str]:
        words = [str(program), "push", MODEL.short]
        words += ["--models", str(task.stage.models), "--to", f"{task.origin}/{task.repository}:{TAG}"]
        if task.certificate is not None:
            words += ["--ca-file", str(task.certificate.cert)]
        if task.jobs is not None:
            words += ["--jobs", str(task.jobs)]
        return words

    return command


def _regctl(program: str) -> Callable[[Task], list[str]]:
    def command(task: Task) -> list[str]:
        tls = "enabled" if task.certificate else "disabled"
        source = f"ocidir://{task.stage.layout}:{TAG}"
        return [program, "image", "copy", "--host", f"reg={task.host},tls={tls}", source, task.reference]

    return command


def _crane(program: str) -> Callable[[Task], list[str]]:
    # For 127.0.0.1 it tries https and then http by itself.
    return lambda task: [program, "push", str(task.stage.layout), task.reference]


def _skopeo(program: str) -> Callable[[Task], list[str]]:
    def command(task: Task) -> list[str]:
        # Without --preserve-digests it would compress the layers on their way.
        options = ["--insecure-policy", "copy", "--preserve-digests"]
        if task.certificate is None:
            options.append("--dest-tls-verify=false")
        return [program, *options, f"oci:{task.stage.plain}:{TAG}", f"docker://{task.reference}"]

    return command


def _ollama(program: str) -> Callable[[Task], list[str]]:
    def command(task: Task) -> list[str]:
        manifest = task.stage.models.joinpath("manifests", *MODEL.path_parts)
        where = [str(task.stage.blobs), str(manifest), task.host, task.repository, TAG]
        return ["/bin/sh", str(_OLLAMA), program, str(free_port()), *where]

    return command


def _oras(task: Task) -> list[str]:
    trusted = str(task.certificate.cert) if task.certificate else ""
    scheme = "https" if task.certificate else "http"
    return [sys.executable, "-c", _ORAS, task.reference, str(task.stage.blobs), scheme, trusted]


def _curl(task: Task) -> list[str]:
    trusted = str(task.certificate.cert) if task.certificate else ""
    manifest = task.stage.models.joinpath("manifests", *MODEL.path_parts)
    base = f"{task.origin}/v2/{task.repository}"
    return ["/bin/sh", str(_CURL), base, str(task.stage.blobs), str(manifest), trusted]


def hashlib_command(task: Task) -> list[str]:
    """Hashes the content."""
    return [sys.executable, "-I", "-S", str(_HASHING), str(task.stage.blobs)]


def stream_command(task: Task) -> list[str]:
    """Sends the content."""
    assert task.drain is not None, "a stream runs beside a line only"
    return [sys.executable, "-I", "-S", str(_STREAM), task.drain, str(task.stage.blobs)]
