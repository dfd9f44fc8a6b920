"""The official clients, unchanged, and the documentation's own examples."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import ollama
import pytest

from registry_push.embedded import Basic, EmbeddedRegistry, Options
from registry_push.settings import Settings
from tests.support.peers import require, require_node_package
from tests.support.registries import DockerRegistry, EmbeddedFactory, Registry, ZuulRegistry
from tests.support.secrets import BASIC, PASSWORD
from tests.support.service import Served, over, sample, serving

LARGE = 12_000_000
LOGIN = {"username": "me", "password": PASSWORD}


@pytest.fixture(
    params=[
        "embedded",
        pytest.param("docker_registry_htpasswd", marks=pytest.mark.real),
        pytest.param("zuul_registry", marks=pytest.mark.real),
    ]
)
async def locked(request: pytest.FixtureRequest, embedded_with: EmbeddedFactory) -> Registry:
    """Each of the registries, for `LOGIN` alone."""
    if request.param != "embedded":
        found: DockerRegistry | ZuulRegistry = request.getfixturevalue(request.param)
        return found
    return await embedded_with(Options(auth=Basic({"me": PASSWORD})))


@asynccontextmanager
async def logged_in(folder: Path, registry: Registry) -> AsyncIterator[Served]:
    """A service whose own logins, docker's, open `registry`: the official clients have no fields for a login."""
    word = BASIC.removeprefix("Basic ")
    authfile = folder / "auth.json"
    authfile.write_text(json.dumps({"auths": {registry.host: {"auth": word}}}))
    async with serving(Settings(home=folder, models=folder / "models", authfile=authfile, retries=1)) as service:
        yield service


def named(folder: Path, registry: Registry, kind: str) -> str:
    """A model for `registry` under a name of its own: docker-registry lives as long as the session."""
    return sample(folder, registry.host, name=f"{kind}/{re.sub('[^a-z0-9]', '', folder.name.lower())}", weights=LARGE)


# ── ollama-python ─────────────────────────────────────────────────────────────────────────────────


async def test_ollama_python_streams(locked: Registry, tmp_path: Path) -> None:
    model = named(tmp_path, locked, "python")
    async with logged_in(tmp_path, locked) as service, ollama.AsyncClient(host=service.url) as client:
        parts = [part async for part in await client.push(model, stream=True)]
    statuses = [part.status for part in parts]
    assert statuses[0] == "retrieving manifest" and statuses[-2:] == ["pushing manifest", "success"]
    assert max(part.completed or 0 for part in parts) == max(part.total or 0 for part in parts) > LARGE * 0.9


async def test_ollama_python_does_not_stream(locked: Registry, tmp_path: Path) -> None:
    model = named(tmp_path, locked, "pythonall")
    async with logged_in(tmp_path, locked) as service, ollama.AsyncClient(host=service.url) as client:
        with ollama.Client(host=service.url) as blocking:
            assert (await asyncio.to_thread(blocking.push, model)).status == "success"
        assert (await client.push(model)).status == "success"
        names = [entry.model for entry in (await client.list()).models]
    assert names == [model]


@pytest.mark.parametrize("stream", [True, False])
async def test_ollama_pythons_error_carries_our_words_and_status(
    embedded_with: EmbeddedFactory, tmp_path: Path, stream: bool
) -> None:
    registry = await embedded_with(Options(auth=Basic({"me": PASSWORD})))
    model = sample(tmp_path, registry.host)
    async with over(tmp_path) as service, ollama.AsyncClient(host=service.url) as client:
        for name, status, words in (
            (model, 401, "send username and password"),
            ("me/none", 404, "not found"),
            ("a/b/c/d/e", 400, "not a model name"),
        ):
            with pytest.raises(ollama.ResponseError, match=words) as caught:
                answer = await client.push(name, stream=stream)
                async for _ in answer:
                    pass
            assert caught.value.status_code == status


# ── ollama-js ─────────────────────────────────────────────────────────────────────────────────────


async def javascript(url: str, model: str, *, stream: bool) -> dict[str, Any]:
    """What the npm client made of it."""
    packages = require_node_package("ollama")
    script = Path(__file__).parents[1] / "support/push.cjs"
    environment = {"NODE_PATH": str(packages), "PATH": "/usr/bin:/bin"}
    out = await run([require("node"), str(script), url, model, str(stream).lower()], environment)
    found: dict[str, Any] = json.loads(out)
    return found


async def run(arguments: list[str], environment: Mapping[str, str] | None = None) -> bytes:
    process = await asyncio.create_subprocess_exec(
        *arguments, stdout=asyncio.subprocess.PIPE, env=environment and dict(environment)
    )
    out, _ = await process.communicate()
    assert process.returncode == 0
    return out


