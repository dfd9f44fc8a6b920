"""Faults by name, in a real push: what is to be expected of each. The table of them all is in rows.py."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from registry_push.auth.identity import Identity
from registry_push.embedded import (
    EmbeddedRegistry,
    Exchange,
    Fault,
    Ollama,
    On,
    OnCut,
    Options,
    Schedule,
    Token,
    What,
)
from registry_push.errors import ConnectionLost, ForeignRealm, RemoteMismatch, Unauthorized
from registry_push.events import BlobRewound, Retrying, as_json
from registry_push.http.transport import Transport
from registry_push.settings import Settings
from registry_push.verbs.push import push
from tests.support.scripted import Says, Scripted
from tests.support.secrets import PASSWORD

from .clock import run
from .stage import Damage, Scene, Source, User, staged

MiB = 1 << 20
SIZE = 400_000
CHUNK = 65_536


def pushed(folder: Path, *faults: Fault, pushes: int = 1, **scene: object) -> tuple[User, list[int | None]]:
    """A user who has pushed so often, with these faults; and the codes. P1–P7 are judged each time."""

    async def play() -> tuple[User, list[int | None]]:
        async with staged(Scene(schedule=Schedule(faults), **scene), folder) as user:  # type: ignore[arg-type]
            codes = [await user.push() for _ in range(pushes)]
            assert {fault.what for fault in user.registry.fired} == {fault.what for fault in faults}
            return user, codes

    return run(play())


def patches(user: User) -> list[Exchange]:
    return [exchange for exchange in user.registry.log if exchange.method == "PATCH"]


def received(user: User) -> int:
    return sum(exchange.received for exchange in patches(user))


def restarts(user: User) -> int:
    posts = [exchange for exchange in user.registry.log if exchange.method == "POST"]
    return len(posts) - 4  # one for each blob


# ── transport ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("on_cut", "again"), [(OnCut.KEEP, 0), (OnCut.ACKNOWLEDGED, 10_000), (OnCut.LOSE, CHUNK + 10_000)]
)
def test_a_reset_in_a_body_costs_what_the_registry_forgets(tmp_path: Path, on_cut: OnCut, again: int) -> None:
    user, codes = pushed(tmp_path, Fault(What.CUT, On.PATCH, 2, at=10_000), on_cut=on_cut)
    assert codes == [0]
    assert received(user) == SIZE + again


@pytest.mark.parametrize("what", [What.TRUNCATED, What.GARBLED, What.LOST])
@pytest.mark.parametrize("on", [On.HEAD, On.POST, On.PATCH, On.PUT, On.MANIFEST])
def test_an_answer_that_is_lost_or_broken_is_asked_for_and_nothing_is_done_twice(
    tmp_path: Path, what: What, on: On
) -> None:
    user, codes = pushed(tmp_path, Fault(what, on, 1 if on in (On.MANIFEST, On.POST, On.HEAD) else 2))
    assert codes == [0]
    assert received(user) == SIZE


@pytest.mark.parametrize("on", [On.HEAD, On.POST, On.PATCH, On.PUT, On.MANIFEST])
def test_a_stall_ends_with_the_timeout_and_is_gone_on_from(tmp_path: Path, on: On) -> None:
    user, codes = pushed(tmp_path, Fault(What.STALL, on))
    assert codes == [0]
    assert received(user) == SIZE


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_an_early_answer_to_a_body_is_gone_on_from(tmp_path: Path, status: int) -> None:
    user, codes = pushed(tmp_path, Fault(What.ANSWER, On.PATCH, 2, status=status))
    assert codes == [0]
    assert received(user) == SIZE


def test_a_line_that_never_gets_better_ends_with_6_and_the_next_push_goes_on(tmp_path: Path) -> None:
    user, codes = pushed(tmp_path, Fault(What.CUT, On.PATCH, 3, 12, at=0), pushes=3, on_cut=OnCut.ACKNOWLEDGED)
    assert codes[0] == 6 and codes[-1] == 0
    assert received(user) == SIZE


# ── server ────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("on", [On.HEAD, On.POST, On.PATCH, On.PUT, On.MANIFEST])
def test_a_storm_of_5xx_is_bounded_and_ends_with_6(tmp_path: Path, on: On) -> None:
    user, codes = pushed(tmp_path, Fault(What.ANSWER, on, 1, 1000, status=503))
    assert codes == [6]
    # Four blobs, each with five retries, a look at its session, and five retries in a fresh one. How far the others are
    # when the first gives up depends on the threads that read.
    assert sum(fault.what is What.ANSWER for fault in user.registry.fired) <= 4 * (6 + 1 + 6)


@pytest.mark.parametrize(
    ("retry_after", "least", "most"),
    [
        (None, 0.0, 1.0),
        ("7", 7.0, 8.0),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0, 1.0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 300.0, 301.0),
        ("99999999999999999999", 300.0, 301.0),
        ("-3", 0.0, 1.0),
        ("soon", 0.0, 1.0),
    ],
    ids=["none", "seconds", "a date that has passed", "a date far off", "absurd", "negative", "no number"],
)
def test_retry_after_is_honoured_and_capped(tmp_path: Path, retry_after: str | None, least: float, most: float) -> None:
    user, codes = pushed(tmp_path, Fault(What.ANSWER, On.PATCH, 2, status=429, retry_after=retry_after))
    assert codes == [0]
    (pause,) = [event.delay for event in user.events if isinstance(event, Retrying)]
    assert least <= pause <= most


@pytest.mark.parametrize("on", [On.PUT, On.MANIFEST])
def test_201_with_another_digest_is_7_and_never_success(tmp_path: Path, on: On) -> None:
    user, codes = pushed(tmp_path, Fault(What.WRONG_DIGEST, on))
    assert codes == [7]
    assert isinstance(user.error, RemoteMismatch)


# ── session ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("on", [On.PATCH, On.PUT])
def test_a_session_that_is_forgotten_begins_again_and_says_so(tmp_path: Path, on: On) -> None:
    user, codes = pushed(tmp_path, Fault(What.FORGET, on, 3), sizes=(SIZE,))
    assert codes == [0]
    assert restarts(user) == 1
    assert on is On.PUT or any(isinstance(event, BlobRewound) and event.reason for event in user.events)


@pytest.mark.parametrize("form", ["true", "ahead", "behind", "odd", "none"])
def test_a_416_is_reconciled_and_nothing_is_sent_twice(tmp_path: Path, form: str) -> None:
    user, codes = pushed(tmp_path, Fault(What.OFFSET, On.PATCH, 3, form=form, shift=1000))
    assert codes == [0]
    assert (received(user), restarts(user)) == (SIZE, 0)


@pytest.mark.parametrize("form", ["relative", "changed"])
@pytest.mark.parametrize("on", [On.POST, On.PATCH])
def test_a_location_is_followed_however_it_is_written(tmp_path: Path, form: str, on: On) -> None:
    user, codes = pushed(tmp_path, Fault(What.LOCATION, on, 1, 20, form=form))
    assert codes == [0]
    assert (received(user), restarts(user)) == (SIZE, 0)


@pytest.mark.parametrize("shift", [1, -1, 1000, -1000])
def test_a_range_that_is_off_after_a_chunk_costs_no_byte(tmp_path: Path, shift: int) -> None:
    user, codes = pushed(tmp_path, Fault(What.RANGE, On.PATCH, 2, shift=shift))
    assert codes == [0]
    assert (received(user), restarts(user)) == (SIZE, 0)


@pytest.mark.parametrize("shift", [1, -1, 1000, -1000, 1 << 30])
def test_a_status_that_lies_about_the_offset_is_survived(tmp_path: Path, shift: int) -> None:
    faults = Fault(What.ANSWER, On.PATCH, 3), Fault(What.RANGE, On.GET, 1, shift=shift)
    _, codes = pushed(tmp_path, *faults)
    assert codes == [0]


def test_a_session_that_expired_between_two_pushes_begins_again(tmp_path: Path) -> None:
    async def play() -> list[int | None]:
        async with staged(Scene(), tmp_path) as user:
            first = await user.push(stop_at=3)
            user.registry.add_fault(Fault(What.FORGET, On.GET))
            return [first, await user.push()]

    assert run(play()) == [130, 0]


# ── chunks ────────────────────────────────────────────────────────────────────────────────────────


def test_a_limit_that_shrinks_under_way_is_found_and_kept_to(tmp_path: Path) -> None:
    faults = Fault(What.LIMIT, On.PATCH, 1, limit=2 * MiB), Fault(What.LIMIT, On.PATCH, 4, limit=MiB + 1)
    user, codes = pushed(tmp_path, *faults, chunk=4 * MiB, sizes=(9 * MiB,))
    assert codes == [0]
    assert received(user) == 9 * MiB
    assert [exchange.status for exchange in patches(user)].count(413) <= 4


def test_413_at_the_smallest_chunk_is_5(tmp_path: Path) -> None:
    _, codes = pushed(tmp_path, Fault(What.LIMIT, On.PATCH, 2, limit=1000))
    assert codes == [5]


# ── auth ──────────────────────────────────────────────────────────────────────────────────────────


def test_a_token_that_ends_in_a_patch_is_renewed_once_and_no_byte_is_lost(tmp_path: Path) -> None:
    user, codes = pushed(tmp_path, Fault(What.EXPIRE, On.PATCH, 3), auth="token", jobs=8)
    assert codes == [0]
    tokens = [exchange for exchange in user.registry.log if exchange.target.startswith("/token")]
    assert len([each for each in tokens if each.status == 200]) <= 3  # the HEADs' and POSTs' scopes, and the renewal
    assert received(user) == SIZE


@pytest.mark.parametrize("form", ["same", "none", "no-realm", "elsewhere"])
def test_an_endless_401_ends_with_4(tmp_path: Path, form: str) -> None:
    user, codes = pushed(tmp_path, Fault(What.UNAUTHORIZED, On.PATCH, 2, 1000, form=form), auth="token")
    assert codes == [4]
    assert isinstance(user.error, Unauthorized | ForeignRealm)
    assert len(user.registry.fired) <= 7


def test_a_challenge_without_a_realm_is_4_at_once(tmp_path: Path) -> None:
    user, codes = pushed(tmp_path, Fault(What.UNAUTHORIZED, On.HEAD, form="no-realm"), auth="token")
    assert codes == [4]
    assert len(user.registry.fired) == 1
    # One blob's question had no answer to sign in by. Another blob may have begun to be sent by then.
    assert (
        sum(each.method == "HEAD" and "/blobs/" in each.target and each.status == 401 for each in user.registry.log)
        == 1
    )
    assert not any(each.method == "PUT" and "/manifests/" in each.target for each in user.registry.log)


def test_a_login_that_ended_keeps_what_was_sent(tmp_path: Path) -> None:
    faults = Fault(What.UNAUTHORIZED, On.PATCH, 4, 2, form="none")
    user, codes = pushed(tmp_path, faults, auth="basic", pushes=3)
    assert codes[0] == 4 and codes[-1] == 0
    assert received(user) == SIZE


def test_a_presigned_url_that_is_403_is_asked_for_again(tmp_path: Path) -> None:
    user, codes = pushed(tmp_path, Fault(What.ANSWER, On.STORAGE, 2, status=403), ollama=True)
    assert codes == [0]
    assert user.registry.breaches == []


def test_a_put_that_is_cut_at_the_storage_costs_its_part(tmp_path: Path) -> None:
    user, codes = pushed(tmp_path, Fault(What.CUT, On.STORAGE, 2, at=1000), ollama=True)
    assert codes == [0]
    small = sum(len(versions[0]) for digest, versions in user.source.contents.items() if digest != user.source.target)
    assert sum(exchange.received for exchange in user.registry.storage_log) <= SIZE + small + 1000


# ── disk ──────────────────────────────────────────────────────────────────────────────────────────


def change_while_read(user: User) -> Callable[[object], None]:
    """What rewrites the blob's file at the first progress."""
    left = [Damage.FLIPPED_WHILE_SENT]
    return lambda _: user.source.damage(left.pop()) if left else None


