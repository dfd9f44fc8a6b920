"""Where a copy goes: what a model is called in another store."""

from __future__ import annotations

import pytest

from registry_push.errors import InvalidName, NameNotMappable, UsageError
from registry_push.model import LocalReference, ModelName, Reference
from registry_push.model.mapping import local_reference, mapped, model_name, parse_copy_target
from registry_push.model.place import ArchivePlace, LayoutPlace, parse_destination, parse_place
from registry_push.transfer.job import targets_of

LLAMA = ModelName.parse("llama3.2:3b")
MINE = ModelName.parse("me/model:v2")
DEEP = Reference.parse("r.example/ml/deep/model:v1")
FLAT = Reference.parse("r.example:5000/ns/model:v1")
NAMED = LocalReference("oci:dir", "registry.ollama.ai/library/llama3.2:3b")
BARE = LocalReference("oci:dir", "v7")


@pytest.mark.parametrize(
    ("name", "target", "wanted"),
    [
        (LLAMA, "registry:localhost:5000/", "localhost:5000/library/llama3.2:3b"),
        (LLAMA, "registry:localhost:5000/ml/", "localhost:5000/ml/llama3.2:3b"),
        (MINE, "localhost:5000/ml/", "localhost:5000/ml/me/model:v2"),
        (MINE, "localhost:5000/ml/other", "localhost:5000/ml/other:v2"),
        (MINE, "registry:localhost:5000/ml/other:v9", "localhost:5000/ml/other:v9"),
        (DEEP, "registry:localhost:5000/", "localhost:5000/ml/deep/model:v1"),
        (DEEP, "registry:localhost:5000/mirror/", "localhost:5000/mirror/ml/deep/model:v1"),
        (DEEP, "registry:localhost:5000/x", "localhost:5000/x:v1"),
        (NAMED, "localhost:5000/ml/", "localhost:5000/ml/llama3.2:3b"),
        (BARE, "localhost:5000/ml/x", "localhost:5000/ml/x:v7"),
        (LLAMA, "oci:dir", "oci:dir:registry.ollama.ai/library/llama3.2:3b"),
        (DEEP, "oci:dir", "oci:dir:r.example/ml/deep/model:v1"),
        (LLAMA, "oci:dir:mine", "oci:dir:mine"),
        (BARE, "oci-archive:a.tar", "oci-archive:a.tar:v7"),
        (LLAMA, "ollama:", "ollama:llama3.2:3b"),
        (FLAT, "ollama:", "ollama:r.example:5000/ns/model:v1"),
        (DEEP, "ollama:mine:v3", "ollama:mine:v3"),
        (NAMED, "ollama:", "ollama:llama3.2:3b"),
    ],
)
def test_a_name_becomes(name: ModelName | Reference | LocalReference, target: str, wanted: str) -> None:
    [reference] = mapped(name, parse_copy_target(target)).references
    assert str(reference) == wanted


def test_more_tags_are_beside_the_main_one_each_once() -> None:
    target = parse_copy_target("registry:localhost:5000/x/y:v1")
    found = mapped(LLAMA, target, ["latest", "v1", "latest"]).references
    assert [reference.tag for reference in found] == ["v1", "latest"]


@pytest.mark.parametrize(
    ("name", "target", "error"),
    [
        (DEEP, "ollama:", NameNotMappable),
        (BARE, "localhost:5000/ml/", None),
        (Reference.parse("r.example/flat:v1"), "ollama:", NameNotMappable),
        (Reference.parse("r.example/a/b@sha256:" + "0" * 64), "localhost:5000/x", UsageError),
        (LLAMA, "registry:localhost:5000/x@sha256:" + "0" * 64, UsageError),
    ],
)
def test_a_name_that_has_no_place_there_is_an_error_with_the_next_step(
    name: ModelName | Reference | LocalReference, target: str, error: type[UsageError] | None
) -> None:
    if error is None:  # a bare name is a model's: Ollama reads it so too
        assert str(mapped(name, parse_copy_target(target)).references[0]) == "localhost:5000/ml/v7:latest"
        return
    with pytest.raises(error) as caught:
        mapped(name, parse_copy_target(target))
    assert caught.value.hint


