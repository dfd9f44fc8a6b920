"""What is asked for of packages of others."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest


@pytest.mark.attack("S15")
def test_no_aiohttp_with_known_cves_and_none_that_was_not_tried() -> None:
    """3.14.0 to 3.14.3 have known CVEs; what we mend in aiohttp is tied to its minor version."""
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    (wanted,) = [each for each in project["dependencies"] if each.startswith("aiohttp")]
    floor, cap = re.fullmatch(r"aiohttp>=([\d.]+),<([\d.]+)", wanted).groups()  # type: ignore[union-attr]
    assert tuple(map(int, floor.split("."))) >= (3, 14, 4)
    assert tuple(map(int, cap.split("."))) == (3, 15)
