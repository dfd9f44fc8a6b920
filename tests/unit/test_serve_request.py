"""The body of a request, and the words and statuses of answers."""

from __future__ import annotations

import json

import pytest

from registry_push import errors
from registry_push.daemon.failures import status_of, words_of
from registry_push.daemon.push_request import PushRequest
from registry_push.daemon.targets import TargetNotAllowed
from registry_push.text.hint import Login, Setting, step


def test_defaults() -> None:
    assert PushRequest.parse(b'{"model": "me/m"}') == PushRequest("me/m", True, False, None, None)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"name": "a"}, PushRequest("a")),
        ({"model": "a", "name": "b"}, PushRequest("a")),
        ({"model": "", "name": "b"}, PushRequest("b")),
        ({"model": "a", "stream": None, "insecure": None, "username": None}, PushRequest("a")),
        ({"model": "a", "stream": False}, PushRequest("a", stream=False)),
        ({"model": "a", "insecure": True}, PushRequest("a", insecure=True)),
        ({"model": "a", "username": "u", "password": "p"}, PushRequest("a", username="u", password="p")),
        ({"model": "a", "username": "", "password": ""}, PushRequest("a")),
        ({"model": "a", "options": {"x": [1]}}, PushRequest("a")),
    ],
)
def test_fields_mean_what_they_mean_in_go(body: dict[str, object], expected: PushRequest) -> None:
    assert PushRequest.parse(json.dumps(body).encode()) == expected


BAD = {
    "empty": b"",
    "blank": b" \n",
    "no JSON": b"{model: 1}",
    "not UTF-8": b'{"model": "\xff"}',
    "NaN": b'{"model": "a", "x": NaN}',
    "too deep": b"[" * 30_000,
    "an endless number": b'{"model": "a", "x": ' + b"9" * 5_000 + b"}",
    "no object": b'["me/m"]',
    "two documents": b'{"model": "a"} {"model": "b"}',
    "no model": b"{}",
    "an empty model": b'{"model": ""}',
    "a number for a model": b'{"model": 1}',
    "a string for a boolean": b'{"model": "a", "stream": "false"}',
    "a number for a boolean": b'{"model": "a", "insecure": 1}',
    "half a login": b'{"model": "a", "username": "u"}',
    "the other half": b'{"model": "a", "password": "p"}',
    "half a character": b'{"model": "a", "username": "u", "password": "\\ud800"}',
}


@pytest.mark.parametrize("body", BAD.values(), ids=BAD.keys())
def test_a_bad_body_is_a_usage_error(body: bytes) -> None:
    with pytest.raises(errors.UsageError) as caught:
        PushRequest.parse(body)
    assert status_of(caught.value) == 400
    assert len(words_of(caught.value)) < 300


def test_the_password_is_in_no_repr() -> None:
    assert "hunter2" not in repr(PushRequest("a", username="u", password="hunter2"))


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (errors.InvalidName("x"), 400),
        (errors.NameNotMappable("x"), 400),
        (errors.InvalidSettings("x"), 400),
        (errors.Unauthorized("x"), 401),
        (errors.NoIdentity("x"), 401),
        (errors.Denied("x"), 401),
        (errors.ForeignRealm("x"), 401),
        (TargetNotAllowed("x"), 403),
        (errors.ModelNotFound("x"), 404),
        (errors.StoreNotFound("x"), 404),
        (errors.NothingToPush("x"), 404),
        (errors.BlobMissing("x"), 500),
        (errors.KeyNotFound("x"), 500),
        (errors.Unreadable("x"), 500),
        (errors.BlobCorrupt("x"), 500),
        (errors.ConnectionLost("x"), 500),
        (errors.Refused("x"), 500),
        (errors.Interrupted("x"), 500),
    ],
)
def test_statuses_are_the_contracts(error: errors.RegistryPushError, status: int) -> None:
    assert status_of(error) == status


def test_words_are_one_safe_line_with_the_next_step_of_a_client() -> None:
    said = words_of(errors.ConnectionLost("gone\x1b[31m\nfrom https://h/x?sig=1"))
    assert "\x1b" not in said and "\n" not in said and "sig=1" not in said
    assert said.endswith("push again: what is already there is not sent twice")
    own_words = step(Login("x"), "; or give ", Setting("username", "NAME"))
    login = words_of(errors.Unauthorized("x wants a login", hint=own_words))
    assert "send username and password" in login and "--username" not in login
    assert "--" not in words_of(errors.Denied("no"))
    own = errors.Unauthorized("refused", hint="set the clock: timedatectl set-ntp true")
    assert words_of(own) == "refused; set the clock: timedatectl set-ntp true"
