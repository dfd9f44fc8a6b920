"""The service as its clients see it: statuses, lines, logins, and who shares a push with whom."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from aiohttp import web

from registry_push.daemon.application import Patience
from registry_push.embedded import Basic, EmbeddedRegistry, Options
from registry_push.embedded.sample import config, write_model, write_sample_store
from registry_push.model import ModelName
from registry_push.settings import Settings
from tests.support.registries import DockerRegistry, EmbeddedFactory
from tests.support.secrets import PASSWORD
from tests.support.service import check_stream, lines_of, over, sample, serving
from tests.support.stores import make_many_store

LARGE = 12_000_000  # more than goes in one PUT
SMALL = 70_000


async def test_a_push_tells_the_contracts_lines_and_a_second_one_that_all_is_there(
    embedded: EmbeddedRegistry, tmp_path: Path
) -> None:
    model = sample(tmp_path, embedded.host, weights=LARGE)
    async with over(tmp_path) as service:
        status, lines = await service.push(model)
        assert status == 200
        check_stream(lines, blobs=6)
        status, again = await service.push(model)
        check_stream(again, blobs=6)
        assert len(again) == 6 + 3, "one line at 100 % for each blob that is there"
        assert await service.push(model, stream=False) == (200, [{"status": "success"}])


async def test_a_tensor_model_and_one_of_many_blobs(embedded: EmbeddedRegistry, tmp_path: Path) -> None:
    name = make_many_store(tmp_path / "models", layers=300, layer_size=2000, name=f"{embedded.host}/me/many:1").short
    async with over(tmp_path) as service:
        status, lines = await service.push(name)
    assert status == 200
    check_stream(lines, blobs=301)


async def test_a_model_of_one_blob(embedded: EmbeddedRegistry, tmp_path: Path) -> None:
    name = ModelName.parse(f"{embedded.host}/me/one")
    write_model(tmp_path / "models", name, config(), [])
    async with over(tmp_path) as service:
        _, lines = await service.push(name.short)
    check_stream(lines, blobs=1)


CONTENT_TYPES = ["application/json", "application/x-www-form-urlencoded", "text/plain", "application/octet-stream"]


@pytest.mark.parametrize("content_type", CONTENT_TYPES)
async def test_any_content_type_will_do_and_name_is_as_good_as_model(
    embedded: EmbeddedRegistry, tmp_path: Path, content_type: str
) -> None:
    body = json.dumps({"name": sample(tmp_path, embedded.host), "stream": False})
    async with (
        over(tmp_path) as service,
        service.session.post(f"{service.url}/api/push", data=body, headers={"Content-Type": content_type}) as answer,
    ):
        assert (answer.status, await answer.json()) == (200, {"status": "success"})
        assert answer.content_type == "application/json"


async def test_the_stream_is_ndjson(embedded: EmbeddedRegistry, tmp_path: Path) -> None:
    model = sample(tmp_path, embedded.host)
    async with (
        over(tmp_path) as service,
        service.session.post(f"{service.url}/api/push", json={"model": model}) as answer,
    ):
        assert answer.headers["Content-Type"] == "application/x-ndjson"
        assert (await answer.read()).endswith(b'{"status":"success"}\n')


async def test_a_name_is_found_in_the_case_of_the_store(embedded: EmbeddedRegistry, tmp_path: Path) -> None:
    model = sample(tmp_path, embedded.host)
    async with over(tmp_path) as service:
        assert (await service.push(model.replace("me/tiny", "ME/Tiny")))[0] == 200
    assert any(exchange.target.startswith("/v2/me/tiny/manifests/latest") for exchange in embedded.log)


@pytest.mark.parametrize("stream", [True, False])
class TestErrorsBeforeTheFirstLine:
    """They come as a status, streamed or not."""

    @pytest.mark.parametrize("name", ["a/b/c/d/e", "me/", "../../etc/passwd", "me/*", "x" * 200, "\x1b[31m"])
    async def test_400_for_a_bad_name(self, tmp_path: Path, stream: bool, name: str) -> None:
        sample(tmp_path, "localhost:1")
        async with over(tmp_path) as service:
            status, (answer,) = await service.push(name, stream=stream)
        assert status == 400
        assert "name" in answer["error"] and "\x1b" not in answer["error"]

    async def test_404_for_a_model_that_is_not_here_and_the_nearest_is_named(
        self, tmp_path: Path, stream: bool
    ) -> None:
        sample(tmp_path, "localhost:1")
        async with over(tmp_path) as service:
            status, (answer,) = await service.push("localhost:1/me/tinny", stream=stream)
        assert status == 404
        assert "me/tiny" in answer["error"] and str(tmp_path) not in answer["error"]

    async def test_404_for_a_store_that_is_not_there(self, tmp_path: Path, stream: bool) -> None:
        async with over(tmp_path) as service:
            status, _ = await service.push("me/tiny", stream=stream)
        assert status == 404

    async def test_401_where_the_registry_wants_a_login(
        self, embedded_with: EmbeddedFactory, tmp_path: Path, stream: bool
    ) -> None:
        registry = await embedded_with(Options(auth=Basic({"me": PASSWORD})))
        model = sample(tmp_path, registry.host)
        async with over(tmp_path) as service:
            status, (answer,) = await service.push(model, stream=stream)
            assert status == 401
            assert "send username and password" in answer["error"]
            status, (answer,) = await service.push(model, stream=stream, username="me", password="hunter2")
            assert status == 401
            assert "refuses the login of me" in answer["error"] and "hunter2" not in answer["error"]
            status, _ = await service.push(model, stream=stream, username="me", password=PASSWORD)
            assert status == 200

    async def test_500_for_content_that_is_damaged(
        self, embedded: EmbeddedRegistry, tmp_path: Path, stream: bool
    ) -> None:
        model = sample(tmp_path, embedded.host)
        blob = max((tmp_path / "models/blobs").iterdir(), key=lambda file: file.stat().st_size)
        blob.write_bytes(blob.read_bytes()[:-1])
        async with over(tmp_path) as service:
            status, (answer,) = await service.push(model, stream=stream)
        assert status == 500
        assert "bytes, not" in answer["error"]

    async def test_500_where_nobody_is_at_the_registry(self, tmp_path: Path, stream: bool) -> None:
        model = sample(tmp_path, "localhost:1")
        async with over(tmp_path) as service:
            status, (answer,) = await service.push(model, stream=stream)
        assert status == 500
        assert "localhost:1" in answer["error"] and "check the address" in answer["error"]

    async def test_http_in_a_name_wants_insecure(self, tmp_path: Path, stream: bool) -> None:
        sample(tmp_path, "registry.invalid")
        async with over(tmp_path) as service:
            status, (answer,) = await service.push("http://registry.invalid/me/tiny", stream=stream)
        assert status == 400
        assert "insecure" in answer["error"]


@pytest.mark.parametrize("body", ["", "{", "[]", '{"model": 5}', "{}"])
async def test_400_for_a_bad_body(tmp_path: Path, body: str) -> None:
    async with (
        over(tmp_path) as service,
        service.session.post(f"{service.url}/api/push", data=body) as answer,
    ):
        assert answer.status == 400
        assert list(await answer.json()) == ["error"]


async def test_what_fails_after_the_first_line_is_its_last_line(embedded_with: EmbeddedFactory, tmp_path: Path) -> None:
    async def refuse(request: web.Request) -> web.StreamResponse | None:
        return web.json_response({"errors": [{"code": "DENIED"}]}, status=400) if "manifests" in request.path else None

    registry = await embedded_with(Options(hook=refuse))
    async with over(tmp_path) as service:
        status, lines = await service.push(sample(tmp_path, registry.host))
        assert status == 200
        assert [list(line) for line in lines if "error" in line] == [["error"]]
        assert lines[-1]["error"].startswith(registry.host)
        # Without a stream nothing has been told yet.
        status, _ = await service.push(sample(tmp_path, registry.host), stream=False)
        assert status == 500


async def test_a_registry_that_is_long_in_answering_holds_up_no_first_line(
    embedded_with: EmbeddedFactory, tmp_path: Path
) -> None:
    let_in = asyncio.Event()

    async def ponder(_: web.Request) -> web.StreamResponse | None:
        await let_in.wait()
        return None

    registry = await embedded_with(Options(hook=ponder))
    model = sample(tmp_path, registry.host)
    async with (
        over(tmp_path, patience=Patience(first_line=0.01)) as service,
        service.session.post(f"{service.url}/api/push", json={"model": model}) as answer,
    ):
        assert await answer.content.readline() == b'{"status":"retrieving manifest"}\n'
        let_in.set()
        rest = await lines_of(answer)
    assert rest[-1] == {"status": "success"}


@pytest.mark.real
async def test_docker_registry_with_htpasswd(docker_registry_htpasswd: DockerRegistry, tmp_path: Path) -> None:
    model = sample(tmp_path, docker_registry_htpasswd.host, name="served/tiny", weights=LARGE)
    async with over(tmp_path) as service:
        assert (await service.push(model))[0] == 401
        status, lines = await service.push(model, username="me", password=PASSWORD)
        assert status == 200
        check_stream(lines, blobs=6)


# ── insecure ──────────────────────────────────────────────────────────────────────────────────────


async def test_insecure_is_http_as_in_ollama(embedded: EmbeddedRegistry, tmp_path: Path) -> None:
    """server/images.go, makeRequest: the scheme becomes http. A name that is not this machine's is https without it."""
    port = embedded.host.rpartition(":")[2]
    # 127.0.0.1 by a name that is no loopback's by its looks: only the proxy of the test knows where it leads.
    environ = {"http_proxy": f"http://{embedded.host}"}
    write_sample_store(tmp_path / "models", name=f"registry.invalid:{port}/me/tiny", weights=SMALL)
    settings = Settings(home=tmp_path, models=tmp_path / "models", retries=0, environ=environ)
    async with serving(settings) as service:
        status, (answer,) = await service.push(f"registry.invalid:{port}/me/tiny", stream=False)
        assert status == 500 and "cannot resolve registry.invalid" in answer["error"]
        assert await service.push(f"registry.invalid:{port}/me/tiny", stream=False, insecure=True) == (
            200,
            [{"status": "success"}],
        )


