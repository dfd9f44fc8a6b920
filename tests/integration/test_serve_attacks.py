"""What strangers can do to the service, and the known attacks that concern one, each by its number."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from registry_push.daemon.access import Access, Origins
from registry_push.daemon.targets import AllowedTargets
from registry_push.embedded import EmbeddedRegistry
from tests.support.command import command
from tests.support.service import Served, over, running, sample

TOKEN = "a-token-of-many-characters"


class Line:
    """One connection to the service, by hand."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def to(cls, service: Served) -> Line:
        return cls(*await asyncio.open_connection("127.0.0.1", service.port))

    def send(self, *head: str, body: bytes = b"") -> None:
        self.writer.write("\r\n".join([*head, "", ""]).encode() + body)

    async def answer(self) -> tuple[int, bytes]:
        """The status and everything up to the end of the connection, which the service has to bring about."""
        async with asyncio.timeout(30):
            with_head = await self.reader.read()
        self.writer.close()
        head, _, body = with_head.partition(b"\r\n\r\n")
        return int(head.split()[1]) if head else 0, body


# ── foreign Host or Origin ────────────────────────────────────────────────────────────────────────


@pytest.mark.attack("CVE-2024-28224")
@pytest.mark.parametrize("host", ["evil.example", "evil.example:11434", "8.8.8.8"])
@pytest.mark.parametrize("path", ["/", "/api/tags", "/api/push", "/metrics", "/nothing"])
async def test_foreign_host_is_403_cve_2024_28224(tmp_path: Path, host: str, path: str) -> None:
    """DNS rebinding: a name of somebody else that leads to 127.0.0.1."""
    sample(tmp_path, "localhost:1")
    method = "POST" if path == "/api/push" else "GET"
    body = {"model": "localhost:1/me/tiny"} if method == "POST" else None
    async with (
        over(tmp_path) as service,
        service.session.request(method, f"{service.url}{path}", headers={"Host": host}, json=body) as answer,
    ):
        assert answer.status == 403
        assert list(await answer.json()) == ["error"]


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://localhost.evil.example"])
async def test_foreign_origin_is_403_and_nothing_is_pushed(
    embedded: EmbeddedRegistry, tmp_path: Path, origin: str
) -> None:
    """A page can send JSON as text/plain without asking first: the Origin alone tells it."""
    body = json.dumps({"model": sample(tmp_path, embedded.host)})
    headers = {"Origin": origin, "Content-Type": "text/plain"}
    async with over(tmp_path) as service:
        async with service.session.post(f"{service.url}/api/push", data=body, headers=headers) as answer:
            assert answer.status == 403
            assert "Access-Control-Allow-Origin" not in answer.headers
        preflight = {**headers, "Access-Control-Request-Method": "POST"}
        async with service.session.options(f"{service.url}/api/push", headers=preflight) as answer:
            assert answer.status == 403
    assert not embedded.log


@pytest.mark.attack("CVE-2024-28224")
async def test_rebound_pages_are_403_beyond_loopback_too_cve_2024_28224(tmp_path: Path) -> None:
    sample(tmp_path, "localhost:1")
    beyond = Access(guards_host=False, origins=Origins.parse(""))
    async with over(tmp_path, access=beyond) as service:
        url = f"{service.url}/api/tags"
        async with service.session.get(url, headers={"Host": "registry-push:11434"}) as answer:
            assert answer.status == 200, "other machines call it by any name"
        rebound = {"Host": "evil.example", "Origin": "http://evil.example"}
        async with service.session.get(url, headers=rebound) as answer:
            assert answer.status == 403


async def test_own_origins_are_answered_as_ollama_does(tmp_path: Path) -> None:
    sample(tmp_path, "localhost:1")
    access = Access(guards_host=True, origins=Origins.parse("https://ui.example"))
    async with over(tmp_path, access=access) as service:
        for origin in ("http://localhost:3000", "https://ui.example", "app://x"):
            asked = {"Origin": origin, "Access-Control-Request-Method": "POST"}
            async with service.session.options(f"{service.url}/api/push", headers=asked) as answer:
                assert answer.status == 204
                assert answer.headers["Access-Control-Allow-Origin"] == origin
                assert "POST" in answer.headers["Access-Control-Allow-Methods"]
            async with service.session.get(f"{service.url}/api/tags", headers={"Origin": origin}) as answer:
                assert (answer.status, answer.headers["Access-Control-Allow-Origin"]) == (200, origin)


# ── where a push may go ───────────────────────────────────────────────────────────────────────────


