"""The Ollama store: which models are found, by what name, and what is said of the rest."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from registry_push.content.ollama.names import closest
from registry_push.content.ollama.source import OllamaStore
from registry_push.embedded.sample import LAYER_TYPE, Layer, config, write_model, write_sample_store
from registry_push.errors import (
    ManifestCorrupt,
    ModelNotFound,
)
from registry_push.model import Digest, ModelName
from registry_push.model.manifest import MAX_MANIFEST_BYTES

FIXTURES = Path(__file__).parents[2] / "fixtures" / "ollama"


def name(text: str) -> ModelName:
    return ModelName.parse(text)


@pytest.fixture
def store(tmp_path: Path) -> OllamaStore:
    """A store with `me/tiny:latest`."""
    write_sample_store(tmp_path / "models", weights=4000)
    return OllamaStore(tmp_path / "models")


def snapshot(root: Path) -> dict[str, tuple[int, int]]:
    return {str(path): (path.lstat().st_mtime_ns, path.lstat().st_size) for path in root.rglob("*")}


class TestListing:
    async def test_the_fixtures(self) -> None:
        listing = await OllamaStore(FIXTURES).listing()
        assert [model.name.short for model in listing.models] == [
            "big:cloud",
            "me/tiny:latest",
            "me/tiny:verse",
            "tensors:1b",
        ]
        assert listing.problems == ()
        model = listing.models[0]
        assert (model.size, model.modified) == (model.path.stat().st_size, model.path.stat().st_mtime)

    def test_an_empty_store_is_empty(self, tmp_path: Path) -> None:
        assert OllamaStore(tmp_path).scan().models == ()

    def test_names_are_sorted_with_numbers_by_value(self, tmp_path: Path) -> None:
        for text in ("llama3:70b", "llama3:8b", "Llama2:7b", "zoo", "host:5000/a/b", "me/x", "llama3.2:11b"):
            write_model(tmp_path, name(text), config(), [])
        shown = [model.name.short for model in OllamaStore(tmp_path).scan().models]
        assert shown == [
            "host:5000/a/b:latest",
            "Llama2:7b",
            "llama3:8b",
            "llama3:70b",
            "llama3.2:11b",
            "me/x:latest",
            "zoo:latest",
        ]

    def test_strangers_are_reported_and_skipped(self, store: OllamaStore) -> None:
        manifests = store.root / "manifests"
        (manifests / "README").write_text("x")
        (manifests / "h" / "n" / "m" / "t" / "too-deep").mkdir(parents=True)
        (manifests / "h" / "n" / "m" / "-bad").write_text("x")
        (manifests / "h" / "n" / "m" / "ok").write_text("not read by a listing")
        (manifests / "h" / ".DS_Store").write_text("x")
        os.mkfifo(manifests / "h" / "n" / "m" / "pipe")
        (manifests / "h" / "n" / "m" / "away").symlink_to("/etc/hostname")
        (manifests / "h" / "n" / "m" / "nowhere").symlink_to("absent")
        listing = store.scan()
        assert [model.name.short for model in listing.models] == ["h/n/m:ok", "me/tiny:latest"]
        found = {Path(problem.partition(": ")[0]).name: problem.partition(": ")[2] for problem in listing.problems}
        assert found == {
            "README": "a stray file",
            "t": "a folder, where a manifest should be",
            "-bad": "its tag is '-bad', with a character that is not allowed there",
            "pipe": "is a pipe, not a file",
            "away": "is linked to a place outside the store",
            "nowhere": "is a link that leads nowhere",
        }

    async def test_nothing_is_ever_written(self, store: OllamaStore) -> None:
        before = snapshot(store.root)
        await store.models()
        manifest = await store.resolve(name("ME/tiny"))
        await store.check(manifest)
        await store.refuse_stub(manifest)
        body = await store.open(manifest.layers[0])
        assert [piece async for piece in body.open(0, 10)]
        await body.close()
        assert snapshot(store.root) == before


class TestNewLayout:
    """manifests-v2, as in Ollama's pull request 16590."""

    @pytest.fixture
    def linked(self, store: OllamaStore) -> OllamaStore:
        """The sample as the new layout keeps it: a link to a manifest among the blobs."""
        old = store.root / "manifests/registry.ollama.ai/me/tiny/latest"
        raw = old.read_bytes()
        old.unlink()
        (store.root / "blobs" / Digest.of(raw).path_name).write_bytes(raw)
        new = store.root / "manifests-v2/ollama.com/me/tiny/latest"
        new.parent.mkdir(parents=True)
        new.symlink_to(f"../../../../blobs/{Digest.of(raw).path_name}")
        return store

    async def test_a_link_into_the_blobs_is_a_manifest(self, linked: OllamaStore) -> None:
        assert [model.name.short for model in await linked.models()] == ["me/tiny:latest"]
        for text in ("me/tiny", "ollama.com/me/tiny", "Me/TINY"):
            await linked.check(await linked.resolve(name(text)))

    def test_a_port_is_escaped(self, linked: OllamaStore) -> None:
        for host in ("h%3A5000", "i%3a5000"):
            new = linked.root / "manifests-v2" / host / "n" / "m" / "t"
            new.parent.mkdir(parents=True)
            new.write_bytes((linked.root / "manifests-v2/ollama.com/me/tiny/latest").read_bytes())
        shown = [model.name.short for model in linked.scan().models]
        assert shown == ["h:5000/n/m:t", "i:5000/n/m:t", "me/tiny:latest"]
        assert linked.read_manifest(name("h:5000/n/m:t")) == linked.read_manifest(name("i:5000/n/m:t"))

    def test_an_escaped_port_is_an_exact_name(self, store: OllamaStore) -> None:
        for host, text in (("h%3A5000", "exact"), ("H%3A5000", "other case")):
            write_model(store.root, name("scratch"), config(parser=text), [])
            new = store.root / "manifests-v2" / host / "n" / "m" / "t"
            new.parent.mkdir(parents=True)
            (store.root / "manifests/registry.ollama.ai/library/scratch/latest").rename(new)
        raw = store.read_manifest(name("h:5000/n/m:t")).raw
        assert raw == (store.root / "manifests-v2/h%3A5000/n/m/t").read_bytes()

    def test_the_new_entry_wins_over_the_old(self, linked: OllamaStore) -> None:
        write_model(linked.root, name("me/tiny"), config(), [])
        assert ["manifests-v2" in model.path.parts for model in linked.scan().models] == [True]
        assert linked.read_manifest(name("me/tiny")).layers

    def test_an_old_entry_under_the_new_host_is_found(self, store: OllamaStore) -> None:
        write_model(store.root, name("ollama.com/me/other"), config(), [])
        assert store.read_manifest(name("me/other")) == store.read_manifest(name("ollama.com/me/other"))

    def test_a_manifest_that_is_not_what_its_link_says_is_corrupt(self, linked: OllamaStore) -> None:
        path = linked.root / "manifests-v2/ollama.com/me/tiny/latest"
        path.resolve().write_bytes(path.read_bytes() + b"\n")
        with pytest.raises(ManifestCorrupt, match="its file sha256-"):
            linked.read_manifest(name("me/tiny"))


