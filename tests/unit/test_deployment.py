"""What runs `sync` each night: units, a crontab and a CronJob, with flags, places and variables that there are."""

from __future__ import annotations

import re
import shlex
import subprocess
from importlib.resources import files
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from registry_push.cli.guides import guides
from registry_push.cli.sync_command import command
from registry_push.options.grouped_help import OWN, in_sections
from registry_push.verbs.sync.plan_reader import read_plan
from registry_push.verbs.sync.plan_text import PlanText
from tests.support.peers import require

FILES = Path(str(files("registry_push"))) / "deploy"
SERVICE = (FILES / "registry-push-sync@.service").read_text()
TIMER = (FILES / "registry-push-sync@.timer").read_text()
CRON = (FILES / "registry-push-sync.cron").read_text()
CRON_JOB = (FILES / "cronjob.yaml").read_text()
CONTAINER = (FILES.parent / "daemon" / "Containerfile").read_text()


def parsed(arguments: list[str], variables: dict[str, str] | None = None) -> dict[str, Any]:
    """The flags as click understands them. Raises for one that is none."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (variables or {}).items():
            patch.setenv(name, value)
        return command.make_context("sync", arguments).params


def setting(unit: str, name: str) -> str:
    (value,) = re.findall(rf"^{name}=(.*)$", unit, re.MULTILINE)
    return str(value)


# ── systemd ───────────────────────────────────────────────────────────────────────────────────────


def test_the_unit_runs_sync_with_flags_that_there_are(tmp_path: Path) -> None:
    credential, _, _ = setting(SERVICE, "LoadCredential").partition(":")
    (tmp_path / credential).write_text("{}")
    line = setting(SERVICE, "ExecStart").replace("${CREDENTIALS_DIRECTORY}", str(tmp_path))
    program, sync, *arguments = shlex.split(line)
    assert (program, sync) == ("/opt/registry-push/bin/registry-push", "sync")
    flags = parsed(arguments)
    assert flags["authfile"] == tmp_path / credential
    assert str(flags["plan"]) == "/etc/registry-push/%i.toml"
    state, metrics = setting(SERVICE, "StateDirectory").split()
    assert flags["state_dir"].is_relative_to(f"/var/lib/{state}")
    assert flags["metrics_file"] == Path(f"/var/lib/{metrics}/%i.prom")


def test_the_unit_is_as_hardened_as_that_of_the_service() -> None:
    service = (FILES.parent / "daemon" / "registry-push.service").read_text()
    hardened = set(re.search(r"^NoNewPrivileges.*?^$", service, re.MULTILINE | re.DOTALL)[0].split())  # type: ignore[index]
    weaker = hardened - set(SERVICE.split())
    assert weaker == {"ProtectHome=read-only"} and "ProtectHome=yes" in SERVICE


def test_only_exit_code_6_is_tried_again() -> None:
    assert setting(SERVICE, "Restart") == "on-failure"
    assert {*range(1, 9)} - {*map(int, setting(SERVICE, "RestartPreventExitStatus").split())} == {6}


def test_the_timer_makes_up_for_a_missed_run() -> None:
    assert setting(TIMER, "Persistent") == "true"
    assert setting(TIMER, "RandomizedDelaySec")
    assert "WantedBy=timers.target" in TIMER


def test_systemd_finds_nothing_wrong_with_the_units(tmp_path: Path) -> None:
    program = require("systemd-analyze")
    service = SERVICE.replace("/opt/registry-push/bin/registry-push", "/bin/true")  # it has to be there
    units = [tmp_path / "registry-push-sync@nightly.service", tmp_path / "registry-push-sync@nightly.timer"]
    for unit, text in zip(units, (service, TIMER), strict=True):
        unit.write_text(text)
    done = subprocess.run([program, "verify", "--man=no", *units], capture_output=True, text=True)
    said = [line for line in (done.stdout + done.stderr).splitlines() if "registry-push" in line]
    assert (done.returncode, said) == (0, [])


# ── cron ──────────────────────────────────────────────────────────────────────────────────────────


def test_the_crontab_has_variables_and_one_line_with_a_user_and_a_command(tmp_path: Path) -> None:
    logins = "/var/lib/registry-push/auth.json"
    assert f"login HOST --authfile {logins}" in CRON
    (tmp_path / "auth.json").write_text("{}")
    lines = [line for line in CRON.replace(logins, f"{tmp_path}/auth.json").splitlines() if not line.startswith("#")]
    variables = dict(line.split("=", 1) for line in lines[:-1])
    assert all(re.fullmatch(r"[A-Z_]+", name) for name in variables)
    *times, user, line = lines[-1].split(None, 6)
    assert len(times) == 5 and all(re.fullmatch(r"\*|\d+", each) for each in times)
    assert user == "registry-push"
    assert "%" not in line  # cron takes it for the end of the line
    flock, _, _, program, sync, *arguments = shlex.split(line)
    assert (flock, program, sync) == ("flock", "registry-push", "sync")
    flags = parsed(arguments, {name: value for name, value in variables.items() if name != "PATH"})
    assert flags["quiet"], "cron sends mail for each line"
    assert str(flags["metrics_file"]) == "/var/lib/registry-push/metrics/nightly.prom"
    assert (flags["authfile"], str(flags["state_dir"])) == (tmp_path / "auth.json", "/var/lib/registry-push/state")


def test_the_crontab_ends_with_a_line_break() -> None:
    assert CRON.endswith("\n")  # else cron ignores the last line, or all of them


# ── Kubernetes ────────────────────────────────────────────────────────────────────────────────────

OBJECTS: dict[str, Any] = {each["kind"]: each for each in yaml.safe_load_all(CRON_JOB)}


def job() -> dict[str, Any]:
    spec: dict[str, Any] = OBJECTS["CronJob"]["spec"]
    return spec


def pod() -> dict[str, Any]:
    spec: dict[str, Any] = job()["jobTemplate"]["spec"]["template"]["spec"]
    return spec


def test_the_cron_job_has_all_that_it_names() -> None:
    assert [*OBJECTS] == ["ConfigMap", "PersistentVolumeClaim", "CronJob"]
    volumes = {each["name"]: each for each in pod()["volumes"]}
    assert volumes["plan"]["configMap"]["name"] == OBJECTS["ConfigMap"]["metadata"]["name"]
    claim = volumes["state"]["persistentVolumeClaim"]["claimName"]
    assert claim == OBJECTS["PersistentVolumeClaim"]["metadata"]["name"]
    (container,) = pod()["containers"]
    assert {each["name"] for each in container["volumeMounts"]} == {*volumes}
    assert f"create secret generic {volumes['logins']['secret']['secretName']} " in CRON_JOB


def test_the_cron_job_runs_sync_in_the_image_of_the_container_file() -> None:
    (container,) = pod()["containers"]
    sync, *arguments = container["args"]
    assert (container["command"], sync) == (["registry-push"], "sync")
    variables = {each["name"]: each["value"] for each in container["env"]}
    flags = parsed(arguments, variables)
    mounts = {each["name"]: Path(each["mountPath"]) for each in container["volumeMounts"]}
    (plan,) = OBJECTS["ConfigMap"]["data"]
    assert flags["plan"] == mounts["plan"] / plan
    assert flags["state_dir"] == mounts["state"]
    assert Path(variables["DOCKER_CONFIG"]) == mounts["logins"]
    assert f"HOME={mounts['tmp']} " in CONTAINER and f"mkdir {mounts['state']} " in CONTAINER
    assert f"USER {pod()['securityContext']['runAsUser']}:{pod()['securityContext']['runAsGroup']}\n" in CONTAINER


def test_the_cron_jobs_plan_can_be_read() -> None:
    (text,) = OBJECTS["ConfigMap"]["data"].values()
    assert read_plan(PlanText.parse("plan.toml", text)).entries


def test_the_cron_job_has_no_rights_and_no_second_run_beside_it() -> None:
    assert job()["concurrencyPolicy"] == "Forbid"
    assert pod()["securityContext"]["runAsNonRoot"] and not pod()["automountServiceAccountToken"]
    (container,) = pod()["containers"]
    context = container["securityContext"]
    assert context["readOnlyRootFilesystem"] and not context["allowPrivilegeEscalation"]
    assert context["capabilities"] == {"drop": ["ALL"]}


def test_only_exit_code_6_is_tried_again_by_the_job() -> None:
    policy = job()["jobTemplate"]["spec"]["podFailurePolicy"]["rules"]
    assert pod()["restartPolicy"] == "Never"  # else there is no policy
    assert [rule["action"] for rule in policy] == ["FailJob"]
    assert {*range(1, 9)} - {*policy[0]["onExitCodes"]["values"]} == {6}


# ── the guide ─────────────────────────────────────────────────────────────────────────────────────


def test_the_guide_shows_the_files_as_they_are() -> None:
    shown = re.findall(r"^```(ini|yaml|text)\n(.*?)^```$", guides()["migration"].text, re.MULTILINE | re.DOTALL)
    excerpts = [text for kind, text in shown if kind == "ini" or " * * * " in text or "image:" in text]
    additions = [text for text in excerpts if text.startswith("[Service]\n")]
    excerpts = [text for text in excerpts if text not in additions]
    assert (len(excerpts), len(additions)) == (4, 1)
    for text in excerpts:
        assert any(text in file for file in (SERVICE, TIMER, CRON, CRON_JOB)), text
    variables = dict(each.split("=", 1) for each in setting(additions[0], "Environment").split())
    flags = parsed(["plan.toml"], variables)
    assert (flags["delete"], flags["max_delete"]) == (True, 20)
    for file in FILES.iterdir():
        assert file.name in guides()["migration"].text


def test_the_guide_names_each_of_the_commands_own_options() -> None:
    ctx = click.Context(command)
    own = in_sections(command.get_params(ctx))[OWN]
    flags = {max(each.opts, key=len) for each in own}
    assert "--metrics-file" in flags
    assert flags <= set(re.findall(r"--[a-z][a-z-]+", guides()["migration"].text))
