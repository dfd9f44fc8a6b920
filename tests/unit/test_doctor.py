"""The table of doctor's checks, and the words for a quota."""

from __future__ import annotations

import pytest

from registry_push.errors import UsageError
from registry_push.verbs.doctor.table import BY_ID, CHECKS, chosen
from registry_push.verbs.doctor.there import quota


def test_only_some_checks_are_done_with_what_they_need() -> None:
    ids = [check.id for check in chosen(["tls.version"], host="r.example", writes=False)]
    assert ids == ["proxy.used", "net.dns", "net.tcp", "http.instead-of-https", "tls.version"]
    with pytest.raises(UsageError) as unknown:
        chosen(["tls.versoin"], host="r.example", writes=False)
    assert unknown.value.hint is not None and "tls.version" in unknown.value.hint
    with pytest.raises(UsageError) as writing:
        chosen(["chunk.max"], host="r.example", writes=False)
    assert "--write" in (writing.value.hint or "")


@pytest.mark.parametrize(
    ("headers", "words"),
    [
        (
            {"RateLimit-Limit": "100;w=21600", "RateLimit-Remaining": "98;w=21600"},
            "98 of 100 requests are left, for 6 hours",
        ),
        ({"X-RateLimit-Limit": "60", "X-RateLimit-Remaining": "0"}, "0 of 60 requests are left"),
        ({"RateLimit-Remaining": "7"}, "7 requests are left"),
        ({"RateLimit-Remaining": "many"}, ""),
        ({"RateLimit-Remaining": f"1;w={'9' * 5000}"}, "1 requests are left"),
        ({}, ""),
    ],
)
def test_what_is_left_of_a_quota_is_told(headers: dict[str, str], words: str) -> None:
    """As Docker Hub and others say it."""
    assert quota(headers) == words


def test_every_need_comes_before() -> None:
    seen: set[str] = set()
    for check in CHECKS:
        assert set(check.needs) <= seen, check.id
        seen.add(check.id)
    assert len(BY_ID) == len(CHECKS)
