"""Host, Origin, token and targets: who may ask, and for what."""

from __future__ import annotations

import socket
from dataclasses import replace

import pytest

from registry_push.daemon.access import Access, Origins, bare_host, is_own_host
from registry_push.daemon.targets import AllowedTargets, TargetNotAllowed
from registry_push.errors import InvalidSettings
from registry_push.model import ModelName

# server/routes_test.go and routes.go, allowedHost and allowedHostsMiddleware there.
OWN = [
    "", "localhost", "LOCALHOST:11434", "127.0.0.1:11434", "127.0.0.2", "[::1]:11434", "0.0.0.0:11434", "10.0.0.1",
    "192.168.1.5:80", "host.docker.internal:11434", "my-mac.local", "a.localhost",
]  # fmt: skip
FOREIGN = [
    "evil.example", "evil.example:11434", "localhost.evil.example", "8.8.8.8:11434", "local",
    "127.0.0.1.evil.example", "[2001:4860:4860::8888]:11434",
]  # fmt: skip


@pytest.mark.parametrize("host", OWN)
def test_names_and_addresses_of_this_machine_pass(host: str) -> None:
    assert is_own_host(bare_host(host))


@pytest.mark.attack("CVE-2024-28224")
@pytest.mark.parametrize("host", FOREIGN)
def test_names_of_the_public_dns_do_not(host: str) -> None:
    """CVE-2024-28224: a page whose name was made to mean 127.0.0.1 still says its name as Host."""
    assert not is_own_host(bare_host(host))
    assert not Access(guards_host=True, origins=Origins.parse("")).admits_host(host)
    assert Access(guards_host=False, origins=Origins.parse("")).admits_host(host), "in a network it is any name"


def test_the_name_of_this_machine_passes() -> None:
    assert is_own_host(socket.gethostname().lower())


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        ("http://localhost", True),
        ("https://localhost:3000", True),
        ("http://127.0.0.1:8080", True),
        ("http://0.0.0.0:1", True),
        ("app://obsidian.md", True),
        ("file://", True),
        ("tauri://localhost", True),
        ("vscode-webview://abc", True),
        ("https://evil.example", False),
        ("http://localhost.evil.example", False),
        ("null", False),
        ("http://127.0.0.1.evil.example", False),
        ("", False),
    ],
)
def test_origins_are_those_of_ollama(origin: str, allowed: bool) -> None:
    assert Origins.parse("").allow(origin) is allowed


def test_ollama_origins_adds_more() -> None:
    origins = Origins.parse(' "https://a.example, http://*.b.example" ')
    assert origins.allow("https://a.example") and origins.allow("http://x.b.example")
    assert not origins.allow("https://x.b.example") and origins.allow("http://localhost")
    assert Origins.parse("*").allow("https://any.example")


@pytest.mark.parametrize("value", ["https://*.a.*", "https://a,,https://b"])
def test_origins_that_nobody_can_mean_are_refused(value: str) -> None:
    with pytest.raises(InvalidSettings):
        Origins.parse(value)


@pytest.mark.attack("CVE-2024-28224")
@pytest.mark.parametrize("guards_host", [True, False])
def test_a_page_of_the_host_it_asks_passes_only_if_that_is_this_machine(guards_host: bool) -> None:
    """CVE-2024-28224: with DNS rebinding Origin and Host are equal, also beyond loopback."""
    access = Access(guards_host=guards_host, origins=Origins.parse(""))
    assert access.admits_origin("http://192.168.1.5:11434", "192.168.1.5:11434")
    assert not access.admits_origin("http://evil.example:11434", "evil.example:11434")
    assert replace(access, origins=Origins.parse("http://evil.example:*")).admits_origin(
        "http://evil.example:11434", "evil.example:11434"
    )


def test_the_token_is_a_bearer_token() -> None:
    access = Access(guards_host=True, origins=Origins.parse(""), token="s3cret-s3cret-s3cret")
    assert access.admits_token("Bearer s3cret-s3cret-s3cret") and access.admits_token("bearer  s3cret-s3cret-s3cret ")
    for wrong in ("", "Bearer", "Bearer s3cret", "s3cret-s3cret-s3cret", "Basic s3cret-s3cret-s3cret", "Bearer é"):
        assert not access.admits_token(wrong)
    assert "s3cret" not in repr(access)


@pytest.mark.parametrize(
    ("glob", "name", "allowed"),
    [
        ("registry.example.com", "registry.example.com/ml/m", True),
        ("REGISTRY.example.com", "registry.EXAMPLE.com/ml/m", True),
        ("registry.example.com", "registry.example.com:5000/ml/m", False),
        ("registry.example.com:5000", "registry.example.com:5000/ml/m", True),
        ("*.example.com", "a.example.com/ml/m", True),
        ("*.example.com", "example.com/ml/m", False),
        ("registry.example.com/ml/*", "registry.example.com/ml/m:v2", True),
        ("registry.example.com/ml/*", "registry.example.com/other/m", False),
        ("registry.example.com/ml/m", "registry.example.com/ml/m2", False),
        ("registry.ollama.ai/me/*", "me/m", True),
        ("registry.ollama.ai/me/*", "m", False),
    ],
)
def test_targets(glob: str, name: str, allowed: bool) -> None:
    targets = AllowedTargets.parse([glob])
    if allowed:
        targets.check(ModelName.parse(name))
    else:
        with pytest.raises(TargetNotAllowed):
            targets.check(ModelName.parse(name))


def test_without_a_list_every_target_is_allowed() -> None:
    AllowedTargets.parse([]).check(ModelName.parse("anywhere.example/a/b"))


@pytest.mark.parametrize("glob", ["", "https://host", "host/", "/path"])
def test_a_glob_that_is_no_target_is_refused(glob: str) -> None:
    with pytest.raises(InvalidSettings):
        AllowedTargets.parse([glob])
