"""What somebody reads who writes a place, an option or a command in another way than it is written here."""

from __future__ import annotations

import click
import pytest

import registry_push
from registry_push.cli.main import group
from registry_push.cli.render import COPY, PULL, words
from registry_push.cli.render.tables import BegunRow, under_way_lines
from registry_push.errors import InvalidName, UsageError
from registry_push.events import ModelDone, TagSet
from registry_push.model import Digest, LocalReference, Reference
from registry_push.model.mapping import parse_copy_target
from registry_push.model.place import parse_readable
from registry_push.verbs.copy_options import CopyOptions

TYPE = "application/vnd.example.sbom+json"
DIGEST, OTHER = Digest("a" * 64), Digest("b" * 64)


@pytest.mark.parametrize(
    "text",
    ["registry:localhost:5000", "registry:localhost:5000/", "registry:http://localhost:5000/ml/", "docker://h.io/ml/*"],
)
def test_what_is_more_than_a_repository_is_not_read(text: str) -> None:
    with pytest.raises(InvalidName, match="names no repository") as caught:
        parse_readable(text)
    assert "registry:HOST/PATH[:TAG]" in str(caught.value.hint)


def test_a_login_in_such_an_address_is_not_repeated() -> None:
    with pytest.raises(UsageError) as caught:
        parse_readable("registry:https://me:secret@localhost:5000/")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("text", ["./models", "../models.tar", "/srv/models", "~/models"])
def test_a_path_has_to_say_what_is_there(text: str) -> None:
    for parse in (parse_readable, parse_copy_target):
        with pytest.raises(UsageError, match="is a path") as caught:
            parse(text)
        assert "oci:DIR" in str(caught.value.hint)


@pytest.mark.parametrize("text", ["llama:3b", "models.tar"])
def test_a_copy_to_a_bare_name_says_how_each_kind_of_place_is_written(text: str) -> None:
    with pytest.raises(InvalidName) as caught:
        parse_copy_target(text)
    assert "ollama:NAME" in str(caught.value.hint)
    assert "--to" not in str(caught.value.hint)


@pytest.mark.parametrize("required", ["sbom", "all", "none"])
def test_a_required_referrer_is_of_a_type(required: str) -> None:
    target = parse_copy_target("localhost:5000/ml/")
    with pytest.raises(UsageError, match="is no artifact type"):
        CopyOptions.of((), None, required, target)
    assert CopyOptions.of((), "all", TYPE, target).required == TYPE


@pytest.mark.parametrize(
    ("typed", "hint"),
    [("rename", "copy ollama:OLD ollama:NEW"), ("signin", "login"), ("rm", "ollama rm"), ("ls", "list")],
)
def test_words_of_other_tools_are_understood(typed: str, hint: str) -> None:
    context = click.Context(group)
    with pytest.raises(UsageError) as caught:
        group.resolve_command(context, [typed])
    assert hint in str(caught.value.hint)


def test_a_summary_names_other_tags_and_referrers() -> None:
    to = Reference.parse("localhost:5000/ml/tiny:v1")
    tags = (*(TagSet(tag, None) for tag in ("v1", "latest", "prod")),)
    done = ModelDone("tiny", to, DIGEST, uploaded=1, mounted=0, present=5, sent=100, tags=tags, referrers=2)
    *_, took = words.summary(done, 1.0, COPY)
    assert took.startswith("1 copied, 5 there already, 2 referrers, 100 B")
    assert took.endswith("; also tagged latest, prod")
    bare = ModelDone(
        "x", to.at(digest=DIGEST), DIGEST, uploaded=1, mounted=0, present=0, sent=1, tags=(TagSet("", None),)
    )
    assert "tagged" not in words.summary(bare, 1.0, COPY)[2]


@pytest.mark.parametrize(
    ("previous", "said"),
    [
        (None, "would add the model"),
        (DIGEST, "the model is there already"),
        (OTHER, f"would replace the model, sha256:{OTHER.short}"),
    ],
)
def test_a_dry_run_into_a_store_speaks_of_models_not_tags(previous: Digest | None, said: str) -> None:
    to, tags = LocalReference("ollama:tiny", "latest"), (TagSet("latest", previous),)
    done = ModelDone("h/tiny", to, DIGEST, uploaded=0, mounted=0, present=6, sent=0, tags=tags, dry_run=True)
    assert words.summary(done, 1.0, PULL)[2].endswith(said)


def test_what_is_under_way_has_the_names_that_list_shows_and_fits_a_terminal() -> None:
    row = BegunRow("registry:localhost:5000/ml/tiny:latest", "ollama:registry.ollama.ai/library/tiny:latest", begun=0.0)
    head, first, second = under_way_lines([], [row], [], now=60.0, width=60)
    assert head.split() == ["COPY", "TO", "BEGUN"]
    assert first == row.what
    assert second.split()[0] == "ollama:tiny:latest"


def test_the_public_names_can_be_completed() -> None:
    assert {"push", "pull", "copy", "transfer", "open_store", "Settings"} <= set(dir(registry_push))
    assert "TYPE_CHECKING" not in dir(registry_push)


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["list", "oci-archive:models.tar"], "registry-push inspect oci-archive:models.tar"),
        (["list", "registry:localhost:5000/ml/tiny"], "registry-push tags registry:localhost:5000/ml/tiny"),
        (["tags", "oci:./models"], "registry-push inspect oci:./models"),
    ],
)
def test_each_kind_of_place_has_its_command(arguments: list[str], hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        group.main(arguments, standalone_mode=False)
    assert hint in str(caught.value.hint)


def test_a_hint_repeats_no_login() -> None:
    with pytest.raises(UsageError) as caught:
        group.main(["list", "registry:https://me:secret@localhost:5000/ml/tiny"], standalone_mode=False)
    assert "secret" not in f"{caught.value} {caught.value.hint}"


def test_rows_that_no_column_is_narrow_enough_for_are_folded_between_cells() -> None:
    row = BegunRow("registry:localhost:5000/ml/tiny:latest", "registry:localhost:5001/mirror/", begun=0.0)
    lines = under_way_lines([], [row], [], now=60.0, width=45)
    assert lines == ["COPY    TO    BEGUN", row.what, f"    {row.target}", "    1 minute ago"]
