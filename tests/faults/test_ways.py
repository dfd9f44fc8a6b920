"""Cuts at registries with ways of their own: the promises are judged after every push."""

from __future__ import annotations

from pathlib import Path

import pytest

from registry_push.embedded import ECR, GITEA, QUAY, R2, Fault, On, OnCut, Quirks, Schedule, What

from .clock import run
from .stage import Scene, User, staged

MiB = 1 << 20
SIZE, CHUNK = 30 * MiB, 6 * MiB


def pushed(folder: Path, quirks: Quirks, on_cut: OnCut, *faults: Fault, kill_at: int = 0) -> User:
    """A user who has pushed until it was done, killed once at that progress."""

    async def play() -> User:
        scene = Scene(schedule=Schedule(faults), on_cut=on_cut, quirks=quirks, chunk=CHUNK, sizes=(SIZE,))
        async with staged(scene, folder) as user:
            if kill_at:
                await user.push(kill_at=kill_at)
            assert await user.push() == 0, f"{user.error}"
            return user

    return run(play())


WAYS = {"Quay": QUAY, "Gitea": GITEA, "ECR": ECR, "R2": R2}
CUTS = [(name, on_cut) for name in WAYS for on_cut in (OnCut.KEEP, OnCut.ACKNOWLEDGED)]
CUTS.remove(("R2", OnCut.KEEP))  # it keeps whole parts only


@pytest.mark.parametrize(("name", "on_cut"), CUTS)
@pytest.mark.parametrize("number", [2, 3, 5])
@pytest.mark.parametrize("what", [What.CUT, What.LOST])
def test_no_acknowledged_byte_goes_twice_after_a_cut(
    tmp_path: Path, name: str, on_cut: OnCut, number: int, what: What
) -> None:
    pushed(tmp_path, WAYS[name], on_cut, Fault(what, On.PATCH, number, at=1_000_000))


@pytest.mark.parametrize("name", WAYS)
@pytest.mark.parametrize("kill_at", [2, 3, 4, 5, 7])
def test_no_acknowledged_byte_goes_twice_in_another_process(tmp_path: Path, name: str, kill_at: int) -> None:
    pushed(tmp_path, WAYS[name], OnCut.ACKNOWLEDGED, kill_at=kill_at)


@pytest.mark.parametrize("status", [307, 308])
@pytest.mark.parametrize("elsewhere", [False, True])
def test_bodies_that_are_sent_on_survive_cuts(tmp_path: Path, status: int, elsewhere: bool) -> None:
    quirks = Quirks(slash_redirect=status, redirects_elsewhere=elsewhere)
    pushed(tmp_path, quirks, OnCut.KEEP, Fault(What.CUT, On.PATCH, 3, at=1_000_000))


@pytest.mark.parametrize("on_cut", list(OnCut))
@pytest.mark.parametrize("status", [400, 403, 404, 405, 501])
def test_one_put_survives_cuts(tmp_path: Path, on_cut: OnCut, status: int) -> None:
    pushed(tmp_path, Quirks(refuses_patch=status), on_cut, Fault(What.CUT, On.PUT, 4, 2, at=1_000_000))
