"""Where a registry may send us: the judge of addresses, and that every request to a URL it names is held to it."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

import pytest

from registry_push.errors import ConnectionLost, ForeignAddress, InvalidSettings, ProtocolViolation
from registry_push.model import HTTPOrigin
from registry_push.protocol import addresses
from registry_push.protocol.addresses import AddressKind, AddressRule, kind_of, parse_networks
from registry_push.settings import Settings

from ..support.scripted import Says, Scripted, SignIn, opened, token, unauthorized

pytestmark = pytest.mark.attack("S2")

PUBLIC, LOOPBACK, LINK_LOCAL = AddressKind.PUBLIC, AddressKind.LOOPBACK, AddressKind.LINK_LOCAL
PRIVATE, SHARED, RESERVED = AddressKind.PRIVATE, AddressKind.SHARED, AddressKind.RESERVED
PULL = ("repository:me/x:pull",)


@pytest.mark.parametrize(
    ("address", "kind"),
    [
        ("8.8.8.8", PUBLIC),
        ("2606:4700::1111", PUBLIC),
        ("127.0.0.1", LOOPBACK),
        ("127.255.255.254", LOOPBACK),
        ("::1", LOOPBACK),
        ("169.254.169.254", LINK_LOCAL),
        ("fe80::1%eth0", LINK_LOCAL),
        ("10.0.0.1", PRIVATE),
        ("172.31.255.255", PRIVATE),
        ("192.168.1.1", PRIVATE),
        ("fd00:ec2::254", PRIVATE),
        ("fec0::1", PRIVATE),
        ("100.100.100.200", SHARED),
        ("0.0.0.0", AddressKind.UNSPECIFIED),  # judged, not bound
        ("0.1.2.3", AddressKind.UNSPECIFIED),
        ("::", AddressKind.UNSPECIFIED),
        ("224.0.0.1", AddressKind.MULTICAST),
        ("ff02::1", AddressKind.MULTICAST),
        ("255.255.255.255", RESERVED),
        ("240.0.0.1", RESERVED),
        ("198.18.0.1", RESERVED),
        ("2001:db8::1", RESERVED),
        # IPv4 in IPv6: mapped, compatible, 6to4, NAT64
        ("::ffff:10.0.0.1", PRIVATE),
        ("::ffff:8.8.8.8", PUBLIC),
        ("::127.0.0.1", LOOPBACK),
        ("2002:7f00:1::", LOOPBACK),
        ("64:ff9b::a9fe:a9fe", LINK_LOCAL),
        ("64:ff9b:1::a00:1", PRIVATE),
        ("64:ff9b::808:808", PUBLIC),
    ],
)
def test_an_address_is_of_a_kind(address: str, kind: AddressKind) -> None:
    assert kind_of(address) is kind


@pytest.mark.parametrize(
    ("host", "meant"),
    [
        ("2130706433", "127.0.0.1"),
        ("127.1", "127.0.0.1"),
        ("0x7f.1", "127.0.0.1"),
        ("0177.0.0.1", "127.0.0.1"),
        ("0xA9FEA9FE", "169.254.169.254"),
        ("127.0.0.1.", "127.0.0.1"),
        ("0", "0.0.0.0"),  # as above
        # no addresses: names, or numbers that no resolver takes
        ("256.1.1.1", "256.1.1.1"),
        ("1.2.3.4.5", "1.2.3.4.5"),
        ("4294967296", "4294967296"),
        ("08.1.1.1", "08.1.1.1"),
        ("a.1", "a.1"),
    ],
)
def test_a_number_is_the_address_that_resolvers_take_it_for(host: str, meant: str) -> None:
    assert HTTPOrigin.of(f"https://{host}:5000/v2/").host == meant


@pytest.mark.parametrize(
    ("own", "allowed", "address", "is_allowed"),
    [
        ({PUBLIC}, (), "8.8.8.8", True),
        ({PUBLIC}, (), "10.0.0.1", False),
        ({PUBLIC}, (), "127.0.0.1", False),
        (set(), (), "8.8.8.8", True),
        (set(), (), "169.254.169.254", False),
        ({PRIVATE}, (), "192.168.7.7", True),
        ({PRIVATE}, (), "fd00::1", True),
        ({PRIVATE}, (), "127.0.0.1", False),
        ({PRIVATE}, (), "169.254.169.254", False),
        ({PRIVATE}, (), "100.100.100.200", False),
        ({LOOPBACK}, (), "127.9.9.9", True),
        ({LOOPBACK}, (), "10.0.0.1", False),
        ({PUBLIC}, ("10.0.0.0/8",), "10.1.2.3", True),
        ({PUBLIC}, ("10.0.0.0/8",), "::ffff:10.1.2.3", True),
        ({PUBLIC}, ("10.0.0.0/8",), "11.0.0.1", True),
        ({PUBLIC}, ("10.0.0.0/8",), "192.168.1.1", False),
        ({PUBLIC}, ("169.254.169.254",), "169.254.169.254", True),
        ({PUBLIC}, ("[fd00::1]",), "fd00::1", True),
    ],
)
def test_a_registry_sends_us_to_public_addresses_and_to_its_own_kind(
    own: set[AddressKind], allowed: tuple[str, ...], address: str, is_allowed: bool
) -> None:
    rule = AddressRule(HTTPOrigin.of("https://r.example"), frozenset(own), parse_networks(allowed))
    assert rule.allows(address) == is_allowed


def test_a_setting_that_is_no_network_is_a_usage_error() -> None:
    with pytest.raises(InvalidSettings, match="no address and no network"):
        Settings(allow_addresses=("10.0.0.0/99",))


# ── on the wire ───────────────────────────────────────────────────────────────────────────────────
# The registry is at 127.0.0.1, which counts as public here; what it sends us to is at 127.0.0.2, which does not.

Naming = Callable[[dict[str, str]], None]


@pytest.fixture
def naming(monkeypatch: pytest.MonkeyPatch) -> Naming:
    """Has names resolve to addresses, and 127.0.0.1 count as public."""
    names: dict[str, str] = {}
    real, real_kind = socket.getaddrinfo, addresses.kind_of

    def resolved(host: Any, *rest: Any, **more: Any) -> Any:
        return real(names.get(host, host), *rest, **more)

    def kind(address: str) -> AddressKind:
        return PUBLIC if address == "127.0.0.1" else real_kind(address)

    monkeypatch.setattr(socket, "getaddrinfo", resolved)
    monkeypatch.setattr(addresses, "kind_of", kind)
    monkeypatch.setattr("registry_push.http.address_rules.kind_of", kind)
    return names.update


def _to(location: str, status: int = 307) -> Says:
    return Says(status, (("Location", location),))


async def test_a_redirect_to_a_name_of_an_internal_address_is_not_followed(naming: Naming) -> None:
    async with Scripted() as registry, Scripted(host="127.0.0.2") as inner:
        naming({"registry.test": "127.0.0.1", "storage.test": "127.0.0.2"})
        inner.on("GET", "/blob", Says(200))
        registry.on("GET", "/v2/x", _to(f"http://storage.test:{inner.port}/blob?sig=secret"))
        async with opened(f"http://registry.test:{registry.port}") as client:
            with pytest.raises(ForeignAddress, match=r"storage\.test.*127\.0\.0\.2") as caught:
                await client.request("GET", client.url("/v2/x"), PULL)
            with pytest.raises(ForeignAddress):
                async with client.stream(client.url("/v2/x"), PULL, {}):
                    pass
        assert caught.value.exit_code == 5
        assert "--allow-address 127.0.0.2" in str(caught.value.hint)
        assert "secret" not in f"{caught.value}{caught.value.url}"
        assert inner.connections == 0, "not even a connection is opened"


async def test_a_session_elsewhere_is_judged_even_if_it_is_the_first_thing_asked(naming: Naming) -> None:
    async with Scripted() as registry, Scripted(host="127.0.0.2") as inner:
        naming({"registry.test": "127.0.0.1"})
        async with opened(f"http://registry.test:{registry.port}") as client:
            with pytest.raises(ForeignAddress):
                await client.attempt("DELETE", f"{inner.origin}/v2/up", PULL, {})
        assert inner.connections == 0


async def test_an_idle_connection_that_the_user_wanted_is_none_that_a_registry_may_use(naming: Naming) -> None:
    async with Scripted() as registry, Scripted(host="127.0.0.2") as inner:
        naming({"registry.test": "127.0.0.1"})
        inner.on("GET", "/v2/", Says(200))
        inner.on("GET", "/admin", Says(200))
        registry.on("GET", "/v2/x", _to(f"{inner.origin}/admin"))
        async with opened(f"http://registry.test:{registry.port}") as client:
            assert (await client.transport.send("GET", f"{inner.origin}/v2/", {})).status == 200
            with pytest.raises(ForeignAddress):
                await client.request("GET", client.url("/v2/x"), PULL)
        assert [seen.target for seen in inner.seen] == ["/v2/"]


async def test_a_token_service_at_an_internal_address_is_asked_nothing(naming: Naming) -> None:
    async with Scripted() as registry, Scripted(host="127.0.0.2") as inner:
        naming({"registry.test": "127.0.0.1", "auth.registry.test": "127.0.0.2"})
        realm = f"http://registry.test:{inner.port}/token"
        naming({"registry.test": "127.0.0.1"})
        registry.on("GET", "/v2/x", unauthorized(f'Bearer realm="{realm}"'))
        async with opened(f"http://registry.test:{registry.port}", SignIn()) as client:
            await client.transport.send("GET", client.url("/v2/"), {})
            naming({"registry.test": "127.0.0.2"})  # rebound, for the token service's port
            with pytest.raises(ForeignAddress):
                await client.request("GET", client.url("/v2/x"), PULL)
        assert inner.connections == 0


async def test_a_name_with_an_allowed_address_beside_a_forbidden_one_is_reached_there(
    naming: Naming, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Scripted() as registry, Scripted() as storage:
        naming({"registry.test": "127.0.0.1"})
        storage.on("GET", "/blob", Says(200))
        registry.on("GET", "/v2/x", _to(f"http://both.test:{storage.port}/blob"))
        before = socket.getaddrinfo

        def both(host: Any, *rest: Any, **more: Any) -> Any:
            if host != "both.test":
                return before(host, *rest, **more)
            return [*before("127.0.0.2", *rest, **more), *before("127.0.0.1", *rest, **more)]

        monkeypatch.setattr(socket, "getaddrinfo", both)
        async with opened(f"http://registry.test:{registry.port}") as client:
            assert (await client.request("GET", client.url("/v2/x"), PULL)).status == 200


async def test_what_the_user_allows_is_reached(naming: Naming) -> None:
    async with Scripted() as registry, Scripted(host="127.0.0.2") as inner:
        naming({"registry.test": "127.0.0.1"})
        inner.on("GET", "/blob", Says(200))
        registry.on("GET", "/v2/x", _to(f"{inner.origin}/blob"))
        async with opened(f"http://registry.test:{registry.port}", allow_addresses=("127.0.0.0/30",)) as client:
            assert (await client.request("GET", client.url("/v2/x"), PULL)).status == 200


async def test_a_token_service_that_the_user_has_named_is_reached_wherever_it_is(naming: Naming) -> None:
    async with Scripted() as registry, Scripted(host="127.0.0.2") as inner:
        naming({"registry.test": "127.0.0.1", "sso.test": "127.0.0.2"})
        realm = f"http://registry.test:{inner.port}/token"
        registry.on(
            "GET", "/v2/x", lambda seen: Says(200) if seen.authorization else unauthorized(f'Bearer realm="{realm}"')
        )
        inner.on("GET", "/token", token("t"))
        who = SignIn(allowed_realms=("registry.test",))
        async with opened(f"http://registry.test:{registry.port}", who) as client:
            await client.transport.send("GET", client.url("/v2/"), {})
            naming({"registry.test": "127.0.0.2"})
            assert (await client.request("GET", client.url("/v2/x"), PULL)).status == 200


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1", "10.0.0.1", "2130706433", "localhost", "[::1]", "169.254.169.254", "localhost.", "x.localhost.",
        "ip6-localhost", "metadata.google.internal", "metadata.google.internal.",
    ],
)  # fmt: skip
async def test_behind_a_proxy_an_address_is_judged_as_it_is_written(host: str) -> None:
    async with Scripted() as proxy:
        environ = {"http_proxy": proxy.origin}
        proxy.on("GET", "http://registry.test/v2/x", _to(f"http://{host}/blob"))
        async with opened("http://registry.test", environ=environ) as client:
            # ForeignAddress; yarl refuses the spelling; or the name is asked for here, and not known.
            with pytest.raises((ProtocolViolation, ConnectionLost)):
                await client.request("GET", client.url("/v2/x"), PULL)
        assert len(proxy.seen) == 1


@pytest.mark.parametrize("location", ["http://[bad/", "/a b", "/a\tb", "//x:99999/"])
async def test_a_redirect_to_what_is_no_line_is_the_registrys_fault(location: str) -> None:
    async with Scripted() as registry, opened(registry.origin) as client:
        registry.on("GET", "/v2/x", Says(200, raw=f"HTTP/1.1 307 To\r\nLocation:{location}\r\n\r\n".encode()))
        with pytest.raises(ProtocolViolation):
            await client.request("GET", client.url("/v2/x"), PULL)
        assert len(registry.seen) == 1


@pytest.mark.parametrize("url", ["/relative", "ftp://x/", "http://[::1", "http://x:99999/"])
async def test_an_odd_url_of_a_registry_is_its_fault_and_not_the_users(url: str) -> None:
    async with Scripted() as registry, opened(registry.origin) as client:
        with pytest.raises(ProtocolViolation):
            await client.attempt("PUT", url, (), {})


async def test_no_url_of_a_registry_leads_from_https_to_http() -> None:
    async with opened("https://registry.test") as client:
        with pytest.raises(ProtocolViolation, match="from https to http"):
            await client.attempt("PUT", "http://registry.test/up", (), {})
