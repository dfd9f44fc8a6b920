"""The journal's rows: each value has its type and its range, or the row is none."""

from __future__ import annotations

import json
from typing import Any, Final

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from registry_push.model import Digest, UploadKey
from registry_push.protocol.cut_behaviour import CutBehaviour
from registry_push.protocol.upload.chunks import WholePut
from registry_push.protocol.upload.requests import UploadRecord
from registry_push.registry.profile import Profile
from registry_push.settings import Settings
from registry_push.state.rows import read_host, read_push, read_upload, write_profile, write_record

pytestmark = pytest.mark.attack("S14")

NOW: Final = 1_000_000.0
KEY: Final = UploadKey("https://r.example", "a/b", Digest.of(b"blob"))
LOCATION: Final = "https://r.example/v2/a/b/blobs/uploads/1?_state=secret"
HUGE: Final = "9" * 5000


def record(*changes: tuple[int, Any]) -> str:
    whole: list[Any] = [LOCATION, 64, 0, [], 0, False]
    for place, value in changes:
        whole[place] = value
    return json.dumps(whole)


def later(*changes: tuple[int, Any]) -> str:
    """A record as this version writes it."""
    whole = [LOCATION, 64, 0, [], 0, False, 32, True, [7, 1_700_000_000_000_000_000]]
    for place, value in changes:
        whole[place] = value
    return json.dumps(whole)


def parts(*changes: tuple[int, Any]) -> str:
    return record((1, 0), (2, 100), (3, [0, 2, 9]), (4, 1), *changes)


BAD_RECORDS: Final = [
    "",
    "null",
    "[]",
    "{}",
    "[" * 100_000,
    f'["{LOCATION}", {HUGE}, 0, [], 0, false]',
    *(
        record((0, place))
        for place in (None, "", "x", "/v2/x", "file:///etc/passwd", "http://", "ftp://r/x", "https://r/a b")
    ),
    *(
        record((0, place))
        for place in ("https://r/\n", "https://r/#x", "https://r:99999/", f"https://r/{'x' * 20_000}")
    ),
    record((0, "https://r/\udc80")),
    *(record((1, offset)) for offset in (-1, 1001, 10**30, 1.5, "64", None, True, [64])),
    *(record((2, part)) for part in (-1, 0.5, True, 1001)),
    record((3, [0])),
    record((4, 1)),
    *(record((5, direct)) for direct in (True, 0, 1, "", None)),
    *(parts((2, part)) for part in (-1, 1001, 10**30, True)),
    *(parts((3, done)) for done in ([10], [-1], [0, 0], ["0"], [None], [True], [0.0], "01", {"0": 1}, 5, [10**30])),
    *(parts((4, first)) for first in (-1, 10, 10**30, "0", True)),
    parts((1, 5)),
    parts((5, True)),
    *(later((6, chunk)) for chunk in (-1, 1001, 10**30, 0.5, "32", None, True, 0)),
    *(later((7, is_equal)) for is_equal in (0, 1, None, "yes")),
    *(later((8, file)) for file in (7, [], [7], [7, 8, 9], ["7", 8], [7, 8.0], [True, 8], [7, None], {"7": 8})),
    later((1, 0), (2, 100)),
    later((1, 1000), (5, True)),
    json.dumps([LOCATION, 64, 0, [], 0, False, 32]),
    json.dumps([LOCATION, 64, 0, [], 0, False, 32, True, 5]),
]


@pytest.mark.parametrize("text", BAD_RECORDS)
def test_a_record_out_of_its_ranges_is_none(text: str) -> None:
    row = [KEY.origin, KEY.repository, str(KEY.digest), 1000, text, NOW]
    assert read_upload(row, NOW) is None


@pytest.mark.parametrize(
    "text",
    [
        record(),
        parts(),
        record((1, 1000), (5, True)),
        record((1, 0)),
        record((1, 1000)),
        later(),
        later((7, False)),
        later((6, 0), (7, False)),
    ],
)
def test_a_record_within_its_ranges_is_one(text: str) -> None:
    entry = read_upload([KEY.origin, KEY.repository, str(KEY.digest), 1000, text, NOW], NOW)
    assert entry is not None and entry.record.fits(entry.size)


def test_nine_million_parts_are_never_laid_out() -> None:
    text = parts((2, 1), (3, []), (4, 0))
    assert read_upload([KEY.origin, KEY.repository, str(KEY.digest), 9_000_000, text, NOW], NOW) is None
    assert not UploadRecord(LOCATION, 0, 1).fits(2**63 - 1)


BAD_PROFILES: Final = [
    "",
    "[1]",
    "{}",
    "[" * 100_000,
    *(
        json.dumps(values)
        for values in (
            [0, "nothing", 1.0, True],
            [-5, "nothing", 1.0, True],
            [10**30, "nothing", 1.0, True],
            [True, "nothing", 1.0, True],
            ["5", "nothing", 1.0, True],
            [None, "what", 1.0, True],
            [None, None, 1.0, True],
            [None, "nothing", 0, True],
            [None, "nothing", -1.0, True],
            [None, "nothing", 1e300, True],
            [None, "nothing", float("inf"), True],
            [None, "nothing", float("nan"), True],
            [None, "nothing", "1", True],
            [None, "nothing", True, True],
            [None, "nothing", 1.0, 1],
            [None, "nothing", 1.0, "yes"],
            [None, "nothing", 1.0, True, 5],
            [None, "nothing", 1.0, True, "small"],
            [None, "nothing", 1.0, True, "what", True],
            [None, "nothing", 1.0, True, None, True],
            [None, "nothing", 1.0, True, "small", 1],
            [None, "nothing", 1.0, True, "small", None],
            [None, "nothing", 1.0, True, "small", True, 5],
        )
    ),
]