class TestResolve:
    async def test_its_bytes_are_the_files(self) -> None:
        manifest = await OllamaStore(FIXTURES).resolve(name("me/tiny:verse"))
        raw = (FIXTURES / "manifests/registry.ollama.ai/me/tiny/verse").read_bytes()
        assert manifest.raw == raw and raw.endswith(b"}\n") and manifest.digest == Digest.of(raw)

    def test_without_case_where_the_exact_name_is_not_there(self, store: OllamaStore) -> None:
        exact = store.read_manifest(name("me/tiny"))
        assert store.read_manifest(name("ME/Tiny:LATEST")) == exact

    def test_the_exact_name_wins_and_a_third_spelling_is_ambiguous(self, store: OllamaStore) -> None:
        write_model(store.root, name("ME/tiny"), config(), [Layer(LAYER_TYPE + "system", b"other")])
        assert store.read_manifest(name("me/tiny")) != store.read_manifest(name("ME/tiny"))
        with pytest.raises(ModelNotFound, match="me/Tiny:latest could be ME/tiny:latest and me/tiny:latest"):
            store.read_manifest(name("me/Tiny"))

    def test_a_near_name_is_proposed(self, store: OllamaStore) -> None:
        with pytest.raises(ModelNotFound) as caught:
            store.read_manifest(name("me/tinny"))
        assert (caught.value.hint, caught.value.exit_code) == ("did you mean me/tiny:latest?", 3)
        with pytest.raises(ModelNotFound) as caught:
            store.read_manifest(name("quite-another"))
        assert caught.value.hint == "see what is there: registry-push list"

    @pytest.mark.parametrize("raw", [b"", b"{", b"[]", b'{"schemaVersion":1}', b" " * (MAX_MANIFEST_BYTES + 1)])
    def test_a_manifest_that_is_none_is_named(self, store: OllamaStore, raw: bytes) -> None:
        (store.root / "manifests/registry.ollama.ai/me/tiny/latest").write_bytes(raw)
        with pytest.raises(ManifestCorrupt, match="me/tiny:latest"):
            store.read_manifest(name("me/tiny"))

    @pytest.mark.attack("CVE-2024-37032")
    def test_cve_2024_37032_a_digest_in_the_store_leads_nowhere(self, store: OllamaStore) -> None:
        path = store.root / "manifests/registry.ollama.ai/me/tiny/latest"
        document = json.loads(path.read_bytes())
        document["layers"][0]["digest"] = "sha256:../../../../../../../../etc/passwd"
        path.write_text(json.dumps(document))
        with pytest.raises(ManifestCorrupt, match="not a sha256 digest"):
            store.read_manifest(name("me/tiny"))

    @pytest.mark.parametrize("kind", ["pipe", "folder", "outside", "dangling", "loop"])
    def test_a_manifest_that_is_no_file_of_the_store_is_refused(self, store: OllamaStore, kind: str) -> None:
        path = store.root / "manifests/registry.ollama.ai/me/tiny/latest"
        copy = store.root.parent / "copy"
        copy.write_bytes(path.read_bytes())
        path.unlink()
        make: dict[str, Callable[[], Any]] = {
            "pipe": lambda: os.mkfifo(path),
            "folder": path.mkdir,
            "outside": lambda: path.symlink_to(copy),
            "dangling": lambda: path.symlink_to("absent"),
            "loop": lambda: path.symlink_to("latest"),
        }
        make[kind]()
        with pytest.raises(ManifestCorrupt, match="me/tiny:latest can't be read"):
            store.read_manifest(name("me/tiny"))


