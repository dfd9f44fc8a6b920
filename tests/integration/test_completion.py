"""Completion as bash meets it: words that are split at colons, models of the store, hosts of logins."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from registry_push.embedded.sample import write_sample_store
from tests.support.peers import require

_ASK = """
source "$1"
COMP_LINE=$2 COMP_POINT=${#2} COMP_WORDBREAKS=$' \\t\\n"\\'><=;|&(:'
eval "COMP_WORDS=($3)"
COMP_CWORD=$(( ${#COMP_WORDS[@]} - 1 ))
complete() { :; }; compopt() { :; }
_registry_push_completion registry-push
printf '%s\\n' "${COMPREPLY[@]}"
"""

# What stands on the line, how bash splits it, what is to be among the replies, and what is not.
PUSH, TWO = "registry-push push x --to", "registry-push push me/tiny:v2 "
LINES = {
    "a command": ("registry-push pu", "registry-push pu", {"push"}, {"list"}),
    "a flag": ("registry-push push --chu", "registry-push push --chu", {"--chunk-size"}, {"--jobs"}),
    "a model": ("registry-push push me/", "registry-push push me/", {"me/tiny:v2", "me/tiny:latest"}, {"others/tiny"}),
    "a model's tag": ("registry-push push me/tiny:", "registry-push push me/tiny :", {"v2"}, {"me/tiny:v2"}),
    "half a tag": ("registry-push push me/tiny:v", "registry-push push me/tiny : v", {"v2"}, set()),
    "another": (TWO, TWO.replace(":", " : ") + "''", {"me/tiny:latest"}, {"me/tiny:v2"}),
    "a host": (f"{PUSH} local", f"{PUSH} local", {"localhost:5000/"}, {"ghcr.io/"}),
    "a host's port": (f"{PUSH} localhost:5", f"{PUSH} localhost : 5", {"5000/"}, set()),
    "a host after =": (f"{PUSH}=localh", f"{PUSH} = localh", {"localhost:5000/"}, set()),
    "a guide": ("registry-push help exit", "registry-push help exit", {"exit-codes"}, set()),
    "behind another command": ("cd x && registry-push resume gh", "registry-push resume gh", {"ghcr.io/"}, set()),
}  # fmt: skip


@pytest.mark.parametrize("line", LINES.values(), ids=LINES.keys())
def test_bash_completes(line: tuple[str, str, set[str], set[str]], tmp_path: Path) -> None:
    bash = require("bash")
    typed, words, wanted, unwanted = line
    environment = _stage(tmp_path)
    done = subprocess.run(
        [bash, "--norc", "-c", _ASK, "bash", str(tmp_path / "script"), typed, words],
        capture_output=True,
        text=True,
        check=True,
        env=environment,
    )
    replies = set(done.stdout.splitlines())
    assert wanted <= replies and not unwanted & replies
    assert done.stderr == ""


def test_a_store_or_login_that_is_damaged_completes_nothing_and_says_nothing(tmp_path: Path) -> None:
    environment = _stage(tmp_path)
    (tmp_path / ".docker/config.json").write_text("{")
    shutil.rmtree(tmp_path / ".ollama")
    for words in ("registry-push push x --to lo", "registry-push push m"):
        asked = environment | {"_REGISTRY_PUSH_COMPLETE": "bash_complete", "COMP_WORDS": words}
        asked["COMP_CWORD"] = str(len(words.split()) - 1)
        done = subprocess.run(["registry-push"], capture_output=True, text=True, check=True, env=asked)
        assert (done.stdout.strip(), done.stderr) == ("", "")


def _stage(home: Path) -> dict[str, str]:
    """A home with models and logins, the command on the PATH, and bash's script."""
    store = home / ".ollama/models"
    for name in ("me/tiny:latest", "me/tiny:v2", "others/tiny:latest"):
        write_sample_store(store, name=name, weights=1000)
    logins = {"auths": {"https://localhost:5000/v1/": {}, "ghcr.io": {"auth": "bWU6cGFzc3dvcmQ="}}}
    (home / ".docker").mkdir()
    (home / ".docker/config.json").write_text(json.dumps(logins))
    program = home / "bin/registry-push"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m registry_push "$@"\n')
    program.chmod(0o755)
    path = os.pathsep.join([str(program.parent), os.environ["PATH"]])
    environment = {"HOME": str(home), "PATH": path, "PYTHONPATH": os.pathsep.join(sys.path)}
    script = subprocess.run(
        ["registry-push", "completion", "bash"], capture_output=True, text=True, check=True, env=environment
    )
    (home / "script").write_text(script.stdout)
    return environment
