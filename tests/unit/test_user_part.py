"""No message shows the user part of an address."""

from __future__ import annotations

from itertools import product

import pytest

from registry_push.daemon.address import parse_ollama_host
from registry_push.daemon.targets import AllowedTargets
from registry_push.errors import InvalidName, RegistryPushError, UsageError, redacted
from registry_push.model import HTTPOrigin, ModelName, Reference
from registry_push.model.place import parse_destination, parse_place
from registry_push.text.user_part import without_user_parts

pytestmark = pytest.mark.attack("S4")

# What a login can look like in an address: each holds HUNTER, and `2` where it was cut by a special character.
LOGINS = [
    "HUNTER", "me:HUNTER2", ":HUNTER2", "me:HUNT/ER2", "me:HUNT?ER2", "me:HUNT#ER2", "me:HUNT@ER2", "me:HUNT/ER@2",
    "me:80/HUNTER2", "me:HUNT'ER2", "me:HUNT\\ER2", "me:HUNT:ER2", "me:HUNT%2FER2", "HUNTER/x", "me:[HUNTER2]",
    "me:HUNTℂER2", "me:HUNTER" + "2" * 800, "me://HUNTER2",
]  # fmt: skip
SCHEMES = ["http", "https", "socks5", "socks5h", "ftp", "HTTP", "docker", "git+ssh"]


def shows(login: str, text: str) -> bool:
    """Whether a part of the password that is long enough to mean something is in `text`."""
    return "HUNT" in text or "ER2" in text or "222" in text


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("login", LOGINS)
def test_urls_in_messages_lose_their_user_part(scheme: str, login: str) -> None:
    url = f"{scheme}://{login}@host.example:5000/ns/m?sig=secret"
    error = RegistryPushError(f"it is at {url}, they say", hint=f"look at {url}", url=url)
    for text in (redacted(url), error.message, str(error), error.hint or "", error.url or ""):
        assert not shows(login, text)
        assert "secret" not in text or not scheme.lower().startswith("http")
    assert "host.example" in redacted(url)


@pytest.mark.parametrize(
    "text",
    [
        "http://localhost:5000/ns/m@sha256:" + "0" * 64,
        "it is https://host.example/ns/m@sha512:" + "0" * 128 + ", they say",
        "https://host.example/v2/a/blobs/sha256:00",
        "write to me@host.example, or see https://host.example/",
        "curl -i SCHEME://HOST/v2/",
        "write http://HOST:PORT; not more",
        "http://[::1]:5000/v2/",
        "me/model:tag",
        "//",
    ],
)
def test_what_is_no_user_part_stays(text: str) -> None:
    assert redacted(text) == text


def test_an_at_in_a_query_leaves_the_host() -> None:
    assert redacted("https://host.example/x?mail=a@b&sig=secret") == "https://host.example/x?…"


def test_a_megabyte_of_addresses_takes_no_time() -> None:
    # Patterns that look back would take hours for it.
    for text in (
        "http://" * 150_000,
        "a" * 1_000_000,
        "@sha256:" * 100_000,
        "http://a@" * 100_000,
        "＠sha256:" + "0" * 900_000,
        "@" * 900_000,
        "a:" * 500_000,
    ):
        without_user_parts(text)


TYPED = [
    "{}@sha256:abc/x", "{}@sha256:5000/ns/m", "{}@sha256-abc/x", "{}@sha256:" + "0" * 64 + "/x", "{}@sha512/ns/m",
    "{}＠host/x", "{}﹫host.example/ns/", "{}＠host.example/ns/m@sha256:" + "0" * 64,
    "{}@host.example/ns/", "{}@host.example/ns/m:tag", "{}@host.example", "{}@host/", "{}@localhost:5000/ns/m",
]  # fmt: skip


PREFIXES = ["", "http://", "https://", "registry:", "docker://", "oci:", "ftp://", "ollama:"]


@pytest.mark.parametrize("login", LOGINS)
def test_what_was_typed_is_told_without_its_login(login: str) -> None:
    for prefix, form in product(PREFIXES, TYPED):
        text = prefix + form.format(login)
        for read in (parse_destination, parse_place, Reference.parse, ModelName.parse, HTTPOrigin.of):
            try:
                read(text)
            except UsageError as error:
                assert not shows(login, f"{error.message} {error.hint} {error.__cause__}"), (read, text)


def test_a_login_in_a_target_is_told_with_what_to_do() -> None:
    for text in ("me:pw@host.example/ns/", "https://me:pw@host.example/ns/m:tag", "registry:me:pw@h.example/ns/m"):
        with pytest.raises(InvalidName) as caught:
            parse_destination(text)
        assert "login" in caught.value.message and "--username" in (caught.value.hint or "")


@pytest.mark.parametrize("login", LOGINS)
def test_the_services_own_addresses_are_told_without_a_login(login: str) -> None:
    if "/" not in login:  # Ollama itself ends the address there
        assert not shows(login, str(parse_ollama_host(f"http://{login}@host.example:1234")))
    with pytest.raises(UsageError) as caught:
        AllowedTargets.parse([f"https://{login}@host.example/"])
    assert not shows(login, caught.value.message)
