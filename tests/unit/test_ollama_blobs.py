"""The blobs of an Ollama store: what is opened, what is refused, and what is known before a push."""

from __future__ import annotations

import errno
import json
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from registry_push.content.body import BytesBody, FileBody
from registry_push.content.ollama.blob_files import BlobFiles
from registry_push.content.ollama.source import OllamaStore, privacy_warnings
from registry_push.embedded.sample import LAYER_TYPE, Layer, config, write_model, write_sample_store
from registry_push.errors import (
    BlobCorrupt,
    BlobMissing,
    NothingToPush,
    RegistryPushError,
)
from registry_push.model import Digest, Manifest, ModelName
from tests.support.stores import make_many_store, weights_of

FIXTURES = Path(__file__).parents[2] / "fixtures" / "ollama"


def name(text: str) -> ModelName:
    return ModelName.parse(text)


@pytest.fixture
def store(tmp_path: Path) -> OllamaStore:
    """A store with `me/tiny:latest`."""
    write_sample_store(tmp_path / "models", weights=4000)
    return OllamaStore(tmp_path / "models")


class TestBlobs:
    @pytest.mark.parametrize(("weights", "kind"), [(4000, BytesBody), (300_000, FileBody)])
    async def test_a_body_reads_from_any_offset(self, tmp_path: Path, weights: int, kind: type) -> None:
        write_sample_store(tmp_path / "models", weights=weights)
        store = OllamaStore(tmp_path / "models")
        blob, path = weights_of(store)
        body = await store.open(blob)
        assert isinstance(body, kind)
        assert b"".join([piece async for piece in body.open(1000, 500)]) == path.read_bytes()[1000:1500]
        await body.close()

    @pytest.mark.parametrize("spelling", ["sha256:{lower}", "sha256-{upper}", "sha256:{upper}"])
    def test_old_spellings_are_found(self, store: OllamaStore, spelling: str) -> None:
        blob, path = weights_of(store)
        path.rename(path.with_name(spelling.format(lower=blob.digest.hex, upper=blob.digest.hex.upper())))
        store.blobs.open(blob).close()
        store.blobs.check(store.read_manifest(name("me/tiny")))

    def both(self, store: OllamaStore) -> RegistryPushError:
        """What `open` and `check` both say of a store with one broken blob."""
        blob, _ = weights_of(store)
        with pytest.raises(RegistryPushError) as opened:
            store.blobs.open(blob)
        with pytest.raises(RegistryPushError) as checked:
            store.blobs.check(store.read_manifest(name("me/tiny")))
        assert (type(opened.value), str(opened.value)) == (type(checked.value), str(checked.value))
        return opened.value

    def test_a_missing_blob(self, store: OllamaStore) -> None:
        blob, path = weights_of(store)
        path.unlink()
        error = self.both(store)
        assert isinstance(error, BlobMissing) and str(error) == f"model blob {blob.digest} is not in the store"
        assert error.exit_code == 3 and "ollama pull" in (error.hint or "")

    def test_a_blob_of_another_size_says_both(self, store: OllamaStore) -> None:
        blob, path = weights_of(store)
        path.write_bytes(path.read_bytes()[:-1])
        error = self.both(store)
        assert isinstance(error, BlobCorrupt) and error.exit_code == 7
        assert str(error) == f"model blob {blob.digest} has {blob.size - 1} bytes, not {blob.size}"

    @pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_bytes(b"")])
    def test_an_unfinished_pull_is_recognised(self, store: OllamaStore, damage: Callable[[Path], None]) -> None:
        _, path = weights_of(store)
        path.with_name(path.name + "-partial").write_bytes(b"")
        damage(path)
        assert (self.both(store).hint or "").startswith("a pull of it is unfinished")

    @pytest.mark.parametrize("kind", ["pipe", "folder", "socket", "outside", "device", "dangling", "loop"])
    def test_what_is_no_file_of_the_store_is_refused(self, store: OllamaStore, kind: str) -> None:
        _, path = weights_of(store)
        away = store.root.parent / "away"
        path.rename(away)
        make: dict[str, Callable[[], Any]] = {
            "pipe": lambda: os.mkfifo(path),
            "folder": path.mkdir,
            "socket": lambda: _bind(path),
            "outside": lambda: path.symlink_to(away),
            "device": lambda: path.symlink_to("/dev/zero"),
            "dangling": lambda: path.symlink_to("absent"),
            "loop": lambda: path.symlink_to(path.name),
        }
        make[kind]()
        error = self.both(store)
        assert isinstance(error, BlobMissing)
        reasons = {
            "pipe": "is a pipe, not a file",
            "folder": "is a folder, not a file",
            "socket": "is a device or socket, not a file",
            "outside": "is linked to a place outside the store",
            "device": "is linked to a place outside the store",
            "dangling": "is linked to what does not exist",
            "loop": "is a link that leads nowhere",
        }
        assert str(error).endswith(reasons[kind])

    def test_links_inside_the_store_are_followed(self, store: OllamaStore) -> None:
        _, path = weights_of(store)
        path.rename(path.with_name("kept"))
        path.symlink_to("kept")
        store.blobs.check(store.read_manifest(name("me/tiny")))
        store.blobs.open(weights_of(store)[0]).close()

    def test_folders_on_a_bigger_disk_are_the_owners_business(self, store: OllamaStore) -> None:
        disk = store.root.parent / "disk"
        disk.mkdir()
        for folder in ("blobs", "manifests"):
            (store.root / folder).rename(disk / folder)
            (store.root / folder).symlink_to(disk / folder)
        (store.root.parent / "linked").symlink_to(store.root)
        for root in (store.root, store.root.parent / "linked"):
            store = OllamaStore(root)
            store.blobs.check(store.read_manifest(name("me/tiny")))
            store.blobs.open(weights_of(store)[0]).close()
        # A file there that is linked elsewhere is still refused.
        blob, path = weights_of(store)
        path.rename(disk.parent / "away")
        path.symlink_to(disk.parent / "away")
        with pytest.raises(BlobMissing, match="outside the store"):
            store.blobs.open(blob)

    def test_a_failing_disk_is_no_missing_blob(self, store: OllamaStore, monkeypatch: pytest.MonkeyPatch) -> None:
        blob, _ = weights_of(store)

        def broken(_: Path) -> None:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

        monkeypatch.setattr("registry_push.content.ollama.blob_files.open_regular", broken)
        with pytest.raises(BlobCorrupt, match="can't be read: Input/output error"):
            store.blobs.open(blob)

    def test_a_link_put_there_after_the_look_is_not_followed(
        self, store: OllamaStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        blob, path = weights_of(store)
        located = store.blobs.locate(blob)
        path.rename(store.root.parent / "away")
        path.symlink_to(store.root.parent / "away")
        monkeypatch.setattr(BlobFiles, "locate", lambda *_: located)
        with pytest.raises(BlobMissing, match="is a link"):
            store.blobs.open(blob)


class TestCheck:
    def test_thousands_of_layers(self, tmp_path: Path) -> None:
        model = make_many_store(tmp_path, layers=2000, layer_size=8)
        store = OllamaStore(tmp_path)
        manifest = store.read_manifest(model)
        store.blobs.check(manifest)
        for layer in manifest.layers[10:110]:
            (tmp_path / "blobs" / layer.digest.path_name).write_bytes(b"")
        with pytest.raises(BlobCorrupt, match="100 of 2001 blobs are damaged: ") as corrupt:
            store.blobs.check(manifest)
        assert corrupt.value.message.count("sha256:") == 3 and corrupt.value.message.endswith("; …")
        for layer in manifest.layers[:2]:
            (tmp_path / "blobs" / layer.digest.path_name).unlink()
        with pytest.raises(BlobMissing, match="2 of 2001 blobs are missing: ") as missing:
            store.blobs.check(manifest)
        assert missing.value.message.count("sha256:") == 2 and not missing.value.message.endswith("…")

    async def test_the_fixtures_are_whole(self) -> None:
        store = OllamaStore(FIXTURES)
        for model in await store.models():
            await store.check(await store.resolve(model.name))


class TestStubs:
    async def test_a_cloud_stub_has_nothing_to_push(self) -> None:
        store = OllamaStore(FIXTURES)
        with pytest.raises(NothingToPush, match=r"https://ollama\.com:443") as caught:
            await store.refuse_stub(await store.resolve(name("big:cloud")))
        assert caught.value.exit_code == 3

    async def test_others_have(self, tmp_path: Path) -> None:
        store = OllamaStore(FIXTURES)
        for text in ("me/tiny", "tensors:1b"):
            await store.refuse_stub(await store.resolve(name(text)))
        layers = [Layer(LAYER_TYPE + "model", b"weights after all")]
        write_model(tmp_path, name("both"), config(remote_host="https://ollama.com"), layers)
        write_model(tmp_path, name("odd"), config(remote_host=""), [])
        store = OllamaStore(tmp_path)
        for text in ("both", "odd"):
            await store.refuse_stub(await store.resolve(name(text)))

    @pytest.mark.parametrize("content", [None, b"", b"[]", b"\xff", b"[" * 50_000, b" " * (1 << 21)])
    def test_a_config_that_is_none_is_another_checks_business(self, tmp_path: Path, content: bytes | None) -> None:
        write_model(tmp_path, name("m"), config(), [])
        store = OllamaStore(tmp_path)
        manifest = store.read_manifest(name("m"))
        assert manifest.config is not None
        path = tmp_path / "blobs" / manifest.config.digest.path_name
        if content is None:
            path.unlink()
        else:
            path.write_bytes(content)
            size = manifest.raw.replace(f'"size":{manifest.config.size}'.encode(), f'"size":{len(content)}'.encode())
            manifest = Manifest.parse(size)
        store.check_stub(manifest)


class TestPrivacy:
    @pytest.mark.parametrize(
        "value",
        [
            "/home/me/x.gguf",
            "~/x.gguf",
            "./x.gguf",
            "../x",
            "C:\\Users\\me\\x.gguf",
            "C:/Users/x.gguf",
            "file:///x",
            "my models/x.gguf",
            "\\\\server\\share",
            "models/me/x.gguf",
            "a/b/c/d/e",
        ],
    )
    def test_a_path_is_told_once(self, value: str) -> None:
        assert privacy_warnings(self.manifest(value, value)) == [
            f"the manifest tells a path of the machine it was made on: {value}"
        ]

    @pytest.mark.parametrize("value", [None, "", "llama3.2:3b", "me/tiny:latest", "host:5000/me/tiny", "x.gguf"])
    def test_a_models_name_is_none(self, value: str | None) -> None:
        assert privacy_warnings(self.manifest(value)) == []

    @staticmethod
    def manifest(*values: str | None) -> Manifest:
        digest = str(Digest.of(b""))
        layers = [{"mediaType": LAYER_TYPE + "model", "digest": digest, "size": 0, "from": value} for value in values]
        return Manifest.parse(json.dumps({"schemaVersion": 2, "layers": layers}).encode())


def _bind(path: Path) -> None:
    # A socket's address has at most 107 bytes: bind by a short name in its folder.
    folder = os.open(path.parent, os.O_RDONLY)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"/proc/self/fd/{folder}/{path.name[:20]}")
    os.close(folder)
    path.with_name(path.name[:20]).rename(path)
