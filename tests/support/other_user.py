"""Runs code as a user who owns nothing and has no entry in the user database, as containers on OpenShift do."""

from __future__ import annotations

import asyncio
import os
import pwd
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from . import leaks
from .command import Finished

UID: Final = 54_321
# Imports all of the package, and what it imports late, before root's rights are gone: the interpreter and the
# environment may lie in folders that only root may enter.
_DROP: Final = f"""
import difflib, encodings.idna, encodings.utf_8_sig, fcntl, getpass, grp, importlib, json, os, pkgutil, pwd, resource
import sys, tomllib
import aiofiles, aiohttp, cryptography.x509, platformdirs.unix, registry_push, rich.console
import cryptography.hazmat.primitives.asymmetric.ed25519, cryptography.hazmat.primitives.serialization
for module in pkgutil.walk_packages(registry_push.__path__, "registry_push."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
import registry_push.__main__
import tests.support.lookups
os.setgroups([]); os.setgid({UID}); os.setuid({UID})
"""
_COMMAND: Final = "registry_push.__main__.main()"


def require_root() -> None:
    """Skips the test, or in CI fails it, unless this is root: only root can become another user."""
    if os.getuid() == 0:
        return
    if os.environ.get("CI") == "true":
        pytest.fail("only root can become another user, and in CI that must be tried")
    pytest.skip("only root can become another user")


@contextmanager
def public_folder() -> Iterator[Path]:
    """A folder that other users can look into; pytest's own are closed to them."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def is_unknown() -> bool:
    """Whether the user database does not know the user."""
    try:
        pwd.getpwuid(UID)
    except KeyError:
        return True
    return False


async def command_as_other(*arguments: str, home: str | None, **variables: str) -> Finished:
    """Runs `registry-push arguments…` to its end as that user, with `home` for `$HOME`; None: unset."""
    process = await start_as_other(_COMMAND, *arguments, home=home, **variables)
    out, err = await process.communicate()
    assert process.returncode is not None
    finished = Finished(process.returncode, out.decode(), err.decode(), 0)
    leaks.current().note("what the command printed", f"{finished.out}\n{finished.err}")
    return finished


async def start_as_other(
    code: str = _COMMAND, *arguments: str, home: str | None, **variables: str
) -> asyncio.subprocess.Process:
    """Runs `code`, or the command, with `arguments` as that user, under way."""
    require_root()
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(sys.path), **variables}
    if home is not None:
        environment["HOME"] = home
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        _DROP + code,
        *arguments,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=environment,
        cwd="/",
    )
