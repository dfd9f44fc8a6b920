"""Registries to test against: the embedded one, Debian's docker-registry (distribution 2.8), and zuul-registry."""

from __future__ import annotations

import base64
import itertools
import json
import os
import socket
import subprocess
import time
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import bcrypt
import pytest

from registry_push.embedded import EmbeddedRegistry, Options

from .peers import require
from .secrets import PASSWORD
from .tls import Certificate

# Seconds that a registry may take to listen. docker-registry needs a tenth of one, zuul-registry two: it imports the
# clients of two clouds.
_START = 60.0


class Registry(Protocol):
    """What every registry here has."""

    @property
    def origin(self) -> str: ...

    @property
    def host(self) -> str: ...


@dataclass(frozen=True, slots=True)
class DockerRegistry:
    """A running docker-registry; `root` is where it keeps everything, `log` what it says."""

    host: str
    root: Path
    log: Path
    username: str | None = None
    password: str | None = None
    scheme: str = "http"

    @property
    def origin(self) -> str:
        """`http://127.0.0.1:<port>`, or https."""
        return f"{self.scheme}://{self.host}"


@dataclass(frozen=True, slots=True)
class ZuulRegistry:
    """A running zuul-registry, which wants a token for everything; `bearer` is a header for one that may write."""

    host: str
    root: Path
    log: Path
    username: str
    password: str
    bearer: str

    @property
    def origin(self) -> str:
        """`http://127.0.0.1:<port>`."""
        return f"http://{self.host}"


@contextmanager
def docker_registry_at(
    folder: Path,
    *,
    htpasswd: tuple[str, str] | None = None,
    tls: Certificate | None = None,
    clients: Path | None = None,
    logs_requests: bool = False,
    deletes: bool = True,
    program: str = "docker-registry",
) -> Iterator[DockerRegistry]:
    """docker-registry on a free port, its files in `folder`; with `htpasswd`, for that name and password only.

    With `tls` it speaks https; with `clients` only to those whose certificates are from that CA. With `logs_requests`
    its log has a line for each, in Apache's format. Without `deletes` nothing can be deleted, which is its default.
    `program` may be another version of it.
    """
    program = require(program)
    port = free_port()
    root, log, config = folder / "root", folder / "registry.log", folder / "config.yml"
    settings: dict[str, Any] = {
        "version": 0.1,
        "log": {"level": "warn", "accesslog": {"disabled": not logs_requests}},
        "storage": {
            "filesystem": {"rootdirectory": str(root)},
            "delete": {"enabled": deletes},
            "maintenance": {"uploadpurging": {"enabled": False}},
        },
        "http": {"addr": f"127.0.0.1:{port}", "secret": "for tests"},
    }
    if tls is not None:
        settings["http"]["tls"] = {"certificate": str(tls.cert), "key": str(tls.key)}
        if clients is not None:
            settings["http"]["tls"]["clientcas"] = [str(clients)]
    if htpasswd is not None:
        # Cost 4, the least there is: each request is checked anew. Go reads $2a$ and $2y$.
        hashed = bcrypt.hashpw(htpasswd[1].encode(), bcrypt.gensalt(4, b"2a")).decode()
        (folder / "htpasswd").write_text(f"{htpasswd[0]}:{hashed}\n")
        settings["auth"] = {"htpasswd": {"realm": "test", "path": str(folder / "htpasswd")}}
    config.write_text(json.dumps(settings))  # JSON is YAML
    with _served([program, "serve", str(config)], port, log):
        name, password = htpasswd or (None, None)
        yield DockerRegistry(f"127.0.0.1:{port}", root, log, name, password, "http" if tls is None else "https")


