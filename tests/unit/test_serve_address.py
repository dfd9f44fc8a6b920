"""`$OLLAMA_HOST`: the table of Ollama's own test (envconfig/config_test.go, TestHost), less what clients alone use."""

from __future__ import annotations

import pytest

from registry_push.daemon.address import Address, parse_ollama_host

OLLAMA = {
    "": ("127.0.0.1", 11434),
    "1.2.3.4": ("1.2.3.4", 11434),
    ":1234": ("", 1234),
    "1.2.3.4:1234": ("1.2.3.4", 1234),
    "example.com": ("example.com", 11434),
    "example.com:1234": ("example.com", 1234),
    ":0": ("", 0),
    ":66000": ("", 11434),
    ":-1": ("", 11434),
    "[::1]": ("::1", 11434),
    "[::]": ("::", 11434),
    "::1": ("::1", 11434),
    "[::1]:1337": ("::1", 1337),
    " 1.2.3.4 ": ("1.2.3.4", 11434),
    '"1.2.3.4"': ("1.2.3.4", 11434),
    ' " 1.2.3.4 " ': ("1.2.3.4", 11434),
    "'1.2.3.4'": ("1.2.3.4", 11434),
    "http://1.2.3.4": ("1.2.3.4", 80),
    "http://1.2.3.4:4321": ("1.2.3.4", 4321),
    "https://1.2.3.4": ("1.2.3.4", 443),
    "https://1.2.3.4:4321": ("1.2.3.4", 4321),
    "https://example.com/ollama": ("example.com", 443),
}


@pytest.mark.parametrize(("value", "expected"), OLLAMA.items())
def test_ollama_host_means_what_it_means_to_ollama(value: str, expected: tuple[str, int]) -> None:
    address = parse_ollama_host(value)
    assert (address.host, address.port) == expected


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "localhost", "LOCALHOST"])
def test_what_only_this_machine_reaches_is_local(host: str) -> None:
    assert Address(host).is_local


@pytest.mark.parametrize("host", ["", "0.0.0.0", "::", "192.168.1.5", "example.com", "localhost.example.com"])
def test_everything_else_is_not(host: str) -> None:
    assert not Address(host).is_local
