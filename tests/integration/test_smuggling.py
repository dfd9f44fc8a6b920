"""A registry that names headers for a direct upload, and a storage that is not ours: Python's own http.server."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from registry_push.errors import ProtocolViolation
from registry_push.settings import Settings
from registry_push.transfer.report import Report
from registry_push.verbs.push import push

from ..support.scripted import Says, Scripted
from ..support.stores import make_many_store

pytestmark = [pytest.mark.attack("S2"), pytest.mark.attack("CVE-2026-85180")]

SMUGGLED = b"0\r\n\r\nGET /admin HTTP/1.1\r\nHost: inner\r\n\r\n"
LAYER = 4096


class _Storage(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    seen: list[str]

    def do_GET(self) -> None:  # http.server's name
        self._answer()

    def do_PUT(self) -> None:  # http.server's name
        chunked = "chunked" in self.headers.get("Transfer-Encoding", "")
        # As a lenient proxy does, which takes the first of the two framings: what follows is another request.
        self.rfile.read(5 if chunked else int(self.headers["Content-Length"]))
        self._answer()

    def _answer(self) -> None:
        self.seen.append(self.requestline)
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Print nothing."""


@pytest.fixture
def storage() -> Iterator[tuple[str, list[str]]]:
    """The storage's origin, and the request lines it has read."""
    seen: list[str] = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Storage", (_Storage,), {"seen": seen}))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", seen
    server.shutdown()
    server.server_close()
    thread.join()


async def _push_direct(folder: Path, direct: str, *signed: tuple[str, str]) -> tuple[Report, Scripted]:
    """Push a model of one tensor to a registry that names `direct` for it, with these headers."""
    make_many_store(folder / "models", layers=1, layer_size=LAYER, name="me/t:latest")
    (tensor,) = (file for file in (folder / "models/blobs").iterdir() if file.stat().st_size == LAYER)
    tensor.write_bytes(SMUGGLED.ljust(LAYER, b"x"))  # what a hostile model would hold
    digest = _rename(tensor)
    async with Scripted() as registry:
        named = [(f"X-Signed-Header-{name}", value) for name, value in signed]
        opened = Says(202, (("Location", "/up"), ("X-Direct-Upload-URL", direct), *named))
        registry.on("POST", "/v2/me/t/blobs/uploads/", opened)
        registry.on("HEAD", f"/v2/me/t/blobs/{digest}", Says(404))
        for blob in (folder / "models/blobs").iterdir():
            registry.on("HEAD", f"/v2/me/t/blobs/{blob.name.replace('-', ':')}", Says(404))
        registry.on("HEAD", "/v2/me/t/manifests/latest", Says(404))
        registry.on("PUT", "/up", Says(201))
        registry.on("PUT", "/v2/me/t/manifests/latest", Says(201))
        settings = Settings(models=folder / "models", home=folder, dialect="ollama", retries=0)
        return await push(["me/t"], to=f"{registry.origin}/", settings=settings), registry


def _rename(tensor: Path) -> str:
    """Give the changed tensor its name again, in the manifest too."""
    import hashlib

    new = hashlib.sha256(tensor.read_bytes()).hexdigest()
    old = tensor.name.removeprefix("sha256-")
    manifest = tensor.parent.parent / "manifests/registry.ollama.ai/me/t/latest"
    manifest.write_text(manifest.read_text().replace(old, new))
    tensor.rename(tensor.with_name(f"sha256-{new}"))
    return f"sha256:{new}"


async def test_a_framing_that_the_registry_names_is_not_sent(tmp_path: Path, storage: tuple[str, list[str]]) -> None:
    origin, seen = storage
    report, _ = await _push_direct(tmp_path, f"{origin}/b", ("Transfer-Encoding", "chunked"))
    assert isinstance(report.error, ProtocolViolation)
    assert report.error.exit_code == 5
    assert seen == []


async def test_of_a_direct_upload_one_request_arrives_the_put(tmp_path: Path, storage: tuple[str, list[str]]) -> None:
    origin, seen = storage
    report, registry = await _push_direct(
        tmp_path, f"{origin}/b?X-Amz-Signature=s", ("Content-Type", "application/x-tensor"), ("x-amz-meta-a", "b")
    )
    assert report.error is None, [f"{each.method} {each.target}" for each in registry.seen]
    assert seen == ["PUT /b?X-Amz-Signature=s HTTP/1.1"] * 2, "the tensor's, and the config's"


@pytest.mark.parametrize("url", ["/relative", "b", "//other/b", "ftp://x/b", "http://[::1"])
async def test_a_direct_url_that_is_not_absolute_is_the_registrys_fault(tmp_path: Path, url: str) -> None:
    report, _ = await _push_direct(tmp_path, url)
    assert report.error is not None
    assert report.error.exit_code == 5
