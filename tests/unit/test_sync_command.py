"""`sync` as a command: what its flags mean together, and where settings for other commands are not its own."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from registry_push.cli.main import group

SKOPEO = 'old.example.com:\n  images:\n    ml/llama: ["3b"]\n'


def called(*arguments: str, to: str | None = None) -> tuple[int, str]:
    """The exit code, and what is printed or the message of the error."""
    variables = {"REGISTRY_PUSH_TO": to} if to is not None else {}
    result = CliRunner().invoke(group, ["sync", *arguments], prog_name="registry-push", env=variables)
    return getattr(result.exception, "exit_code", result.exit_code), result.stdout + str(result.exception or "")


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A file that sets where `push` goes."""
    file = tmp_path / "config.toml"
    file.write_text('to = "registry.example.com/ml/"\n')
    return file


def test_a_target_for_push_in_the_file_is_none_of_a_plan(tmp_path: Path, config: Path) -> None:
    plan = tmp_path / "plan.toml"  # it is looked for, and not there
    assert called(str(plan), "--config", str(config))[0] == 3
    assert called(str(plan), to="registry.example.com/ml/")[0] == 3
    code, said = called(str(plan), "--to", "registry.example.com/ml/")
    assert (code, said) == (2, "--to goes with --from-skopeo")


def test_nor_is_it_one_of_a_conversion(tmp_path: Path, config: Path) -> None:
    file = tmp_path / "skopeo.yml"
    file.write_text(SKOPEO)
    assert "registry:target.invalid/" in called("--from-skopeo", str(file), "--config", str(config))[1]
    assert '"registry:new.example.com/' in called("--from-skopeo", str(file), "--to", "new.example.com/")[1]


def test_files_of_a_run_that_are_one_are_refused_before_anything_starts(tmp_path: Path) -> None:
    plan, same = tmp_path / "plan.prom", tmp_path / "link.prom"
    plan.write_text("kept")
    same.symlink_to(plan)
    for flag, what in (("--report", "the report"), ("--metrics-file", "the metrics file")):
        code, said = called(str(plan), flag, str(same))
        assert (code, said) == (2, f"the plan and {what} are the same file, {same}")
        assert called("--plan", str(plan), flag, str(same))[0] == 2
    assert called(str(plan), "-n", "--plan-out", str(plan))[0] == 2
    new = tmp_path / "new.prom"
    code, said = called(str(plan), "-n", "--plan-out", str(new), "--report", str(tmp_path / "." / "new.prom"))
    assert (code, said) == (2, f"the report and the pinned plan are the same file, {new}")
    assert called(str(plan), "--report", str(new), "--metrics-file", str(new))[0] == 2
    assert plan.read_text() == "kept" and not new.exists()
