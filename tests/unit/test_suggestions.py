"""What is proposed for a mistyped word."""

from __future__ import annotations

import pytest

from registry_push.text.suggestions import did_you_mean

FLAGS = ("--timeout", "--json", "--jobs", "--retry-for", "--no-clobber", "--tag")


@pytest.mark.parametrize("typed", ["--to", "--dry-run"])
def test_flags_are_not_alike_for_their_dashes(typed: str) -> None:
    assert did_you_mean(typed, FLAGS) is None


@pytest.mark.parametrize(
    ("typed", "meant"), [("--tags", "--tag"), ("--No-Clober", "--no-clobber"), ("--job", "--jobs")]
)
def test_a_mistyped_flag_is_proposed_with_its_dashes(typed: str, meant: str) -> None:
    assert did_you_mean(typed, FLAGS) == f"did you mean {meant}?"
