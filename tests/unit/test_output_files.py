"""Files that a sync writes: refused before it begins, and written without surprises."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from registry_push.errors import RegistryPushError, UsageError
from registry_push.verbs.sync.output_files import check_apart, check_output, write_whole


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_file_keeps_its_mode_and_a_new_one_has_what_the_umask_leaves(tmp_path: Path) -> None:
    old, new = tmp_path / "old.json", tmp_path / "new.json"
    old.write_text("before")
    old.chmod(0o640)
    before = os.umask(0o027)
    try:
        write_whole(new, "new")
        os.umask(0)
        write_whole(old, "after")
    finally:
        os.umask(before)
    assert (mode(new), new.read_text()) == (0o640, "new")
    assert (mode(old), old.read_text()) == (0o640, "after")
    assert sorted(each.name for each in tmp_path.iterdir()) == ["new.json", "old.json"]


@pytest.mark.parametrize("is_there", [True, False])
def test_a_link_is_followed_and_stays(tmp_path: Path, is_there: bool) -> None:
    real, link = tmp_path / "there" / "real.json", tmp_path / "link.json"
    real.parent.mkdir()
    if is_there:
        real.write_text("before")
    link.symlink_to(real)
    check_output(link, "the report")
    write_whole(link, "after")
    assert link.is_symlink() and real.read_text() == "after"


def test_a_pipe_is_written_into(tmp_path: Path) -> None:
    pipe, read = tmp_path / "pipe", list[str]()
    os.mkfifo(pipe)
    check_output(pipe, "the report")
    reader = threading.Thread(target=lambda: read.append(pipe.read_text()), daemon=True)
    reader.start()
    write_whole(pipe, "the report")
    reader.join(10)
    assert read == ["the report"] and pipe.is_fifo()


def test_a_device_is_written_into() -> None:
    # In the folder of terminals nothing can be replaced, whatever the code does; in /dev, root could.
    ours, theirs = os.openpty()
    try:
        terminal = Path(os.ttyname(theirs))
        check_output(terminal, "the report")
        write_whole(terminal, "the report")
        assert os.read(ours, 100) == b"the report"
    finally:
        os.close(ours)
        os.close(theirs)
    check_output(Path("/dev/null"), "the report")


def test_standard_output_keeps_its_file(tmp_path: Path) -> None:
    out = tmp_path / "out.txt"
    script = (
        "from pathlib import Path; from registry_push.verbs.sync.output_files import *\n"
        "print('first', flush=True); path = Path('/dev/stdout'); check_output(path, 'the report')\n"
        "write_whole(path, 'report ' ); print('last')"
    )
    with out.open("w") as file:
        subprocess.run([sys.executable, "-c", script], stdout=file, check=True)
    assert out.read_text() == "first\nreport last\n"


def test_what_can_not_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "loop").symlink_to("loop")
    refused = [
        *(Path(each) for each in (".", "..", "/", str(tmp_path), "/dev/fd", "/dev/full", "a\0b")),
        tmp_path / "absent" / "report.json",
        tmp_path / "file" / "report.json",
        tmp_path / ("x" * 300),
    ]
    for path in refused:
        with pytest.raises(UsageError, match="the report"):
            check_output(path, "the report")
    with pytest.raises(RegistryPushError):
        check_output(tmp_path / "loop", "the report")
    longest = tmp_path / ("x" * 255)
    check_output(longest, "the report")
    write_whole(longest, "x")
    assert longest.read_text() == "x"


def test_files_are_compared_by_what_they_are(tmp_path: Path) -> None:
    one, link, hard = tmp_path / "one", tmp_path / "link", tmp_path / "hard"
    one.write_text("")
    link.symlink_to(one)
    hard.hardlink_to(one)
    for other in (one, link, hard, tmp_path / "x" / ".." / "one"):
        with pytest.raises(UsageError, match="the plan and the report are the same file"):
            check_apart({"the plan": one, "the report": other})
    check_apart({"the plan": one, "the report": tmp_path / "two", "the pinned plan": None})
    check_apart({"the report": Path("/dev/null"), "the pinned plan": Path("/dev/null")})
