"""The tables `[host]` and the paths of a plan: what is refused, what is warned of, and which folder is meant."""

from __future__ import annotations

from pathlib import Path

import pytest

from registry_push.errors import InvalidPlan
from registry_push.model.place import ArchivePlace, LayoutPlace
from registry_push.verbs.sync.places import folder_meant, in_folder, unnamed_hosts
from registry_push.verbs.sync.plan_reader import read_plan
from registry_push.verbs.sync.plan_text import PlanText

ENTRY = '[[sync]]\nsource = "registry:A.example:5000/ml/"\ntarget = ["registry:b.example/x", "oci:out"]\n'


def refused(host: str) -> str:
    with pytest.raises(InvalidPlan) as caught:
        read_plan(PlanText.parse("plan.toml", f"{ENTRY}[host.'{host}']\nplain-http = true\n"))
    return caught.value.message


@pytest.mark.parametrize(
    "host", ["https://u:s3cret@b.example", "u:s3cret@b.example", "https://b.example", "b/x", "b:99999"]
)
def test_a_key_that_is_no_host_is_refused(host: str) -> None:
    said = refused(host)
    assert said.startswith("plan.toml, line 4: [host.") and said.endswith("names no host")
    assert "s3cret" not in said


def test_two_tables_of_one_host_are_refused() -> None:
    text = f'{ENTRY}[host."b.example"]\nplain-http = true\n[host."B.example:443"]\nplain-http = true\n'
    with pytest.raises(InvalidPlan, match=r'line 6: .*is the same host as .host."b.example"'):
        read_plan(PlanText.parse("plan.toml", text))


@pytest.mark.parametrize(
    ("table", "is_warned"),
    [
        ('[host."a.example:5000"]\nplain-http = true', False),
        ('[host."b.example:443"]\nplain-http = true', False),
        ('[host."a.example"]\nplain-http = true', True),
        ('[host."a.example"]\nca-file = "x"', True),
        ('[host."c.example"]\nplain-http = true', True),
        ('[host."tokens.example"]\nca-file = "x"', False),
    ],
)
def test_a_table_that_counts_for_no_place_is_a_warning(table: str, is_warned: bool) -> None:
    text = PlanText.parse("plan.toml", f"{ENTRY}{table}\n")
    warnings = list(unnamed_hosts(read_plan(text), text))
    assert len(warnings) == is_warned
    for warning in warnings:
        assert warning.message.startswith("plan.toml, line 4: [host.") and "A.example:5000, b.example" in str(
            warning.hint
        )


def test_a_table_for_one_name_of_docker_hub_counts_for_all() -> None:
    text = PlanText.parse(
        "plan.toml",
        '[[sync]]\nsource = "registry:docker.io/me/a"\ntarget = "oci:x"\n[host."index.docker.io"]\nauthfile = "x"',
    )
    assert not list(unnamed_hosts(read_plan(text), text))


def test_relative_paths_are_in_the_folder(tmp_path: Path) -> None:
    plan = read_plan(
        PlanText.parse(
            "plan.toml",
            '[[sync]]\nsource = "oci-archive:in.tar"\ntarget = ["oci:out", "oci:/abs", "registry:b.example/"]\n'
            '[host."b.example"]\nca-file = "ca.pem"\nauthfile = "/auth.json"\n',
        )
    )
    found = in_folder(plan, tmp_path)
    (entry,) = found.entries
    assert entry.source == ArchivePlace(str(tmp_path / "in.tar"), None)
    assert entry.targets[:2] == (LayoutPlace(str(tmp_path / "out"), None), LayoutPlace("/abs", None))
    assert found.hosts["b.example"] == {
        "ca_file": str(tmp_path / "ca.pem"),
        "authfile": "/auth.json",
    }
    assert in_folder(plan, None) == in_folder(plan, Path.cwd()) == plan


def test_the_folder_is_told_only_if_it_matters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    plan = read_plan(PlanText.parse("plan.toml", ENTRY))
    assert folder_meant(plan.entries, {}, None) == tmp_path
    assert folder_meant(plan.entries, {}, Path("/other")) == Path("/other")
    assert folder_meant((), {"b.example": {"ca_file": "ca.pem"}}, None) == tmp_path
    assert folder_meant((), {"b.example": {"ca_file": "/ca.pem", "authfile": "~/auth.json"}}, None) is None
