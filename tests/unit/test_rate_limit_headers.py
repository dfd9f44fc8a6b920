"""What registries say about how many requests they still allow, and which requests they count."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from registry_push.protocol.rate_limit import RateLimit
from registry_push.protocol.read_quota import ReadQuota
from registry_push.protocol.request_kind import RequestKind, kind_of
from registry_push.protocol.response import RegistryResponse

NOW = 1_700_000_000.0


def read(**headers: str) -> RateLimit | None:
    return RateLimit.read(CIMultiDict({name.replace("_", "-"): text for name, text in headers.items()}), now=NOW)


@pytest.mark.parametrize(
    ("headers", "limit"),
    [
        # Docker Hub.
        ({"ratelimit_limit": "100;w=21600", "ratelimit_remaining": "76;w=21600"}, RateLimit(76, 21600)),
        ({"RateLimit_Remaining": "0;w=21600"}, RateLimit(0, 21600)),
        # The drafts up to 6.
        ({"RateLimit_Limit": "10, 10;w=60", "RateLimit_Remaining": "9", "RateLimit_Reset": "50"}, RateLimit(9, 60, 50)),
        ({"RateLimit_Remaining": "9", "RateLimit_Policy": "10;w=60"}, RateLimit(9, 60)),
        ({"RateLimit_Remaining": "9"}, RateLimit(9)),
        # Draft 7.
        ({"RateLimit": "limit=100, remaining=50, reset=5", "RateLimit_Policy": "100;w=60"}, RateLimit(50, 60, 5)),
        # Drafts from 8 on: of several limits, the one with the least left.
        ({"RateLimit": '"default";r=50;t=30', "RateLimit_Policy": '"default";q=100;w=60'}, RateLimit(50, 60, 30)),
        ({"RateLimit": '"day";r=850, "burst";r=45;t=30'}, RateLimit(45, None, 30)),
        # GitLab: unix time.
        ({"RateLimit_Remaining": "1", "RateLimit_Reset": f"{NOW + 25:.0f}"}, RateLimit(1, None, 25)),
        ({"RateLimit_Remaining": "1", "RateLimit_Reset": f"{NOW - 25:.0f}"}, RateLimit(1, None, 0)),
        # Nothing that could be read.
        ({}, None),
        ({"RateLimit_Limit": "100;w=21600"}, None),
        ({"RateLimit_Remaining": "many"}, None),
        ({"RateLimit_Remaining": "-1"}, None),
        ({"RateLimit_Remaining": "9" * 40}, None),
        ({"RateLimit": '"default";q=50'}, None),
    ],
)
def test_what_is_left_is_read_as_registries_spell_it(headers: dict[str, str], limit: RateLimit | None) -> None:
    assert read(**headers) == limit


@given(st.dictionaries(st.sampled_from(("RateLimit", "RateLimit_Remaining", "RateLimit_Reset", "RateLimit_Policy")),
                       st.text(max_size=40)))  # fmt: skip
def test_no_header_is_too_odd(headers: dict[str, str]) -> None:
    read(**headers)


def test_a_429_that_says_when_the_window_is_over_asks_for_that_pause() -> None:
    headers = {"RateLimit": '"burst";r=0;t=42'}
    assert RegistryResponse.read(429, "", headers, now=NOW).retry_after == 42
    assert RegistryResponse.read(429, "", {**headers, "Retry-After": "7"}, now=NOW).retry_after == 7
    assert RegistryResponse.read(429, "", {"RateLimit-Remaining": "0;w=21600"}, now=NOW).retry_after is None
    assert RegistryResponse.read(200, "", headers, now=NOW).retry_after is None


@pytest.mark.parametrize(
    ("method", "path", "kind"),
    [
        ("GET", "/v2/me/tiny/manifests/latest", RequestKind.MANIFEST),
        ("HEAD", "/v2/me/tiny/manifests/latest", RequestKind.LOOKUP),
        ("PUT", "/v2/me/tiny/manifests/latest", RequestKind.UPLOAD),
        ("GET", "/v2/me/tiny/blobs/sha256:00", RequestKind.BLOB),
        ("HEAD", "/v2/me/tiny/blobs/sha256:00", RequestKind.LOOKUP),
        ("POST", "/v2/me/tiny/blobs/uploads/", RequestKind.UPLOAD),
        ("POST", "/v2/me/tiny/blobs/uploads/?mount=sha256%3A00&from=other/manifests/x", RequestKind.UPLOAD),
        ("PATCH", "/v2/me/tiny/blobs/uploads/1-2?state=a/b", RequestKind.UPLOAD),
        ("GET", "/v2/me/tiny/tags/list?n=100", RequestKind.LIST),
        ("GET", "/v2/me/tiny/referrers/sha256:00", RequestKind.LIST),
        ("GET", "/v2/_catalog", RequestKind.LIST),
        ("GET", "/v2/", None),
        ("GET", "/token?scope=repository:me/tiny:pull", None),
    ],
)
def test_each_kind_of_request_is_counted_by_itself(method: str, path: str, kind: RequestKind | None) -> None:
    assert kind_of(method, f"https://registry.test{path}") is kind


def test_what_is_under_way_counts_as_read() -> None:
    quota = ReadQuota(10)
    quota.asked(RateLimit(13))
    tickets = []
    while quota.allows:
        tickets.append(quota.begin())
    assert len(tickets) == 3
    quota.end(tickets[0], RateLimit(12))
    assert not quota.allows  # two are under way, which may be the next ones that are counted


def test_an_answer_that_was_overtaken_gives_nothing_back() -> None:
    quota = ReadQuota(10)
    tickets = [quota.begin() for _ in range(3)]
    for ticket, left in zip(tickets, (11, 13, 12), strict=True):
        quota.end(ticket, RateLimit(left))
    quota.saw(RateLimit(13))
    assert quota.limit == RateLimit(11)


def test_a_window_that_has_begun_anew_is_noticed_by_a_read_alone() -> None:
    quota = ReadQuota(10)
    quota.asked(RateLimit(11))
    quota.end(quota.begin(), RateLimit(99))
    assert quota.limit == RateLimit(99)


def test_a_limit_that_is_not_told_allows_everything() -> None:
    quota = ReadQuota(10)
    quota.end(quota.begin(), None)
    assert quota.allows
