"""Tiny, real Ollama stores: what `demo` pushes and tests read."""

from __future__ import annotations

import json
import random
import struct
from pathlib import Path
from typing import Any, Final

from msgspec import Struct

from ..model import Descriptor, Digest, ModelName
from ..model.manifest import DOCKER_MANIFEST

CONFIG_TYPE: Final = "application/vnd.docker.container.image.v1+json"
LAYER_TYPE: Final = "application/vnd.ollama.image."

TEMPLATE: Final = "{{ if .System }}<|system|>\n{{ .System }}\n{{ end }}<|user|>\n{{ .Prompt }}\n<|assistant|>\n"
PARAMS: Final = {"stop": ["<|user|>", "<|assistant|>"], "temperature": 0.7}
LICENSE: Final = "This sample model is made of random numbers. It is in the public domain.\n"

# GGUF, docs/gguf.md in ggml: value types, and tensor types as ggml numbers them.
_UINT32, _FLOAT32, _STRING, _ARRAY = 4, 6, 8, 9
_F32, _F16 = 0, 1
_ALIGNMENT: Final = 32
_EMBEDDING: Final = 64


class Layer(Struct, frozen=True):
    """Content with its media type, and Ollama's `from` and `name`, if any."""

    media_type: str
    content: bytes
    from_model: str | None = None
    name: str | None = None

    @property
    def descriptor(self) -> Descriptor:
        """As a manifest names it."""
        rest = {"from": self.from_model, "name": self.name}
        present = {key: value for key, value in rest.items() if value is not None}
        return Descriptor(self.media_type, Digest.of(self.content), len(self.content), present)


def write_sample_store(root: Path, *, name: str = "me/tiny:latest", weights: int = 1 << 20) -> ModelName:
    """Write a model of five layers and a config below `root`, which may hold others, and return its name.

    `weights` is about the size of its GGUF file, in bytes. The same arguments write the same bytes.
    """
    layers = [
        Layer(LAYER_TYPE + "model", gguf(weights, seed=0)),
        Layer(LAYER_TYPE + "template", TEMPLATE.encode()),
        Layer(LAYER_TYPE + "license", LICENSE.encode()),
        Layer(LAYER_TYPE + "system", b"You are a very small model."),
        Layer(LAYER_TYPE + "params", encoded(PARAMS)),
    ]
    return write_model(root, ModelName.parse(name), config(), layers)


def config(**fields: Any) -> dict[str, Any]:
    """Return a model's config: the fields of types/model/config.go in their order, `fields` before the last two."""
    return {
        "model_format": "gguf",
        "model_family": "llama",
        "model_families": ["llama"],
        "model_type": "260K",
        "file_type": "F16",
        **fields,
        "architecture": "amd64",
        "os": "linux",
    }


def write_model(root: Path, name: ModelName, config_fields: dict[str, Any], layers: list[Layer]) -> ModelName:
    """Write blobs, then the manifest, below `root`, and return `name`."""
    config_layer = Layer(CONFIG_TYPE, encoded(config_fields))
    blobs = root / "blobs"
    blobs.mkdir(parents=True, exist_ok=True)
    for layer in (*layers, config_layer):
        # Under its name when it is whole, as Ollama does: other models have it too, and may be read now.
        whole, blob = blobs / f"{layer.descriptor.digest.path_name}.part", blobs / layer.descriptor.digest.path_name
        whole.write_bytes(layer.content)
        whole.replace(blob)
    manifest = root.joinpath("manifests", *name.path_parts)
    manifest.parent.mkdir(parents=True, exist_ok=True)
    manifest.write_bytes(manifest_bytes(config_layer.descriptor, [layer.descriptor for layer in layers]))
    return name


def manifest_bytes(config: Descriptor, layers: list[Descriptor]) -> bytes:
    """Return a manifest as Ollama's WriteManifest leaves it: its order of keys, no spaces, a newline at the end."""
    return encoded(
        {
            "schemaVersion": 2,
            "mediaType": DOCKER_MANIFEST,
            "config": _fields(config),
            "layers": [_fields(layer) for layer in layers],
        }
    )


def encoded(document: dict[str, Any]) -> bytes:
    """Return JSON as Go's `json.NewEncoder` writes it: no spaces, `<`, `>` and `&` escaped, a newline at the end."""
    text = json.dumps(document, separators=(",", ":"), ensure_ascii=False)
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text.encode() + b"\n"


def gguf(size: int, *, seed: int) -> bytes:
    """Return a GGUF file, version 3, of about `size` bytes: a llama of one token table, its values from `seed`."""
    rows = max(4, size // (2 * _EMBEDDING))
    generator = random.Random(seed)  # noqa: S311  # reproducible content, no secret
    tensors = [
        ("token_embd.weight", (_EMBEDDING, rows), _F16, _halves(generator, _EMBEDDING * rows)),
        ("output_norm.weight", (_EMBEDDING,), _F32, struct.pack(f"<{_EMBEDDING}f", *[1.0] * _EMBEDDING)),
    ]
    metadata = [
        _pair("general.architecture", _STRING, _string("llama")),
        _pair("general.name", _STRING, _string("tiny")),
        _pair("general.alignment", _UINT32, struct.pack("<I", _ALIGNMENT)),
        _pair("general.file_type", _UINT32, struct.pack("<I", _F16)),
        _pair("llama.context_length", _UINT32, struct.pack("<I", 128)),
        _pair("llama.embedding_length", _UINT32, struct.pack("<I", _EMBEDDING)),
        _pair("llama.block_count", _UINT32, struct.pack("<I", 0)),
        _pair("llama.feed_forward_length", _UINT32, struct.pack("<I", 128)),
        _pair("llama.attention.head_count", _UINT32, struct.pack("<I", 4)),
        _pair("llama.attention.layer_norm_rms_epsilon", _FLOAT32, struct.pack("<f", 1e-5)),
        _pair("tokenizer.ggml.model", _STRING, _string("llama")),
        _pair("tokenizer.ggml.tokens", _ARRAY, _strings(["<unk>", "<s>", "</s>", "a"])),
    ]
    infos, data = b"", b""
    for tensor, shape, kind, content in tensors:
        infos += _string(tensor) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, kind, len(data))
        data += _padded(content)
    head = struct.pack("<4sIQQ", b"GGUF", 3, len(tensors), len(metadata)) + b"".join(metadata) + infos
    return _padded(head) + data


def _fields(blob: Descriptor) -> dict[str, Any]:
    return {"mediaType": blob.media_type, "digest": str(blob.digest), "size": blob.size, **blob.rest}


def _halves(generator: random.Random, count: int) -> bytes:
    """Return `count` half-precision numbers between 0.25 and 0.5: random bytes could be infinite or NaN."""
    data = bytearray(generator.randbytes(2 * count))
    # The high byte is sign, five bits of exponent, two of fraction: keep the sign and the fraction.
    data[1::2] = data[1::2].translate(bytes(byte & 0x83 | 0x34 for byte in range(256)))
    return bytes(data)


def _pair(key: str, kind: int, value: bytes) -> bytes:
    return _string(key) + struct.pack("<I", kind) + value


def _string(text: str) -> bytes:
    return struct.pack("<Q", len(text.encode())) + text.encode()


def _strings(texts: list[str]) -> bytes:
    return struct.pack("<IQ", _STRING, len(texts)) + b"".join(map(_string, texts))


def _padded(content: bytes) -> bytes:
    return content + bytes(-len(content) % _ALIGNMENT)
