"""Who syncs: we, and our peers, each as the command that is run and the plan that it reads."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.bench.registries import find

US: Final = "registry-push"
# As what came before it left its journal: the same user syncs again.
US_AGAIN: Final = "registry-push, synced before"


@dataclass(frozen=True, slots=True)
class Task:
    """One sync: all `repositories` from `source` to `target`, both `HOST:PORT`, by a user whose home is `home`."""

    source: str
    target: str
    repositories: Sequence[str]
    home: Path


@dataclass(frozen=True, slots=True)
class Syncer:
    """A way to sync. `command` writes the plan into the home, and returns the words that carry it out."""

    name: str
    command: Callable[[Task], list[str]]

    @property
    def is_peer(self) -> bool:
        """Whether it is somebody else's."""
        return self.name not in (US, US_AGAIN)

    @property
    def keeps_home(self) -> bool:
        """Whether it profits from an earlier sync of its own."""
        return self.name == US_AGAIN

    def variables(self, task: Task) -> dict[str, str]:
        """The environment of the command: of ours only where programs and modules are."""
        ours = {} if self.is_peer else {"PYTHONPATH": os.pathsep.join(sys.path)}
        return {"HOME": str(task.home), "PATH": os.environ["PATH"], **ours}


def found_syncers(peers: Path | None) -> tuple[Syncer, ...]:
    """We, and the peers of this machine; `peers` is looked into before PATH."""
    found = [Syncer(US, _ours), Syncer(US_AGAIN, _ours)]
    if (skopeo := find("skopeo", peers)) is not None:
        found.append(Syncer("skopeo", _skopeo(str(skopeo))))
    if (regsync := find("regsync", peers)) is not None:
        found += [
            Syncer("regsync", _regsync(str(regsync))),
            Syncer("regsync, side by side", _regsync(str(regsync), parallel=8)),
            Syncer("regsync, 16 requests", _regsync(str(regsync), parallel=8, requests=16)),
        ]
    return tuple(found)


def _ours(task: Task) -> list[str]:
    plan = task.home / "plan.toml"
    plan.write_text(f'[[sync]]\nsource = "registry:{task.source}/"\ntarget = "registry:{task.target}/"\n')
    return [sys.executable, "-m", "registry_push", "sync", str(plan)]


def _skopeo(program: str) -> Callable[[Task], list[str]]:
    """A list of repositories, all of whose tags it asks for itself. It keeps only the last part of their names."""

    def command(task: Task) -> list[str]:
        (folder,) = {name.rpartition("/")[0] for name in task.repositories}
        images: dict[str, list[str]] = {name: [] for name in task.repositories}
        plan = _written(task.home / "skopeo.yml", {task.source: {"tls-verify": False, "images": images}})
        # Without --preserve-digests it would compress the layers on their way.
        options = ["--preserve-digests", "--all", "--dest-tls-verify=false", "--src", "yaml", "--dest", "docker"]
        return [program, "--insecure-policy", "sync", *options, plan, f"{task.target}/{folder}"]

    return command


def _regsync(program: str, parallel: int = 0, requests: int = 0) -> Callable[[Task], list[str]]:
    """The whole registry as one entry, or so many repositories side by side: it takes one entry's in turn.

    `requests` is how many are under way at one host at most, its own default (3) if 0.
    """

    def command(task: Task) -> list[str]:
        limit = {"reqConcurrent": requests} if requests else {}
        whole = {"source": task.source, "target": task.target, "type": "registry"}
        each = [
            {"source": f"{task.source}/{name}", "target": f"{task.target}/{name}", "type": "repository"}
            for name in task.repositories
        ]
        plan = {
            "version": 1,
            "creds": [{"registry": host, "tls": "disabled", **limit} for host in (task.source, task.target)],
            "defaults": {"parallel": parallel} if parallel else {},
            "sync": each if parallel else [whole],
        }
        return [program, "once", "--verbosity", "warn", "--config", _written(task.home / "regsync.yml", plan)]

    return command


def _written(path: Path, plan: dict[str, Any]) -> str:
    path.write_text(json.dumps(plan))  # JSON is YAML
    return str(path)
