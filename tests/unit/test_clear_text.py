"""Which login goes where http would carry it in clear text."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import pytest

from registry_push.errors import LoginWithheld
from registry_push.model import HTTPOrigin
from registry_push.protocol.clear_text import may_sign_in
from registry_push.settings import Party, Settings

pytestmark = pytest.mark.attack("S5")

HERE = ["127.0.0.1:5000", "localhost", "[::1]:1", "127.9.9.9", "registry.localhost"]
ELSEWHERE = [
    "registry.example.com", "registry.example.com:443", "10.0.0.1", "localhost.example.com", "0.0.0.0",
    "registry.ollama.ai", "127.0.0.1.example.com", "[::ffff:10.0.0.1]", "167772161",
]  # fmt: skip
PARTIES: tuple[Party, ...] = ("runner", "request")


@pytest.mark.parametrize(("said_by", "login_of"), [*product(PARTIES, PARTIES)])
def test_what_goes_over_https_or_stays_on_this_machine_may(said_by: Party, login_of: Party) -> None:
    for origin in [f"https://{host}" for host in ELSEWHERE + HERE] + [f"http://{host}" for host in HERE]:
        assert may_sign_in(HTTPOrigin.of(origin), login_of=login_of, said_by=said_by)


@pytest.mark.parametrize(
    ("said_by", "login_of", "may"),
    [
        ("runner", "runner", True),
        ("runner", "request", True),
        ("request", "request", True),
        ("request", "runner", False),
    ],
)
def test_over_http_elsewhere_by_the_word_of_its_owner_or_of_who_runs_it(
    said_by: Party, login_of: Party, may: bool
) -> None:
    for host in ELSEWHERE:
        assert may_sign_in(HTTPOrigin.of(f"http://{host}"), login_of=login_of, said_by=said_by) is may


def test_a_withheld_login_says_what_to_do() -> None:
    assert LoginWithheld.exit_code == 4
    assert "--plain-http" in str(LoginWithheld.default_hint)


def test_settings_are_of_who_runs_it() -> None:
    assert Settings(home=Path("x")).http_said_by == "runner"
