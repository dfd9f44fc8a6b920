"""What the system says of a read: the file's fault, the disk's, this machine's, or one that passes."""

from __future__ import annotations

import asyncio
import errno
import io
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from registry_push.content import read_errors
from registry_push.content.base import BlobBody
from registry_push.content.body import FileBody
from registry_push.content.hashing import Hasher, RunningHash
from registry_push.content.oci.layout import OCILayout
from registry_push.content.ollama.source import OllamaStore
from registry_push.embedded import EmbeddedRegistry
from registry_push.embedded.sample import write_sample_store
from registry_push.errors import (
    BlobCorrupt,
    BlobMissing,
    ManifestCorrupt,
    ModelNotFound,
    Origin,
    OutOfResources,
    RegistryPushError,
    SourceUnavailable,
    Unreadable,
)
from registry_push.http.body import payload as payload_module
from registry_push.http.body.payload import SpanPayload
from registry_push.http.transport import Transport
from registry_push.model import ModelName
from registry_push.protocol.upload.chunks import Span
from registry_push.settings import Settings
from registry_push.verbs.push import push
from tests.support.scripted import Says, Scripted, opened
from tests.support.stores import weights_of

pytestmark = pytest.mark.attack("S8")

SIZE = 3_000_000
# What one read says, and what that is to the user.
VERDICTS: dict[int, tuple[type[RegistryPushError], int]] = {
    errno.EIO: (BlobCorrupt, 7),
    errno.EBADMSG: (BlobCorrupt, 7),
    errno.EMFILE: (OutOfResources, 6),
    errno.ENFILE: (OutOfResources, 6),
    errno.ENOMEM: (OutOfResources, 6),
    errno.EAGAIN: (OutOfResources, 6),
    errno.ENOBUFS: (OutOfResources, 6),
    errno.ESTALE: (SourceUnavailable, 6),
    errno.ETIMEDOUT: (SourceUnavailable, 6),
    errno.ENOTCONN: (SourceUnavailable, 6),
    errno.EACCES: (Unreadable, 4),
    errno.EPERM: (Unreadable, 4),
    errno.ENOENT: (BlobMissing, 3),
}
each_errno = pytest.mark.parametrize("number", VERDICTS, ids=errno.errorcode.__getitem__)


def saying(number: int) -> Callable[..., Any]:
    def fail(*_: object, **__: object) -> Any:
        raise OSError(number, os.strerror(number))

    return fail


def holds(error: BaseException, number: int, path: Path) -> None:
    """`error` is what `number` means: by class and code, with the path, and never with bad advice."""
    kind, code = VERDICTS[number]
    assert isinstance(error, kind)
    assert error.exit_code == code
    assert str(path) in error.message or kind in (Unreadable, BlobMissing)
    assert ("ulimit -n" in (error.hint or "")) is (number == errno.EMFILE)
    assert ("dmesg" in (error.hint or "")) is (kind is BlobCorrupt)
    if code == 6:
        assert error.origin is (Origin.LOCAL if kind is OutOfResources else Origin.SOURCE)
        assert "remove" not in (error.hint or "") and "ollama pull" not in (error.hint or "")


@pytest.fixture
async def body(tmp_path: Path) -> AsyncIterator[FileBody]:
    (tmp_path / "blob").write_bytes(os.urandom(SIZE))
    body = FileBody(io.FileIO(tmp_path / "blob"))
    yield body
    await body.close()


@pytest.fixture
def store(tmp_path: Path) -> OllamaStore:
    write_sample_store(tmp_path / "models", weights=300_000)
    return OllamaStore(tmp_path / "models")


