"""`sync --metrics-file` beside the report of the same run, between real registries."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from registry_push.embedded.sample import write_sample_store
from registry_push.settings import Settings
from registry_push.verbs.push import push
from tests.support.command import command
from tests.support.registries import DockerRegistry, docker_registry_at


def samples(file: Path) -> dict[str, float]:
    """Each sample by its name and its label, but for the plan."""
    found = {}
    for family in text_string_to_metric_families(file.read_text()):
        for sample in family.samples:
            labels = [value for name, value in sample.labels.items() if name != "plan"]
            found[" ".join([sample.name.removeprefix("registry_push_sync_"), *labels])] = sample.value
    return found


@pytest.mark.real
async def test_the_metrics_say_what_the_report_says(docker_registry: DockerRegistry, tmp_path: Path) -> None:
    models = tmp_path / ".ollama" / "models"
    for name in ("ml/one:v1", "ml/one:v2", "ml/two:v1"):
        write_sample_store(models, name=name, weights=10_000)
    settings = Settings(models=models, home=tmp_path, state_dir=None)
    assert (await push(["ml/*"], to=f"{docker_registry.host}/", settings=settings)).error is None
    (tmp_path / "new").mkdir()
    with docker_registry_at(tmp_path / "new") as new:
        plan, metrics, report = tmp_path / "plan.toml", tmp_path / "sync.prom", tmp_path / "report.json"
        entry = f'[[sync]]\nsource = "registry:{docker_registry.host}/{{}}"\ntarget = "registry:{new.host}/{{}}"\n'
        plan.write_text(entry.format("ml/", "") + entry.format("nothing/here", "elsewhere/"))
        flags = (str(plan), "--metrics-file", str(metrics), "--report", str(report), "--quiet")

        done = await command("sync", *flags, home=tmp_path)
        first = samples(metrics)
        totals = json.loads(report.read_text())["totals"]
        assert done.code == first["exit_code"] == 8
        assert (first["success"], first["tags copied"], first["tags failed"], first["entry_failed 2"]) == (0, 3, 1, 1)
        assert first["sent_bytes"] == totals["bytes"] > 10_000
        assert first["blobs uploaded"] == totals["blobs"]["sent"]
        assert "last_success_timestamp_seconds" not in first

        plan.write_text(entry.format("ml/", ""))
        assert (await command("sync", *flags, home=tmp_path)).code == 0
        second = samples(metrics)
        assert (second["success"], second["tags copied"], second["tags present"]) == (1, 0, 3)
        assert second["last_success_timestamp_seconds"] == second["last_end_timestamp_seconds"]
        assert second["last_start_timestamp_seconds"] >= first["last_end_timestamp_seconds"]

        plan.write_text("[[sync]")
        assert (await command("sync", *flags, home=tmp_path)).code == 2
        third = samples(metrics)
        assert (third["success"], third["exit_code"], third["tags present"]) == (0, 2, 0)
        assert third["last_success_timestamp_seconds"] == second["last_success_timestamp_seconds"]
