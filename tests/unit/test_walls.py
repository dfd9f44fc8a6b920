"""What import-linter can't see of the walls between the rooms, and the size of files."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import registry_push

PACKAGE = Path(registry_push.__file__).parent
# Lines. The package's files are read more often than the tests'.
MAX_LINES = 350
MAX_TEST_LINES = 400


def modules() -> Iterator[tuple[str, ast.Module]]:
    for file in sorted(PACKAGE.rglob("*.py")):
        yield file.relative_to(PACKAGE).as_posix(), ast.parse(file.read_text())


def imports(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_aiohttps_client_is_imported_in_http_alone() -> None:
    found = {
        (name, imported)
        for name, tree in modules()
        for imported in imports(tree)
        if imported.split(".")[0] == "aiohttp" and not name.startswith("http/")
    }
    assert found, "the embedded registry is built on aiohttp.web"
    assert all(name.startswith(("embedded/", "daemon/")) and imported == "aiohttp.web" for name, imported in found)


def test_only_the_faces_read_the_environment() -> None:
    readers = {
        name
        for name, tree in modules()
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and node.attr in ("environ", "getenv", "environb")
        and isinstance(node.value, ast.Name)
        and node.value.id == "os"
    }
    assert readers
    assert all(name.startswith(("cli/", "daemon/", "options/")) or name == "api.py" for name in readers)


@pytest.mark.attack("CVE-2024-45436")
@pytest.mark.attack("CVE-2025-4330")
@pytest.mark.attack("CVE-2025-4517")
def test_no_archive_is_unpacked() -> None:
    """A member's path leads nowhere as long as nothing can write one: neither the modules nor the one-call helpers."""
    unpackers = ("tarfile", "zipfile", "unpack_archive", "extractall")
    found = {
        (name, word)
        for name, tree in modules()
        for node in ast.walk(tree)
        for word in unpackers
        if (isinstance(node, ast.Attribute) and node.attr == word)
        or (isinstance(node, ast.Import | ast.ImportFrom) and word in ast.unparse(node))
    }
    assert found == set()


def test_no_file_is_longer_than_can_be_held_in_the_head() -> None:
    root = PACKAGE.parent
    limits = dict.fromkeys([*root.glob("tests/**/*.py"), *root.glob("fixtures/**/*.py")], MAX_TEST_LINES)
    limits |= dict.fromkeys(PACKAGE.rglob("*.py"), MAX_LINES)
    long = {
        str(file.relative_to(root)): lines
        for file, limit in limits.items()
        if (lines := len(file.read_text().splitlines())) > limit
    }
    assert long == {}
