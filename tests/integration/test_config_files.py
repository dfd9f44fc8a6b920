"""`--config` on what is no such file: an error at once, never a wait."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.other_user import command_as_other, public_folder

pytestmark = pytest.mark.attack("S15")

FIXTURES = Path(__file__).parents[2] / "fixtures" / "ollama"


def listed(*flags: str, home: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "registry_push", "list", "--models", str(FIXTURES), *flags],
        capture_output=True,
        text=True,
        cwd=FIXTURES.parents[1],
        env={**os.environ, "HOME": str(home), "XDG_CONFIG_HOME": str(home / "config"), **environ},
        timeout=60,
        check=False,
    )


def huge(path: Path) -> None:
    path.write_bytes(b"")
    os.truncate(path, 10_000_000_000)


KINDS: dict[str, tuple[Callable[[Path], object], int, str]] = {
    "a FIFO": (os.mkfifo, 2, "is a pipe, not a file"),
    "a folder": (Path.mkdir, 2, "is a folder, not a file"),
    "a device": (lambda path: path.symlink_to("/dev/zero"), 2, "is a device or socket, not a file"),
    "a huge file": (huge, 2, "has more than"),
    "no text": (lambda path: path.write_bytes(b"\xff\xfe"), 2, "can't be used"),
    "no TOML": (lambda path: path.write_text("jobs = = 3"), 2, "can't be used"),
    "deep": (lambda path: path.write_text("a = " + "[" * 100_000), 2, "can't be used"),
    "a link to itself": (lambda path: path.symlink_to(path.name), 2, ""),
    "nothing": (lambda _: None, 3, "is not there"),
}
# Where nobody named it, these are no file at all: see content/optional_files.
ABSENT = ("nothing", "a link to itself")


@pytest.mark.parametrize("named_by", ["the flag", "the variable", "its usual place"])
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_configuration_is_refused_at_once(tmp_path: Path, kind: str, named_by: str) -> None:
    make, code, words = KINDS[kind]
    path = tmp_path / "config" / "registry-push" / "config.toml"
    path.parent.mkdir(parents=True)
    make(path)
    flags = ["--config", str(path)] if named_by == "the flag" else []
    environ = {"REGISTRY_PUSH_CONFIG": str(path)} if named_by == "the variable" else {}
    done = listed(*flags, home=tmp_path, **environ)
    if kind in ABSENT and named_by == "its usual place":
        assert done.returncode == 0
    else:
        assert done.returncode == code
        assert str(path) in done.stderr and words in done.stderr and "Traceback" not in done.stderr


def test_a_configuration_is_read(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text('json = true  # "ja" — naïve\n')
    assert listed("--config", str(tmp_path / "mine.toml"), home=tmp_path).stdout.startswith("{")


async def test_one_that_is_closed_to_us_is_not_allowed() -> None:
    with public_folder() as folder:
        (folder / "mine.toml").write_text("")
        (folder / "mine.toml").chmod(0)
        done = await command_as_other("list", "--config", str(folder / "mine.toml"), home=str(folder))
    assert done.code == 4 and "mine.toml" in done.err