@pytest.mark.real
async def test_ollama_js_streams(locked: Registry, tmp_path: Path) -> None:
    model = named(tmp_path, locked, "js")
    async with logged_in(tmp_path, locked) as service:
        answers = (await javascript(service.url, model, stream=True))["answers"]
    statuses = [answer["status"] for answer in answers]
    assert statuses[0] == "retrieving manifest" and statuses[-2:] == ["pushing manifest", "success"]
    assert max(answer.get("completed", 0) for answer in answers) > LARGE * 0.9


@pytest.mark.real
async def test_ollama_js_does_not_stream(locked: Registry, tmp_path: Path) -> None:
    model = named(tmp_path, locked, "jsall")
    async with logged_in(tmp_path, locked) as service:
        assert await javascript(service.url, model, stream=False) == {"answers": [{"status": "success"}]}


@pytest.mark.real
@pytest.mark.parametrize("stream", [True, False])
async def test_ollama_jss_error_carries_our_words_and_status(
    embedded_with: EmbeddedFactory, tmp_path: Path, stream: bool
) -> None:
    registry = await embedded_with(Options(auth=Basic({"me": PASSWORD})))
    model = sample(tmp_path, registry.host)
    async with over(tmp_path) as service:
        for name, status, words in ((model, 401, "send username"), ("me/none", 404, "not found")):
            failed = await javascript(service.url, name, stream=stream)
            assert failed["name"] == "ResponseError"
            assert failed["status"] == status and words in failed["error"]


# ── the documentation's examples ──────────────────────────────────────────────────────────────────

# As docs.ollama.com and its predecessors print them.
EXAMPLES = {
    "streaming": """curl http://localhost:11434/api/push -d '{
  "model": "myuser/my-custom-model"
}'""",
    "with authentication": """curl http://localhost:11434/api/push -d '{
  "model": "myuser/my-custom-model",
  "username": "myuser",
  "password": "mypassword"
}'""",
    "not streaming": """curl http://localhost:11434/api/push -d '{
  "model": "myuser/my-custom-model",
  "stream": false
}'""",
}


@pytest.fixture
async def ollamas_registry(embedded_with: EmbeddedFactory) -> EmbeddedRegistry:
    """What the example's name leads to, by a proxy: the service speaks http to it because `--plain-http` is set."""
    return await embedded_with(Options(auth=Basic({"myuser": "mypassword"})))


async def example(which: str, folder: Path, registry: EmbeddedRegistry, *, login: bool = False) -> str:
    """What curl prints for an example of the documentation, the port and nothing else changed."""
    require("curl")
    sample(folder, "registry.ollama.ai", name="myuser/my-custom-model", weights=LARGE)
    authfile = folder / "auth.json"
    word = "bXl1c2VyOm15cGFzc3dvcmQ="
    authfile.write_text(json.dumps({"auths": {"registry.ollama.ai": {"auth": word}} if login else {}}))
    settings = Settings(
        home=folder,
        models=folder / "models",
        authfile=authfile,
        plain_http=True,
        dialect="oci",
        environ={"http_proxy": registry.origin},
    )
    async with serving(settings) as service:
        line = EXAMPLES[which].replace("localhost:11434", f"localhost:{service.port}")
        return (await run(["/bin/sh", "-c", f"{line} -s"])).decode()


@pytest.mark.real
@pytest.mark.parametrize("which", ["streaming", "with authentication"])
async def test_the_documented_stream(which: str, ollamas_registry: EmbeddedRegistry, tmp_path: Path) -> None:
    text = await example(which, tmp_path, ollamas_registry, login=which == "streaming")
    lines = [json.loads(line) for line in text.splitlines()]
    assert lines[0] == {"status": "retrieving manifest"}
    assert lines[-2:] == [{"status": "pushing manifest"}, {"status": "success"}]
    pushing = [line for line in lines if line["status"].startswith("pushing ") and "digest" in line]
    for line in pushing:
        assert list(line) == ["status", "digest", "total", "completed"]
        assert line["status"] == f"pushing {line['digest'][7:19]}"
    for line in lines:
        if line["status"] == "starting upload":
            assert list(line) == ["status", "digest", "total"]
    assert sum(line["status"] == "starting upload" for line in lines) == 6


@pytest.mark.real
async def test_the_documented_answer_without_a_stream(ollamas_registry: EmbeddedRegistry, tmp_path: Path) -> None:
    text = await example("not streaming", tmp_path, ollamas_registry, login=True)
    assert json.loads(text) == {"status": "success"}


@pytest.mark.real
async def test_the_documented_errors(ollamas_registry: EmbeddedRegistry, tmp_path: Path) -> None:
    """401 without a login: the documentation's word for it is an object with `error`."""
    text = await example("not streaming", tmp_path, ollamas_registry)
    assert list(json.loads(text)) == ["error"]
