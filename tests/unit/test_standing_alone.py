"""The repository explains itself: nothing in it refers a reader to files or labels that are kept elsewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
_FOLDERS = ("registry_push", "tests", "fixtures", ".ci")
_KINDS = (".py", ".md", ".json", ".toml", ".sh", "")

# Working papers that are no part of the repository. `guides/reliability.md` is one of our own guides.
_PAPERS = "protocol|contract|design|migration|ollama-store|airgap|formats|doctor|fleet|reliability"
_ELSEWHERE = re.compile(
    rf"(?<![\w/.-])(?:{_PAPERS})\.md\b"
    r"|(?<![\w.])\.\./shared\b"
    r"|(?<![\w/.-])cases/"
    # A number of our own tracker. Those of other projects stand after the project's name: `aiohttp issue 10322`.
    r"|(?<!aiohttp )(?<!ollama )\bissue #?[0-9]"
    # The attacks have these labels in their markers (tests/attacks explains them), and only there.
    r"|\(S[0-9]{1,2}\)",
    re.IGNORECASE,
)
# The promises, which guides/reliability.md states; the tests of faults judge by them.
_PROMISE = re.compile(r"\bP[1-7]\b")
_PROMISES_ARE_KNOWN = ("registry_push/guides/reliability.md", "tests/faults/")


def _texts() -> list[Path]:
    files = [ROOT / "README.md", ROOT / "pyproject.toml"]
    files += [file for folder in _FOLDERS for file in sorted((ROOT / folder).rglob("*")) if file.suffix in _KINDS]
    return [file for file in files if file.is_file() and file != Path(__file__)]


def _foreign(text: str, name: str) -> list[str]:
    known = name.startswith(_PROMISES_ARE_KNOWN)
    return [
        line.strip() for line in text.splitlines() if _ELSEWHERE.search(line) or (not known and _PROMISE.search(line))
    ]


def test_no_file_refers_to_what_is_kept_elsewhere() -> None:
    files = _texts()
    assert {"README.md", "errors.py", "run", "promises.py"} <= {file.name for file in files}
    found = {
        name: foreign
        for file in files
        if (foreign := _foreign(_decoded(file), name := file.relative_to(ROOT).as_posix()))
    }
    assert found == {}


@pytest.mark.parametrize(
    "line",
    [
        "as protocol.md has it",
        "(design.md, Errors)",
        "see ../shared/x",
        "cases/17",
        "the shows of issue 15",
        "of Issue #3",
        "no credential leaves (P3)",
        "the proxies (S4)",
        "(reliability.md)",
    ],
)
def test_a_reference_to_elsewhere_is_found(line: str) -> None:
    assert _foreign(line, "registry_push/x.py") == [line]


@pytest.mark.parametrize(
    "line",
    [
        "Ollama's docs/hub/ollama.md",
        "distribution's docs/spec/auth/token.md",
        "[how it is tested](guides/reliability.md)",
        "aiohttp issue 10322",
        "S3 and GCS sign their URLs",
        'pytest.mark.attack("S12")',
    ],
)
def test_public_references_stay(line: str) -> None:
    assert _foreign(line, "registry_push/x.py") == []


def _decoded(file: Path) -> str:
    """Return the text of `file`, or none if it is not text, as blobs without a suffix are."""
    content = file.read_bytes()
    return "" if b"\0" in content else content.decode(errors="replace")
