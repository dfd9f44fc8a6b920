"""The judge of reading: what was asked of the source again, how often, and what a store shows."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from registry_push.model import Digest, Manifest
from tests.cancellation.targets import Store

from .ledger import Broken
from .sources import SPOILS, Asked, SourceFaults
from .stage import NAME

# Requests of a run without trouble: the login, the tag, the manifest, its referrers and, asked with them, the index of
# these; and each blob with a redirect.
_OF_A_RUN: Final = 15
_OF_A_BLOB: Final = 2
# What a fault may cost: the same again, the redirect before it, and a look at what is wrong.
_OF_A_FAULT: Final = 4
# What a fault at the target may cost here: a body that is opened again, with its redirect.
_OF_A_TARGETS_FAULT: Final = 6
# Bytes that aiohttp holds of an answer at most: twice its buffer, and one read of the socket.
_HELD: Final = 512 * 1024
# What was spoilt in an earlier run is found out when the target refuses it: it is hashed anew, and sent anew.
_OF_WHAT_WAS_SPOILT: Final = 6


def check_store(root: Path, manifest: Manifest, *, is_done: bool) -> list[str]:
    """P5 and P7 for a store: nothing shows in it that is not all there and right. Returns the flaws."""
    store = Store(root, NAME.short)
    flaws = [f"P5: {each}" for each in store.wrong()]
    path = root.joinpath("manifests", *NAME.path_parts)
    if path.is_file() and path.read_bytes() != manifest.raw:
        flaws.append("P7: another manifest than the source's")
    if is_done and not path.is_file():
        flaws.append("P7: success, and no manifest in the store")
    return flaws


def held_in(root: Path) -> dict[Digest, int]:
    """How many bytes of each blob lie in the store, not yet whole."""
    found = root.glob(".registry-push/sha256-*.partial")
    return {Digest(path.name.removeprefix("sha256-").partition(".")[0]): path.stat().st_size for path in found}


def check_resumed(faults: SourceFaults, held: Mapping[Digest, int] | None) -> None:
    """No byte that has come is asked for again in the last run, nor sooner than the source wants. Raises `Broken`.

    `held`: what of each blob was at the target when the run began; None: that is judged elsewhere. What was spoilt may
    be asked for again, all of it.
    """
    before: dict[Digest, Asked] = {}
    spoilt = {asked.digest for asked in faults.asked if asked.fault in SPOILS}
    for asked in faults.asked:
        if asked.run != faults.run:
            continue
        last = before.get(asked.digest)
        before[asked.digest] = asked
        if last is not None and asked.at - last.at < last.wait:
            raise Broken(f"{_told(asked)} after {asked.at - last.at:.1f} s, though {last.wait:.0f} s were asked for")
        if asked.digest in spoilt:
            continue
        if last is None:
            if held is not None and asked.start != held.get(asked.digest, 0):
                raise Broken(f"P2: {_told(asked)}, but {held.get(asked.digest, 0)} bytes of it were here")
        elif last.fault is None:
            raise Broken(f"P2: {_told(asked)}, after it had come to its end from {last.start}")
        elif not _follows(last, asked):
            raise Broken(f"P2: {_told(asked)}, after {last.start} to {last.end} had come")


def _follows(last: Asked, asked: Asked) -> bool:
    """Whether what is asked for begins where the last answer broke off.

    When a line breaks, aiohttp forgets what it holds for a reader that is busy just then.
    """
    is_long = last.end - last.start > _HELD
    least = last.start if not last.exact else last.end - (_HELD if is_long else 0)
    return least <= asked.start <= last.end


def check_requests(faults: SourceFaults, blobs: int, *, others: int) -> None:
    """The last run has asked no more often than its blobs and the faults explain. Raises `Broken`.

    `others`: how many faults happened at the target meanwhile.
    """
    asked = [what for run, what in faults.requests if run == faults.run]
    fired = len(faults.fired_in(faults.run))
    spoilt = {asked.digest for asked in faults.asked if asked.fault in SPOILS}
    most = _OF_A_RUN + blobs * _OF_A_BLOB + fired * _OF_A_FAULT + others * _OF_A_TARGETS_FAULT
    most += len(spoilt) * _OF_WHAT_WAS_SPOILT
    if len(asked) > most:
        raise Broken(f"{len(asked)} requests to the source, and {most} are explained:\n  " + "\n  ".join(asked))


def _told(asked: Asked) -> str:
    return f"{asked.digest.short} was asked for from {asked.start}"
