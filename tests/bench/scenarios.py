"""What is measured: contents, registries, lines, and who takes part."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from .clients import HASHLIB, STREAM, US, US_AGAIN
from .stage import Shape

KIB: Final = 1 << 10
MIB: Final = 1 << 20
GIB: Final = 1 << 30

# A line as between two continents: 1 Gbit/s, and a round trip of 50 ms.
LINE_RATE: Final = 125_000_000
LINE_DELAY: Final = 0.025
ROUND_TRIP: Final = 2 * LINE_DELAY

_LOCAL: Final = (US, US_AGAIN, "regctl", "crane", "ollama", "skopeo", "oras-py", "curl", HASHLIB)
# On a long line skopeo takes half a minute.
_FAR: Final = (US, "regctl", "crane", STREAM)
_COPIES: Final = (US, "regctl", "crane", "oras", "skopeo", HASHLIB)
_FAR_COPIES: Final = (US, "regctl", "crane", "oras", STREAM)
_GO: Final = ("regctl", "regctl, HTTP/1.1", "crane", "crane, HTTP/1.1")


@dataclass(frozen=True, slots=True)
class Sizes:
    """Bytes and counts of the contents."""

    big: int = 2 * GIB
    many: int = 1600 * MIB
    blobs: int = 400
    small: int = 64 * KIB
    layers: tuple[int, ...] = (100, 1_000, 10_000)
    layer: int = KIB
    sparse: tuple[int, ...] = (GIB, 8 * GIB)
    line: int = GIB
    line_blobs: int = 35
    copied: int = 1800 * MIB  # of the many blobs that are copied

    @classmethod
    def quick(cls) -> Sizes:
        """So little that it only shows that all of it runs."""
        return cls(
            big=9 * MIB,
            many=MIB,
            blobs=4,
            small=KIB,
            layers=(3,),
            sparse=(10 * MIB,),
            line=MIB,
            line_blobs=2,
            copied=MIB,
        )


class Kind(StrEnum):
    """What is measured: from where to where."""

    PUSH = "from an Ollama store to a registry"
    COPY = "from a registry to another"
    LAYOUT = "from a registry into an image layout"
    PULL = "from a registry into an Ollama store"


@dataclass(frozen=True, slots=True)
class Scenario:
    """One table. With several `shapes` it shows how the cost grows, in `unit`s.

    `filled`: everything is at the registry already. `one`: the newest registry is enough. `jobs` is for us.
    """

    name: str
    says: str
    shapes: tuple[Shape, ...]
    clients: tuple[str, ...]
    tls: bool = False
    line: bool = False
    sink: bool = False
    filled: bool = False
    one: bool = False
    jobs: int | None = None
    unit: str = ""
    kind: Kind = Kind.PUSH

    def units(self, shape: Shape) -> float:
        """How many units `shape` has."""
        return shape.blobs if self.unit == "layer" else shape.total / GIB


def all_scenarios(sizes: Sizes) -> tuple[Scenario, ...]:
    """Every scenario, in the order of the report."""
    big, many = Shape(1, sizes.big), Shape(sizes.blobs, sizes.many // sizes.blobs)
    small = Shape(sizes.blobs, sizes.small)
    line_big, line_many = Shape(1, sizes.line), Shape(sizes.line_blobs, sizes.line // sizes.line_blobs)
    tls = (US, *_GO, "skopeo", HASHLIB)
    return (
        Scenario("big", f"{_bytes(big.total)} in one blob", (big,), _LOCAL),
        Scenario("many", f"{_bytes(many.total)} in {many.blobs} blobs", (many,), _LOCAL),
        Scenario("small", f"{small.blobs} blobs of {_bytes(small.size)}", (small,), _LOCAL),
        Scenario("present", f"{many.blobs} blobs, all there", (many,), (US, "regctl", "crane", "skopeo"), filled=True),
        Scenario("tls-big", f"{_bytes(big.total)} in one blob, TLS", (big,), tls, tls=True, one=True),
        Scenario("tls-many", f"{_bytes(many.total)} in {many.blobs} blobs, TLS", (many,), tls, tls=True, one=True),
        Scenario(
            "wan-big", f"{_bytes(line_big.total)} in one blob, a long line", (line_big,), _FAR, line=True,
            one=True,
        ),
        Scenario(
            "wan-many", f"{_bytes(line_many.total)} in {line_many.blobs} blobs, a long line", (line_many,),
            _FAR, line=True, one=True,
        ),
        Scenario(
            "wan-small", f"{small.blobs} blobs of {_bytes(small.size)}, a long line, 32 jobs", (small,),
            (US, "regctl", "crane"), line=True, one=True, jobs=32,
        ),
        Scenario(
            "wan-tls-big", f"{_bytes(line_big.total)} in one blob, TLS, a long line", (line_big,), (US, *_GO, STREAM),
            tls=True, line=True, one=True,
        ),
        Scenario(
            "wan-tls-many", f"{_bytes(line_many.total)} in {line_many.blobs} blobs, TLS, a long line", (line_many,),
            (US, *_GO, STREAM), tls=True, line=True, one=True,
        ),
        Scenario(
            "layers", f"more and more layers of {_bytes(sizes.layer)}",
            tuple(Shape(count, sizes.layer) for count in sizes.layers), (US,), one=True, unit="layer",
        ),
        Scenario(
            "sparse", "larger and larger holes, to a registry that keeps nothing",
            tuple(Shape(1, size, sparse=True) for size in sizes.sparse), (US, HASHLIB), sink=True, unit="GiB",
        ),
        *_copies(sizes),
    )  # fmt: skip


def _copies(sizes: Sizes) -> Iterator[Scenario]:
    big, many = Shape(1, sizes.big), Shape(sizes.blobs, sizes.copied // sizes.blobs)
    line_big, line_many = Shape(1, sizes.line), Shape(sizes.line_blobs, sizes.line // sizes.line_blobs)
    for kind in (Kind.COPY, Kind.LAYOUT, Kind.PULL):
        name = kind.name.lower()
        for amount, shape in (("big", big), ("many", many)):
            yield Scenario(f"{name}-{amount}", f"{_said(shape)} {kind}", (shape,), _COPIES, one=True, kind=kind)
        for amount, shape in (("big", line_big), ("many", line_many)):
            says = f"{_said(shape)} {kind}, long lines"
            yield Scenario(f"wan-{name}-{amount}", says, (shape,), _FAR_COPIES, line=True, one=True, kind=kind)


def _said(shape: Shape) -> str:
    return f"{_bytes(shape.total)} in {'one blob' if shape.blobs == 1 else f'{shape.blobs} blobs'}"


def _bytes(count: int) -> str:
    for unit, name in ((GIB, "GiB"), (MIB, "MiB"), (KIB, "KiB")):
        if count >= unit:
            return f"{count / unit:.4g} {name}"
    return f"{count} B"