class TestStores:
    @each_errno
    def test_a_blob_that_cannot_be_opened(
        self, store: OllamaStore, number: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        blob, path = weights_of(store)
        monkeypatch.setattr("registry_push.content.ollama.blob_files.open_regular", saying(number))
        with pytest.raises(RegistryPushError) as caught:
            store.blobs.open(blob)
        holds(caught.value, number, path)

    @each_errno
    @pytest.mark.parametrize("call", ["open", "fstat"])
    async def test_by_the_system_call(
        self, store: OllamaStore, number: int, call: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        blob, path = weights_of(store)
        monkeypatch.setattr(os, call, saying(number))
        with pytest.raises(RegistryPushError) as caught:
            await store.open(blob)
        monkeypatch.undo()
        holds(caught.value, number, path)

    @each_errno
    def test_a_look_at_a_blob(self, store: OllamaStore, number: int, monkeypatch: pytest.MonkeyPatch) -> None:
        manifest, (_, path) = store.read_manifest(ModelName.parse("me/tiny")), weights_of(store)
        monkeypatch.setattr(os, "lstat", saying(number))
        with pytest.raises(RegistryPushError) as caught:
            store.blobs.check(manifest)
        monkeypatch.undo()
        assert type(caught.value) is VERDICTS[number][0]
        if caught.value.exit_code == 6:
            holds(caught.value, number, path.parent)

    @each_errno
    @pytest.mark.parametrize("call", ["open", "read"])
    def test_a_manifest(self, store: OllamaStore, number: int, call: str, monkeypatch: pytest.MonkeyPatch) -> None:
        name = ModelName.parse("me/tiny")
        target = "open_regular" if call == "open" else "read_bounded"
        monkeypatch.setattr(f"registry_push.content.ollama.source.{target}", saying(number))
        with pytest.raises(RegistryPushError) as caught:
            store.read_manifest(name)
        kind, code = VERDICTS[number]
        expected = {BlobCorrupt: ManifestCorrupt, BlobMissing: ModelNotFound}.get(kind, kind)
        assert (type(caught.value), caught.value.exit_code) == (expected, code)

    @pytest.mark.parametrize("number", [errno.EMFILE, errno.ESTALE], ids=errno.errorcode.__getitem__)
    def test_no_model_is_left_out_because_of_a_shortage(
        self, store: OllamaStore, number: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(os, "scandir", saying(number))
        with pytest.raises(VERDICTS[number][0]):
            store.scan()

    @pytest.mark.parametrize("number", [errno.EMFILE, errno.EIO, errno.ESTALE], ids=errno.errorcode.__getitem__)
    async def test_a_layout(self, tmp_path: Path, number: int, monkeypatch: pytest.MonkeyPatch) -> None:
        layout = OCILayout(tmp_path)
        for call in (layout.index(), layout.body(weights_digest())):
            monkeypatch.setattr("registry_push.content.oci.layout_files.regular_descriptor", saying(number))
            with pytest.raises(RegistryPushError) as caught:
                await call
            kind, code = VERDICTS[number]
            assert caught.value.exit_code == code
            assert isinstance(caught.value, kind) or (kind is BlobCorrupt and isinstance(caught.value, ManifestCorrupt))


def weights_digest() -> Any:
    from registry_push.model import Digest

    return Digest.of(b"weights")


class TestReading:
    @each_errno
    async def test_while_it_is_hashed(self, body: FileBody, number: int, monkeypatch: pytest.MonkeyPatch) -> None:
        hasher = Hasher()
        monkeypatch.setattr(os, "preadv", saying(number))
        with pytest.raises(RegistryPushError) as caught:
            await hasher.sha256(body)
        hasher.close()
        holds(caught.value, number, Path(body.name))

    @each_errno
    async def test_while_it_is_read(self, body: FileBody, number: int, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(os, "pread", saying(number))
        with pytest.raises(RegistryPushError) as caught:
            [piece async for piece in body.open(0, SIZE)]
        holds(caught.value, number, Path(body.name))

    async def test_too_many_open_files_for_another_descriptor(
        self, body: FileBody, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        hasher = Hasher()
        monkeypatch.setattr(os, "dup", saying(errno.EMFILE))
        with pytest.raises(OutOfResources, match="Too many open files") as caught:
            await hasher.sha256(body)
        hasher.close()
        assert "ulimit -n" in (caught.value.hint or "")

    async def test_a_read_that_fails_for_real(self) -> None:
        """Nothing is mapped at address 0: Linux answers a read there with EIO."""

        class Memory(FileBody):
            @property
            def size(self) -> int:
                return SIZE

        if not Path("/proc/self/mem").exists():
            pytest.skip("no /proc")
        body, hasher = Memory(io.FileIO("/proc/self/mem")), Hasher()
        for read in (hasher.sha256(body), _all_of(body), _all_of_pieces(hasher, body)):
            with pytest.raises(BlobCorrupt, match=r"byte 0 of /proc/self/mem can't be read: Input/output error"):
                await read
        hasher.close()
        await body.close()


async def _all_of(body: FileBody) -> None:
    [piece async for piece in body.open(0, SIZE)]


async def _all_of_pieces(hasher: Hasher, body: FileBody) -> None:
    [piece async for piece in hasher.pieces(body, 0, SIZE, None, at_once=1000)]


class TestSending:
    async def put(self, payload: SpanPayload) -> None:
        async with Scripted() as server, opened(server.origin) as client:
            server.on("PUT", "/up", Says(201))
            await client.transport.send("PUT", client.url("/up"), {"Content-Length": str(payload.size)}, payload)

    def payload(self, body: BlobBody, *hashing: Any) -> SpanPayload:
        return SpanPayload(body, Span(0, SIZE), *hashing, stall=60, on_sent=lambda _: None)

    @each_errno
    async def test_by_the_kernel(self, body: FileBody, number: int, monkeypatch: pytest.MonkeyPatch) -> None:
        # The kernel does not say which end failed: the file does, when it is read at that place.
        monkeypatch.setattr(os, "sendfile", saying(errno.EIO))
        monkeypatch.setattr(os, "preadv", saying(number))
        with pytest.raises(RegistryPushError) as caught:
            await self.put(self.payload(body))
        holds(caught.value, number, Path(body.name))

    async def test_a_file_that_can_be_read_leaves_it_to_the_line(
        self, body: FileBody, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(os, "sendfile", saying(errno.EIO))
        payload = self.payload(body)
        async with Scripted() as server, opened(server.origin, timeout=1) as client:
            server.on("PUT", "/up", Says(413, early=True))
            response = await client.transport.send("PUT", client.url("/up"), {"Content-Length": str(SIZE)}, payload)
        assert response.status == 413
        assert payload.source_error is None

    async def test_a_page_further_on(self, body: FileBody, monkeypatch: pytest.MonkeyPatch) -> None:
        real_sendfile, real_preadv = os.sendfile, os.preadv

        def sendfile(out: int, file: int, offset: int, count: int) -> int:
            if offset >= 1_000_000:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            return real_sendfile(out, file, offset, min(count, 1_000_000 - offset))

        def preadv(file: int, buffers: list[memoryview], offset: int) -> int:
            if offset + len(buffers[0]) > 1_500_000:
                if offset >= 1_500_000:
                    raise OSError(errno.EIO, os.strerror(errno.EIO))
                return real_preadv(file, [buffers[0][: 1_500_000 - offset]], offset)
            return real_preadv(file, buffers, offset)

        monkeypatch.setattr(os, "sendfile", sendfile)
        monkeypatch.setattr(os, "preadv", preadv)
        with pytest.raises(BlobCorrupt, match="byte 1500000 of"):
            await self.put(self.payload(body))

    @each_errno
    async def test_by_threads(self, body: FileBody, number: int, monkeypatch: pytest.MonkeyPatch) -> None:
        hasher = Hasher()
        monkeypatch.setattr(os, "preadv", saying(number))
        with pytest.raises(RegistryPushError) as caught:
            await self.put(self.payload(body, hasher, RunningHash()))
        hasher.close()
        holds(caught.value, number, Path(body.name))

    @each_errno
    async def test_in_pieces(self, body: FileBody, number: int, monkeypatch: pytest.MonkeyPatch) -> None:
        hasher = Hasher()
        monkeypatch.setattr(payload_module, "_is_plain", lambda _: False)
        monkeypatch.setattr(os, "pread", saying(number))
        with pytest.raises(RegistryPushError) as caught:
            await self.put(self.payload(body, hasher, RunningHash()))
        hasher.close()
        holds(caught.value, number, Path(body.name))

    @pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE], ids=errno.errorcode.__getitem__)
    @pytest.mark.parametrize("way", ["kernel", "threads", "pieces"])
    async def test_without_another_descriptor(
        self, body: FileBody, number: int, way: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        hasher = Hasher()
        hashing = () if way == "kernel" else (hasher, RunningHash())
        if way == "kernel":
            monkeypatch.setattr(os, "sendfile", saying(errno.EAGAIN))  # a line that is full is watched by another
        if way == "pieces":
            monkeypatch.setattr(payload_module, "_is_plain", lambda _: False)
        monkeypatch.setattr(os, "dup", saying(number))
        with pytest.raises(OutOfResources, match="oo many open files"):
            await self.put(self.payload(body, *hashing))
        hasher.close()

    @pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ENOMEM], ids=errno.errorcode.__getitem__)
    async def test_a_socket_that_cannot_be_made(self, number: int, monkeypatch: pytest.MonkeyPatch) -> None:
        async with Scripted() as server, opened(server.origin) as client:
            with monkeypatch.context() as patched:
                patched.setattr("registry_push.http.sockets.socket.socket", saying(number))
                with pytest.raises(OutOfResources) as caught:
                    await client.transport.send("GET", client.url("/v2/"), {})
            assert "address" not in (caught.value.hint or "")


class TestAPush:
    """The whole way, at a registry: how it ends, what it says, and what it teaches."""

    LARGE = 12_000_000

    @pytest.mark.parametrize("weights", [300_000, LARGE], ids=["in one PUT", "in chunks"])
    @pytest.mark.parametrize("hashed_before", [True, False], ids=["hashed before", "unknown"])
    async def test_a_disk_that_fails_is_no_broken_line(
        self,
        embedded: EmbeddedRegistry,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        weights: int,
        hashed_before: bool,
    ) -> None:
        write_sample_store(tmp_path / "models", weights=weights)
        _, path = weights_of(OllamaStore(tmp_path / "models"))
        settings = Settings(
            models=tmp_path / "models",
            home=tmp_path,
            state_dir=tmp_path / "state",
            verify="never" if hashed_before else "changed",
            retries=2,
        )
        monkeypatch.setattr(os, "sendfile", saying(errno.EIO))
        monkeypatch.setattr(os, "preadv", saying(errno.EIO))
        report = await push(["me/tiny"], to=f"{embedded.host}/", settings=settings)
        assert isinstance(report.error, BlobCorrupt)
        assert str(path) in report.error.message and "dmesg" in (report.error.hint or "")
        asked = [each for each in embedded.log if each.method == "GET" and "/uploads/" in each.target]
        assert asked == [], "it is not asked how far it came, as after a broken line"
        monkeypatch.undo()
        assert (await push(["me/tiny"], to=f"{embedded.host}/", settings=settings)).error is None

    @pytest.mark.parametrize("weights", [300_000, LARGE], ids=["in one PUT", "in chunks"])
    async def test_a_shortage_that_lasts_says_what_to_do(
        self, embedded: EmbeddedRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, weights: int
    ) -> None:
        write_sample_store(tmp_path / "models", weights=weights)
        settings = Settings(models=tmp_path / "models", home=tmp_path, verify="never", retries=0)
        monkeypatch.setattr(os, "sendfile", saying(errno.ENOMEM))
        monkeypatch.setattr(os, "preadv", saying(errno.ENOMEM))
        report = await push(["me/tiny"], to=f"{embedded.host}/", settings=settings)
        assert isinstance(report.error, OutOfResources)
        assert "--jobs" in (report.error.hint or "")

    async def test_a_shortage_that_passes_costs_a_try(
        self, embedded: EmbeddedRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write_sample_store(tmp_path / "models", weights=self.LARGE)
        settings = Settings(models=tmp_path / "models", home=tmp_path)
        real, failed = os.preadv, False

        def once(*arguments: Any) -> int:
            nonlocal failed
            if not failed:
                failed = True
                raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))
            return real(*arguments)

        async def no_rest(_: float) -> None:
            await asyncio.sleep(0)

        monkeypatch.setattr(os, "preadv", once)
        monkeypatch.setitem(Transport.__init__.__kwdefaults__ or {}, "sleep", no_rest)
        report = await push(["me/tiny"], to=f"{embedded.host}/", settings=settings)
        assert failed and report.error is None


def test_every_number_has_a_verdict() -> None:
    for number in errno.errorcode:
        error = read_errors.read_error(OSError(number, os.strerror(number)), "x", path=Path("/x"))
        assert error.exit_code in (3, 4, 6, 7)
    assert read_errors.cause_of(None) is read_errors.Cause.DAMAGED
