"""Every value of `Settings` is checked as it is given."""

from __future__ import annotations

import os
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

import registry_push as rp
from registry_push.settings import Settings

# What a field can't be, whatever it is called.
NEVER = (object(), b"x", {1: 2}, float("nan"))
# Those that may be None: nothing is said.
OPTIONAL = {
    *("home", "models", "key", "ca_file", "cert", "key_file", "authfile", "state_dir"),
    *("username", "password", "chunk_size", "bwlimit", "ratelimit_min"),
}


def given(**values: Any) -> Settings:
    return rp.Settings(**values)


@pytest.mark.parametrize("field", [field.name for field in fields(Settings)])
def test_no_field_takes_what_it_can_not_be(field: str) -> None:
    for value in (*NEVER, *([] if field in OPTIONAL else [None])):
        with pytest.raises(rp.InvalidSettings) as caught:
            given(**{field: value})
        assert caught.value.setting == field, value
        assert field in str(caught.value)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("jobs", value) for value in (0, 257, -1, True, 2.5, "four", "", 10**400)),
        *(("retries", value) for value in (-1, 101, "1.5")),
        *(("timeout", value) for value in (0, float("inf"), "0s", "soon", True)),
        *(("retry_for", value) for value in (-1, "8d", "forever")),
        *(("chunk_size", value) for value in (1, "1kB", "6TiB", "many", 1.5, True)),
        *(("bwlimit", value) for value in (1, "1B", "2TB", "fast")),
        *(("tls_verify", value) for value in (7, "false", 0)),
        *(("dialect", value) for value in ("docker", "")),
        *(("verify", value) for value in ("sometimes", True)),
        *(("models", value) for value in ("", "a\0b", 4)),
        *(("allow_realms", value) for value in (4, [4], "")),
        *(("allow_addresses", value) for value in ("10.0.0.0/99", ["10.0.0.1", "x"])),
        ("user_agent", "a\nb"),
        ("user_agent", "naïve"),
        ("congestion", ""),
    ],
    ids=str,
)
def test_a_value_it_can_not_have_is_our_error(field: str, value: object) -> None:
    with pytest.raises(rp.InvalidSettings) as caught:
        given(**{field: value})
    assert caught.value.setting == field and str(caught.value).startswith(field) and caught.value.exit_code == 2


def test_text_is_taken_for_paths_sizes_numbers_and_times() -> None:
    settings = rp.Settings(
        models="~/models",
        key=Path("~/key"),
        jobs="4",
        chunk_size="64MiB",
        bwlimit="20 MB",
        timeout="2m",
        retry_for="1h30m",
        allow_realms="auth.example.com",
        allow_addresses=["10.0.0.0/8"],
    )
    assert settings.models == Path(os.environ["HOME"]) / "models"
    assert settings.key == Path("~/key")  # a path is taken as it is
    assert (settings.jobs, settings.chunk_size, settings.bwlimit) == (4, 64 * 1024**2, 20_000_000)
    assert (settings.timeout, settings.retry_for) == (120, 5400)
    assert settings.allow_realms == ("auth.example.com",) and settings.allow_addresses == ("10.0.0.0/8",)


def test_ranges_are_spelt_as_people_write_them() -> None:
    with pytest.raises(rp.InvalidSettings) as caught:
        rp.Settings(chunk_size=1000)
    assert str(caught.value) == "chunk_size 1 kB is out of range"
    assert caught.value.hint == "give a value from 64 KiB to 5 TiB"


def test_no_secret_is_in_a_message_or_in_the_repr() -> None:
    assert "hunter2" not in repr(rp.Settings(username="me", password="hunter2"))
    with pytest.raises(rp.InvalidSettings) as caught:
        given(username="me", password=b"hunter2")
    assert "hunter2" not in str(caught.value)


def test_half_a_pair_is_named() -> None:
    for half in ("cert", "key_file"):
        with pytest.raises(rp.InvalidSettings) as caught:
            given(**{half: "x.pem"})
        assert caught.value.setting == half


def test_replaced_settings_keep_what_was_found_and_are_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOMETHING_OF_THIS_TEST", "1")
    settings = replace(rp.Settings(), jobs=3)
    assert settings.environ["SOMETHING_OF_THIS_TEST"] == "1" and settings.state_dir is not None
    with pytest.raises(rp.InvalidSettings):
        replace(settings, jobs=0)


def test_environment_and_state_are_left_out_by_name() -> None:
    settings = rp.Settings(environ={}, state_dir=None)
    assert settings.environ == {} and settings.state_dir is None
