"""Inventories: what is written is read, and what is none, or a hostile one, is refused in words."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry_push.errors import ManifestCorrupt, RegistryPushError, UsageError
from registry_push.model import Digest
from registry_push.model.inventory import KIND, MAX_INVENTORY_BYTES, Inventory, InventoryEntry

A, B = Digest.of(b"a"), Digest.of(b"b")
digests = st.binary().map(Digest.of)
inventories = st.builds(
    Inventory,
    st.text(),
    st.frozensets(digests, max_size=5),
    st.frozensets(st.builds(InventoryEntry, st.text(), digests), max_size=5).map(lambda each: tuple(sorted(each))),
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | digests.map(str),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


def document(**changes: Any) -> bytes:
    """An inventory of two blobs, with `changes`; `None` takes a field out."""
    fields = {
        "version": 1,
        "kind": KIND,
        "place": "ollama:",
        "blobs": [str(A), str(B)],
        "manifests": [{"name": "registry.ollama.ai/me/tiny:latest", "digest": str(A)}],
    }
    return json.dumps({key: value for key, value in (fields | changes).items() if value is not None}).encode()


@given(inventories)
def test_what_it_writes_it_reads(inventory: Inventory) -> None:
    assert Inventory.parse(inventory.encode()) == inventory
    assert Inventory.parse(inventory.encode()).encode() == inventory.encode()


def test_the_same_content_makes_the_same_bytes() -> None:
    entries = (InventoryEntry("b:v1", A), InventoryEntry("a:v1", B))
    one = Inventory("ollama:", frozenset((A, B)), entries)
    other = Inventory("ollama:", frozenset((B, A)), (*reversed(entries), entries[0]))
    assert one.encode() == other.encode() and one.encode().endswith(b"}\n")
    written = json.loads(one.encode())
    assert written["blobs"] == sorted((str(A), str(B)))
    assert [each["name"] for each in written["manifests"]] == ["a:v1", "b:v1"]


def test_the_output_of_json_is_read() -> None:
    warned = json.dumps({"event": "warning", "time": "2026-11-30T00:00:00.000Z", "message": "x", "hint": None})
    result = json.dumps({"event": "result", "time": "…", **json.loads(document()), "elapsed": 0.5})
    for text in (result, f"{result}\n", f"{warned}\r\n{result}\r\n", json.dumps(json.loads(result), indent=2)):
        assert Inventory.parse(text.encode()) == Inventory.parse(document())


def test_a_failed_run_is_no_inventory() -> None:
    line = json.dumps({"event": "error", "message": "no Ollama store in /x", "exit_code": 3})
    with pytest.raises(UsageError, match=r"far\.json says why no inventory was made: no Ollama store in /x"):
        Inventory.parse(line.encode(), file="far.json")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig", "utf-16-le"])
def test_what_other_shells_write_is_read(encoding: str) -> None:
    text = document().decode().replace(", ", ",\r\n")
    assert Inventory.parse(text.encode(encoding)) == Inventory.parse(document())


def test_digests_are_read_in_every_spelling() -> None:
    read = Inventory.parse(document(blobs=[f"sha256-{A.hex.upper()}", str(A)]))
    assert read.blobs == {A}


REFUSED: dict[str, tuple[bytes, type[RegistryPushError], str]] = {
    "nothing": (b"", UsageError, "it is no JSON object"),
    "a list": (b"[]", UsageError, "it is no JSON object"),
    "an archive": (b"oci-layout\0\0\0\xff\xfe", UsageError, "it is no JSON object"),
    "cut off": (document()[:-9], ManifestCorrupt, "is not JSON"),
    "another kind": (document(kind="x" * 100), UsageError, "its kind is 'xxx"),
    "an image index": (b'{"schemaVersion": 2, "manifests": []}', UsageError, "it has no kind"),
    "a newer version": (document(version=2), UsageError, "was made by a newer registry-push"),
    "no version": (document(version=None), ManifestCorrupt, "its version is no number"),
    "a true version": (document(version=True), ManifestCorrupt, "its version is no number"),
    "no place": (document(place=None), ManifestCorrupt, "place is no text"),
    "no blobs": (document(blobs=None), ManifestCorrupt, "blobs is no list"),
    "blobs by number": (document(blobs={"0": str(A)}), ManifestCorrupt, "blobs is no list"),
    "no manifests": (document(manifests=None), ManifestCorrupt, "manifests is no list"),
    "a path as a blob": (document(blobs=["sha256:../../x"]), ManifestCorrupt, "not a sha256 digest"),
    "a number as a blob": (document(blobs=[1]), ManifestCorrupt, "not a sha256 digest"),
    "sha512": (document(blobs=[f"sha512:{'0' * 128}"]), ManifestCorrupt, "sha512 digests are not supported"),
    "a manifest without a name": (document(manifests=[{"digest": str(A)}]), ManifestCorrupt, "name is no text"),
    "a manifest that is text": (document(manifests=["x"]), ManifestCorrupt, "is no object"),
    "a manifest of nothing": (document(manifests=[{"name": "x"}]), ManifestCorrupt, "not a sha256 digest"),
    "deep": (b'{"a":' * 100_000, ManifestCorrupt, "is not JSON"),
    "too many values": (b'{"a":[' + b"{}," * 1_000_001 + b"{}]}", ManifestCorrupt, "at most 500000 are read"),
}


@pytest.mark.parametrize(("raw", "kind", "words"), REFUSED.values(), ids=REFUSED.keys())
def test_what_is_none_is_refused(raw: bytes, kind: type[RegistryPushError], words: str) -> None:
    with pytest.raises(kind, match=words) as raised:
        Inventory.parse(raw, file="far\x1b[31m.json")
    assert type(raised.value) is kind
    assert raised.value.message.startswith("far\\x1b[31m.json ")
    assert "registry-push" in (raised.value.hint or "") and "ollama pull" not in (raised.value.hint or "")


def test_a_huge_one_is_not_decoded() -> None:
    with pytest.raises(ManifestCorrupt, match=f"at most {MAX_INVENTORY_BYTES} are read"):
        Inventory.parse(b"{" + bytes(MAX_INVENTORY_BYTES))


@given(json_values | st.fixed_dictionaries({"kind": st.just(KIND), "version": json_values, "blobs": json_values}))
def test_odd_json_is_refused_in_words(value: Any) -> None:
    with pytest.raises(RegistryPushError):
        Inventory.parse(json.dumps(value).encode())


@given(st.sampled_from(["version", "place", "blobs", "manifests"]), json_values)
def test_an_odd_field_is_an_inventory_or_refused(key: str, value: Any) -> None:
    with contextlib.suppress(UsageError, ManifestCorrupt):
        assert all(isinstance(each, Digest) for each in Inventory.parse(document(**{key: value})).blobs)


@given(st.binary())
def test_any_bytes_are_refused_in_words(raw: bytes) -> None:
    for each in (raw, document() + raw, document()[: len(raw)] + raw):
        with contextlib.suppress(UsageError, ManifestCorrupt):
            Inventory.parse(each)
