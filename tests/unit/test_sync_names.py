"""The names of a plan: which are meant, what they are called at the target, and which entries may meet there."""

from __future__ import annotations

import re

import pytest

from registry_push.errors import InvalidName, NameCollision
from registry_push.model import LocalReference, ModelName, Reference
from registry_push.model.mapping import parse_copy_target
from registry_push.model.place import parse_source
from registry_push.model.renaming import Renaming, Rule
from registry_push.verbs.sync.claims import Claims, Order
from registry_push.verbs.sync.naming import (
    Coverage,
    ModelGlobs,
    coverage_of,
    coverage_of_reference,
    renamed,
    repository_of,
    tag_of,
    target_of,
)
from registry_push.verbs.sync.plan import Backup, Entry

LLAMA = Reference("a.example.com", "ml/llama3", "8b-fp16")


def renaming(pattern: str, replacement: str) -> Renaming:
    return Renaming((Rule(re.compile(pattern), replacement),))


def entry(
    number: int, source: str = "registry:a.example.com/ml/llama3", target: str = "registry:b.example.com/"
) -> Entry:
    return Entry(number, f"plan.toml, line {number}", parse_source(source), source, (parse_copy_target(target),))


@pytest.mark.parametrize(
    ("globs", "is_meant"),
    [
        ([], True),
        (["llama3*"], True),
        (["ml/llama3"], True),
        (["LLAMA3"], True),
        (["llama3:8b*"], True),
        (["*-fp16"], True),  # as push has it: a glob is also matched with the tag
        (["llama"], False),
        (["llama3:3b*"], False),
        (["!*-fp16"], False),
        (["!mistral"], True),
        (["*", "!ml/*"], False),
        (["*", "!llama3:8b-fp16"], False),
    ],
)
def test_globs_are_matched_with_path_last_part_and_tag(globs: list[str], is_meant: bool) -> None:
    assert (ModelGlobs(tuple(globs)).why_out("ml/llama3", "8b-fp16") is None) == is_meant


@pytest.mark.parametrize("globs", [["llama3*"], ["*-fp16"], ["lla*fp16"], ["llama3:8b*"], ["ml/*:8b-fp16"], ["l?ama3"]])
def test_a_repository_with_a_meant_tag_is_listed(globs: list[str]) -> None:
    assert ModelGlobs(tuple(globs)).why_out("ml/llama3", "8b-fp16") is None
    assert ModelGlobs(tuple(globs)).may_match("ml/llama3")


@pytest.mark.parametrize("globs", [["mistral*"], ["llama3.1"], ["*", "!llama3"], ["other/*"]])
def test_a_repository_that_can_have_no_meant_tag_is_not_listed(globs: list[str]) -> None:
    assert not ModelGlobs(tuple(globs)).may_match("ml/llama3")


def test_names_are_renamed_by_the_first_rule_that_matches() -> None:
    rules = Renaming(
        (Rule(re.compile("none"), "x"), Rule(re.compile("^ml/(.*)"), r"mirror/\1"), Rule(re.compile("."), "y"))
    )
    assert str(renamed(LLAMA, rules)) == "a.example.com/mirror/llama3:8b-fp16"
    assert renamed(ModelName.parse("ml/llama3:8b"), rules).short == "mirror/llama3:8b"  # type: ignore[union-attr]
    layout = LocalReference("oci:/models", "ml/llama3:8b")
    assert renamed(layout, rules) == LocalReference("oci:/models", "mirror/llama3:8b")


def test_a_rename_that_leaves_nothing_is_refused() -> None:
    with pytest.raises(InvalidName, match="makes nothing of ml/llama3"):
        renamed(LLAMA, renaming("^.*$", ""))


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("registry:b.example.com/", "b.example.com/ml/llama3:8b-fp16"),
        ("registry:b.example.com/x/", "b.example.com/x/ml/llama3:8b-fp16"),
        ("registry:b.example.com/x/y", "b.example.com/x/y:8b-fp16"),
        ("ollama:", "ollama:a.example.com/ml/llama3:8b-fp16"),
        ("oci:/models", "oci:/models:a.example.com/ml/llama3:8b-fp16"),
    ],
)
def test_the_coverage_of_an_entry_holds_where_its_names_go(target: str, expected: str) -> None:
    to = parse_copy_target(target)
    reference = target_of(LLAMA, Renaming(), to)
    assert str(reference) == expected
    one = coverage_of_reference(reference)
    assert coverage_of(to, LLAMA, Renaming()) == one
    assert coverage_of(to, None, Renaming()).holds(one.store, one.path)


