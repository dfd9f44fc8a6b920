"""`sync` from one docker-registry to another: what a dry run says, the run does, and a second finds done."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.command import Finished, command
from tests.support.registries import DockerRegistry, docker_registry_at
from tests.support.sync_stage import Log, Peer, facts

pytestmark = pytest.mark.real

TAGS = ("v1.0", "v1.1", "v2.0", "latest")
LIBRARY = [f"library/m{number}" for number in range(15)]
TEAM = [f"team/llama{number}" for number in range(18)] + ["team/llama1-fp16", "team/other"]
TOOLS = [f"tools/t{number}" for number in range(15)]


def at(path: Path) -> Iterator[DockerRegistry]:
    path.mkdir()
    with docker_registry_at(path, logs_requests=True) as registry:
        yield registry


@pytest.fixture
def source(tmp_path: Path) -> Iterator[DockerRegistry]:
    yield from at(tmp_path / "source")


@pytest.fixture
def target(tmp_path: Path) -> Iterator[DockerRegistry]:
    yield from at(tmp_path / "target")


async def run(home: Path, plan: str, *flags: str) -> tuple[Finished, dict[str, Any]]:
    """The command, and its report."""
    path, report = home / "plan.toml", home / "report.json"
    path.write_text(plan)
    done = await command("sync", str(path), "--report", str(report), *flags, home=home)
    return done, json.loads(report.read_text())


def plan_of(source: str, target: str) -> str:
    return f"""
[defaults]
tags = {{ exclude = ["v1.0"] }}

[[sync]]  # renamed, the versions of a range and a glob
source = "registry:{source}/library/"
target = "registry:{target}/"
rename = {{ "^library/(.*)" = "mirror/\\\\1" }}
tags = {{ include = ["latest"], semver = ">=1 <2" }}

[[sync]]  # some of the models, the two newest versions
source = "registry:{source}/team/"
target = "registry:{target}/kept/"
models = ["llama*", "!llama3", "team/llama?*", "!*-fp16"]
tags = {{ latest = 2, sort = "semver" }}

[[sync]]  # to two places, by the filter of the defaults
source = "registry:{source}/tools/"
target = ["registry:{target}/x/", "registry:{target}/y/"]
on_exists = "keep"

[[sync]]  # one tag under another name
source = "registry:{source}/tools/t0:v1.0"
target = "registry:{target}/one/t0:stable"

