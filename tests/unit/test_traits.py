"""How a registry is filled, by how far it is."""

from __future__ import annotations

import pytest

from registry_push.content.base import Traits
from registry_push.registry.traits import traits_at

JOBS = range(1, 100)


def at(jobs: int, *, near: bool = False, encrypted: bool = True) -> Traits:
    return traits_at(jobs, is_near=near, is_encrypted=encrypted, mounts_itself=False)


@pytest.mark.parametrize("encrypted", [True, False])
@pytest.mark.parametrize("jobs", JOBS)
def test_there_are_never_fewer_requests_than_bodies_and_always_one(jobs: int, encrypted: bool) -> None:
    for near in (True, False):
        traits = at(jobs, near=near, encrypted=encrypted)
        assert 1 <= traits.bodies <= traits.requests


@pytest.mark.parametrize("jobs", JOBS)
def test_the_user_s_jobs_are_kept_where_a_line_is_waited_for(jobs: int) -> None:
    assert at(jobs).bodies == at(jobs, encrypted=False).bodies == at(jobs, near=True, encrypted=False).bodies == jobs


@pytest.mark.parametrize("jobs", JOBS)
def test_a_near_registry_gets_no_more_requests_than_a_far_one(jobs: int) -> None:
    assert at(jobs, near=True).requests <= at(jobs).requests
    assert at(jobs, near=True).bodies <= at(jobs).bodies


def test_only_a_far_registry_is_asked_ahead() -> None:
    assert at(8).asks_ahead and not at(8, near=True).asks_ahead


def test_uploads_are_opened_ahead_only_at_a_far_registry_and_beside_others() -> None:
    assert at(8).opened_ahead == 4
    assert at(8, near=True).opened_ahead == at(1).opened_ahead == 0


def test_more_jobs_never_mean_fewer_requests() -> None:
    for near in (True, False):
        requests = [at(jobs, near=near).requests for jobs in JOBS]
        assert requests == sorted(requests)