@pytest.mark.parametrize("text", BAD_PROFILES)
def test_a_profile_out_of_its_ranges_is_none(text: str) -> None:
    assert read_host([KEY.origin, text, NOW], NOW) is None


@pytest.mark.parametrize(
    ("text", "profile"),
    [
        ('[null, "unknown", null, null]', Profile()),
        ('[4194304, "nothing", 5.0, true]', Profile(4194304, kept=CutBehaviour.NOTHING, rate=5.0, mounts_itself=True)),
        ('[null, "unknown", null, null, "only", true]', Profile(whole=WholePut.ONLY, ecr=True)),
    ],
    ids=["an earlier version's", "an earlier version's, full", "this version's"],
)
def test_a_profile_is_read_as_each_version_has_written_it(text: str, profile: Profile) -> None:
    assert read_host([KEY.origin, text, NOW], NOW) == (profile, NOW)
    assert read_host([KEY.origin, write_profile(profile), NOW], NOW) == (profile, NOW)


def test_a_record_is_read_as_each_version_has_written_it() -> None:
    before = json.dumps([LOCATION, 64, 0, [], 0, False, 32, True])
    for text, expected in (
        (record(), UploadRecord(LOCATION, 64)),
        (before, UploadRecord(LOCATION, 64, chunk=32, is_equal=True)),
        (later(), LATER),
    ):
        entry = read_upload([KEY.origin, KEY.repository, str(KEY.digest), 1000, text, NOW], NOW)
        assert entry is not None and entry.record == expected
    assert write_record(LATER) == later()


LATER: Final = UploadRecord(LOCATION, 64, chunk=32, is_equal=True, file=(7, 1_700_000_000_000_000_000))


def order(**changes: Any) -> str:
    whole = {
        "store": "/models",
        "model": "me/x:latest",
        "references": ["r.example/a/b:latest"],
        "options": {},
    } | changes
    return json.dumps(list(whole.values()))


BAD_ORDERS: Final = [
    "",
    "[]",
    "null",
    "[" * 100_000,
    order(store="models"),
    order(store=5),
    order(store="/a\0b"),
    order(store="/" + "x" * 5000),
    order(model="../../x/y/z:latest"),
    order(model=5),
    order(references=[]),
    order(references="r.example/a/b"),
    order(references=["r.example"]),
    order(references=[5]),
    order(references=["r.example/a/b:latest"] * 1001),
    order(options=[]),
    *(
        order(options={name: value})
        for name, value in (
            ("plain_http", 1),
            ("plain_http", "no"),
            ("tls_verify", 0),
            ("tls_verify", None),
            ("dialect", "x"),
            ("dialect", ["oci"]),
            ("chunk_size", -1),
            ("chunk_size", 1),
            ("chunk_size", 10**30),
            ("chunk_size", True),
            ("chunk_size", "5"),
            ("chunk_size", 1e6),
            ("one_put", 1),
            ("key", 5),
            ("key", "relative"),
            ("key", "/\0"),
            ("ca_file", ["/x"]),
            ("cert", "/only/one"),
            ("allow_realms", "x"),
            ("allow_realms", [5]),
            ("allow_realms", ["\n"]),
        )
    ),
]


@pytest.mark.parametrize("text", BAD_ORDERS)
def test_an_order_out_of_its_ranges_is_none(text: str) -> None:
    assert read_push([text, NOW], NOW) is None


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"plain_http": True, "tls_verify": False, "dialect": "ollama", "chunk_size": 65536},
        {"key": "/k", "ca_file": "/c", "cert": "/c", "key_file": "/k", "authfile": "/a"},
        {"allow_realms": ["auth.example.com"], "one_put": True},
        {"of a later version": {"a": 5}},
    ],
)
def test_an_order_within_its_ranges_is_one_and_its_settings_can_be_made(options: dict[str, Any]) -> None:
    found = read_push([order(options=options), NOW], NOW)
    assert found is not None
    found[0].settings(Settings())


JSON: Final = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
TEXT: Final = st.text() | st.builds(json.dumps, JSON) | st.builds(json.dumps, st.lists(JSON, min_size=4, max_size=6))
NUMBER: Final = st.integers(-(2**63), 2**63 - 1)


@settings(max_examples=60)
@given(st.lists(st.tuples(TEXT, TEXT, TEXT, NUMBER, TEXT, st.floats(allow_nan=False)), max_size=4))
@example([(KEY.origin, KEY.repository, str(KEY.digest), 1000, record(), NOW)])
def test_whatever_the_rows_are_nothing_is_raised_and_what_is_read_is_possible(rows: list[tuple[Any, ...]]) -> None:
    for row in rows:
        encoded = [value.encode(errors="replace").decode() if isinstance(value, str) else value for value in row]
        entry = read_upload(encoded, NOW)
        assert entry is None or entry.record.fits(entry.size)
        read_host([encoded[0], encoded[1], encoded[5]], NOW)
        found = read_push([encoded[4], encoded[5]], NOW)
        if found is not None:
            found[0].settings(Settings())
