"""`--metrics-file` of `sync`: what node_exporter reads, after every run, also after one that could not start."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from registry_push.cli.main import group
from registry_push.cli.metrics_file import metrics_file
from registry_push.errors import ConnectionLost, InvalidPlan, SomeFailed, Unwritable, UsageError
from registry_push.events import Action, BlobCounts, TagSettled
from registry_push.verbs.sync.metrics import RunMetrics, last_success_in
from registry_push.verbs.sync.totals import SyncReport, Totals

PLAN = "/etc/plan.toml"


def parsed(text: str) -> dict[str, Metric]:
    """Prometheus' own reading of it."""
    return {family.name.removeprefix("registry_push_sync_"): family for family in text_string_to_metric_families(text)}


def value(text: str, name: str, **labels: str) -> float | None:
    """The value of one sample; None if there is none."""
    samples = parsed(text)[name].samples if name in parsed(text) else []
    found = [each for each in samples if labels.items() <= each.labels.items()]
    assert len(found) <= 1
    return found[0].value if found else None


def report_of(*settled: TagSettled) -> SyncReport:
    totals = Totals()
    for each in settled:
        totals.add(each)
    return SyncReport("run", "2026-01-01T00:00:00Z", totals, settled)


def run_of(exit_code: int = 0, *, plan: str = PLAN, **more: object) -> str:
    return RunMetrics(plan=plan, started=1000.25, ended=1003.75, exit_code=exit_code, **more).text()  # type: ignore[arg-type]


# ── the text ──────────────────────────────────────────────────────────────────────────────────────


def test_a_run_that_succeeded() -> None:
    copied = TagSettled(1, "a", None, Action.COPIED, "new", bytes=700, blobs=BlobCounts(3, 2, 1), referrers=4)
    text = run_of(report=report_of(copied, copied, TagSettled(2, "b", None, Action.PRESENT, "the same")))
    assert all(family.type == "gauge" and family.documentation for family in parsed(text).values())
    assert all(sample.labels["plan"] == PLAN for family in parsed(text).values() for sample in family.samples)
    assert value(text, "last_start_timestamp_seconds") == 1000.25
    assert value(text, "last_end_timestamp_seconds") == value(text, "last_success_timestamp_seconds") == 1003.75
    assert value(text, "duration_seconds") == 3.5
    assert (value(text, "success"), value(text, "exit_code")) == (1, 0)
    tags = {sample.labels["action"]: sample.value for sample in parsed(text)["tags"].samples}
    assert tags == dict.fromkeys(Action, 0) | {"copied": 2, "present": 1}
    blobs = {sample.labels["placement"]: sample.value for sample in parsed(text)["blobs"].samples}
    assert blobs == {"uploaded": 6, "mounted": 4, "present": 2}
    assert (value(text, "sent_bytes"), value(text, "referrers")) == (1400, 8)
    assert "entry_failed" not in parsed(text)


def test_a_run_that_failed_keeps_the_time_of_the_last_success_and_counts_failures_by_entry() -> None:
    error = ConnectionLost("gone")
    failed = [TagSettled(entry, "a", None, Action.FAILED, "gone", error=error) for entry in (7, 2, 7)]
    text = run_of(8, report=report_of(*failed), last_success=900.5)
    assert (value(text, "success"), value(text, "exit_code")) == (0, 8)
    assert value(text, "last_success_timestamp_seconds") == 900.5
    assert value(text, "tags", action="failed") == 3
    assert (value(text, "entry_failed", entry="2"), value(text, "entry_failed", entry="7")) == (1, 2)


def test_a_run_that_could_not_start_has_done_nothing() -> None:
    text = run_of(2)
    assert (value(text, "success"), value(text, "exit_code")) == (0, 2)
    assert value(text, "last_success_timestamp_seconds") is None
    assert {sample.value for sample in parsed(text)["tags"].samples} == {0}


@pytest.mark.parametrize("plan", ['a"b', "a\\b", "a\nb", "a\\nb", 'x"} 1\nevil{a="', "plän", "a\rb", "a\u2028b", "{}"])
def test_any_name_of_a_plan_is_one_label(plan: str) -> None:
    text = run_of(plan=plan)
    assert {sample.labels["plan"] for family in parsed(text).values() for sample in family.samples} == {plan}
    assert last_success_in(text, plan, now=2000) == 1003.75


def test_bytes_of_a_name_that_are_no_text_are_replaced() -> None:
    name = os.fsdecode(b"a\xffb")
    text = run_of(plan=name)
    text.encode()  # can be written
    assert last_success_in(text, name, now=2000) == 1003.75


# ── what is taken over from an old file ───────────────────────────────────────────────────────────


def line_of(plan: str, time: str) -> str:
    return f'registry_push_sync_last_success_timestamp_seconds{{plan="{plan}"}} {time}\n'


@pytest.mark.parametrize(
    "old",
    [
        "",
        "\0\0\0",
        line_of("other", "900"),
        line_of(PLAN, "NaN"),
        line_of(PLAN, "+Inf"),
        line_of(PLAN, "-900"),
        line_of(PLAN, "0"),
        line_of(PLAN, "1e300"),
        line_of(PLAN, "9" * 400),
        line_of(PLAN, "2000.5"),  # it is still to come
        line_of(PLAN, "900") + line_of(PLAN, "901"),
        "# " + line_of(PLAN, "900"),
        line_of(PLAN, "900 1700000000"),
        line_of(PLAN, "900").replace("}", ',x="y"}'),
    ],
)
def test_an_old_file_that_is_not_ours_is_ignored(old: str) -> None:
    assert last_success_in(old, PLAN, now=2000) is None


