"""A copy that ends between a model and what is about it: the next one brings the rest."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from registry_push.content.oci.archive import OCIArchive
from registry_push.content.oci.archive_writer import OCIArchiveWriter
from registry_push.content.oci.layout import OCILayout
from registry_push.content.oci.subjects import referrers_in
from registry_push.model import Digest
from registry_push.registry.referrer_index import ReferrerIndex
from registry_push.registry.repository import Repository
from tests.support.registries import Registry

from .test_referrers import BILL, IMAGE, SIGNATURE, copied, digest_of, filled, referrers

Method = Callable[..., Awaitable[Any]]


class Killed(BaseException):
    """The process is gone."""


def kill(monkeypatch: pytest.MonkeyPatch, owner: type, method: str, *, at: int) -> None:
    """Have the call number `at` of `method` be the last thing that the next copy does."""
    real: Method = getattr(owner, method)
    calls = 0

    async def called(*args: Any, **given: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == at:
            raise Killed
        return await real(*args, **given)

    monkeypatch.setattr(owner, method, called)


async def killed(monkeypatch: pytest.MonkeyPatch, owner: type, method: str, at: int, *copy: Any, **given: Any) -> None:
    with monkeypatch.context() as patched, pytest.raises((Killed, BaseExceptionGroup)):
        kill(patched, owner, method, at=at)
        await copied(*copy, **given)


@pytest.mark.parametrize("at", range(1, 5))
async def test_in_a_registry(registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int) -> None:
    """The same command, without --referrers: the tag is there only if all is."""
    name = f"killed/at-{at}"
    await filled(tmp_path, registry.host, f"{name}/from")
    source, target = f"registry:{registry.host}/{name}/from:v1", f"registry:{registry.host}/{name}/to:v1"
    await killed(monkeypatch, Repository, "put_manifest", at, tmp_path, source, target)
    assert await digest_of(tmp_path, registry.host, f"{name}/to", "v1") is None
    assert (await copied(tmp_path, source, target)).error is None
    assert await referrers(tmp_path, registry.host, f"{name}/to", IMAGE) == {SIGNATURE.digest, BILL.digest}
    assert await digest_of(tmp_path, registry.host, f"{name}/to", "v1") == IMAGE.digest


async def test_between_a_signature_and_its_list(
    docker_registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The registry has no list, and ours is written after the signature itself."""
    host, name = docker_registry.host, "killed/unlisted"
    await filled(tmp_path, host, f"{name}/from")
    source, target = f"registry:{host}/{name}/from:v1", f"registry:{host}/{name}/to:v1"
    await copied(tmp_path, source, target, referrers="none")
    await killed(monkeypatch, ReferrerIndex, "add", 1, tmp_path, source, target, referrers="all")
    report = await copied(tmp_path, source, target, referrers="all")
    assert report.error is None
    assert await referrers(tmp_path, host, f"{name}/to", IMAGE) == {SIGNATURE.digest, BILL.digest}


@pytest.mark.parametrize("at", range(1, 5))
async def test_in_a_layout(registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int) -> None:
    """Killed before a manifest that lies there is in the index."""
    name = f"killed/layout-{at}"
    await filled(tmp_path, registry.host, f"{name}/from")
    source, target = f"registry:{registry.host}/{name}/from:v1", f"oci:{tmp_path}/layout:v1"
    await killed(monkeypatch, OCILayout, "update", at, tmp_path, source, target)
    assert (await copied(tmp_path, source, target)).error is None
    assert set((await referrers_in(OCILayout(tmp_path / "layout")))[IMAGE.digest]) == {SIGNATURE.digest, BILL.digest}


async def test_in_an_archive(registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What an earlier run has left of the archive is taken over with the first model, and listed with its own."""
    monkeypatch.setattr("registry_push.content.oci.partial_archive.WORTH_KEEPING", 0)
    name = "killed/archive"
    await filled(tmp_path, registry.host, f"{name}/from")
    source, target = f"registry:{registry.host}/{name}/from", f"oci-archive:{tmp_path}/all.tar"
    await killed(monkeypatch, OCIArchiveWriter, "finish", 1, tmp_path, source, target)
    assert (await copied(tmp_path, source, target)).error is None
    async with OCIArchive(tmp_path / "all.tar") as archive:
        found: set[Digest] = set((await referrers_in(archive))[IMAGE.digest])
    assert found == {SIGNATURE.digest, BILL.digest}