@pytest.mark.attack("CVE-2026-7482")
async def test_a_target_outside_the_list_is_403_and_never_reached_cve_2026_7482(
    embedded: EmbeddedRegistry, tmp_path: Path
) -> None:
    """A push to an attacker's registry."""
    model = sample(tmp_path, embedded.host)
    async with over(tmp_path, targets=AllowedTargets.parse(["registry.example.com"])) as service:
        for stream in (True, False):
            status, (answer,) = await service.push(model, stream=stream)
            assert status == 403 and "--allow-target" in answer["error"]
        status, _ = await service.push(model.replace("tiny", "none"))
        assert status == 403, "what is here is not told of either"
    assert not embedded.log
    async with over(tmp_path, targets=AllowedTargets.parse([f"{embedded.host}/me/*"])) as service:
        assert (await service.push(model))[0] == 200


@pytest.mark.attack("CVE-2026-7482")
async def test_nobody_who_asks_can_choose_a_registry_cve_2026_7482(embedded: EmbeddedRegistry, tmp_path: Path) -> None:
    """Only a model that lies in the store under the registry's name goes there, and no request writes to the store."""
    sample(tmp_path, "registry.ollama.ai", name="me/secret")
    async with over(tmp_path) as service:
        for name in (f"{embedded.host}/me/secret", f"http://{embedded.host}/me/secret"):
            assert (await service.push(name))[0] == 404
        for method, path in (
            ("POST", "/api/copy"), ("POST", "/api/create"), ("POST", "/api/pull"), ("DELETE", "/api/delete"),
            ("POST", "/api/blobs/sha256:" + "0" * 64),
        ):  # fmt: skip
            async with service.session.request(method, f"{service.url}{path}", json={}) as answer:
                assert answer.status == 501
                assert f"only pushes models, by POST /api/push; for {path} ask Ollama" in (await answer.json())["error"]
    assert not embedded.log


EXISTING = ["../../../../../../etc/passwd", "/etc/passwd", "..%2f..%2fetc/passwd", "file:///etc/passwd"]


@pytest.mark.attack("CVE-2024-39722")
@pytest.mark.parametrize("name", EXISTING)
async def test_names_reveal_no_files_cve_2024_39722(tmp_path: Path, name: str) -> None:
    """Whatever exists, the answer is the same but for the name itself."""
    sample(tmp_path, "localhost:1")
    missing = name.replace("passwd", "n0wher")
    async with over(tmp_path) as service:
        there, gone = await service.push(name), await service.push(missing)
    assert there[0] == gone[0] == 400
    assert there[1][0]["error"].replace("passwd", "n0wher") == gone[1][0]["error"]


@pytest.mark.attack("CVE-2024-39722")
async def test_a_manifest_linked_out_of_the_store_is_not_read_cve_2024_39722(tmp_path: Path) -> None:
    sample(tmp_path, "localhost:1")
    secret = tmp_path / "secret"
    secret.write_text("the words of the secret")
    (tmp_path / "models/manifests/localhost:1/me/tiny/linked").symlink_to(secret)
    async with over(tmp_path) as service:
        status, (answer,) = await service.push("localhost:1/me/tiny:linked")
    assert status == 500
    assert "outside the store" in answer["error"] and "words" not in answer["error"]


@pytest.mark.attack("CVE-2024-37032")
@pytest.mark.attack("CVE-2026-7020")
@pytest.mark.parametrize("digest", ["sha256:../../../../etc/passwd", "sha256-../x", "sha256:" + "0" * 63 + "/"])
async def test_a_digest_is_no_path_cve_2024_37032_and_cve_2026_7020(tmp_path: Path, digest: str) -> None:
    sample(tmp_path, "localhost:1")
    manifest = tmp_path / "models/manifests/localhost:1/me/tiny/latest"
    document = json.loads(manifest.read_text())
    document["layers"][0]["digest"] = digest
    manifest.write_text(json.dumps(document))
    async with over(tmp_path) as service:
        status, (answer,) = await service.push("localhost:1/me/tiny")
    assert status == 500 and "digest" in answer["error"]


# ── who may ask beyond this machine ───────────────────────────────────────────────────────────────


@pytest.mark.attack("CVE-2025-63389")
async def test_the_token_opens_everything_but_what_monitors_ask_cve_2025_63389(tmp_path: Path) -> None:
    sample(tmp_path, "localhost:1")
    async with over(tmp_path, access=Access(guards_host=True, origins=Origins.parse(""), token=TOKEN)) as service:
        for path, closed in {
            "/": False, "/healthz": False, "/readyz": False, "/openapi.json": False,
            "/api/tags": True, "/api/version": True, "/metrics": True, "/api/push": True, "/nothing": True,
        }.items():  # fmt: skip
            method = "POST" if path == "/api/push" else "GET"
            for token, expected in ((None, closed), ("wrong", closed), (TOKEN, False)):
                headers = {"Authorization": f"Bearer {token}"} if token else {}
                async with service.session.request(method, f"{service.url}{path}", headers=headers) as answer:
                    assert (answer.status == 401) is expected, (path, token)
                    assert not expected or answer.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.attack("CVE-2025-63389")
