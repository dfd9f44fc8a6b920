"""Hints: data that each face puts into its own words."""

from __future__ import annotations

from registry_push.daemon.failures import words_of
from registry_push.errors import Denied, KeyNotFound, RegistryPushError, Unauthorized
from registry_push.text.hint import Command, Hint, Login, Setting, joined, step


def test_the_command_names_flags_commands_and_logins() -> None:
    hint = step("log in: ", Login("r.example"), "; or give ", Setting("key_file", "FILE"), "; see ", Command("list"))
    assert str(hint) == "log in: docker login r.example; or give --key-file FILE; see registry-push list"
    assert hint.settings == ("key_file",) and not hint.is_plain


def test_an_error_has_both() -> None:
    error = Unauthorized("no")
    assert error.next_step is not None and error.next_step.settings == ("username", "password_stdin")
    assert error.hint == "log in with: docker login HOST; or give --username NAME --password-stdin"
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