@pytest.mark.parametrize(
    ("name", "repository", "tag"),
    [
        (LLAMA, "ml/llama3", "8b-fp16"),
        (ModelName.parse("llama3:8b"), "llama3", "8b"),
        (LocalReference("oci:/m", "host:5000/ml/llama3:8b"), "host:5000/ml/llama3", "8b"),
        (LocalReference("oci:/m", "host:5000/ml/llama3"), "host:5000/ml/llama3", "latest"),
        (LocalReference("oci:/m", "v1"), "v1", "latest"),
    ],
)
def test_a_name_is_a_repository_and_a_tag(
    name: ModelName | Reference | LocalReference, repository: str, tag: str
) -> None:
    assert (repository_of(name), tag_of(name)) == (repository, tag)


def below(path: str) -> Coverage:
    return Coverage("b", path, below=True)


def exactly(path: str) -> Coverage:
    return Coverage("b", path, below=False)


@pytest.mark.parametrize(
    ("one", "other", "overlap"),
    [
        (exactly("ml/a"), exactly("ml/a"), True),
        (exactly("ml/a"), exactly("ml/b"), False),
        (exactly("ml/a"), below("ml/"), True),
        (exactly("mlx/a"), below("ml/"), False),
        (below("ml/"), below(""), True),
        (below("ml/"), below("other/"), False),
        (exactly("ml/a"), Coverage("c", "ml/a", below=False), False),
        (below(""), Coverage("c", "", below=True), False),
    ],
)
def test_entries_overlap_if_both_may_write_one_repository(one: Coverage, other: Coverage, overlap: bool) -> None:
    assert one.overlaps(other) == other.overlaps(one) == overlap
    for first, second in ((one, other), (other, one)):
        order = Order()
        assert order.before(1, [first]) == set()
        assert order.before(2, [second]) == ({1} if overlap else set())


def test_what_one_entry_writes_another_may_not() -> None:
    claims, here = Claims(), Reference("b.example.com", "ml/llama3", "8b")
    assert claims.claim(entry(1), "ml/llama3", "a/ml/llama3:8b", here) is None
    assert claims.claim(entry(2), "ml/llama3", "a/ml/llama3:3b", here.at(tag="3b")) is None
    with pytest.raises(NameCollision, match=r"entry 1 of the plan puts a/ml/llama3:8b at b\.example\.com/ml/llama3:8b"):
        claims.claim(entry(2), "ml/other", "a/ml/other:8b", here)


def test_entries_with_the_same_source_and_target_add_up() -> None:
    claims, here = Claims(), Reference("b.example.com", "ml/llama3", "8b")
    assert claims.claim(entry(1), "ml/llama3", "a/ml/llama3:8b", here) is None
    assert claims.claim(entry(2), "ml/llama3", "a/ml/llama3:8b", here) == 1


def test_in_an_ollama_store_names_that_differ_in_case_are_one() -> None:
    claims = Claims()
    claims.claim(entry(1), "llama3", "llama3:8B", LocalReference("ollama:llama3", "8B"))
    with pytest.raises(NameCollision):
        claims.claim(entry(2), "llama3", "llama3:8b", LocalReference("ollama:llama3", "8b"))


def test_a_source_that_could_not_be_listed_leaves_its_targets_unknown() -> None:
    claims, here = Claims(), Reference("b.example.com", "ml/llama3", "8b")
    claims.claim(entry(1), "ml/llama3", "a/ml/llama3:8b", here)
    assert [claim.reference for _, claim in claims.known()] == [here]
    claims.miss([Coverage("b.example.com", "other/", below=True)])
    assert [claim.reference for _, claim in claims.known()] == [here]
    claims.miss([Coverage("b.example.com", "ml/", below=True)])
    assert not [*claims.known()]


def test_a_backup_has_a_name_of_its_own() -> None:
    backup = Backup("{tag}-before-{date}")
    assert backup.tag("8b", "2026-11-30", "221003") == "8b-before-2026-11-30"
    assert backup.may_be("8b-before-2025-01-01") and backup.may_be("8b-before-2025-01-01-2")
    assert not backup.may_be("8b")