@pytest.mark.parametrize("ollama", [False, True], ids=["oci", "ollama"])
def test_a_blob_that_changes_while_it_is_read_is_7_and_mended_goes_through(tmp_path: Path, ollama: bool) -> None:
    async def play() -> list[int | None]:
        async with staged(Scene(ollama=ollama), tmp_path) as user:
            first = await user.push(on_progress=change_while_read(user))
            user.source.mend()
            return [first, await user.push()]

    assert run(play()) == [7, 0]


def test_a_blob_that_was_mended_between_two_pushes_begins_anew(tmp_path: Path) -> None:
    async def play() -> list[int | None]:
        async with staged(Scene(), tmp_path) as user:
            user.source.damage(Damage.FLIPPED)
            first = await user.push(stop_at=2)  # before the damage is found
            user.source.mend()
            codes = [first, await user.push()]
            deleted = [each.status for each in user.registry.log if each.method == "DELETE"]
            assert deleted == [204] and received(user) > SIZE
            return codes

    assert run(play()) == [130, 0]


# ── what a schedule can't do ──────────────────────────────────────────────────────────────────────


async def test_a_proxy_that_answers_502_is_6_and_blamed_itself() -> None:
    async with Scripted() as proxy:
        proxy.on("CONNECT", "registry.invalid:443", Says(502))
        settings = Settings(environ={"https_proxy": proxy.origin}, retries=0)
        async with Transport(settings) as transport:
            with pytest.raises(
                ConnectionLost, match=r"the proxy on the way to registry.invalid failed: .*502"
            ) as caught:
                await transport.request("GET", "https://registry.invalid/v2/", {})
    assert caught.value.exit_code == 6


