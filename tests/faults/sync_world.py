"""What a sync under faults is about: a source of several repositories, what its targets have before, and the plan.

Filled and looked at on the disk of embedded registries, never by our client.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, unquote

from registry_push.content.oci.index import REF_NAME
from registry_push.model import Digest, Manifest
from registry_push.model.manifest import OCI_INDEX, OCI_MANIFEST

CONFIG_TYPE: Final = "application/vnd.oci.image.config.v1+json"
LAYER_TYPE: Final = "application/vnd.oci.image.layer.v1.tar"
MOST_DELETED: Final = 5  # tags that `--delete` finds at the targets

Tag = tuple[str, str]  # a repository and a tag in it


@dataclass(frozen=True, slots=True)
class Image:
    """A manifest, the blobs that it names, and the manifests that it lists."""

    manifest: Manifest
    blobs: Mapping[Digest, bytes]
    children: tuple[Image, ...] = ()

    @classmethod
    def of(cls, *layers: bytes, note: str, subject: Image | None = None) -> Image:
        """A manifest of `layers`, with a config that no other has."""
        config = json.dumps({"note": note}).encode()
        document: dict[str, Any] = {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": _named(CONFIG_TYPE, config),
            "layers": [_named(LAYER_TYPE, layer) for layer in layers],
        }
        if subject is not None:
            document["artifactType"] = "application/vnd.test.sig"
            document["subject"] = _named(subject.manifest.media_type, subject.manifest.raw)
        contents = {Digest.of(content): content for content in (*layers, config)}
        return cls(Manifest.parse(json.dumps(document).encode()), contents)

    @classmethod
    def listing(cls, *children: Image) -> Image:
        """An index of `children`."""
        entries = [_named(child.manifest.media_type, child.manifest.raw) for child in children]
        raw = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries}).encode()
        return cls(Manifest.parse(raw), {}, children)

    @property
    def digest(self) -> Digest:
        """Its manifest's."""
        return self.manifest.digest

    def every(self) -> Iterator[Image]:
        """Itself, and what it lists."""
        yield self
        for child in self.children:
            yield from child.every()

    def all_blobs(self) -> dict[Digest, bytes]:
        """Its blobs, and those of what it lists."""
        return {digest: content for each in self.every() for digest, content in each.blobs.items()}


@dataclass(frozen=True, slots=True)
class Wanted:
    """A tag that the plan wants at a target: which entry's, what it is at the source, and whether it stays as it is."""

    entry: int
    source: str  # REPOSITORY:TAG
    image: Image
    about: tuple[Image, ...] = ()  # referrers that go with it
    kept: bool = False
    backup: str | None = None

    @property
    def blobs(self) -> dict[Digest, bytes]:
        """All that is copied with it."""
        return {digest: content for each in (self.image, *self.about) for digest, content in each.all_blobs().items()}