@contextmanager
def zuul_registry_at(folder: Path, *, port: int | None = None, public_url: str | None = None) -> Iterator[ZuulRegistry]:
    """zuul-registry, its files in `folder`. Anybody may read, with a token; `me` may write.

    It listens at `port`, a free one if there is none; `public_url` is where its challenges send clients.
    """
    program = require("zuul-registry")
    port = port or free_port()
    root, log, config = folder / "root", folder / "registry.log", folder / "registry.yaml"
    name, password = "me", PASSWORD
    settings = {
        "registry": {
            "address": "127.0.0.1",
            "port": port,
            "public-url": public_url or f"http://127.0.0.1:{port}",
            "secret": "for tests",
            "storage": {"driver": "filesystem", "root": str(root)},
            "users": [{"name": name, "pass": password, "access": "write"}],
        }
    }
    config.write_text(json.dumps(settings))
    with _served([program, "-c", str(config)], port, log):
        bearer = _zuul_bearer(port, name, password)
        yield ZuulRegistry(f"127.0.0.1:{port}", root, log, name, password, bearer)


@pytest.fixture(scope="session")
def docker_registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DockerRegistry]:
    """The real thing, open to all; one for the session, so use names of your own."""
    with docker_registry_at(tmp_path_factory.mktemp("docker-registry")) as registry:
        yield registry


@pytest.fixture(scope="session")
def docker_registry_htpasswd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DockerRegistry]:
    """The real thing, for `username` with `password`."""
    with docker_registry_at(tmp_path_factory.mktemp("htpasswd"), htpasswd=("me", PASSWORD)) as registry:
        yield registry


@pytest.fixture(scope="session")
def zuul_registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ZuulRegistry]:
    """The real thing, for the session. All its repositories share their blobs, so use contents of your own."""
    with zuul_registry_at(tmp_path_factory.mktemp("zuul-registry")) as registry:
        yield registry


EmbeddedFactory = Callable[[Options], Awaitable[EmbeddedRegistry]]


@pytest.fixture
async def embedded_with(tmp_path: Path) -> AsyncIterator[EmbeddedFactory]:
    """`await embedded_with(Options(…))`: an embedded registry that listens until the test ends."""
    async with AsyncExitStack() as stack:
        numbers = itertools.count()

        async def start(options: Options) -> EmbeddedRegistry:
            root = tmp_path / f"embedded-{next(numbers)}"
            return await stack.enter_async_context(EmbeddedRegistry(root, options))

        yield start


@pytest.fixture
async def embedded(tmp_path: Path) -> AsyncIterator[EmbeddedRegistry]:
    """The embedded registry, with the honest defaults."""
    async with EmbeddedRegistry(tmp_path / "embedded") as registry:
        yield registry


@pytest.fixture(
    params=[
        "embedded",
        pytest.param("docker-registry", marks=pytest.mark.real),
        pytest.param("zuul-registry", marks=pytest.mark.real),
    ]
)
def registry(request: pytest.FixtureRequest) -> Registry:
    """Each of the registries."""
    found: Registry = request.getfixturevalue(request.param.replace("-", "_"))
    return found


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def _served(command: list[str], port: int, log: Path) -> Iterator[None]:
    """The command under way, from when it takes connections at `port`."""
    with log.open("wb") as output:
        # distribution 3 would look for somebody to send its traces to
        environment = {**os.environ, "OTEL_TRACES_EXPORTER": "none"}
        process = subprocess.Popen(command, stdout=output, stderr=output, env=environment)
        try:
            _wait_for(port, process, log)
            yield
        finally:
            process.terminate()
            process.wait()


def _zuul_bearer(port: int, name: str, password: str) -> str:
    url = f"http://127.0.0.1:{port}/auth/token?scope=repository:any:pull,push"
    login = base64.b64encode(f"{name}:{password}".encode()).decode()
    with urllib.request.urlopen(urllib.request.Request(url, headers={"Authorization": f"Basic {login}"})) as answer:
        return f"Bearer {json.load(answer)['token']}"


def _wait_for(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    """Returns when the port takes connections."""
    deadline = time.monotonic() + _START
    while time.monotonic() < deadline and process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)  # another program's start: there is nothing to wait on
    pytest.fail(f"{process.args!r} does not listen: {log.read_text()[-2000:]}")
