"""Mistakes of the command line: what is said is what was done, and the next step is one that helps."""

from __future__ import annotations

from pathlib import Path

import pytest

from registry_push.embedded.sample import write_sample_store
from tests.support.command import command

MISTAKES: dict[str, tuple[list[str], str, str]] = {
    "all and a name": (["push", "--all", "me/tiny"], "--all and the names of models exclude each other", "leave one"),
    "no model": (["push", "--to", "localhost:1/"], "name the models to push, or give --all", "registry-push list"),
    "only an exclusion": (["push", "!me/*"], "name the models to push, or give --all", "registry-push list"),
    "all excluded": (["push", "--all", "--exclude", "*"], "all models asked for are excluded", "registry-push list"),
    "no argument": (["push", "me/tiny", "--to"], "'--to' requires an argument", "registry-push push --help"),
    "no argument, nested": (["key", "show", "--key"], "'--key' requires an argument", "registry-push key show --help"),
    "no shell": (["completion"], "missing argument '{bash|zsh|fish}'\n", "registry-push completion --help"),
    "no user": (["push", "me/tiny", "--password-stdin"], "--password-stdin needs a user name", "--username NAME"),
    "scheme of a prefix": (
        ["push", "me/tiny", "--to", "ftp://localhost:1/"],
        "'ftp://localhost:1/' has the scheme 'ftp'",
        "https:// or http://",
    ),
    "capitals in a prefix": (["push", "me/tiny", "--to", "localhost:1/MyOrg/"], "'MyOrg/model'", "in lower case"),
    "capitals in a target": (["push", "me/tiny", "--to", "localhost:1/MyOrg/x"], "'MyOrg/x'", "in lower case"),
    "scheme of a target": (
        ["push", "me/tiny", "--to", "ftp://localhost:1/a/b"],
        "'ftp://localhost:1/a/b' has the scheme 'ftp'",
        "https:// or http://",
    ),
}


@pytest.mark.parametrize(("arguments", "said", "step"), MISTAKES.values(), ids=MISTAKES.keys())
async def test_a_mistake_is_called_by_its_name_and_its_next_step_helps(
    tmp_path: Path, arguments: list[str], said: str, step: str
) -> None:
    write_sample_store(tmp_path / ".ollama/models", weights=70_000)
    done = await command(*arguments, home=tmp_path)
    error, _, hint = done.err.partition("  → ")
    assert done.code == 2 and error.startswith("error: ") and said in error and step in hint, done.err
    assert error.count("\n") == 1, "one line says what failed"


async def test_a_folder_that_is_no_layout_sends_nobody_to_the_ollama_store(tmp_path: Path) -> None:
    done = await command("inspect", f"oci:{tmp_path}:v1", home=tmp_path)
    assert done.code == 3 and "no OCI image layout" in done.err and "index.json" in done.err.partition("→")[2]
    assert "--models" not in done.err


async def test_a_file_that_is_no_toml_is_the_thing_to_correct(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text("jobs = 4\njobs = 5\n")
    done = await command("list", "--config", str(tmp_path / "mine.toml"), home=tmp_path)
    assert done.code == 2 and "line 2" in done.err and "correct the file" in done.err


async def test_cancelling_nothing_says_that_there_is_nothing(tmp_path: Path) -> None:
    state = str(tmp_path / "state")
    assert (await command("push", "me/none", "--to", "localhost:1/", "--state-dir", state, home=tmp_path)).code == 3
    write_sample_store(tmp_path / ".ollama/models", weights=70_000)
    pushed = ["push", "me/tiny", "--to", "localhost:1/", "--state-dir", state, "--retries", "0"]
    assert (await command(*pushed, home=tmp_path)).code == 6
    done = await command("resume", "--cancel", "--state-dir", state, home=tmp_path)
    assert done.code == 0 and done.out == "nothing is under way\n"