class TestMatch:
    MODELS = ("llama3.2:3b", "llama3.2:latest", "llama3.1:8b", "me/tiny:latest", "me/Tiny2:q4", "host:5000/me/far:v1")

    @pytest.fixture
    def many(self, tmp_path: Path) -> OllamaStore:
        for text in self.MODELS:
            write_model(tmp_path, name(text), config(), [])
        return OllamaStore(tmp_path)

    @pytest.mark.parametrize(
        ("pattern", "found"),
        [
            (
                "*",
                [
                    "host:5000/me/far:v1",
                    "llama3.1:8b",
                    "llama3.2:3b",
                    "llama3.2:latest",
                    "me/tiny:latest",
                    "me/Tiny2:q4",
                ],
            ),
            ("llama3*", ["llama3.1:8b", "llama3.2:3b", "llama3.2:latest"]),
            ("llama3.?", ["llama3.1:8b", "llama3.2:3b", "llama3.2:latest"]),
            ("llama3.?:3b", ["llama3.2:3b"]),
            ("*:latest", ["llama3.2:latest", "me/tiny:latest"]),
            ("me/*", ["me/tiny:latest", "me/Tiny2:q4"]),
            ("me/tiny?", ["me/Tiny2:q4"]),
            ("ME/TINY*", ["me/tiny:latest", "me/Tiny2:q4"]),
            ("*/me/*", ["host:5000/me/far:v1", "me/tiny:latest", "me/Tiny2:q4"]),
            ("host:5000/*", ["host:5000/me/far:v1"]),
            ("registry.ollama.ai/library/*", ["llama3.1:8b", "llama3.2:3b", "llama3.2:latest"]),
            ("llama3.[12]:[38]b", ["llama3.1:8b", "llama3.2:3b"]),
            ("llama3.2", ["llama3.2:latest"]),
            ("me/tiny2:Q4", ["me/Tiny2:q4"]),
        ],
    )
    async def test_what_a_pattern_means(self, many: OllamaStore, pattern: str, found: list[str]) -> None:
        assert [model.short for model in await many.match(pattern)] == found

    @pytest.mark.parametrize("pattern", ["nothing*", "me/tiny:v*", "tiny*", "llama3.1"])
    async def test_no_match_is_an_error(self, many: OllamaStore, pattern: str) -> None:
        with pytest.raises(ModelNotFound):
            await many.match(pattern)


@pytest.mark.parametrize(
    ("wanted", "near"),
    [
        ("registry.example.com/ml/other", []),
        ("registry.example.com/ml/tinny", ["registry.example.com/ml/tiny:latest"]),
        ("registry.example.com/mll/tiny", ["registry.example.com/ml/tiny:latest"]),
        ("tiny", ["registry.example.com/ml/tiny:latest"]),
        ("llama3.2:3c", ["llama3.2:3b", "llama3.2:1b"]),
        ("llama32", ["llama3.2:1b", "llama3.2:3b"]),
        ("mistral:latest", []),
    ],
)
def test_what_two_names_share_does_not_make_the_rest_alike(wanted: str, near: list[str]) -> None:
    here = ["registry.example.com/ml/tiny", "llama3.2:3b", "llama3.2:1b", "me/zzz", "registry.example.com/ml/big-one"]
    assert closest(wanted, map(ModelName.parse, here)) == near
