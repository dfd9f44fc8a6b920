"""A sync that was interrupted is recorded, and read back or refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from registry_push.settings import Settings
from registry_push.state.records import read_record
from registry_push.state.sync_record import SyncRecord
from registry_push.verbs.stores import store_to_record

RECORD = SyncRecord.of(
    Path("/etc/plan.toml"),
    Path("/models"),
    Settings(home=None, plain_http=True),
    pinned=False,
    delete=True,
    max_delete=5,
    fail_fast=False,
)


def test_a_record_is_read_as_it_was_written() -> None:
    assert read_record(RECORD.text) == RECORD
    assert RECORD.settings(Settings(home=None)).plain_http


def test_the_plan_is_recorded_with_its_whole_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    record = SyncRecord.of(
        Path("plan.toml"), tmp_path, Settings(home=None), pinned=True, delete=False, max_delete=None, fail_fast=True
    )
    assert record.plan == str(tmp_path / "plan.toml")
    assert read_record(record.text) == record


@pytest.mark.parametrize(
    "fields",
    [
        ["plan.toml", "/models", {}, {}, None],
        ["/etc/plan.toml", "models", {}, {}, None],
        ["/etc/plan.toml", "/models", {"plain_http": "yes"}, {}, None],
        ["/etc/plan.toml", "/models", {}, {"delete": "yes"}, None],
        ["/etc/plan.toml", "/models", {}, {"unknown": True}, None],
        ["/etc/plan.toml", "/models", {}, [], None],
        ["/etc/plan.toml", "/models", {}, {}, -1],
        ["/etc/plan.toml", "/models", {}, {}, True],
        ["/etc/plan.toml", "/models", {}, {}],
        ["/etc/plan.toml", "/models", {}, {}, None, "work"],
        ["/etc/plan.toml", "/models", {}, {}, None, None],
        ["/etc/plan.toml", "/models", {}, {}, None, "/work", "/work"],
        [],
        None,
    ],
)
def test_what_was_not_written_by_us_is_no_record(fields: object) -> None:
    assert read_record(json.dumps({"sync": fields})) is None


def test_the_folder_of_relative_paths_is_read_back(tmp_path: Path) -> None:
    record = SyncRecord.of(
        Path("/etc/plan.toml"),
        Path("/models"),
        Settings(home=None),
        pinned=False,
        delete=False,
        max_delete=None,
        fail_fast=False,
        folder=tmp_path,
    )
    assert record.folder == str(tmp_path)
    assert read_record(record.text) == record
    assert RECORD.folder is None and len(json.loads(RECORD.text)["sync"]) == 5, "as the first versions wrote it"


def test_a_user_without_a_home_needs_no_store_to_copy_between_registries() -> None:
    assert store_to_record(Settings(home=None)).is_absolute()
    assert store_to_record(Settings(home=None, models="/models")) == Path("/models")
