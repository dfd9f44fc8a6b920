"""Nobody who asks the service, and no journal, has the logins of who runs it sent over http."""

from __future__ import annotations

import base64
import json
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

import registry_push as rp
from registry_push.daemon.targets import AllowedTargets
from registry_push.errors import RegistryPushError
from registry_push.events import ignore
from registry_push.model import Digest, UploadKey
from registry_push.protocol.upload.requests import UploadRecord
from registry_push.settings import Settings
from registry_push.state.journal import Journal
from registry_push.verbs.resume import give_up, under_way
from tests.support.scripted import Says, Scripted, Seen, token, unauthorized
from tests.support.service import sample, serving

pytestmark = pytest.mark.attack("S5")

# The proxy of the test stands for the net: what it sees is in clear text.
HOST = "registry.invalid"
MANIFEST = f"http://{HOST}/v2/me/tiny/manifests/latest"
STORED = f"Basic {base64.b64encode(b'me:HUNTER2').decode()}"
OWN = f"Basic {base64.b64encode(b'you:own word').decode()}"


@pytest.fixture
async def net() -> AsyncIterator[Scripted]:
    """What everything goes through: a registry that wants Basic, or a token of its own service, and then says 403."""
    async with Scripted() as proxy:
        yield proxy


def wants_basic(net: Scripted) -> None:
    net.on("HEAD", MANIFEST, lambda seen: Says(403) if seen.authorization else unauthorized('Basic realm="x"'))


def wants_a_token(net: Scripted, realm: str = f"http://{HOST}/token") -> None:
    def answer(seen: Seen) -> Says:
        return Says(403) if seen.authorization else unauthorized(f'Bearer realm="{realm}",service="s"')

    net.on("HEAD", MANIFEST, answer)
    net.on("GET", realm, token("a-token-of-theirs"))


def settings_of(folder: Path, net: Scripted, **more: Any) -> Settings:
    """With a stored login for the registry, and a key."""
    sample(folder, HOST)
    (folder / ".ollama").mkdir()
    shutil.copy(Path(__file__).parents[2] / "fixtures/keys/id_ed25519", folder / ".ollama/id_ed25519")
    (folder / ".ollama/id_ed25519").chmod(0o600)
    authfile = folder / "auth.json"
    authfile.write_text(json.dumps({"auths": {HOST: {"auth": base64.b64encode(b"me:HUNTER2").decode()}}}))
    told = {"authfile": authfile, "home": folder, "models": folder / "models", "retries": 0, **more}
    return Settings(**told, environ={"http_proxy": net.origin})


def sent(net: Scripted) -> str:
    return " ".join(f"{each.target} {dict(each.headers)} {each.body!r}" for each in net.seen)


ASKED = [{"insecure": True, "model": f"{HOST}/me/tiny"}, {"insecure": True, "model": f"http://{HOST}/me/tiny"}]


@pytest.mark.parametrize("asked", ASKED, ids=["insecure", "http"])
@pytest.mark.parametrize("wants", [wants_basic, wants_a_token])
async def test_a_request_can_not_have_the_stored_login_sent_in_clear_text(
    net: Scripted, tmp_path: Path, asked: dict[str, Any], wants: Any
) -> None:
    wants(net)
    targets = AllowedTargets.parse([HOST])
    async with serving(settings_of(tmp_path, net), targets=targets) as service:
        status, (answer,) = await service.push(**asked, stream=False)
    assert net.seen
    assert STORED not in sent(net) and "HUNTER2" not in sent(net)
    if wants is wants_basic:
        assert status == 401
        assert "send your own username and password" in answer["error"] and "push login" not in answer["error"]
    else:
        assert any(each.authorization == "Bearer a-token-of-theirs" for each in net.seen), "what all may have is taken"


