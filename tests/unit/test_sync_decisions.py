"""What sync does with a tag, by what both sides have; and how long it waits for registries that are down."""

from __future__ import annotations

import pytest

from registry_push.errors import ModelNotFound, TagTaken, Unavailable
from registry_push.events import Action, Event, Warned
from registry_push.model import Digest
from registry_push.model.mapping import parse_copy_target
from registry_push.model.place import parse_source
from registry_push.model.tag_filter import TagFilter
from registry_push.verbs.sync.decision import at_once, decided
from registry_push.verbs.sync.plan import Backup, Entry, OnExists
from registry_push.verbs.sync.reachable import Reachable

OLD, NEW = Digest("1" * 64), Digest("2" * 64)


def entry(on_exists: OnExists = "update", *, immutable: str = "", backup: str = "") -> Entry:
    return Entry(
        1,
        "plan.toml, line 1",
        parse_source("registry:a.example.com/ml/llama"),
        "registry:a.example.com/ml/llama",
        (parse_copy_target("registry:b.example.com/"),),
        tags=TagFilter.parse(immutable=immutable or ()),
        on_exists=on_exists,
        backup=Backup(backup) if backup else None,
    )


@pytest.mark.parametrize("on_exists", ["update", "keep", "error"])
def test_what_is_not_there_is_copied_and_what_is_the_same_is_not(on_exists: OnExists) -> None:
    assert decided(entry(on_exists), "v1", NEW, None, "b").action is Action.COPIED
    assert decided(entry(on_exists), "v1", NEW, NEW, "b").action is Action.PRESENT


@pytest.mark.parametrize(
    ("on_exists", "action"), [("update", Action.COPIED), ("keep", Action.KEPT), ("error", Action.FAILED)]
)
def test_another_manifest_is_moved_kept_or_an_error(on_exists: OnExists, action: Action) -> None:
    verdict = decided(entry(on_exists), "v1", NEW, OLD, "b.example.com/ml/llama:v1")
    assert verdict.action is action
    assert isinstance(verdict.error, TagTaken) == (on_exists == "error")
    assert not verdict.backs_up


def test_only_a_tag_that_moves_is_backed_up() -> None:
    saved = entry(backup="{tag}-old")
    assert decided(saved, "v1", NEW, OLD, "b").backs_up
    assert not decided(saved, "v1", NEW, None, "b").backs_up
    assert not decided(saved, "v1", NEW, NEW, "b").backs_up


def test_an_immutable_tag_is_never_moved_and_needs_no_request_if_it_is_listed() -> None:
    fixed = entry(immutable="v*")
    verdict = at_once(fixed, "v1", {"v1"})
    assert verdict is not None and verdict.action is Action.KEPT
    assert at_once(fixed, "v1", {"v2"}) is None
    assert at_once(fixed, "latest", {"latest"}) is None
    assert decided(fixed, "v1", NEW, OLD, "b").action is Action.KEPT
    assert decided(fixed, "v1", NEW, None, "b").action is Action.COPIED
    assert decided(fixed, "latest", NEW, OLD, "b").action is Action.COPIED


def test_after_three_failures_in_a_row_a_registry_counts_as_down() -> None:
    told: list[Event] = []
    reachable = Reachable(told.append)
    for _ in range(3):
        assert reachable.down("b.example.com") is None
        reachable.failed("b.example.com", Unavailable("no answer"))
    down = reachable.down("a.example.com", "b.example.com")
    assert down is not None and down.message == "not tried, since b.example.com is down: no answer"
    assert reachable.down("a.example.com") is None
    assert [type(event) for event in told] == [Warned]


def test_one_broken_repository_does_not_make_its_registry_count_as_down() -> None:
    reachable = Reachable()
    for _ in range(10):
        reachable.failed("b.example.com", Unavailable("this repository is broken"))
        reachable.went_well("b.example.com")
        reachable.failed("b.example.com", Unavailable("and another one"))
        reachable.failed("b.example.com", ModelNotFound("this was an answer"))
    assert reachable.down("b.example.com") is None
