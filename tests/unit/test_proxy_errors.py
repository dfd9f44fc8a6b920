"""What the proxy refuses or fails at is said to be the proxy's, and which variable named it."""

from __future__ import annotations

from pathlib import Path

import pytest

from registry_push.embedded.sample import write_sample_store
from registry_push.errors import ConnectionLost, Denied, ProxyRefused, RegistryPushError, TLSFailed
from registry_push.settings import Settings
from registry_push.verbs.push import push
from tests.support.scripted import Says, Scripted, opened
from tests.support.tls import self_signed

PULL = ("repository:a/b:pull",)
HTML = (("Content-Type", "text/html"),)
PAGE = b"<html><title>Access Denied</title></html>"
JSON = (("Content-Type", "application/json"),)

OWN = [
    Says(407, (("Proxy-Authenticate", 'Basic realm="p"'),)),
    Says(407),
    Says(403, HTML, PAGE),
    Says(403),
    Says(403, (("Content-Type", "text/plain"),), b"blocked"),
    Says(403, (("X-Squid-Error", "ERR_ACCESS_DENIED 0"), *HTML), PAGE),
    Says(404, (("Proxy-Status", "gw.test; error=destination_not_found"),)),
]
OF_THE_REGISTRY = [
    Says(403, JSON, b'{"errors":[{"code":"DENIED","message":"no"}]}'),
    Says(403, (("Docker-Distribution-Api-Version", "registry/2.0"),)),
    Says(403, (("Content-Type", "application/xml"),), b"<Error><Code>AccessDenied</Code></Error>"),
    Says(404, HTML, PAGE),
]


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT"])
@pytest.mark.parametrize("answer", OWN)
async def test_what_a_proxy_refuses_over_http_is_said_to_be_the_proxys(answer: Says, method: str) -> None:
    async with Scripted(otherwise=answer) as proxy:
        environ = {"HTTP_PROXY": proxy.origin}
        async with opened("http://registry.test", environ=environ) as client:
            kind = ProxyRefused if answer.status in (403, 407) else ConnectionLost
            with pytest.raises(kind, match=r"the proxy on the way to registry\.test failed") as caught:
                await client.request(method, client.url("/v2/a/b/manifests/x"), PULL)
        assert f"{proxy.origin} (HTTP_PROXY) answers HTTP {answer.status}" in caught.value.message
        assert "HTTP_PROXY" in str(caught.value.hint) or "NO_PROXY" in str(caught.value.hint)


@pytest.mark.parametrize("answer", OF_THE_REGISTRY)
async def test_what_the_registry_refuses_behind_a_proxy_is_the_registrys(answer: Says) -> None:
    async with (
        Scripted(otherwise=answer) as proxy,
        opened("http://registry.test", environ={"http_proxy": proxy.origin}) as client,
    ):
        response = await client.request("GET", client.url("/v2/a/b/manifests/x"), PULL)
        assert response.status == answer.status


async def test_a_403_without_a_proxy_is_the_registrys() -> None:
    async with Scripted(otherwise=Says(403, HTML, PAGE)) as registry, opened(registry.origin) as client:
        response = await client.request("GET", client.url("/v2/a/b/manifests/x"), PULL)
        assert isinstance(client.refusal(response, "it"), Denied)


@pytest.mark.parametrize(
    ("answer", "kind"), [(Says(407), ProxyRefused), (Says(403), ProxyRefused), (Says(502), ConnectionLost)]
)
async def test_what_a_proxy_refuses_over_https_is_said_with_its_variable(
    answer: Says, kind: type[RegistryPushError]
) -> None:
    async with (
        Scripted(otherwise=answer) as proxy,
        opened("https://registry.test", environ={"all_proxy": proxy.origin}) as client,
    ):
        with pytest.raises(kind, match=r"the proxy on the way to registry\.test failed") as caught:
            await client.request("GET", client.url("/v2/"), PULL)
        assert f"{proxy.origin} (all_proxy) answers HTTP {answer.status}" in caught.value.message


async def test_a_login_that_the_proxy_does_not_take_is_not_called_missing() -> None:
    async with Scripted(otherwise=Says(407)) as proxy:
        environ = {"http_proxy": proxy.origin.replace("//", "//me:wrong-word#1@")}
        async with opened("http://registry.test", environ=environ) as client:
            with pytest.raises(ProxyRefused, match="takes no such login") as caught:
                await client.transport.send("GET", client.url("/v2/"), {})
    assert "wrong-word" not in f"{caught.value} {caught.value.hint}"


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_proxy_whose_name_is_unknown_is_blamed_and_not_the_registry(scheme: str) -> None:
    environ = {"all_proxy": "http://proxy.invalid:3128"}
    async with opened(f"{scheme}://registry.test", environ=environ) as client:
        with pytest.raises(ConnectionLost, match=r"http://proxy\.invalid:3128 \(all_proxy\): cannot resolve its host"):
            await client.transport.send("GET", client.url("/v2/"), {})


async def test_a_proxy_whose_certificate_is_not_trusted_is_blamed_and_not_the_registry(tmp_path: Path) -> None:
    async with (
        Scripted(self_signed(tmp_path).server) as proxy,
        opened("http://registry.test", environ={"http_proxy": proxy.origin}) as client,
    ):
        with pytest.raises(TLSFailed, match="TLS connection to the proxy 127"):
            await client.transport.send("GET", client.url("/v2/"), {})


async def test_a_push_that_the_proxy_refuses_is_4_names_the_variable_and_is_not_tried_again(tmp_path: Path) -> None:
    write_sample_store(tmp_path / "models", weights=70_000)
    async with Scripted(otherwise=Says(403, HTML, PAGE)) as proxy:
        told = Settings(
            home=tmp_path,
            models=tmp_path / "models",
            plain_http=True,
            environ={"http_proxy": proxy.origin},
        )
        report = await push(["me/tiny"], to="registry.test/x/", settings=told)
    assert isinstance(report.error, ProxyRefused) and report.error.exit_code == 4
    assert "http_proxy" in report.error.message
    assert len(proxy.seen) == len({(each.method, each.path) for each in proxy.seen})