@pytest.mark.parametrize("dialect", ["ollama", "oci", "auto"])
@pytest.mark.parametrize("realm", [f"http://{HOST}/token", f"https://{HOST}/token"])
async def test_a_request_can_not_have_the_key_sign_in_clear_text(
    net: Scripted, tmp_path: Path, dialect: str, realm: str
) -> None:
    wants_a_token(net, realm)
    no_login = tmp_path / "none.json"
    no_login.write_text("{}")
    async with serving(settings_of(tmp_path, net, dialect=dialect, authfile=no_login)) as service:
        await service.push(f"{HOST}/me/tiny", insecure=True, stream=False)
    assert net.seen
    assert all("nonce" not in each.target and "ssh" not in str(each.headers).lower() for each in net.seen)
    assert all((each.authorization or "Bearer").startswith("Bearer") for each in net.seen)


@pytest.mark.parametrize("wants", [wants_basic, wants_a_token])
async def test_a_request_can_send_its_own_login_so(net: Scripted, tmp_path: Path, wants: Any) -> None:
    wants(net)
    async with serving(settings_of(tmp_path, net)) as service:
        await service.push(f"{HOST}/me/tiny", insecure=True, stream=False, username="you", password="own word")
    assert OWN in sent(net) and STORED not in sent(net)


async def test_who_runs_the_service_can_have_it_sent_so(net: Scripted, tmp_path: Path) -> None:
    wants_basic(net)
    async with serving(settings_of(tmp_path, net, plain_http=True)) as service:
        for asked in ({}, {"insecure": True}):
            net.seen.clear()
            await service.push(f"{HOST}/me/tiny", stream=False, **asked)
            assert any(each.authorization == STORED for each in net.seen)


@pytest.mark.parametrize("may", [False, True])
async def test_a_table_of_the_registry_says_whether_the_login_may_be_sent_so(
    net: Scripted, tmp_path: Path, may: bool
) -> None:
    wants_basic(net)
    settings = settings_of(tmp_path, net, plain_http=not may, hosts={HOST: {"plain_http": may}})
    async with serving(settings) as service:
        await service.push(f"http://{HOST}/me/tiny", insecure=True, stream=False)
        assert net.requests("HEAD") and (STORED in sent(net)) is may
        if may:
            net.seen.clear()
            await service.push(f"{HOST}/me/tiny", stream=False)
            assert STORED in sent(net)


@pytest.mark.parametrize("to", [f"http://{HOST}/", None])
async def test_who_types_http_runs_the_command_himself(net: Scripted, tmp_path: Path, to: str | None) -> None:
    wants_basic(net)
    settings = settings_of(tmp_path, net, plain_http=to is None)
    with pytest.raises(RegistryPushError):
        await rp.push(f"{HOST}/me/tiny", to=to, settings=settings)
    assert any(each.authorization == STORED for each in net.seen)


@pytest.mark.parametrize("by_table", [False, True])
@pytest.mark.parametrize("said", [False, True])
async def test_giving_up_an_upload_over_http_sends_the_login_only_if_who_runs_it_said_http(
    net: Scripted, tmp_path: Path, said: bool, by_table: bool
) -> None:
    """The service notes uploads that a client asked for with `insecure`; `resume --cancel` is not that client."""
    location = f"http://{HOST}/v2/me/tiny/blobs/uploads/1"
    net.on("DELETE", location, lambda seen: Says(204) if seen.authorization else unauthorized('Basic realm="x"'))
    tables = {"hosts": {HOST: {"plain_http": said}}} if by_table else {}
    settings = settings_of(tmp_path, net, plain_http=said is not by_table, **tables)
    journal = Journal(tmp_path / "state", ignore)
    key = UploadKey(f"http://{HOST}", "me/tiny", Digest("0" * 64))
    journal.save(key, 100, UploadRecord(location, 64))
    done = await give_up(journal, under_way(journal), settings=settings)
    assert (STORED in sent(net)) is said
    assert (done.freed, done.forgotten) == ((1, 0) if said else (0, 1))
    journal.close()
