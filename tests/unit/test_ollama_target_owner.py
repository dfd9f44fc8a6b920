"""Whose the files in an Ollama store are when root writes it, or somebody who may not."""

from __future__ import annotations

import os
import pwd
from collections.abc import Iterator
from pathlib import Path

import pytest

from registry_push.content.body import BytesBody
from registry_push.content.ollama.target import OllamaTarget
from registry_push.errors import ConnectionLost
from registry_push.model import ModelName

from ..support.bodies import CountedBody
from ..support.layouts import BLOB, HELLO, manifest
from ..support.other_user import UID, public_folder, require_root, start_as_other

# A user who is no root, in every user database.
SERVICE = pwd.getpwnam("daemon")

# Puts a blob into the store argv[1], and prints the error.
PUT = f"""
import asyncio
from pathlib import Path
from registry_push.content.body import BytesBody
from registry_push.content.ollama.target import OllamaTarget
from registry_push.errors import RegistryPushError
from registry_push.model import Descriptor, Digest, ModelName

async def put():
    class Body(BytesBody):
        def open(self, offset, length):
            print("asked for")
            return super().open(offset, length)

    content = {HELLO!r}
    blob = Descriptor("", Digest.of(content), len(content))
    target = OllamaTarget(Path(sys.argv[1]), ModelName.parse("me/tiny"))
    try:
        await target.put(blob, Body(content))
    except RegistryPushError as error:
        print(error.exit_code, error.message, error.hint, sep="|")

asyncio.run(put())
"""


@pytest.fixture
def public() -> Iterator[Path]:
    require_root()
    with public_folder() as folder:
        yield folder


def owners(folder: Path) -> set[tuple[int, int]]:
    return {(path.lstat().st_uid, path.lstat().st_gid) for path in folder.rglob("*")}


@pytest.mark.parametrize("v2", [False, True])
async def test_what_root_writes_belongs_to_the_owner_of_the_blobs(public: Path, v2: bool) -> None:
    root, owner = public / "models", (SERVICE.pw_uid, SERVICE.pw_gid)
    for folder in (root, root / "blobs", *([root / "manifests-v2"] if v2 else [])):
        folder.mkdir()
        os.chown(folder, *owner)
    target = OllamaTarget(root, ModelName.parse("me/tiny"))
    with pytest.raises(ConnectionLost):
        await target.put(BLOB, CountedBody(HELLO, until=5))
    assert owners(root) == {owner}, "the service resumes it"
    await target.put(BLOB, BytesBody(HELLO))
    await target.put_manifest(manifest(), "latest")
    assert owners(root) == {owner}, "files, folders and links"


async def test_a_store_that_root_makes_belongs_to_the_owner_of_the_folder_above(public: Path) -> None:
    above, owner = public / "home", (SERVICE.pw_uid, SERVICE.pw_gid)
    above.mkdir()
    os.chown(above, *owner)
    target = OllamaTarget(above / ".ollama" / "models", ModelName.parse("me/tiny"))
    await target.put(BLOB, BytesBody(HELLO))
    await target.put_manifest(manifest(), "latest")
    assert owners(above) == {owner}


async def put_as_other(root: Path) -> str:
    process = await start_as_other(PUT, str(root), home=None)
    out, err = await process.communicate()
    assert process.returncode == 0, err
    return out.decode().strip()


@pytest.mark.parametrize("closed", ["blobs", "models", "work", "manifests", "host"])
async def test_who_may_not_write_is_told_as_whom_to_run_it(public: Path, closed: str) -> None:
    root = public / "models"
    places = {
        "models": root,  # made last, so that there are blobs
        "blobs": root / "blobs",
        "work": root / ".registry-push",
        "manifests": root / "manifests",
        "host": root / "manifests" / "registry.ollama.ai",
    }
    for name, folder in places.items():
        folder.mkdir()
        os.chown(folder, *((SERVICE.pw_uid, SERVICE.pw_gid) if name == closed else (UID, UID)))
        if name == closed and name in ("models", "manifests"):
            break  # what is in it is to be made
    said = await put_as_other(root)
    assert said.startswith("4|") and "sudo -u daemon registry-push" in said, said
    assert str(places[closed]) in said
    assert "asked for" not in said, "before a byte is fetched"


@pytest.mark.parametrize("mode", [0o644, 0o600])
async def test_what_another_user_left_under_way_is_fetched_anew(public: Path, mode: int) -> None:
    root = public / "models"
    partial = root / ".registry-push" / f"{BLOB.digest.path_name}.partial"
    for folder in (root, root / "blobs", partial.parent):
        folder.mkdir()
        os.chown(folder, UID, UID)
    partial.write_bytes(HELLO[:5])
    partial.chmod(mode)
    assert await put_as_other(root) == "asked for"
    blob = root / "blobs" / BLOB.digest.path_name
    assert blob.read_bytes() == HELLO and blob.stat().st_uid == UID
