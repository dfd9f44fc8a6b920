"""What a registry's answer means for an upload."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from registry_push.model import Digest
from registry_push.protocol.response import NO_ANSWER, Kind, RegistryResponse

_URL = "https://r.example/v2/x"
_DIGEST = Digest("ab" * 32)


def _read(status: int = 202, body: bytes = b"", **headers: str) -> RegistryResponse:
    named = CIMultiDict({name.replace("_", "-"): value for name, value in headers.items()})
    return RegistryResponse.read(status, _URL, named, body, now=0.0)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (200, Kind.ACCEPTED),
        (201, Kind.CREATED),
        (202, Kind.ACCEPTED),
        (204, Kind.ACCEPTED),
        (206, Kind.ACCEPTED),
        (301, Kind.REFUSED),
        (304, Kind.REFUSED),
        (307, Kind.REFUSED),
        (400, Kind.INVALID),
        (401, Kind.EXPIRED),
        (402, Kind.REFUSED),
        (403, Kind.REFUSED),
        (404, Kind.MISSING),
        (405, Kind.REFUSED),
        (408, Kind.BUSY),
        (411, Kind.REFUSED),
        (413, Kind.TOO_LARGE),
        (415, Kind.REFUSED),
        (416, Kind.WRONG_OFFSET),
        (425, Kind.BUSY),
        (429, Kind.BUSY),
        (500, Kind.BUSY),
        (501, Kind.REFUSED),
        (502, Kind.BUSY),
        (503, Kind.BUSY),
        (504, Kind.BUSY),
        (505, Kind.REFUSED),
        (520, Kind.BUSY),
        (599, Kind.BUSY),
        (NO_ANSWER, Kind.LOST),
    ],
)
def test_a_status_has_one_meaning(status: int, kind: Kind) -> None:
    assert RegistryResponse(status, _URL).kind is kind


@pytest.mark.parametrize(
    ("value", "end"),
    [
        ("0-0", 0),
        ("0-1023", 1023),
        (" 0-9 ", 9),
        ("bytes=0-9", 9),
        ("bytes 0-9", 9),
        ("0-9/100", 9),
        ("bytes 0-9/*", 9),
        ("", None),
        ("0--1", None),  # an empty session, as some Go code prints it
        ("0-", None),
        ("5-9", None),
        ("0-9,20-29", None),
        ("0-1e3", None),
        ("0-" + "9" * 19, 10**19 - 1),
        ("0-" + "9" * 20, None),
        ("0-٣", None),
        ("bytes=0-9\n", 9),
    ],
)
def test_the_range_is_read_in_each_of_its_spellings(value: str, end: int | None) -> None:
    assert _read(Range=value).range_end == end


def test_headers_are_found_whatever_their_case() -> None:
    answer = _read(location="/x", RANGE="0-9", docker_content_digest=str(_DIGEST), content_length="7")
    assert (answer.location, answer.range_end, answer.digest, answer.length) == ("/x", 9, _DIGEST, 7)


def test_r2_names_both_limits_of_a_chunk() -> None:
    answer = _read(OCI_Chunk_Min_Length="5242880", OCI_Chunk_Max_Length="104857600")
    assert (answer.minimum_chunk, answer.maximum_chunk) == (5_242_880, 104_857_600)


@pytest.mark.parametrize("value", ["", "-1", "+5", "1.5", "0x10", "five", "٣", "1" * 20, "1, 1"])
def test_a_number_that_is_none_counts_as_absent(value: str) -> None:
    answer = _read(Content_Length=value, OCI_Chunk_Min_Length=value, OCI_Chunk_Max_Length=value)
    assert (answer.length, answer.minimum_chunk, answer.maximum_chunk) == (None, None, None)


@pytest.mark.parametrize("value", ["", "sha512:" + "ab" * 64, "sha256:../../etc/passwd", "sha256:ab", "latest"])
def test_a_digest_that_can_not_be_compared_counts_as_absent(value: str) -> None:
    assert _read(Docker_Content_Digest=value).digest is None


def test_an_empty_location_is_none() -> None:
    assert _read(Location="").location is None


def test_a_pause_that_was_asked_for_is_read() -> None:
    assert _read(503, Retry_After="7").retry_after == 7


def test_the_body_of_a_refusal_is_read_and_that_of_a_success_is_not() -> None:
    body = b'{"errors":[{"code":"DENIED","message":"no"}]}'
    assert _read(403, body).diagnosis.codes == ("DENIED",)
    assert str(_read(403, body)) == "HTTP 403: no"
    assert _read(200, body).diagnosis.codes == ()
    assert str(_read(202)) == "HTTP 202"


_NAMES = ("Range", "Location", "Content-Length", "Retry-After", "Docker-Content-Digest", "OCI-Chunk-Min-Length")


@given(st.integers(100, 999), st.dictionaries(st.sampled_from(_NAMES), st.text(max_size=40)), st.binary(max_size=100))
def test_any_answer_can_be_read(status: int, headers: dict[str, str], body: bytes) -> None:
    answer = RegistryResponse.read(status, _URL, CIMultiDict(headers), body, now=0.0)
    assert answer.kind in Kind
    assert answer.range_end is None or answer.range_end >= 0
