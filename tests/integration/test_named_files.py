"""Files that a user has named to be read have to be there, whether they turn out to be needed or not."""

from __future__ import annotations

from pathlib import Path

import pytest

from registry_push.embedded.sample import write_sample_store
from tests.support.command import command

READ = ("authfile", "ca-file", "cert", "key-file", "config")


def line(home: Path) -> list[str]:
    """A command that needs none of them."""
    write_sample_store(home / ".ollama/models", name="me/tiny:v1")
    return ["copy", "--dry-run", "ollama:", f"oci:{home}/l"]


@pytest.mark.parametrize("flag", READ)
@pytest.mark.parametrize("where", ["nope", "file/nope"])
async def test_one_that_is_not_there_is_an_error_with_a_next_step(tmp_path: Path, flag: str, where: str) -> None:
    (tmp_path / "file").write_text("")
    ended = await command(*line(tmp_path), f"--{flag}", f"{tmp_path}/{where}", home=tmp_path)
    error, hint = ended.err.splitlines()
    assert ended.code == 3 and ended.out == "", ended.err
    assert f"{tmp_path}/{where} is not there" in error
    assert f"check --{flag}" in hint


async def test_the_message_says_who_named_it(tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text(f'authfile = "{tmp_path}/nope"\n')
    ended = await command(*line(tmp_path), "--config", str(config), home=tmp_path)
    assert ended.code == 3 and f"{config}, line 1: authfile {tmp_path}/nope is not there" in ended.err, ended.err


async def test_a_key_is_asked_for_only_by_some_registries(tmp_path: Path) -> None:
    """A service may be started before Ollama has made its key."""
    ended = await command(*line(tmp_path), "--key", f"{tmp_path}/nope", home=tmp_path)
    assert ended.code == 0, ended.err


async def test_a_key_to_be_made_need_not_be_there(tmp_path: Path) -> None:
    ended = await command("key", "create", "--key", f"{tmp_path}/new", home=tmp_path)
    assert ended.code == 0 and (tmp_path / "new").exists(), ended.err


async def test_one_that_may_not_be_looked_at_is_left_to_who_opens_it(tmp_path: Path) -> None:
    """A loop of links, which is an error of another kind, and is not needed here."""
    (tmp_path / "loop").symlink_to("loop")
    ended = await command(*line(tmp_path), "--ca-file", f"{tmp_path}/loop", home=tmp_path)
    assert ended.code == 0, ended.err


async def test_a_line_that_a_flag_overrides_names_nothing(tmp_path: Path) -> None:
    config, there = tmp_path / "config.toml", tmp_path / "there.json"
    config.write_text(f'authfile = "{tmp_path}/nope"\n')
    there.write_text("{}")
    ended = await command(*line(tmp_path), "--config", str(config), "--authfile", str(there), home=tmp_path)
    assert ended.code == 0, ended.err
