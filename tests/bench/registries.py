"""The registries that are pushed to: real ones, each in a process of its own, and a sink that keeps nothing."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.support.tls import Certificate

# Seconds that one may take to listen; they need a tenth of one.
_START: Final = 10.0


@dataclass(frozen=True, slots=True)
class Registry:
    """A registry that can be started. `program` is None for the sink."""

    name: str
    program: Path | None

    @contextmanager
    def running(self, folder: Path, certificate: Certificate | None = None) -> Iterator[str]:
        """`127.0.0.1:<port>`, where it listens until the end; what it keeps is in `folder`, and removed then.

        With a certificate it speaks TLS.
        """
        folder.mkdir()
        port = free_port()
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                self._command(folder, port, certificate),
                stdout=log,
                stderr=log,
                env={**os.environ, "OTEL_TRACES_EXPORTER": "none"},
            )
            try:
                _wait_for(port, process, folder / "log")
                yield f"127.0.0.1:{port}"
            finally:
                process.terminate()
                process.wait()
                shutil.rmtree(folder)

    def _command(self, folder: Path, port: int, certificate: Certificate | None) -> Sequence[str]:
        if self.program is None:
            assert certificate is None, "the sink knows no TLS"
            return [sys.executable, "-I", "-S", str(Path(__file__).with_name("sink.py")), str(port)]
        http: dict[str, Any] = {"addr": f"127.0.0.1:{port}", "secret": "for the benchmark"}
        if certificate is not None:
            http["tls"] = {"certificate": str(certificate.cert), "key": str(certificate.key)}
        settings = {
            "version": 0.1,
            "log": {"level": "error", "accesslog": {"disabled": True}},
            "storage": {
                "filesystem": {"rootdirectory": str(folder / "root")},
                "maintenance": {"uploadpurging": {"enabled": False}},
            },
            "http": http,
        }
        config = folder / "config.yml"
        config.write_text(json.dumps(settings))  # JSON is YAML
        return [str(self.program), "serve", str(config)]


SINK: Final = Registry("sink", None)


def found_registries(peers: Path | None) -> tuple[Registry, ...]:
    """Those of this machine, the newest first; `peers` is looked into before PATH."""
    names = {"distribution 3": "registry3", "distribution 2.8": "docker-registry"}
    programs = {name: find(program, peers) for name, program in names.items()}
    return tuple(Registry(name, program) for name, program in programs.items() if program is not None)


def find(program: str, peers: Path | None) -> Path | None:
    """Where `program` is: in `peers`, else on PATH."""
    path = os.pathsep.join(filter(None, (str(peers.absolute()) if peers else None, os.environ.get("PATH"))))
    found = shutil.which(program, path=path)
    return Path(found) if found is not None else None


def free_port() -> int:
    """A port of 127.0.0.1 on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_for(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _START
    while time.monotonic() < deadline and process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)  # another program's start: there is nothing to wait on
    raise RuntimeError(f"{process.args!r} does not listen: {log.read_text()[-2000:]}")
