"""Exit codes and the look of errors, whoever notices them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from registry_push.embedded.sample import write_sample_store
from registry_push.errors import InvalidSettings
from registry_push.settings import Settings
from tests.support.command import command
from tests.support.event_schema import checked
from tests.support.other_user import command_as_other, public_folder, require_root

UNREADABLE = {
    "--ca-file": ["push", "me/tiny", "--to", "https://localhost:1/", "--ca-file", "FILE"],
    "--cert": ["push", "me/tiny", "--to", "https://localhost:1/", "--cert", "FILE", "--key-file", "FILE"],
    "--config": ["list", "--config", "FILE"],
    "--key": ["key", "show", "--key", "FILE"],
    "--models": ["list", "--models", "FOLDER"],
    "--token-file": ["serve", "--port", "0", "--host", "0.0.0.0", "--token-file", "FILE"],
}


@pytest.mark.parametrize("arguments", UNREADABLE.values(), ids=UNREADABLE.keys())
async def test_a_file_named_by_a_flag_that_may_not_be_read_ends_with_4(arguments: list[str]) -> None:
    require_root()
    with public_folder() as folder:
        write_sample_store(folder / "models", weights=70_000)
        (folder / "secret").mkdir(mode=0o700)
        (folder / "file").write_text("x")
        (folder / "file").chmod(0o600)
        places = {"FILE": str(folder / "file"), "FOLDER": str(folder / "secret")}
        told = [places.get(argument, argument) for argument in arguments]
        done = await command_as_other(*told, home=None, OLLAMA_MODELS=str(folder / "models"))
        assert done.code == 4, done.err
        assert "belongs to root" in done.err and "→" in done.err


USAGE = {
    "an unknown flag": ["push", "--jbos", "3"],
    "a wrong number": ["push", "x", "--jobs", "x"],
    "a wrong size": ["push", "x", "--chunk-size", "many"],
    "a number out of range": ["push", "x", "--jobs", "0"],
    "a wrong choice": ["push", "x", "--verify", "maybe"],
    "a wrong boolean": ["push", "x", "--tls-verify", "7"],
    "a flag without its value": ["push", "x", "--to"],
    "an argument too few": ["inspect"],
    "an argument too many": ["list", "a", "b"],
    "an unknown command": ["key", "frobnicate"],
    "no model": ["push"],
    "flags that exclude each other": ["inspect", "x", "--raw", "--json"],
}


@pytest.mark.parametrize("arguments", USAGE.values(), ids=USAGE.keys())
async def test_usage_errors_look_alike(tmp_path: Path, arguments: list[str]) -> None:
    write_sample_store(tmp_path / ".ollama/models", weights=70_000)
    if "--json" not in arguments:
        done = await command(*arguments, home=tmp_path)
        first, *rest = done.err.splitlines()
        assert done.code == 2 and done.out == ""
        assert re.match(r"error: [^A-Z]", first) and not first.endswith(".")
        assert len(rest) == 1 and rest[0].startswith("  → "), done.err
    told = await command(arguments[0], *dict.fromkeys(["--json", *arguments[1:]]), home=tmp_path)
    (event,) = checked(told.out)
    assert (event["event"], event["exit_code"], told.code, told.err) == ("error", 2, 2, "")
    assert event["hint"]


async def test_json_by_its_variable_holds_for_usage_errors(tmp_path: Path) -> None:
    done = await command("push", "--jbos", home=tmp_path, REGISTRY_PUSH_JSON="1")
    assert [event["event"] for event in checked(done.out)] == ["error"]
    after = await command("push", "--jbos", "--", "--json", home=tmp_path)
    assert after.out == "" and after.err.startswith("error: ")


async def test_a_login_in_what_is_not_understood_is_left_out(tmp_path: Path) -> None:
    for flags in ([], ["--json"]):
        done = await command("list", "a", "https://me:secret@host/x", *flags, home=tmp_path)
        assert done.code == 2 and "secret" not in done.out + done.err


@pytest.mark.parametrize(
    ("given", "hint"),
    [
        ({"chunk_size": 1}, "from 64 KiB to 5 TiB"),
        ({"timeout": 0.5}, "from 1s to 1d"),
        ({"retry_for": 1e9}, "from 0s to 7d"),
        ({"bwlimit": 1}, "from 1 KiB/s to 1 TB/s"),
        ({"jobs": 257}, "from 1 to 256"),
    ],
)
def test_ranges_are_written_as_people_write_them(given: dict[str, int], hint: str) -> None:
    with pytest.raises(InvalidSettings) as caught:
        Settings(**given)  # type: ignore[arg-type]  # of each its own
    assert hint in str(caught.value.hint)


async def test_a_timeout_may_have_a_unit(tmp_path: Path) -> None:
    write_sample_store(tmp_path / ".ollama/models", weights=70_000)
    (tmp_path / "config.toml").write_text("timeout = 30\n")
    for flags in (["--timeout", "90s"], ["--timeout", "2.5"], ["--config", str(tmp_path / "config.toml")]):
        done = await command("inspect", "me/tiny", *flags, home=tmp_path)
        assert done.code == 0, done.err
