"""Hints: data that each face puts into its own words."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import registry_push
from registry_push.daemon.failures import words_of
from registry_push.errors import (
    Denied,
    ForeignAddress,
    KeyNotFound,
    ProtocolViolation,
    RegistryPushError,
    TLSFailed,
    Unauthorized,
)
from registry_push.text.hint import Command, Hint, Login, Setting, joined, step


def test_the_command_names_flags_commands_and_logins() -> None:
    hint = step("log in: ", Login("r.example"), "; or give ", Setting("key_file", "FILE"), "; see ", Command("list"))
    assert str(hint) == "log in: registry-push login r.example; or give --key-file FILE; see registry-push list"
    assert hint.settings == ("key_file",) and not hint.is_plain


def test_an_error_has_both() -> None:
    error = Unauthorized("no")
    assert error.next_step is not None and error.next_step.settings == ("username", "password_stdin")
    assert error.hint == "log in with: registry-push login HOST; or give --username NAME --password-stdin"
    error.hint = "plain words"
    assert error.next_step == Hint(("plain words",))


def test_a_client_of_the_service_is_told_what_to_send_or_who_can_help() -> None:
    given = step("say who you are: ", Setting("username", "NAME"))
    assert (
        words_of(KeyNotFound("no key", hint=given)) == "no key; say who you are: username and password in the request"
    )
    served = step("name it: ", Setting("key", "FILE"))
    assert words_of(KeyNotFound("no key", hint=served)) == "no key; name it: registry-push serve --key FILE"
    assert "--" not in words_of(Denied("no"))


def test_hostile_text_in_a_hint_is_made_safe() -> None:
    error = RegistryPushError("x", hint=step("see ", Login("r\x1b[31m.example")))
    assert error.hint is not None and "\x1b" not in error.hint


def test_hints_are_joined() -> None:
    assert str(joined("; ", ["a", step("b ", Setting("jobs", "2"))])) == "a; b --jobs 2"


@pytest.mark.parametrize(
    ("url", "origin", "host"),
    [
        ("https://r.example/v2/me/x/blobs/uploads/?state=secret", "https://r.example", "r.example:443"),
        ("http://localhost:5000/v2/", "http://localhost:5000", "localhost:5000"),
        ("http://r.example", "http://r.example", "r.example:80"),
        ("https://me:secret@[::1]:5000/v2/", "https://[::1]:5000", "[::1]:5000"),
        ("https://[::1]/v2/", "https://[::1]", "[::1]:443"),
    ],
)
def test_a_command_in_a_hint_names_the_real_address(url: str, origin: str, host: str) -> None:
    assert ProtocolViolation("no", url=url).hint == f"check that the address is a registry's: curl -i {origin}/v2/"
    assert str(TLSFailed("no", url=url).hint).endswith(f"openssl s_client -connect {host}")
    assert "secret" not in str(ProtocolViolation("no", url=url).hint)


@pytest.mark.parametrize("url", ["nonsense", "https://r.example:port/", "https://[::1/v2/", "https://:5000/"])
def test_an_address_that_can_not_be_used_is_not_put_into_a_command(url: str) -> None:
    assert str(ProtocolViolation("no", url=url).hint).endswith("curl -i SCHEME://HOST/v2/")
    assert "curl" not in str(ForeignAddress("no", url=url).hint)


def test_what_has_no_address_has_another_next_step() -> None:
    """Else a hint would be printed with the stand-ins for the address."""
    addressed = {"ProtocolViolation", "NotARegistry", "TLSFailed"}
    bare = [
        f"{file.name}:{call.lineno}"
        for file in Path(registry_push.__file__).parent.rglob("*.py")
        for call in ast.walk(ast.parse(file.read_text()))
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id in addressed
        if not {"hint", "url"} & {keyword.arg for keyword in call.keywords}
    ]
    assert bare == []
