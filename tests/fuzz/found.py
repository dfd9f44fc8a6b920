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
    Found("config.toml", b'models="\\u0000"', "a path with a NUL is a ValueError"),
    Found("config.toml", b"models=4", "a number where a path should be is a TypeError"),
    Found("config.toml", b"models=true", "a truth value where a path should be is a TypeError"),
    Found("config.toml", b"tls-verify=9", "a number where a truth value should be is an AttributeError"),
    Found("config.toml", b"bwlimit=" + b"9" * 400, "a number of 400 digits is an OverflowError"),
    Found(
        "signed-headers",
        b"X-Direct-Upload-URL: 0\x85\nX-Signed-Header-:",
        "the URL of an error shows control characters",
    ),
    Found("damaged-journals", b"\xc3\xef\xbb\xbf\xba\x94", "a schema that is no text is quoted by SQLite's own error"),
    Found("damaged-journals", b"\x9f6\xe1", "a damaged text in the journal's schema is a UnicodeDecodeError"),
)
# Those that are not mended yet. One that is mended does not belong here: its test fails then.
AWAITED: Final = frozenset[str]()
# How failures begin that are not mended yet, of whatever input.
KNOWN: Final[tuple[str, ...]] = ()
