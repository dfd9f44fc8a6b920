"""Parts at Ollama's registry: how a blob is cut, and that whatever happens to them ends."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterator
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry_push.errors import ProtocolViolation, Refused, Unauthorized, Unavailable
from registry_push.model import Descriptor, Digest
from registry_push.protocol.response import NO_ANSWER, Kind, RegistryResponse
from registry_push.protocol.retry import Budget
from registry_push.protocol.upload.parts import MOST_AT_ONCE, PartRequest, Parts, composite_etag, part_spans
from registry_push.registry.part_workers import send_parts

MB, GB = 10**6, 10**9
SESSION = "https://r.example/v2/a/b/blobs/uploads/0"


@pytest.mark.parametrize(
    ("size", "wanted", "length", "count"),
    [
        (50 * MB, None, 50 * MB, 1),
        (100 * MB, None, 100 * MB, 1),
        (250 * MB, None, 100 * MB, 3),
        (3_200 * MB, None, 200 * MB, 16),
        (40 * GB, None, 1000 * MB, 40),
        (250 * MB, 10 * MB, 10 * MB, 25),
        (250 * MB, 500 * MB, 100 * MB, 3),
    ],
)
def test_parts_are_planned_as_ollama_plans_them(size: int, wanted: int | None, length: int, count: int) -> None:
    spans = part_spans(size, wanted=wanted)
    assert (spans[0].length, len(spans)) == (length, count)


@given(st.integers(1, 10**12), st.none() | st.integers(10 * MB, 10**10))
def test_parts_tile_the_blob(size: int, wanted: int | None) -> None:
    spans = part_spans(size, wanted=wanted)
    assert spans[0].start == 0 and spans[-1].stop == size
    assert all(one.stop == two.start for one, two in pairwise(spans))
    assert all(span.length > 0 for span in spans)


def test_the_etag_is_of_the_raw_md5s() -> None:
    one, two = hashlib.md5(b"one").digest(), hashlib.md5(b"two").digest()
    assert composite_etag([one, two]) == f"{hashlib.md5(one + two).hexdigest()}-2"


def parts_of(count: int, *, retries: int = 3) -> Parts:
    blob = Descriptor("a/b", Digest.of(b""), count * MB)
    return Parts(blob, SESSION, wanted=MB, budget=Budget(retries, dice=lambda: 0.5))


def redirect(question_url: str, number: int) -> RegistryResponse:
    return RegistryResponse(
        307, question_url, upload_location=f"{SESSION}-{number}", location=f"https://s.example/{number}"
    )


def test_a_question_uses_the_url_of_the_last_answer() -> None:
    parts = parts_of(3)
    urls = []
    while (question := parts.take()) is not None:
        urls.append(question.request.url)
        put = parts.asked(question.number, redirect(question.request.url, question.number))
        assert put is not None and put.request.is_anonymous
        assert "Content-Range" not in put.request.headers and "X-Redirect-Uploads" not in put.request.headers
    assert urls == [SESSION, f"{SESSION}-0", f"{SESSION}-1"]
    assert parts.location == f"{SESSION}-2"


def test_a_question_that_was_given_up_is_the_first_to_be_asked_again_in_another_process() -> None:
    parts = parts_of(3, retries=1)
    for _ in range(2):
        question = parts.take()
        assert question is not None
        parts.asked(question.number, RegistryResponse(502, question.request.url))
    assert isinstance(parts.failure, Unavailable)
    assert parts.record.first == 0


def test_a_question_that_is_out_is_the_first_to_be_asked_again_in_another_process() -> None:
    parts = parts_of(4)
    first = parts.take()
    assert first is not None
    put = parts.asked(0, redirect(SESSION, 0))
    assert put is not None and parts.record.first == 1
    parts.take()
    parts.placed(0, RegistryResponse(200, put.request.url))
    assert (parts.record.first, parts.record.done, parts.record.location) == (1, (0,), f"{SESSION}-0")
    blob = Descriptor("a/b", Digest.of(b""), 4 * MB)
    record = parts.record
    again = Parts(blob, record.location, wanted=record.part, budget=Budget(3), done=record.done, first=record.first)
    question = again.take()
    assert question is not None and (question.number, question.request.url) == (1, f"{SESSION}-0")


@pytest.mark.parametrize("status", [403, 400, 404, 503, NO_ANSWER])
def test_a_part_that_was_not_placed_is_asked_for_again(status: int) -> None:
    parts = parts_of(1)
    question = parts.take()
    assert question is not None
    put = parts.asked(0, redirect(SESSION, 7))
    assert put is not None
    parts.placed(0, RegistryResponse(status, put.request.url))
    again = parts.take()
    assert again is not None and again.number == 0 and again.request.url == f"{SESSION}-7"


@pytest.mark.parametrize(("status", "error"), [(403, Unavailable), (NO_ANSWER, Unavailable), (401, Unauthorized)])
def test_a_part_that_is_never_placed_ends_with_an_error(status: int, error: type[Exception]) -> None:
    parts = parts_of(1, retries=2)
    tries = 0
    while (question := parts.take()) is not None:
        tries += 1
        put = parts.asked(question.number, redirect(SESSION, tries))
        assert put is not None
        parts.placed(0, RegistryResponse(status, put.request.url))
    assert tries == 3
    assert isinstance(parts.failure, error)


def test_an_unknown_session_is_lost_and_a_refusal_is_one() -> None:
    parts = parts_of(2)
    parts.take()
    parts.asked(0, RegistryResponse(404, SESSION))
    assert parts.lost is not None and parts.take() is None
    parts = parts_of(2)
    parts.take()
    parts.asked(0, RegistryResponse(422, SESSION))
    assert isinstance(parts.failure, Refused) and parts.take() is None


def test_a_redirect_from_https_to_http_is_refused() -> None:
    parts = parts_of(1)
    parts.take()
    with pytest.raises(ProtocolViolation):
        parts.asked(0, RegistryResponse(307, SESSION, upload_location=SESSION, location="http://s.example/0"))


ANSWERS = st.lists(
    st.sampled_from([200, 201, 202, 307, 400, 401, 403, 404, 413, 422, 429, 500, NO_ANSWER]), max_size=80
)


@given(ANSWERS, st.integers(1, 5))
def test_whatever_is_answered_it_ends(statuses: list[int], count: int) -> None:
    parts = parts_of(count)
    told: Iterator[int] = iter(statuses)
    stored = set()
    for _ in range(2000):
        question = parts.take()
        if question is None:
            break
        status = next(told, 202)
        number = question.number
        answer = redirect(SESSION, number) if status == 307 else RegistryResponse(status, SESSION, location=SESSION)
        put = parts.asked(number, answer)
        if put is None:
            stored |= {number} if answer.kind in (Kind.ACCEPTED, Kind.CREATED) else set()
            continue
        placed = RegistryResponse(next(told, 200), put.request.url)
        parts.placed(number, placed)
        stored |= {number} if placed.kind in (Kind.ACCEPTED, Kind.CREATED) else set()
    assert parts.over
    assert parts.failure is not None or parts.lost is not None or stored == set(range(count))


def test_as_many_parts_go_at_once_as_ollama_sends() -> None:
    assert MOST_AT_ONCE == 16


def test_a_session_of_another_process_that_is_refused_at_once_is_no_session() -> None:
    """Nothing was placed in it yet (seed 555 with a little more bad luck): that calls for a new one, not for code 5."""
    blob = Descriptor("a/b", Digest.of(b""), 4 * MB)
    resumed = Parts(blob, SESSION, wanted=MB, budget=Budget(3), is_resumed=True)
    question = resumed.take()
    assert question is not None
    assert resumed.asked(question.number, RegistryResponse(400, SESSION)) is None
    assert resumed.lost is not None and resumed.failure is None


async def test_a_part_that_waits_for_a_slot_when_the_run_is_stopped_is_left_to_the_next() -> None:
    parts, one_slot, sent, stop = parts_of(3), asyncio.Semaphore(1), list[int](), asyncio.Event()
    waits = asyncio.Event()

    async def send(part: PartRequest) -> RegistryResponse:
        if not part.request.is_anonymous:
            if sent:
                waits.set()
            return redirect(part.request.url, part.number)
        sent.append(part.number)
        await waits.wait()  # until the other worker has asked for its part
        stop.set()
        return RegistryResponse(200, part.request.url)

    await send_parts(parts, send, lambda: None, lambda: one_slot, stop, at_once=2)
    assert (sent, parts.done, parts.over) == ([0], {0}, False)
    await send_parts(parts, send, lambda: None, lambda: one_slot, asyncio.Event(), at_once=2)
    assert (sorted(sent), parts.done, parts.over) == ([0, 1, 2], {0, 1, 2}, True)
