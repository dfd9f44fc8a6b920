"""What a hostile manifest costs: bounded memory, whatever it is made of, and its bytes stay as they were."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from registry_push.content.oci.index import LayoutIndex
from registry_push.errors import ManifestCorrupt
from registry_push.model import Digest, Manifest
from registry_push.model.manifest import MAX_MANIFEST_BYTES

pytestmark = pytest.mark.attack("S15")

# Python expressions, so that what is measured makes them itself. `%s` is replaced by what fills a document.
HOSTILE = {
    "16 MiB of {}": 'b"{}" * (8 * 1024 * 1024)',
    "five million empty objects": 'b"[" + b"{}," * 5_000_000 + b"{}]"',
    "4 MiB of {} as layers": 'head + b\'"layers":[\' + b"{}," * 1_300_000 + b"{}]}"',
    "4 MiB of [] beside them": 'head + b\'"x":[\' + b"[]," * 1_300_000 + b"0]}"',
    "4 MiB of numbers": 'head + b\'"x":[\' + b"7," * 2_000_000 + b"0]}"',
    "4 MiB of strings": 'head + b\'"x":[\' + b\'"ab",\' * 800_000 + b"0]}"',
    "as many objects as there may be": 'head + b\'"x":[\' + b"{}," * 249_000 + b"0]}"',
    "as many strings as there may be": 'head + b\'"x":[\' + b\'"abcde",\' * 499_000 + b"0]}"',
    "as many numbers as there may be": 'head + b\'"x":[\' + b"1.25e3," * 499_000 + b"0]}"',
    "many keys": 'head + b\'"x":{\' + b",".join(b\'"%d":0\' % n for n in range(350_000)) + b"}}"',
    "keys in a layer": 'head + b\'"layers":[{\' + b",".join(b\'"%d":0\' % n for n in range(350_000)) + b"}]}"',
    "one long string": 'head + b\'"x":"\' + b"a" * 4_190_000 + b\'"}\'',
    "one long string of emoji": 'head + b\'"x":"\' + "\\U0001f600".encode() * 1_000_000 + b\'"}\'',
    "deep nesting": 'head + b\'"x":\' + b"[" * 4_000_000',
    "deep objects": "head + b'\"x\":' + b'{\"a\":' * 800_000",
    "a number of 4 MB": 'head + b\'"x":\' + b"9" * 4_000_000 + b"}"',
}
SCRIPT = """
from pathlib import Path
from registry_push.errors import ManifestCorrupt
from registry_push.model import Manifest
from registry_push.content.oci.index import LayoutIndex
head = b'{"schemaVersion":2,'
raw = %s
for parse in (Manifest.parse, LayoutIndex.parse):
    try:
        parse(raw)
    except ManifestCorrupt:
        pass
# Not ru_maxrss, which a process has from the one that started it.
print(next(line.split()[1] for line in Path("/proc/self/status").read_text().splitlines() if line[:5] == "VmHWM"))
"""
# KiB: the interpreter, what is imported, and the document itself, of up to 16 MB, are 60 MB of them.
MOST = 100_000


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads its peak from /proc")
@pytest.mark.parametrize("document", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_manifest_takes_little_memory(document: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT % document],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    assert int(done.stdout) < MOST


def honest(count: int) -> bytes:
    layers = b",".join(
        b'{"mediaType":"application/vnd.ollama.image.tensor","digest":"sha256:%064x","size":%d,"name":"blk.%d"}'
        % (number, number, number)
        for number in range(count)
    )
    return b'{"schemaVersion":2, "layers":[' + layers + b"]}\n"


def test_an_honest_one_of_thousands_of_layers_is_read_as_it_is() -> None:
    raw = honest(20_000)
    manifest = Manifest.parse(raw)
    assert (len(manifest.layers), manifest.raw, manifest.digest) == (20_000, raw, Digest.of(raw))
    assert manifest.layers[77].rest == {"name": "blk.77"}


@pytest.mark.parametrize("over", [0, 1])
def test_four_mebibytes_are_read_and_no_more(over: int) -> None:
    raw = honest(3)
    raw += b" " * (MAX_MANIFEST_BYTES + over - len(raw))
    if over:
        with pytest.raises(ManifestCorrupt, match="at most 4194304"):
            Manifest.parse(raw)
    else:
        assert len(Manifest.parse(raw).layers) == 3


def test_commas_in_text_are_no_values() -> None:
    Manifest.parse(b'{"schemaVersion":2,"annotations":{"note":"' + b"a, " * 100_000 + b'"}}')


def test_the_index_of_a_layout_is_bounded_too() -> None:
    with pytest.raises(ManifestCorrupt, match="has about"):
        LayoutIndex.parse(b'{"schemaVersion":2,"manifests":[' + b"{}," * 1_000_000 + b"{}]}")
