"""Inputs that fuzzing has found: each was a traceback, a stall or a control character once."""

from __future__ import annotations

from typing import Final, NamedTuple


class Found(NamedTuple):
    """An input, for which target, and what it did."""

    target: str
    data: bytes
    what: str


FOUND: Final = (
    Found("places", b"\x00.", "a hint repeats control characters"),
    Found("proxies", b"socks" + b"http://" * 6000, "a proxy of many URLs takes seconds to be shown"),
    Found("origins", b"h/" + b"http://" * 6000, "a wrong URL of many URLs takes seconds to be shown"),
    Found("realms", b"/21" + b"https://" * 5000, "a realm of many URLs takes seconds to be shown"),
    Found(
        "Locations", b"https://[2001:" + b"https://[2001:" * 4000, "a Location of many URLs takes seconds to be shown"
    ),
    Found("sizes", b"5" + b"\n" * 18_000 + b"!", "a size with much white space takes seconds to be read"),
    Found("hosts-and-origins", b"Bearer \xfc", "a token that is no UTF-8 is a UnicodeEncodeError"),
    Found("orders", b"[" * 100_000, "a deep order is a RecursionError"),
    Found(
        "journals-rows",
        b'{"uploads":[["https://r.example","a","x",1,"[\\"https://r.example/\\",0,0,[],0,false]",1e6]]}',
        "a row with an odd digest is an InvalidDigest for all",
    ),
    Found(
        "journals-rows",
        b'{"uploads":[["https://r.example","a/b","sha256:%s",10,"[\\"https://r.example/\\",-5,0,[],0,false]",1e6]]}'
        % (b"a" * 64),
        "an offset below zero is gone on from",
    ),
    Found("damaged-journals", b"\x9f6\xe1", "a damaged text in the journal's schema is a UnicodeDecodeError"),
)
# Those that are not mended yet. One that is mended does not belong here: its test fails then.
AWAITED: Final = frozenset[str]()
# How failures begin that are not mended yet, of whatever input.
KNOWN: Final[tuple[str, ...]] = ()
