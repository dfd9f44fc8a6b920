"""The rows of the journal, parsed once, where they are read; None for a row that we can't have written. Pure.

A row may come from another version, a damaged disk or an attacker: the type and the range of each value are checked.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any, Final

from msgspec import Struct

from ..errors import InvalidDigest, InvalidName
from ..model import Digest, HTTPOrigin, Reference, UploadKey
from ..protocol.cut_behaviour import CutBehaviour
from ..protocol.location import is_usable
from ..protocol.upload.chunks import SMALLEST_CHUNK, WholePut
from ..protocol.upload.requests import UploadRecord
from ..registry.profile import Profile
from .records import Record, read_record

# SQLite's and the manifest's largest number, and more than any blob has bytes.
_MOST: Final = 2**63 - 1
# Characters. The longest Locations known (ACR's, with their state) have some 2,000.
_LONGEST_LOCATION: Final = 16 * 1024
# Bytes a second, as for `--bwlimit`.
_FASTEST: Final = 1e12
# Seconds that the clock may have been ahead when a row was written.
_AHEAD: Final = 24 * 3600.0
# What parsing hostile text can raise.
_UNREADABLE: Final = (ValueError, TypeError, RecursionError, InvalidName, InvalidDigest)


class Entry(Struct, frozen=True):
    """An upload under way, as `registry-push resume` lists it; `saved` in unix seconds."""

    key: UploadKey
    size: int
    record: UploadRecord
    saved: float


def read_upload(row: Sequence[Any], now: float) -> Entry | None:
    """Parse `origin, repository, digest, size, record, saved`."""
    try:
        origin, repository, digest, size, text, saved = row
        key = UploadKey(origin, repository, Digest.parse(digest))
        record = _record(text)
        is_one = is_name(origin, repository) and str(key.digest) == digest and record.fits(size)
        return Entry(key, size, record, saved) if is_one and _is_time(saved, now) else None
    except _UNREADABLE:
        return None


def write_record(record: UploadRecord) -> str:
    """Return the column that `read_upload` parses as a record."""
    fields = [record.location, record.offset, record.part, list(record.done), record.first, record.direct]
    return json.dumps([*fields, record.chunk, record.is_equal, record.file])


def read_host(row: Sequence[Any], now: float) -> tuple[Profile, float] | None:
    """Parse `origin, profile, saved`: what was learned of a registry, and when."""
    try:
        origin, text, saved = row
        limit, kept, rate, mounts_itself, *later = json.loads(text)
        whole, ecr = later or (WholePut.SMALL, False)  # an earlier version's
        is_one = str(HTTPOrigin.of(origin)) == origin and _is_time(saved, now)
        is_one &= limit is None or (type(limit) is int and 0 < limit <= _MOST)
        is_one &= rate is None or (type(rate) in (int, float) and 0 < rate <= _FASTEST)
        is_one &= (mounts_itself is None or type(mounts_itself) is bool) and type(ecr) is bool
        if not is_one:
            return None
        limit = None if limit is None else max(SMALLEST_CHUNK, limit)
        rate = None if rate is None else float(rate)
        return Profile(limit, WholePut(whole), False, CutBehaviour(kept), rate, mounts_itself, ecr), saved
    except _UNREADABLE:
        return None


def write_profile(profile: Profile) -> str:
    """Return the column that `read_host` parses.

    Whether the registry is Ollama's is not stored: another may listen at the port tomorrow.
    """
    fields = [profile.chunk_limit, profile.kept, profile.rate, profile.mounts_itself]
    return json.dumps([*fields, profile.whole, profile.ecr])


def read_push(row: Sequence[Any], now: float) -> tuple[Record, float] | None:
    """Parse `job, saved`."""
    text, saved = row
    order = read_record(text)
    return (order, saved) if order is not None and _is_time(saved, now) else None


def read_file(row: Sequence[Any], now: float) -> Digest | None:
    """Parse `digest, saved`."""
    try:
        text, saved = row
        digest = Digest.parse(text)
        return digest if str(digest) == text and _is_time(saved, now) else None
    except InvalidDigest:
        return None


def read_place(row: Sequence[Any], now: float) -> tuple[Digest, str] | None:
    """Parse `origin, digest, repository, saved`: a blob and a repository that holds it."""
    try:
        origin, text, repository, saved = row
        digest = Digest.parse(text)
        is_one = is_name(origin, repository) and str(digest) == text and _is_time(saved, now)
    except _UNREADABLE:
        return None
    return (digest, repository) if is_one else None


def _record(text: str) -> UploadRecord:
    location, offset, part, done, first, direct, *later = json.loads(text)
    chunk, is_equal, *file = later or (0, False)  # an earlier version's
    if not (isinstance(location, str) and len(location) <= _LONGEST_LOCATION and is_usable(location)):
        raise ValueError("no location")
    if type(done) is not list or type(direct) is not bool or type(is_equal) is not bool:
        raise ValueError("no record")
    if any(type(number) is not int for number in (offset, part, first, chunk, *done)):  # True is an int, and no number
        raise ValueError("no numbers")
    return UploadRecord(location, offset, part, tuple(done), first, direct, chunk, is_equal, _file(*file))


def _file(numbers: object = None) -> tuple[int, int] | None:
    match numbers:
        case None:
            return None
        case [int(inode), int(modified)] if type(inode) is type(modified) is int:
            return inode, modified
    raise ValueError("no file")


def is_name(origin: str, repository: str) -> bool:
    """Return whether `name` can be a repository at `origin`, as we write it."""
    try:
        reference = Reference.parse(f"{origin}/{repository}")
        return str(HTTPOrigin.of(origin)) == origin and reference.repository == repository and reference.tag is None
    except (InvalidName, InvalidDigest):
        return False


def _is_time(saved: float, now: float) -> bool:
    return math.isfinite(saved) and 0 <= saved <= now + _AHEAD
