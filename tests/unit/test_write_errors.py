"""Why a file can't be written, found out before anything is."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from registry_push.content.write_errors import check_writable, write_error, writing
from registry_push.errors import Unavailable, Unwritable


@pytest.mark.skipif(os.name != "posix", reason="only POSIX says that a file system is mounted read-only")
@pytest.mark.parametrize(("flags", "hint"), [(os.ST_RDONLY, "mount the file system for writing"), (0, "chmod u+wx")])
def test_a_folder_on_a_read_only_file_system_is_told_from_one_that_is_not_ours_to_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flags: int, hint: str
) -> None:
    """Mounting takes rights that tests need not have, so the two questions to the system are answered here."""
    monkeypatch.setattr(os, "access", lambda _, mode: not mode & os.W_OK)
    monkeypatch.setattr(os, "statvfs", lambda _: SimpleNamespace(f_flag=flags))
    with pytest.raises(Unwritable) as refused:
        check_writable(tmp_path / "models.tar")
    assert hint in (refused.value.hint or "")


@pytest.mark.parametrize("below", ["", "/blobs/sha256"])
def test_what_is_in_the_way_is_named_in_the_command_that_shows_it(tmp_path: Path, below: str) -> None:
    (tmp_path / "a file").touch()
    path = Path(f"{tmp_path}/a file{below}")
    with pytest.raises(Unwritable) as refused, writing(path):
        path.mkdir(parents=True)
    assert (refused.value.hint or "").endswith(f"ls -ld '{tmp_path}/a file'")


@pytest.mark.parametrize(
    ("number", "hint"),
    [
        (errno.ENOSPC, "make room, or name another folder, and run the same command again"),
        (errno.ESTALE, "wait until the file system answers again, and run the same command again"),
        (
            errno.EIO,
            "see what the system's log says of the disk, or name another folder, and run the same command again",
        ),
    ],
)
def test_the_next_step_is_that_of_the_trouble(tmp_path: Path, number: int, hint: str) -> None:
    error = write_error(OSError(number, os.strerror(number)), tmp_path / "blob", kept="the content is kept")
    assert isinstance(error, Unavailable)
    assert error.message == f"{tmp_path}/blob can't be written: {os.strerror(number)}; the content is kept"
    assert error.hint == hint


@pytest.mark.parametrize(
    ("below", "hint"),
    [
        ("", "run the same command again"),
        ("gone/", "make the folder {}, or name another, and run the same command again"),
    ],
)
def test_nothing_is_said_to_be_kept_of_what_was_deleted(tmp_path: Path, below: str, hint: str) -> None:
    path = Path(f"{tmp_path}/{below}blob")
    with pytest.raises(Unavailable) as refused, writing(path, kept="the content is kept"):
        path.rename(tmp_path / "other")
    assert refused.value.message == f"{path} can't be written: {os.strerror(errno.ENOENT)}"
    assert refused.value.hint == hint.format(path.parent)