def test_what_else_is_in_an_old_file_does_not_matter() -> None:
    old = "node_up 1\n" + line_of("other", "901") + line_of(PLAN, "900")
    assert last_success_in(old, PLAN, now=2000) == 900


# ── the file ──────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def file(tmp_path: Path) -> Iterator[Path]:
    before = os.umask(0o077)
    (tmp_path / "collector").mkdir()
    yield tmp_path / "collector" / "sync.prom"
    os.umask(before)


def test_it_is_written_whole_for_everyone_to_read(file: Path, tmp_path: Path) -> None:
    with metrics_file(file, tmp_path / "plan.toml") as metrics:
        assert metrics is not None
        metrics.report = report_of(TagSettled(1, "a", None, Action.COPIED, "new", bytes=7))
        assert not file.exists()
    assert file.stat().st_mode & 0o777 == 0o644
    assert list(file.parent.iterdir()) == [file]
    assert (value(file.read_text(), "sent_bytes"), value(file.read_text(), "success")) == (7, 1)
    assert value(file.read_text(), "success", plan=str(tmp_path / "plan.toml")) == 1


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (InvalidPlan("plan.toml, line 3: no"), 2),
        (SomeFailed("2 tags failed"), 8),
        (click.exceptions.Exit(8), 8),
        (KeyboardInterrupt(), 130),
        (ValueError("a bug"), 1),
    ],
)
def test_it_is_written_however_the_run_ends(file: Path, error: BaseException, code: int) -> None:
    with metrics_file(file, Path(PLAN)):
        pass
    succeeded = value(file.read_text(), "last_success_timestamp_seconds")
    with pytest.raises(type(error)), metrics_file(file, Path(PLAN)):
        raise error
    text = file.read_text()
    assert (value(text, "success"), value(text, "exit_code")) == (0, code)
    assert value(text, "last_success_timestamp_seconds") == succeeded is not None


@pytest.mark.parametrize("old", [b"\xff\xfe", b"x" * 5_000_000, b""])
def test_a_damaged_old_file_is_replaced(file: Path, old: bytes) -> None:
    file.write_bytes(old)
    with pytest.raises(InvalidPlan), metrics_file(file, Path(PLAN)):
        raise InvalidPlan("no")
    assert value(file.read_text(), "success") == 0
    assert value(file.read_text(), "last_success_timestamp_seconds") is None


def test_a_pipe_in_its_place_is_not_waited_for(file: Path) -> None:
    os.mkfifo(file)
    with metrics_file(file, Path(PLAN)):
        pass
    assert value(file.read_text(), "success") == 1


def test_a_link_in_its_place_is_replaced_and_not_followed(file: Path, tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("precious")
    file.symlink_to(tmp_path / "precious")
    with metrics_file(file, Path(PLAN)):
        pass
    assert (tmp_path / "precious").read_text() == "precious"
    assert value(file.read_text(), "success") == 1


def test_a_file_that_can_not_be_written_in_the_end_is_a_warning(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with metrics_file(file, Path(PLAN)):
        file.mkdir()
    assert capsys.readouterr().err.startswith(f"warning: the metrics file is not written: {file} can't be written")
    assert list(file.parent.iterdir()) == [file]


def test_another_ending_is_refused_since_the_collector_would_not_read_it(tmp_path: Path) -> None:
    with (
        pytest.raises(UsageError, match=r"sync\.txt does not end in \.prom") as caught,
        metrics_file(tmp_path / "sync.txt", Path(PLAN)),
    ):
        pass
    assert caught.value.hint == "call it sync.txt.prom"


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="its folder is not there"), metrics_file(tmp_path / "a/b.prom", Path(PLAN)):
        pass


def test_a_folder_of_another_user_is_refused_before_anything_is_done(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != file.parent)  # root may write anywhere
    with pytest.raises(Unwritable), metrics_file(file, Path(PLAN)):
        pytest.fail("it was begun")


# ── the command ───────────────────────────────────────────────────────────────────────────────────


def called(*arguments: str) -> int:
    result = CliRunner().invoke(group, ["sync", *arguments, "--no-resume"], prog_name="registry-push")
    code: int = getattr(result.exception, "exit_code", result.exit_code)
    return code


def test_a_plan_that_is_invalid_is_a_failed_run(file: Path, tmp_path: Path) -> None:
    plan = tmp_path / "plan.toml"
    plan.write_text("[[sync]\n")
    assert called(str(plan), "--metrics-file", str(file)) == 2
    assert (value(file.read_text(), "success"), value(file.read_text(), "exit_code")) == (0, 2)


def test_flags_that_do_not_go_together_are_a_failed_run(file: Path, tmp_path: Path) -> None:
    plan = tmp_path / "plan.toml"
    plan.write_text('[[sync]]\nsource = "registry:localhost:1/a"\ntarget = "registry:localhost:1/b"\n')
    assert called(str(plan), "--delete", "--metrics-file", str(file)) == 2
    assert value(file.read_text(), "exit_code") == 2


def test_a_dry_run_writes_none(file: Path, tmp_path: Path) -> None:
    assert called(str(tmp_path / "plan.toml"), "--dry-run", "--metrics-file", str(file)) == 3
    assert not file.exists()