# ── the other routes ──────────────────────────────────────────────────────────────────────────────


async def test_what_clients_ask_besides(tmp_path: Path) -> None:
    sample(tmp_path, "localhost:1")
    sample(tmp_path, "registry.ollama.ai", name="library/other:v1")
    async with over(tmp_path) as service:
        get, head = service.session.get, service.session.head
        async with get(f"{service.url}/") as answer:
            assert (answer.status, await answer.text()) == (200, "Ollama is running")
        async with head(f"{service.url}/") as answer:
            assert answer.status == 200
        async with get(f"{service.url}/api/version") as answer:
            assert (await answer.json())["version"].count(".") == 2
        async with get(f"{service.url}/api/tags") as answer:
            models = (await answer.json())["models"]
        assert {model["name"] for model in models} == {"localhost:1/me/tiny:latest", "other:v1"}
        assert [model["modified_at"] for model in models] == sorted(
            (model["modified_at"] for model in models), reverse=True
        )
        assert models[0]["details"]["family"] == "llama" and len(models[0]["digest"]) == 64
        for path in ("/healthz", "/readyz"):
            async with get(f"{service.url}{path}") as answer:
                assert (answer.status, await answer.json()) == (200, {"status": "ok"})
        async with get(f"{service.url}/api/push") as answer:
            assert (answer.status, answer.headers["Allow"]) == (405, "POST")
            assert list(await answer.json()) == ["error"]
        async with get(f"{service.url}/nothing") as answer:
            assert answer.status == 404


async def test_not_ready_without_a_store(tmp_path: Path) -> None:
    async with over(tmp_path) as service, service.session.get(f"{service.url}/readyz") as answer:
        assert answer.status == 503
        assert "models" in (await answer.json())["error"]


async def test_metrics_count_pushes_blobs_bytes_and_answers(embedded: EmbeddedRegistry, tmp_path: Path) -> None:
    model = sample(tmp_path, embedded.host)
    async with over(tmp_path) as service:
        await service.push(model)
        await service.push(model)
        await service.push("me/none")
        async with service.session.get(f"{service.url}/metrics") as answer:
            assert answer.content_type == "text/plain"
            text = await answer.text()
    size = sum(file.stat().st_size for file in (tmp_path / "models/blobs").iterdir())
    assert f"registry_push_sent_bytes_total {float(size)}" in text
    assert 'registry_push_pushes_total{result="done"} 2.0' in text
    assert 'registry_push_blobs_total{placement="present"} 6.0' in text
    assert 'registry_push_requests_total{route="/api/push",status="404"} 1.0' in text
    assert "registry_push_pushes_under_way 0.0" in text and "process_resident_memory_bytes" in text
