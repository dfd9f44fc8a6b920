"""Which token service may be given what. Every row is a registry, a realm it names, and who may be told.

The attacks: CVE-2025-51471 (Ollama), CVE-2026-33540 (distribution), CVE-2026-48978 (oras-go): a realm elsewhere gets
the credentials.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry_push.errors import ForeignRealm, ProtocolViolation
from registry_push.model import HTTPOrigin
from registry_push.protocol.auth.realms import Secret, judged

N, P, S = Secret.NOTHING, Secret.PASSWORD, Secret.SIGNATURE
# Who may be told: all, all but the signature, the anonymous request alone, nobody.
ALL, LOGIN, ANONYMOUS, NONE = {N, P, S}, {N, P}, {N}, set[Secret]()


def _may(registry: str, realm: str, secret: Secret, *allowed: str) -> bool:
    try:
        return judged(HTTPOrigin.of(registry), realm, secret, allowed=allowed) == HTTPOrigin.of(realm)
    except ForeignRealm as error:
        assert error.exit_code == 4
        return False


_TABLE = [
    # its own origin
    ("https://r.example", "https://r.example/token", ALL),
    ("https://r.example", "https://r.example:443/token", ALL),
    ("https://r.example", "https://R.EXAMPLE/token", ALL),
    ("https://r.example:5000", "https://r.example:5000/token", ALL),
    ("http://10.0.0.5:5000", "http://10.0.0.5:5000/token", ALL),
    ("http://127.0.0.1:5000", "http://127.0.0.1:5000/token", ALL),
    ("https://[fd00::1]:5000", "https://[fd00::1]:5000/token", ALL),
    # another port (GHSA-vh4v-2xq2-g5cg): another service, maybe another owner
    ("https://r.example", "https://r.example:8443/token", LOGIN),
    ("https://r.example:5000", "https://r.example/token", LOGIN),
    ("http://127.0.0.1:5000", "http://127.0.0.1:5001/token", LOGIN),
    ("http://r.example:5000", "http://r.example:5001/token", LOGIN),
    # another scheme
    ("https://r.example", "http://r.example/token", NONE),
    ("https://r.example", "http://r.example:443/token", NONE),
    ("http://r.example", "https://r.example/token", LOGIN),
    # Ollama's and Hugging Face's pairs, by their standard port alone
    ("https://registry.ollama.ai", "https://ollama.com/v2/token", {N, S}),
    ("https://ollama.com", "https://registry.ollama.ai/v2/token", {N, S}),
    ("https://hf.co", "https://huggingface.co/v2/token", {N, S}),
    ("https://huggingface.co", "https://hf.co/v2/token", {N, S}),
    ("https://registry.ollama.ai", "https://ollama.com:8443/v2/token", ANONYMOUS),
    ("https://registry.ollama.ai", "http://ollama.com/v2/token", NONE),
    ("https://registry.ollama.ai", "https://huggingface.co/v2/token", ANONYMOUS),
    ("https://registry.ollama.ai", "https://evil.example/v2/token", ANONYMOUS),
    ("https://registry.ollama.ai", "https://ollama.com.evil.example/v2/token", ANONYMOUS),
    ("https://registry.ollama.ai", "https://ollama.com@evil.example/v2/token", ANONYMOUS),
    ("https://evil.example", "https://ollama.com/v2/token", ANONYMOUS),
    # what registries document
    ("https://registry-1.docker.io", "https://auth.docker.io/token", LOGIN),
    ("https://registry.gitlab.com", "https://gitlab.com/jwt/auth", LOGIN),
    ("https://registry.redhat.io", "https://sso.redhat.com/auth", LOGIN),
    ("https://nvcr.io", "https://authn.nvidia.com/token", LOGIN),
    ("https://evil.example", "https://auth.docker.io/token", ANONYMOUS),
    # the same parent domain
    ("https://registry.gitlab.corp.example", "https://gitlab.corp.example/jwt/auth", LOGIN),
    # above or below is family; side by side is anyone
    ("https://registry.corp.example", "https://corp.example/token", LOGIN),
    ("https://corp.example", "https://auth.corp.example/token", LOGIN),
    ("https://registry.corp.example", "https://auth.corp.example/token", ANONYMOUS),
    ("https://corp.example", "https://auth.corp.example/token", LOGIN),
    ("https://registry.corp.example", "https://auth.corp.example:8443/token", ANONYMOUS),
    ("https://registry.corp.example", "https://corp.example.evil.example/token", ANONYMOUS),
    ("https://registry.corp.example", "https://evilcorp.example/token", ANONYMOUS),
    ("https://corp.example", "https://evil.example/token", ANONYMOUS),
    ("https://registry.example.co.uk", "https://evil.co.uk/token", ANONYMOUS),
    # addresses that only the machine or its network has, when the registry has another
    ("https://r.example", "https://169.254.169.254/latest/meta-data", NONE),
    ("http://r.example", "http://169.254.169.254/latest/meta-data", NONE),
    ("https://r.example", "https://127.0.0.1/token", NONE),
    ("https://r.example", "https://localhost/token", NONE),
    ("https://r.example", "https://x.localhost/token", NONE),
    ("https://r.example", "https://10.0.0.1/token", NONE),
    ("https://r.example", "https://192.168.1.1/token", NONE),
    ("https://r.example", "https://100.64.0.1/token", NONE),
    ("https://r.example", "https://0.0.0.0/token", NONE),
    ("https://r.example", "https://[::1]/token", NONE),
    ("https://r.example", "https://[fe80::1]/token", NONE),
    ("https://r.example", "https://[fd00::1]/token", NONE),
    ("https://r.example", "https://[::ffff:169.254.169.254]/token", NONE),
    ("http://10.0.0.5:5000", "http://169.254.169.254/latest", NONE),
    # two names of this machine
    ("http://127.0.0.1:5000", "http://localhost:5001/token", ANONYMOUS),
    ("http://localhost:5000", "http://127.0.0.1:5000/token", ANONYMOUS),
    ("http://localhost:5000", "https://auth.example/token", ANONYMOUS),
    ("http://localhost:5000", "http://auth.example/token", NONE),
    # IPv6 is compared whole
    ("https://[2001:db8::1]", "https://[2001:db8::2]/token", NONE),
    ("https://[2606:4700::1]", "https://[2606:4700::2]/token", ANONYMOUS),
]


@pytest.mark.attack("CVE-2025-51471")
@pytest.mark.attack("CVE-2026-33540")
@pytest.mark.attack("CVE-2026-48978")
@pytest.mark.parametrize("secret", list(Secret))
@pytest.mark.parametrize(("registry", "realm", "told"), _TABLE)
def test_a_realm_is_told_what_is_its_own(registry: str, realm: str, told: set[Secret], secret: Secret) -> None:
    assert _may(registry, realm, secret) == (secret in told)


@pytest.mark.parametrize(
    ("registry", "realm"),
    [
        # The four parts of an address are no domain: these are not two hosts of "2.3.4".
        ("https://8.2.3.4", "https://9.2.3.4/token"),
        # A customer's apex below a public suffix: everyone can have a host beside it.
        ("https://example.co.uk", "https://evil.co.uk/token"),
        ("https://example.com.au", "https://evil.com.au/token"),
        # The same, where a provider gives every customer a host.
        ("https://mine.azurecr.io", "https://evil.azurecr.io/token"),
        ("https://mine.github.io", "https://evil.github.io/token"),
    ],
)
def test_neighbours_are_not_family(registry: str, realm: str) -> None:
    assert not _may(registry, realm, Secret.PASSWORD)


@pytest.mark.parametrize(
    "realm", ["", "/token", "token", "ftp://r.example/", "https://", "https://[::1/", "https://r:x/"]
)
def test_a_realm_that_is_no_url_violates_the_protocol(realm: str) -> None:
    with pytest.raises(ProtocolViolation):
        judged(HTTPOrigin.of("https://r.example"), realm, Secret.NOTHING)


def test_a_host_that_the_user_has_named_gets_the_password_at_any_port() -> None:
    assert not _may("https://r.example", "https://sso.corp.test:8443/token", Secret.PASSWORD)
    assert _may("https://r.example", "https://sso.corp.test:8443/token", Secret.PASSWORD, "sso.corp.test")
    assert not _may("https://r.example", "https://sso.corp.test.evil/token", Secret.PASSWORD, "sso.corp.test")


def test_a_host_that_the_user_has_named_gets_no_signature_and_nothing_without_tls() -> None:
    assert not _may("https://r.example", "https://sso.corp.test/token", Secret.SIGNATURE, "sso.corp.test")
    assert not _may("https://r.example", "http://sso.corp.test/token", Secret.PASSWORD, "sso.corp.test")


@pytest.mark.parametrize(
    ("realm", "secret"),
    [
        ("https://sso.corp.test/token", Secret.SIGNATURE),
        ("http://sso.corp.test/token", Secret.PASSWORD),
    ],
)
def test_no_flag_is_offered_that_would_not_help(realm: str, secret: Secret) -> None:
    # With that flag these are refused as before.
    host = HTTPOrigin.of(realm).host
    with pytest.raises(ForeignRealm) as caught:
        judged(HTTPOrigin.of("https://r.example"), realm, secret, allowed=(host,))
    assert "--allow-realm" not in (caught.value.hint or "")


_HOSTS = st.sampled_from(
    ["r.example", "a.r.example", "r.test", "ollama.com", "registry.ollama.ai", "10.0.0.1", "[::1]"]
)
_ORIGINS = st.builds(
    lambda scheme, host, port: f"{scheme}://{host}:{port}",
    st.sampled_from(["http", "https"]),
    _HOSTS,
    st.sampled_from([80, 443, 5000]),
)


@given(_ORIGINS, _ORIGINS)
def test_the_more_precious_a_secret_the_fewer_are_told(registry: str, realm: str) -> None:
    told = {secret for secret in Secret if _may(registry, f"{realm}/token", secret)}
    if told & {Secret.PASSWORD, Secret.SIGNATURE}:
        assert Secret.NOTHING in told


@given(_ORIGINS, _ORIGINS)
def test_no_secret_goes_from_https_to_http(registry: str, realm: str) -> None:
    if registry.startswith("https") and realm.startswith("http:"):
        assert not any(_may(registry, f"{realm}/token", secret) for secret in Secret)