@pytest.mark.parametrize("host", ["0.0.0.0", "", "192.0.2.1", "example.com"])
async def test_beyond_loopback_it_starts_only_with_a_token_cve_2025_63389(tmp_path: Path, host: str) -> None:
    """An API for pushing with this user's logins that all the net can use."""
    sample(tmp_path, "localhost:1")
    for arguments, variables in ((["--host", host], {}), ([], {"OLLAMA_HOST": f"{host}:0"})):
        done = await command("serve", *arguments, home=tmp_path, **variables)
        assert done.code == 2
        assert "--token-file" in done.err and "--allow-anonymous" in done.err


async def test_with_a_token_or_by_the_users_word_it_does(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text(TOKEN + "\n")
    token.chmod(0o600)
    models = ["--models", str(tmp_path / "models")]
    sample(tmp_path, "localhost:1")
    async with running("--host", "0.0.0.0", "--token-file", str(token), *models, home=tmp_path) as service:
        assert not [line for line in service.log if "WARNING" in line]
    async with running("--host", "0.0.0.0", "--allow-anonymous", *models, home=tmp_path) as service:
        assert any("--allow-target" in line for line in service.log), "and is warned of what that means"


@pytest.mark.parametrize("content", ["", "short\n", "with spaces in the middle of it", "é" * 20, "x" * 5000])
async def test_a_token_that_is_none_is_refused(tmp_path: Path, content: str) -> None:
    token = tmp_path / "token"
    token.write_text(content)
    done = await command("serve", "--port", "0", "--token-file", str(token), home=tmp_path)
    assert done.code == 2 and str(token) in done.err


async def test_a_token_that_others_can_read_is_warned_of_and_one_that_is_missing_ends_with_3(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text(TOKEN)
    token.chmod(0o644)
    async with running("--token-file", str(token), home=tmp_path) as service:
        assert any("chmod 600" in line for line in service.log)
    assert (await command("serve", "--token-file", str(tmp_path / "none"), home=tmp_path)).code == 3


@pytest.mark.attack("S15")
@pytest.mark.parametrize(
    "head",
    [b"Authorization: Bearer \xff\xfe", b"Authorization: Bearer \xc3\xa9", b"Authorization: \xff", b"Authorization: "],
)
async def test_a_token_that_is_no_ascii_is_refused_without_a_traceback(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, head: bytes
) -> None:
    async with over(tmp_path, access=Access(guards_host=True, origins=Origins.parse(""), token=TOKEN)) as service:
        line = await Line.to(service)
        line.writer.write(b"GET /api/version HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n" + head + b"\r\n\r\n")
        status, body = await line.answer()
    assert status == 401 and b"bearer token" in body
    assert "Traceback" not in caplog.text and "a bug" not in caplog.text


@pytest.mark.attack("S15")
@pytest.mark.parametrize(
    "head",
    [b"Host: \xff", b"Host: [2001:4860:4860::8888%\xff]", b"Host: localhost\r\nOrigin: app://\xff", b"Host: \xff:\xff"],
)
async def test_heads_that_are_no_ascii_are_403_without_a_traceback(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, head: bytes
) -> None:
    async with over(tmp_path) as service:
        line = await Line.to(service)
        line.writer.write(b"GET /api/version HTTP/1.1\r\nConnection: close\r\n" + head + b"\r\n\r\n")
        status, _ = await line.answer()
    assert status == 403
    assert "Traceback" not in caplog.text and "a bug" not in caplog.text


@pytest.mark.attack("S15")
async def test_readiness_does_not_tell_where_the_store_is_and_the_log_does_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    models = tmp_path / "models"
    async with over(tmp_path, access=Access(guards_host=True, origins=Origins.parse(""), token=TOKEN)) as service:
        for _ in range(3):
            async with service.session.get(f"{service.url}/readyz") as answer:
                assert answer.status == 503
                assert str(tmp_path) not in await answer.text()
        models.write_text("no folder")
        async with service.session.get(f"{service.url}/readyz") as answer:
            assert answer.status == 503 and str(tmp_path) not in await answer.text()
    assert 1 <= sum(str(models) in record.getMessage() for record in caplog.records) <= 2