@pytest.mark.parametrize(
    ("target", "said", "next_step"),
    [
        ("ollama:", "is no name for a model in an Ollama store", "give it a name: ollama:NAME[:TAG]"),
        ("localhost:5000/", "can't keep its name at localhost:5000/", "registry:localhost:5000/NAME:TAG"),
        ("localhost:5000/ml/", "can't keep its name at localhost:5000/ml/", "registry:localhost:5000/ml/NAME:TAG"),
    ],
)
def test_a_name_that_is_not_allowed_is_refused_in_words_for_the_target(target: str, said: str, next_step: str) -> None:
    with pytest.raises(NameNotMappable) as caught:
        mapped(LocalReference("oci:dir", "me/b ad:v1"), parse_copy_target(target))
    assert said in caught.value.message
    assert caught.value.hint is not None and caught.value.hint.endswith(next_step)


@pytest.mark.parametrize("text", ["llama3.2:3b", "me/model:v2", "localhost:5000/me/model:v2"])
def test_a_model_of_the_store_is_found_by_its_reference(text: str) -> None:
    assert model_name(local_reference(ModelName.parse(text))) == ModelName.parse(text)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("oci:./models:tiny:latest", LayoutPlace("./models", "tiny:latest")),
        ("oci-archive:m.tar:tiny:latest", ArchivePlace("m.tar", "tiny:latest")),
        ("oci-archive:at-12:30.tar:v1", ArchivePlace("at-12:30.tar", "v1")),
        ("oci-archive:at-12:30.tar", ArchivePlace("at-12:30.tar", None)),
        ("oci-archive:2024-01-01T10:20:30+00:00.tar", ArchivePlace("2024-01-01T10:20:30+00:00.tar", None)),
        ("oci-archive:m.tar:v1.tar", ArchivePlace("m.tar", "v1.tar")),
        (f"oci:dir:sha256:{'0' * 64}", LayoutPlace("dir", f"sha256:{'0' * 64}")),
        ("oci:dir:localhost:5000/me/x:v1", LayoutPlace("dir", "localhost:5000/me/x:v1")),
        (
            "oci:/srv/models:registry.ollama.ai/library/a:b",
            LayoutPlace("/srv/models", "registry.ollama.ai/library/a:b"),
        ),
        ("oci-archive:a.tar", ArchivePlace("a.tar", None)),
        ("oci-archive:/x/a.tar:v1", ArchivePlace("/x/a.tar", "v1")),
        ("oci:a/b:c/d", LayoutPlace("a/b:c/d", None)),
    ],
)
def test_a_layout_s_name_may_be_a_model_s(text: str, wanted: LayoutPlace | ArchivePlace) -> None:
    assert parse_place(text) == wanted


@pytest.mark.parametrize("text", ["oci:", "oci-archive:"])
def test_a_layout_has_a_path(text: str) -> None:
    with pytest.raises(InvalidName) as caught:
        parse_place(text)
    assert caught.value.hint


@pytest.mark.parametrize("target", ["registry:docker.io/library/x:1", "docker.io/", "index.docker.io/library/"])
def test_docker_s_own_library_is_not_ours_to_write(target: str) -> None:
    with pytest.raises(NameNotMappable, match="which only Docker writes") as refused:
        mapped(LLAMA, parse_copy_target(target))
    assert "docker.io/ACCOUNT/" in str(refused.value.hint)
    with pytest.raises(NameNotMappable):
        targets_of(LLAMA, parse_destination(target), ())
    # Below an account it is fine, and a registry of one's own may have a library.
    assert str(mapped(LLAMA, parse_copy_target("docker.io/me/")).references[0]) == "docker.io/me/llama3.2:3b"
    assert mapped(LLAMA, parse_copy_target("r.example/")).references
