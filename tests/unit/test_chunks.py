"""How a blob is cut into requests."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec.structs import replace

from registry_push.protocol.upload.chunks import FIRST_CHUNK, SINGLE_PUT, SMALLEST_CHUNK, ChunkPlan, MiB, Span, WholePut

_SIZES = st.one_of(st.integers(0, 300), st.integers(0, 200 * MiB), st.integers(0, 10**13))


def _spans(plan: ChunkPlan) -> list[Span]:
    spans, offset = [], 0
    while offset < plan.size:
        spans.append(plan.span(offset))
        offset = spans[-1].stop
    return spans


@given(st.integers(2, 3000), st.integers(3, 400))
@example(size=5, chunk=4)
@example(size=4, chunk=3)
@example(size=2, chunk=3)
def test_the_spans_tile_the_blob_and_none_has_one_byte(size: int, chunk: int) -> None:
    spans = _spans(ChunkPlan(size, chunk))
    assert [span.start for span in spans] == [0, *(span.stop for span in spans[:-1])]
    assert spans[-1].stop == size
    assert all(2 <= span.length <= chunk for span in spans)


def test_a_span_is_written_as_the_spec_has_it() -> None:
    assert Span(0, 10).content_range == "0-9"
    assert Span(64, 128).content_range == "64-127"


@pytest.mark.parametrize(
    ("size", "chunk", "spans"),
    [
        (10, 5, ["0-4", "5-9"]),
        (11, 5, ["0-4", "5-8", "9-10"]),
        (12, 5, ["0-4", "5-9", "10-11"]),
        (6, 5, ["0-3", "4-5"]),
        (3, 5, ["0-2"]),
    ],
)
def test_a_byte_that_would_be_left_over_takes_another_along(size: int, chunk: int, spans: list[str]) -> None:
    assert [span.content_range for span in _spans(ChunkPlan(size, chunk))] == spans


@given(_SIZES)
def test_a_small_blob_goes_in_the_closing_put(size: int) -> None:
    assert ChunkPlan.for_blob(size).single == (size <= SINGLE_PUT)


@pytest.mark.parametrize(
    ("plan", "single", "chunk"),
    [
        (ChunkPlan.for_blob(SINGLE_PUT), True, FIRST_CHUNK),
        (ChunkPlan.for_blob(SINGLE_PUT + 1), False, FIRST_CHUNK),
        (ChunkPlan.for_blob(5 * MiB, chunk=2 * MiB), False, 2 * MiB),
        (ChunkPlan.for_blob(2 * MiB, chunk=2 * MiB), True, 2 * MiB),
        (ChunkPlan.for_blob(5 * MiB, limit=4 * MiB), False, 4 * MiB),
        (ChunkPlan.for_blob(100 * MiB, chunk=2 * MiB, limit=4 * MiB), False, 2 * MiB),
        (ChunkPlan.for_blob(10**12, one_put=True), True, FIRST_CHUNK),
        (ChunkPlan.for_blob(0, chunk=64 * 1024), True, 64 * 1024),
    ],
)
def test_the_users_wish_and_the_hosts_limit_are_both_kept(plan: ChunkPlan, single: bool, chunk: int) -> None:
    assert (plan.single, plan.chunk) == (single, chunk)


@pytest.mark.parametrize(
    ("minimum", "maximum", "chunk"),
    [
        (None, None, FIRST_CHUNK),
        (5 * MiB, None, FIRST_CHUNK),
        (100 * MiB, None, 100 * MiB),
        (None, 10 * MiB, 10 * MiB),
        (5_000_000, 100_000_000, FIRST_CHUNK),  # R2
        (100 * MiB, 200 * MiB, 100 * MiB),
        (12 * MiB, 10 * MiB, FIRST_CHUNK),  # nonsense: only the minimum counts
        (0, 0, FIRST_CHUNK),
    ],
)
def test_limits_that_the_registry_names_are_kept(minimum: int | None, maximum: int | None, chunk: int) -> None:
    assert ChunkPlan.for_blob(10**9).bounded(minimum, maximum).chunk == chunk


@pytest.mark.parametrize("size", [168 * 10**9, 500 * 10**9, 900 * 10**9])
def test_r2_gets_no_more_than_its_10000_parts(size: int) -> None:
    plan = ChunkPlan.for_blob(size).bounded(5 * MiB, 100 * 10**6)
    assert plan.chunk <= 100 * 10**6 and -(-size // plan.chunk) <= 10_000


@given(st.integers(5 * MiB + 1, 10**12), st.none() | st.integers(64 * 1024, 10**9))
@example(32 * MiB + 1, None)
def test_r2s_chunks_are_all_alike_but_a_shorter_last_one_of_more_than_a_byte(size: int, chunk: int | None) -> None:
    plan = ChunkPlan.for_blob(size, chunk=chunk).bounded(5 * MiB, 100 * 10**6)
    assert 5 * MiB <= plan.chunk <= 100 * 10**6
    assert plan.span(0).length == min(size, plan.chunk)
    if size > plan.chunk > 5 * MiB:
        assert size % plan.chunk != 1
    rest = plan.span(size - size % plan.chunk if size % plan.chunk else size - plan.chunk)
    assert rest.stop == size


@pytest.mark.parametrize(
    ("whole", "size", "chunk", "single"),
    [
        (WholePut.SMALL, SINGLE_PUT, None, True),
        (WholePut.SMALL, SINGLE_PUT + 1, None, False),
        (WholePut.FIRST, 10**10, None, True),
        (WholePut.FIRST, 10**10, 5 * MiB, False),
        (WholePut.ONLY, 10**10, 5 * MiB, True),
        (WholePut.NEVER, 1000, None, False),
        (WholePut.NEVER, 1, None, False),
        (WholePut.NEVER, 0, None, True),
    ],
)
def test_what_goes_in_one_put_is_the_hosts_way_and_the_users_word(
    whole: WholePut, size: int, chunk: int | None, single: bool
) -> None:
    assert ChunkPlan.for_blob(size, chunk=chunk, whole=whole).single is single


@pytest.mark.parametrize("maximum", [1, 2, 1000])
def test_a_hostile_maximum_does_not_make_a_request_of_every_byte(maximum: int) -> None:
    # Obeyed, it made PATCHes of one byte, which must never be sent, 10^9 of them here.
    plan = ChunkPlan.for_blob(10**9).bounded(None, maximum)
    assert plan.span(0).length >= SMALLEST_CHUNK


@given(_SIZES, st.integers(64 * 1024, 10**10), st.booleans())
def test_shrinking_ends_and_each_step_is_smaller(size: int, chunk: int, one_put: bool) -> None:
    plan: ChunkPlan | None = ChunkPlan.for_blob(size, chunk=chunk, one_put=one_put)
    steps = 0
    while plan is not None:
        refused = size if plan.single else plan.span(0).length
        smaller = plan.shrunk(refused)
        if smaller is not None:
            assert not smaller.single
            assert smaller.limit == smaller.chunk >= SMALLEST_CHUNK
            assert smaller.span(0).length < refused
        plan, steps = smaller, steps + 1
    assert steps < 50


@pytest.mark.parametrize("size", [SINGLE_PUT + 1, 10 * MiB, 40 * MiB, 100 * MiB])
def test_what_was_refused_for_its_size_is_not_sent_again_as_long(size: int) -> None:
    # A blob shorter than the chunk: 64 MiB once "shrank" to 32 and 16, and the same 10 MiB went out three times.
    # Common: nginx in front with its default `client_max_body_size 1m`, any host whose limit is not known yet.
    plan = ChunkPlan.for_blob(size)
    smaller = plan.shrunk(plan.span(0).length)
    assert smaller is not None
    assert smaller.span(0).length < plan.span(0).length


@pytest.mark.parametrize(
    ("plan", "chunk"),
    [
        (ChunkPlan.for_blob(10**9), 8 * MiB),
        (ChunkPlan.for_blob(8 * MiB), 4 * MiB),
        (ChunkPlan.for_blob(3 * MiB // 2), MiB),
        (ChunkPlan.for_blob(MiB), None),
        (ChunkPlan.for_blob(100), None),
        (ChunkPlan.for_blob(10**9, chunk=MiB), None),
        (ChunkPlan.for_blob(10**9, chunk=64 * 1024), None),
        (ChunkPlan.for_blob(10**12, one_put=True), 8 * MiB),
    ],
)
def test_a_refused_size_is_halved_down_to_the_smallest_chunk(plan: ChunkPlan, chunk: int | None) -> None:
    smaller = plan.shrunk(plan.size if plan.single else plan.span(0).length)
    assert (smaller.chunk if smaller else None) == chunk


@pytest.mark.parametrize(
    ("rest", "limit", "spans"),
    [
        (4 * MiB - 1, None, [(0, 20 * MiB - 1)]),
        (4 * MiB, None, [(0, 16 * MiB), (16 * MiB, 20 * MiB)]),
        (MiB, 16 * MiB, [(0, 16 * MiB), (16 * MiB, 17 * MiB)]),
    ],
    ids=["less than a quarter", "a quarter", "more than the host takes"],
)
def test_a_short_rest_goes_along(rest: int, limit: int | None, spans: list[tuple[int, int]]) -> None:
    plan = ChunkPlan.for_blob(FIRST_CHUNK + rest, limit=limit)
    assert [(span.start, span.stop) for span in _spans(plan)] == spans


def test_a_chunk_that_is_refused_with_a_short_rest_is_sent_without_it() -> None:
    plan = ChunkPlan.for_blob(FIRST_CHUNK + MiB)
    smaller = plan.shrunk(plan.span(0).length)
    assert smaller is not None
    assert [span.length for span in _spans(smaller)] == [FIRST_CHUNK, MiB]


def test_a_short_rest_is_a_chunk_where_the_user_says_how_long_one_is() -> None:
    plan = ChunkPlan.for_blob(10 * MiB + 5, chunk=5 * MiB)
    assert [span.length for span in _spans(plan)] == [5 * MiB, 5 * MiB, 5]


@pytest.mark.parametrize(
    ("until", "spans"),
    [
        (7 * MiB, [(0, 5 * MiB), (5 * MiB, 7 * MiB), (7 * MiB, 12 * MiB)]),
        (5 * MiB, [(0, 5 * MiB), (5 * MiB, 10 * MiB), (10 * MiB, 12 * MiB)]),
        (0, [(0, 5 * MiB), (5 * MiB, 10 * MiB), (10 * MiB, 12 * MiB)]),
        (12 * MiB, [(0, 5 * MiB), (5 * MiB, 10 * MiB), (10 * MiB, 12 * MiB)]),
    ],
    ids=["in a chunk", "at a chunk's end", "nothing", "all"],
)
def test_a_chunk_ends_where_the_content_ends_that_is_here(until: int, spans: list[tuple[int, int]]) -> None:
    plan = replace(ChunkPlan.for_blob(12 * MiB, chunk=5 * MiB), until=until)
    assert [(span.start, span.stop) for span in _spans(plan)] == spans
