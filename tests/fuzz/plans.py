"""Plans of other tools, which are converted to our own."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Final

from registry_push.verbs.conversion import Converted, converted_regsync, converted_skopeo

from .target import Target, pure

_PLANS: Final = Path(__file__).parents[1] / "plans"
# What may reach neither a terminal nor a file that a person reads.
_CONTROL: Final = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\u202e]")

# As YAML 1.1 counts lines.
_BREAKS: Final = re.compile("[\r\n\x85\u2028\u2029]")
# Bytes; each note costs some 30 µs, and a line of two characters may be worth one.
_MOST: Final = 16 * 1024


def _checked(convert: Callable[[str, str], Converted]) -> Callable[[str], None]:
    """The converter, and what holds of all that it returns: TOML of three tables, and notes on lines of the file."""

    def call(text: str) -> None:
        found = convert(text, "plan.yml")
        assert tomllib.loads(found.text).keys() <= {"defaults", "sync", "host"}
        assert _CONTROL.search(found.text) is None
        lines = 1 + len(_BREAKS.findall(text))
        for note in found.notes:
            assert 1 <= note.line <= lines
            assert _CONTROL.search(note.key + note.message) is None

    return call


def _seeds(tool: str) -> tuple[bytes, ...]:
    return tuple(file.read_bytes() for file in sorted((_PLANS / tool).glob("*.yml")))


_YAML: Final = (
    *(b"&a ", b"*a", b"<<: *a\n", b"<<: [*a, *a]\n", b"- ", b"? ", b": ", b"\n  ", b"---\n", b"...\n", b"%YAML 1.2\n"),
    *(b"!!binary ", b"!x ", b"|\n", b">-\n", b"~", b"{{", b"}}", b"- [", b"&a [*a]", b"\t", b"# "),
)
_EXPRESSIONS: Final = (
    *(rb"\d+", b".*", b"(a|b)", b"{1,9}", b"[^a-z]", b"(?i)", b"^", b"$", b"||", b">=1.2 ", b"^1", b"1.x", b"a?" * 20),
    *(b"{{.Ref.Tag}}", b"{{ .Sync.Source }}", b'{{ time.Now.Format "2006" }}', b'{{ printf "%d" 1 }}'),
    *(b"ocidir://", b"sha256:" + b"0" * 64, b"type: registry\n", b"type: repository\n"),
)
PLANS: Final = (
    Target(
        "plans-of-skopeo",
        _seeds("skopeo"),
        pure(_checked(lambda text, name: converted_skopeo(text, name, "example.org/"))),
        (*_YAML, *_EXPRESSIONS),
        _MOST,
    ),
    Target("plans-of-regsync", _seeds("regsync"), pure(_checked(converted_regsync)), (*_YAML, *_EXPRESSIONS), _MOST),
)