@dataclass(frozen=True)
class World:
    """`source` is what the source has, `before` what each target has; `wanted` is what the plan makes of it.

    `left_out` are what the plan leaves out at the source, by entry. `doomed` are tags at targets that `--delete` means.
    """

    source: dict[Tag, Image]
    about: dict[str, tuple[Image, ...]]  # referrers at the source, by repository
    before: tuple[dict[Tag, Image], dict[Tag, Image]]
    wanted: tuple[dict[Tag, Wanted], dict[Tag, Wanted]]
    left_out: frozenset[tuple[int, str]]
    doomed: tuple[frozenset[Tag], frozenset[Tag]]
    contents: dict[Digest, list[bytes]] = field(default_factory=dict)
    images: dict[Digest, Image] = field(default_factory=dict)

    @classmethod
    def of_seed(cls, seed: int, sizes: tuple[int, ...]) -> World:
        """Five entries; `sizes` are those of the large blobs, the first of them shared by all."""
        dice = random.Random(f"world {seed}")
        shared, *others = (dice.randbytes(size) for size in sizes)

        def image(note: str, *layers: bytes, subject: Image | None = None) -> Image:
            return Image.of(*layers, dice.randbytes(dice.randint(20, 3000)), note=note, subject=subject)

        many = Image.listing(image("amd64", others[0]), image("arm64", shared))
        signed = image("signed", shared)
        signature = image("signature", subject=signed)
        source = {
            ("ml/alpha", "1.0"): image("alpha 1.0", shared),
            ("ml/alpha", "1.1"): image("alpha 1.1", shared, others[-1]),
            ("ml/alpha", "dev"): image("alpha dev"),
            ("ml/beta", "1.0"): image("beta 1.0", others[0]),
            ("ml/secret", "1.0"): image("secret"),
            ("set/many", "latest"): many,
            ("signed/one", "v1"): signed,
            ("pair/both", "a"): image("pair a", shared),
            ("pair/both", "b"): image("pair b"),
            ("moved/tag", "current"): image("current", shared, others[-1]),
            ("moved/tag", "fix1"): image("fix1"),
        }
        stays = image("stays")
        first = {
            ("moved/tag", "current"): image("previous", others[0]),
            ("moved/tag", "fix1"): image("fixed for good"),
            ("moved/tag", "stale"): stays,
            ("moved/tag", "2024-old"): image("an older backup"),
            ("mirror/alpha", "1.5"): image("gone at the source"),
            ("mirror/alpha", "1.6"): source["ml/alpha", "1.0"],
            ("mirror/alpha", "dev"): image("another dev"),
            ("copies/pair/both", "gone"): stays,
        }
        second = {("copies/pair/both", "gone"): stays, ("copies/pair/both", "b"): source["pair/both", "b"]}

        def want(entry: int, repository: str, tag: str, **more: Any) -> Wanted:
            return Wanted(entry, f"{repository}:{tag}", source[repository, tag], **more)

        at_first = {
            ("mirror/alpha", "1.0"): want(1, "ml/alpha", "1.0"),
            ("mirror/alpha", "1.1"): want(1, "ml/alpha", "1.1"),
            ("mirror/beta", "1.0"): want(1, "ml/beta", "1.0"),
            ("set/many", "latest"): want(2, "set/many", "latest"),
            ("signed/one", "v1"): want(3, "signed/one", "v1", about=(signature,)),
            ("copies/pair/both", "a"): want(4, "pair/both", "a"),
            ("copies/pair/both", "b"): want(4, "pair/both", "b"),
            ("moved/tag", "current"): want(5, "moved/tag", "current", backup="current-old"),
            ("moved/tag", "fix1"): want(5, "moved/tag", "fix1", kept=True),
        }
        at_second = {tag: wanted for tag, wanted in at_first.items() if wanted.entry == 4}
        gone = {("moved/tag", "stale"), ("mirror/alpha", "1.5"), ("mirror/alpha", "1.6"), ("copies/pair/both", "gone")}
        made = cls(
            source,
            {"signed/one": (signature,)},
            (first, second),
            (at_first, at_second),
            frozenset({(1, "ml/alpha:dev"), (1, "ml/secret")}),
            (frozenset(gone), frozenset({("copies/pair/both", "gone")})),
        )
        for top in (*source.values(), signature, *first.values()):
            for each in top.every():
                made.images[each.digest] = each
                made.contents.update({digest: [content] for digest, content in each.blobs.items()})
        return made

    def plan(self, source: str, first: str, second: str) -> str:
        """The plan, for registries at these hosts."""
        return f"""
[[sync]]
source = "registry:{source}/ml/"
target = "registry:{first}/"
models = ["ml/*", "!ml/secret"]
tags = {{ semver = ">=1" }}
rename = {{ "ml/(.*)" = 'mirror/\\1' }}

[[sync]]
source = "registry:{source}/set/many:latest"
target = "registry:{first}/set/many:latest"

[[sync]]
source = "registry:{source}/signed/one:v1"
target = "registry:{first}/"
referrers = "all"

[[sync]]
source = "registry:{source}/pair/both"
target = ["registry:{first}/copies/", "registry:{second}/copies/"]

[[sync]]
source = "registry:{source}/moved/tag"
target = "registry:{first}/moved/tag"
tags = {{ immutable = ["fix*"] }}
backup = "{{tag}}-old"
"""

    def fill_source(self, root: Path) -> None:
        """Write all that the source has."""
        fill(root, self.source, self.about)


def fill(root: Path, tags: Mapping[Tag, Image], about: Mapping[str, Iterable[Image]] | None = None) -> None:
    """Write the registry at `root`: `tags`, and referrers without one."""
    repositories: dict[str, list[tuple[str | None, Image]]] = {}
    for (repository, tag), image in tags.items():
        repositories.setdefault(repository, []).append((tag, image))
    for repository, images in (about or {}).items():
        repositories[repository] += [(None, image) for image in images]
    for repository, named in repositories.items():
        folder = root / quote(repository, safe="")
        blobs = folder / "blobs" / "sha256"
        blobs.mkdir(parents=True)
        entries = []
        for name, image in named:
            for each in image.every():
                for digest, content in (*each.blobs.items(), (each.digest, each.manifest.raw)):
                    (blobs / digest.hex).write_bytes(content)
                entry = _named(each.manifest.media_type, each.manifest.raw)
                if each is image and name is not None:
                    entry["annotations"] = {REF_NAME: name}
                entries.append(entry)
        (folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
        (folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": entries}))


@dataclass(frozen=True, slots=True)
class Shown:
    """What a registry shows: its tags; by repository the manifests that can be asked for, and the blobs on its disk."""

    tags: dict[Tag, Digest]
    manifests: dict[str, frozenset[Digest]]
    blobs: dict[str, frozenset[Digest]]


def shown_at(root: Path) -> Shown:
    """What the registry at `root` shows now."""
    tags: dict[Tag, Digest] = {}
    manifests: dict[str, frozenset[Digest]] = {}
    blobs: dict[str, frozenset[Digest]] = {}
    for folder in root.iterdir():
        if not (folder / "blobs").is_dir():
            continue
        repository, index = unquote(folder.name), folder / "index.json"
        entries = json.loads(index.read_text())["manifests"] if index.is_file() else []
        for entry in entries:
            called = (entry.get("annotations") or {}).get(REF_NAME)
            if called is not None:
                tags[repository, called] = Digest.parse(entry["digest"])
        manifests[repository] = frozenset(Digest.parse(entry["digest"]) for entry in entries)
        files = [file for file in folder.glob("blobs/sha256/*") if len(file.name) == 64]
        blobs[repository] = frozenset(Digest(file.name) for file in files)
    return Shown(tags, manifests, blobs)


def _named(media_type: str, content: bytes) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": str(Digest.of(content)), "size": len(content)}
