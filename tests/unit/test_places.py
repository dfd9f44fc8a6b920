"""Places as they are kept: with absolute paths, and read again by another process."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from registry_push.content.body import BytesBody
from registry_push.content.oci.layout import OCILayout
from registry_push.errors import InvalidName, UsageError
from registry_push.model import Descriptor, Digest
from registry_push.model.mapping import parse_copy_target
from registry_push.model.place import (
    ArchivePlace,
    CatalogPlace,
    LayoutPlace,
    OllamaPlace,
    parse_destination,
    parse_place,
    parse_source,
    spelt,
)
from registry_push.settings import Settings
from registry_push.verbs.copy import copy
from tests.support.artifacts import EMPTY, artifact


@pytest.mark.parametrize("folder", ["/srv/models", "/srv/2026-11-29T08:02", "/srv/a:b/c:d", "/"])
@pytest.mark.parametrize("kind", ["oci", "oci-archive"])
@pytest.mark.parametrize("path", ["out", "sp ace/\u00fc", "../out"])
@pytest.mark.parametrize("ref", ["", ":v1", ":library/x:latest", "/:v1"])
def test_a_place_that_is_kept_is_the_same_place(folder: str, kind: str, path: str, ref: str) -> None:
    """Wherever the command was run: the colon of a folder is not the one before REF."""

    def absolute(text: str) -> str:
        return os.path.normpath(Path(folder) / text)

    place = parse_place(f"{kind}:{path}{ref}")
    assert isinstance(place, LayoutPlace | ArchivePlace)
    read = parse_place(spelt(place, absolute))
    assert type(read) is type(place)
    assert (os.path.normpath(read.path), read.ref) == (absolute(path), ref.strip("/").removeprefix(":") or None)


@pytest.mark.parametrize("kind", ["oci", "oci-archive"])
def test_a_path_has_no_zero_byte(kind: str) -> None:
    with pytest.raises(InvalidName, match="zero byte"):
        parse_place(f"{kind}:a\0b")


@pytest.mark.parametrize("kind", ["oci", "oci-archive"])
async def test_a_path_need_not_be_text(tmp_path: Path, kind: str) -> None:
    """File names are bytes; those that are not UTF-8 come as lone surrogates."""
    source, manifest = OCILayout(tmp_path / "from"), artifact(b"x", kind=None)
    for content in (EMPTY, b"x"):
        await source.put(Descriptor("text/plain", Digest.of(content), len(content)), BytesBody(content))
    await source.put_manifest(manifest, "v1")
    settings = Settings(home=tmp_path, models=tmp_path / "models", state_dir=tmp_path / "state")
    report = await copy(f"oci:{tmp_path}/from:v1", f"{kind}:{tmp_path}/a\udcff:v1", settings=settings)
    assert report.error is None


@pytest.mark.parametrize("place", ["oci:./models", "oci-archive:models.tar", "ollama:"])
def test_a_push_to_what_is_no_registry_names_the_command_for_it(place: str) -> None:
    with pytest.raises(UsageError) as refused:
        parse_destination(place)
    assert "registry-push copy SRC DST" in (refused.value.hint or "")


@pytest.mark.parametrize("target", ["localhost:99999/", "localhost:99999/ml/", "localhost:99999/ml/x:1"])
def test_a_port_that_is_none_is_named(target: str) -> None:
    with pytest.raises(InvalidName, match=r"'localhost:99999' has a port over 65535") as refused:
        parse_destination(target)
    assert refused.value.hint == "write HOST or HOST:PORT"


@pytest.mark.parametrize("place", ["docker-archive:model.tar", "docker-daemon:me/model:v1", "dir:./model", "sif:/x"])
@pytest.mark.parametrize("parse", [parse_place, parse_copy_target, parse_destination])
def test_a_place_of_skopeo_s_that_we_do_not_have_is_named(place: str, parse: Callable[[str], object]) -> None:
    with pytest.raises(UsageError, match="is one of skopeo's places") as refused:
        parse(place)
    assert refused.value.hint is not None and "oci-archive:" in refused.value.hint


@pytest.mark.parametrize("word", ["models", "dir:v1", "tiny:v2"])
def test_a_single_word_is_no_target_of_a_copy(word: str) -> None:
    """`copy tiny:v2 models` was sent to Ollama's registry, as library/models."""
    with pytest.raises(
        InvalidName, match=r"could be a model, a folder or a host|names a registry but no repository"
    ) as refused:
        parse_copy_target(word)
    assert refused.value.hint is not None and "oci:DIR" in refused.value.hint
    assert isinstance(parse_place(word), OllamaPlace)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("registry:localhost:5000/", CatalogPlace("localhost:5000", "", None)),
        ("registry:localhost:5000/ml/", CatalogPlace("localhost:5000", "ml", None)),
        ("docker://r.example/ml/deep/", CatalogPlace("r.example", "ml/deep", None)),
        ("registry:http://r.example/", CatalogPlace("r.example", "", "http")),
        ("registry:https://r.example:5000/ml/", CatalogPlace("r.example:5000", "ml", "https")),
        ("registry:registry/ml/", CatalogPlace("registry", "ml", None)),
        ("registry:docker.io/me/", CatalogPlace("docker.io", "me", None)),
        ("registry:docker.io/", CatalogPlace("docker.io", "", None)),
        ("registry:registry.ollama.ai/me/", CatalogPlace("registry.ollama.ai", "me", None)),
        ("localhost:5000/ml/", CatalogPlace("localhost:5000", "ml", None)),
        ("https://r.example/", CatalogPlace("r.example", "", "https")),
    ],
)
def test_a_slash_at_the_end_is_all_that_a_registry_has_there(text: str, place: CatalogPlace) -> None:
    assert parse_source(text) == place
    kept = spelt(place, os.path.abspath)
    assert kept == f"registry:{place}"
    assert parse_source(kept) == place
    assert place.inside.origin().netloc  # its registry can be asked, whatever names it allows


@pytest.mark.parametrize(
    "text",
    [
        "registry:r.example/ML/",
        "registry:r.example/ml/*/",
        "registry:r.example/ml:v1/",
        "registry:r.example/../",
        "registry:docker.io/a/b/",
        "registry:ftp://r.example/ml/",
        "registry:/",
        "registry:r.example:99999/",
        "registry:r.example/ml/*",
        "registry:r.example",
    ],
)
def test_what_is_no_part_of_a_registry(text: str) -> None:
    with pytest.raises(InvalidName) as refused:
        parse_source(text)
    assert refused.value.hint


def test_a_login_before_a_part_of_a_registry_is_not_repeated() -> None:
    with pytest.raises(UsageError) as refused:
        parse_source("registry:https://me:secret@localhost:5000/ml/")
    assert "secret" not in f"{refused.value} {refused.value.hint}"


@pytest.mark.parametrize("text", ["llama:3b", "ollama:", "registry:r.example/ml/x", "oci:./ml/", "oci-archive:x.tar"])
def test_other_places_are_sources_too(text: str) -> None:
    assert parse_source(text) == parse_place(text)