[[sync]]  # one repository under another name
source = "registry:{source}/team/llama3"
target = "registry:{target}/special"
tags = ["v*", "!v2*"]
backup = "{{tag}}-before-{{date}}"
"""


def expected(there: dict[str, str]) -> dict[str, str]:
    """What the target has after the plan, worked out by hand from what the source has."""
    wanted: dict[str, str] = {}
    for name in LIBRARY:
        to = name.replace("library/", "mirror/")
        wanted |= {f"{to}:{tag}": there[f"{name}:{tag}"] for tag in ("v1.0", "v1.1", "latest")}
    for name in TEAM:
        if name not in ("team/llama3", "team/llama1-fp16", "team/other"):
            wanted |= {f"kept/{name}:{tag}": there[f"{name}:{tag}"] for tag in ("v1.1", "v2.0")}
    for place in "xy":
        for name in TOOLS:
            wanted |= {f"{place}/{name}:{tag}": there[f"{name}:{tag}"] for tag in ("v1.1", "v2.0", "latest")}
    wanted["one/t0:stable"] = there["tools/t0:v1.0"]
    return wanted | {f"special:{tag}": there[f"team/llama3:{tag}"] for tag in ("v1.0", "v1.1")}


async def test_a_dry_run_says_what_happens_and_a_second_run_finds_it_done(
    source: DockerRegistry, target: DockerRegistry, tmp_path: Path
) -> None:
    # Tags share their content with those of other repositories: some are mounted. `latest` is v2.0.
    names = [f"{name}:{tag}" for name in (*LIBRARY, *TEAM, *TOOLS) for tag in TAGS]
    contents = {name: f"{name.replace('latest', 'v2.0')}" for name in names}
    assert len(names) == 200
    a, b = Peer(source.host), Peer(target.host)
    there = await a.put_all(contents)
    before = {
        "mirror/m0:v1.0": contents["library/m0:v1.0"],  # there already
        "mirror/m1:v1.0": "another",  # moved
        "x/tools/t1:v1.1": "not ours",  # kept
        "special:v1.0": "as it was",  # backed up
        "special:v9": "nobody's business",
    }
    had = await b.put_all(before)
    plan = plan_of(source.host, target.host)

    dry, told = await run(tmp_path, plan, "--dry-run")
    assert dry.code == 0, dry.err
    assert await b.everything() == had, "a dry run writes nothing"
    done, report = await run(tmp_path, plan)
    assert done.code == 0, done.err
    assert facts(told["entries"]) == facts(report["entries"])
    assert {name: told["totals"][name] for name in ("copied", "present", "kept", "skipped", "failed")} == {
        name: report["totals"][name] for name in ("copied", "present", "kept", "skipped", "failed")
    }

    now, wanted = await b.everything(), expected(there)
    wanted["x/tools/t1:v1.1"], wanted["special:v9"] = had["x/tools/t1:v1.1"], had["special:v9"]
    (backup,) = [each["backup"] for each in report["entries"] if each["backup"]]
    assert backup.startswith("v1.0-before-")
    wanted[f"special:{backup}"] = had["special:v1.0"]
    assert now == wanted

    # The report, entry by entry, is what the registries show.
    settled = [each for each in report["entries"] if each["target"] is not None]
    prefix = f"{target.host}/"
    assert len({each["target"] for each in settled}) == len(settled)
    for each in settled:
        name, tag = each["target"].removeprefix(prefix), each["source"].removeprefix(f"{source.host}/")
        assert each["digest"] == there[tag]
        assert each["previous"] == had.get(name)
        assert each["action"] == (
            "kept" if name == "x/tools/t1:v1.1" else "present" if name == "mirror/m0:v1.0" else "copied"
        )
    skipped = {(each["entry"], each["source"]): each["reason"] for each in report["entries"] if not each["target"]}
    assert skipped[1, f"{source.host}/library/m0:v2.0"] == "matches none of the include globs and is not in >=1 <2"
    assert skipped[2, f"{source.host}/team/llama0:v1.0"] == "not among the latest 2"
    assert skipped[2, f"{source.host}/team/llama0:latest"] == "is no version"
    assert skipped[2, f"{source.host}/team/llama3"] == "left out by !llama3"
    assert skipped[2, f"{source.host}/team/other"] == "matches none of models"
    assert skipped[3, f"{source.host}/tools/t0:v1.0"] == "excluded by v1.0"

    log = Log(target)
    again, second = await run(tmp_path, plan)
    assert again.code == 0 and again.err == "" and len(again.out.splitlines()) == 1, again
    assert second["totals"]["copied"] == second["totals"]["bytes"] == 0
    assert {each.method for each in log.requests} <= {"HEAD", "GET"}
    assert not log.asked("GET", "/manifests/") and not log.asked("GET", "/blobs/")
    assert await b.everything() == wanted
    quiet, _ = await run(tmp_path, plan, "--quiet")
    assert (quiet.code, quiet.out, quiet.err) == (0, "", "")


async def test_one_broken_entry_does_not_stop_the_others(
    source: DockerRegistry, target: DockerRegistry, tmp_path: Path
) -> None:
    a, b = Peer(source.host), Peer(target.host)
    there = await a.put_all({f"ml/m{number}:{tag}": f"m{number} {tag}" for number in range(6) for tag in ("v1", "v2")})
    lost = (await a.blobs("ml/m2", "v2"))[-1]
    (blob,) = source.root.glob(f"docker/registry/v2/blobs/sha256/*/{lost.partition(':')[2]}/data")
    blob.unlink()
    plan = f"""
[[sync]]
source = "registry:{source.host}/ml/"
target = "registry:{target.host}/"
[[sync]]
source = "registry:{source.host}/not/there"
target = "registry:{target.host}/"
[[sync]]
source = "registry:{source.host}/ml/m5:v1"
target = "registry:{target.host}/after/them:all"
"""
    done, report = await run(tmp_path, plan)
    assert done.code == 8, done.err
    failed = {each["source"]: each["error"] for each in report["entries"] if each["action"] == "failed"}
    assert failed.keys() == {f"{source.host}/ml/m2:v2", f"{source.host}/not/there"}
    assert all(each["exit_code"] == 3 for each in failed.values()), failed
    assert lost in failed[f"{source.host}/ml/m2:v2"]["message"]
    assert "2 tags failed" in done.err and "not/there" in done.err and "ml/m2:v2" in done.err
    del there["ml/m2:v2"]
    assert await b.everything() == there | {"after/them:all": there["ml/m5:v1"]}
    again, _ = await run(tmp_path, plan, "--quiet")
    assert again.code == 8 and "not/there" in again.err, "what fails is told, however quiet"


async def test_without_a_plan_and_without_a_source(
    source: DockerRegistry, target: DockerRegistry, tmp_path: Path
) -> None:
    none = await command("sync", home=tmp_path)
    assert none.code == 2 and "name a plan" in none.err
    absent = await command("sync", str(tmp_path / "no.toml"), home=tmp_path)
    assert absent.code == 3 and f"there is no plan {tmp_path / 'no.toml'}" in absent.err
    plan = f'[[sync]]\nsource = "registry:{source.host}/"\ntarget = "registry:{target.host}/"\n'
    empty, report = await run(tmp_path, plan)
    assert empty.code == 3 and "has no repositories" in empty.err
    assert [each["action"] for each in report["entries"]] == ["failed"]
