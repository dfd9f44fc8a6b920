"""Why a file can't be written, found out before anything is."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from registry_push.content.write_errors import check_writable, writing
from registry_push.errors import Unwritable


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