async def test_a_skewed_clock_is_4_and_reported(tmp_path: Path) -> None:
    """By a key, since only a signature carries a time."""
    Source.write(tmp_path / "models", (1000,))
    identity = Identity.create(tmp_path / "key")
    token = Token(keys=frozenset({identity.public_wire}), clock=lambda: time.time() + 3600)
    async with EmbeddedRegistry(tmp_path / "registry", Options(auth=token, ollama=Ollama())) as registry:
        settings = Settings(home=tmp_path, models=tmp_path / "models", key=tmp_path / "key", dialect="ollama")
        report = await push(["me/scene"], to=f"{registry.host}/", settings=settings)
    assert isinstance(report.error, Unauthorized)
    assert "clock" in report.error.message and "set the clock" in (report.error.hint or "")


def test_no_secret_is_in_any_event_or_error(tmp_path: Path) -> None:
    """Locations and presigned URLs are capabilities; nothing that is shown may hold their queries."""
    faults = Fault(What.ANSWER, On.STORAGE, 2, 1000, status=403), Fault(What.ANSWER, On.HEAD, status=500)
    user, codes = pushed(tmp_path, *faults, ollama=True, auth="token")
    assert codes == [6]
    shown = json.dumps([as_json(event) for event in user.events])
    assert user.error is not None
    shown += str(user.error) + repr(user.error) + (user.error.url or "")
    assert "/blobs/" in shown
    for secret in ("_state=", "X-Amz-Signature", "uploadId", "Bearer", PASSWORD):
        assert secret not in shown
