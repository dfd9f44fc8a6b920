"""Signatures and the like travel with what they are about, by all three ways in which registries keep them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from registry_push.content.oci.layout import OCILayout
from registry_push.embedded import EmbeddedRegistry, Options
from registry_push.errors import IntegrityError, UsageError
from registry_push.events import Event, Warned, ignore
from registry_push.model import Digest, Manifest, Reference
from registry_push.model.referrers import cosign_tags, fallback_tag
from registry_push.registry.registries import Registries
from registry_push.settings import Settings
from registry_push.transfer.report import Report
from registry_push.verbs.copy import copy
from tests.support.artifacts import artifact, put
from tests.support.command import command
from tests.support.registries import EmbeddedFactory, Registry

IMAGE = artifact(b"the model", kind=None)
SIGNATURE = artifact(b"a signature", subject=IMAGE)
OF_SIGNATURE = artifact(b"a countersignature", subject=SIGNATURE)
BILL = artifact(b"a bill of materials", subject=IMAGE, kind="application/vnd.test.sbom")
OLD = artifact(b"as cosign had it", kind=None)


async def filled(home: Path, host: str, repository: str) -> None:
    """The image with two referrers, one of which has one, and a signature under cosign's tag."""
    place = f"{host}/{repository}"
    await put(home, place, IMAGE, b"the model", tag="v1")
    await put(home, place, SIGNATURE, b"a signature")
    await put(home, place, OF_SIGNATURE, b"a countersignature")
    await put(home, place, BILL, b"a bill of materials")
    await put(home, place, OLD, b"as cosign had it", tag=cosign_tags(IMAGE.digest)[0])


async def copied(home: Path, source: str, target: str, sink: list[Event] | None = None, **given: str) -> Report:
    events = sink if sink is not None else []
    settings = Settings(home=home, models=home / "models", state_dir=None)
    return await copy(source, target, settings=settings, sink=events.append, **given)  # type: ignore[arg-type]


async def referrers(home: Path, host: str, repository: str, subject: Manifest) -> set[Digest]:
    """What the registry lists, or the index under the fallback tag."""
    async with Registries(Settings(home=home, state_dir=None), ignore) as registries:
        opened = registries.repository(Reference.parse(f"{host}/{repository}"))
        listed = await opened.referrers(subject.digest)
        if listed is None:
            index = json.loads((await opened.resolve(fallback_tag(subject.digest))).raw)
            return {Digest.parse(entry["digest"]) for entry in index["manifests"]}
        return {entry.digest for entry in listed}


async def digest_of(home: Path, host: str, repository: str, ref: str) -> Digest | None:
    async with Registries(Settings(home=home, state_dir=None), ignore) as registries:
        return await registries.repository(Reference.parse(f"{host}/{repository}")).digest_of(ref)


@pytest.mark.parametrize("whole", [False, True], ids=["one tag", "the whole repository"])
async def test_from_a_registry_to_a_registry(
    registry: Registry, embedded_with: EmbeddedFactory, tmp_path: Path, whole: bool
) -> None:
    """The real ones have no list of referrers, the embedded one has: each way round."""
    other = await embedded_with(Options())
    name = f"referrers/{'all' if whole else 'one'}"
    for source, target in ((registry, other), (other, registry)):
        await filled(tmp_path, source.host, f"{name}/from")
        tag = "" if whole else ":v1"
        report = await copied(tmp_path, f"registry:{source.host}/{name}/from{tag}", f"registry:{target.host}/{name}/to")
        assert report.error is None
        assert await digest_of(tmp_path, target.host, f"{name}/to", "v1") == IMAGE.digest
        assert await referrers(tmp_path, target.host, f"{name}/to", IMAGE) == {SIGNATURE.digest, BILL.digest}
        assert await referrers(tmp_path, target.host, f"{name}/to", SIGNATURE) == {OF_SIGNATURE.digest}
        assert await digest_of(tmp_path, target.host, f"{name}/to", cosign_tags(IMAGE.digest)[0]) == OLD.digest


async def test_the_index_that_we_keep_says_what_each_is(docker_registry: Registry, tmp_path: Path) -> None:
    await put(tmp_path, f"{docker_registry.host}/referrers/index", IMAGE, b"the model", tag="v1")
    for manifest, payload in ((SIGNATURE, b"a signature"), (BILL, b"a bill of materials"), (SIGNATURE, b"a signature")):
        await put(tmp_path, f"{docker_registry.host}/referrers/index", manifest, payload)
    async with Registries(Settings(home=tmp_path, state_dir=None), ignore) as registries:
        opened = registries.repository(Reference.parse(f"{docker_registry.host}/referrers/index"))
        index = json.loads((await opened.resolve(fallback_tag(IMAGE.digest))).raw)
    told = [
        (each["digest"], each["artifactType"], each["annotations"]["org.example.note"]) for each in index["manifests"]
    ]
    assert told == [
        (str(SIGNATURE.digest), "application/vnd.test.sig", "a signature"),
        (str(BILL.digest), "application/vnd.test.sbom", "a bill of materials"),
    ]


async def test_through_a_layout(registry: Registry, embedded: EmbeddedRegistry, tmp_path: Path) -> None:
    await filled(tmp_path, registry.host, "referrers/layout")
    place = f"oci:{tmp_path / 'layout'}"
    assert (await copied(tmp_path, f"registry:{registry.host}/referrers/layout:v1", place)).error is None
    assert await OCILayout(tmp_path / "layout").resolve(f"{registry.host}/referrers/layout:v1") == IMAGE
    target = f"registry:{embedded.host}/referrers/back:v1"
    report = await copied(tmp_path, f"{place}:{registry.host}/referrers/layout:v1", target)
    assert report.error is None
    assert await referrers(tmp_path, embedded.host, "referrers/back", IMAGE) == {SIGNATURE.digest, BILL.digest}
    assert await referrers(tmp_path, embedded.host, "referrers/back", SIGNATURE) == {OF_SIGNATURE.digest}
    assert await digest_of(tmp_path, embedded.host, "referrers/back", cosign_tags(IMAGE.digest)[0]) == OLD.digest


async def test_through_an_archive(embedded: EmbeddedRegistry, tmp_path: Path) -> None:
    await filled(tmp_path, embedded.host, "referrers/tar")
    place = f"oci-archive:{tmp_path / 'a.tar'}"
    assert (await copied(tmp_path, f"registry:{embedded.host}/referrers/tar:v1", place)).error is None
    assert (await copied(tmp_path, place, f"registry:{embedded.host}/from/tar:v1")).error is None
    assert await referrers(tmp_path, embedded.host, "from/tar", IMAGE) == {SIGNATURE.digest, BILL.digest}


async def test_none_and_those_of_one_type(embedded_with: EmbeddedFactory, tmp_path: Path) -> None:
    source, target = await embedded_with(Options()), await embedded_with(Options())
    await filled(tmp_path, source.host, "me/a")
    place = f"registry:{source.host}/me/a:v1"
    await copied(tmp_path, place, f"registry:{target.host}/none/a:v1", referrers="none")
    assert await referrers(tmp_path, target.host, "none/a", IMAGE) == set()
    await copied(tmp_path, place, f"registry:{target.host}/some/a:v1", referrers="application/vnd.test.sig")
    assert await referrers(tmp_path, target.host, "some/a", IMAGE) == {SIGNATURE.digest}
    assert await referrers(tmp_path, target.host, "some/a", SIGNATURE) == {OF_SIGNATURE.digest}
    assert await digest_of(tmp_path, target.host, "some/a", cosign_tags(IMAGE.digest)[0]) is None


async def test_a_signature_that_is_newer_than_the_copy_comes_when_it_is_asked_for(
    embedded_with: EmbeddedFactory, tmp_path: Path
) -> None:
    source, target = await embedded_with(Options()), await embedded_with(Options())
    await put(tmp_path, f"{source.host}/me/a", IMAGE, b"the model", tag="v1")
    places = f"registry:{source.host}/me/a:v1", f"registry:{target.host}/me/a:v1"
    await copied(tmp_path, *places)
    await put(tmp_path, f"{source.host}/me/a", SIGNATURE, b"a signature")
    await copied(tmp_path, *places)
    assert await referrers(tmp_path, target.host, "me/a", IMAGE) == set(), "equal digests: two requests"
    report = await copied(tmp_path, *places, referrers="all")
    assert report.done[0].referrers == 1
    assert await referrers(tmp_path, target.host, "me/a", IMAGE) == {SIGNATURE.digest}
    assert (await copied(tmp_path, *places, referrers="all")).done[0].referrers == 0


async def test_what_is_required_and_not_there_ends_before_anything_is_sent(
    embedded_with: EmbeddedFactory, tmp_path: Path
) -> None:
    source, target = await embedded_with(Options()), await embedded_with(Options())
    await filled(tmp_path, source.host, "me/a")
    places = f"registry:{source.host}/me/a:v1", f"registry:{target.host}/me/a:v1"
    with pytest.raises(IntegrityError, match=r"vnd\.test\.vex"):
        await copied(tmp_path, *places, require_referrer="application/vnd.test.vex")
    assert not [each for each in target.log if each.method in ("POST", "PUT", "PATCH")]
    assert (await copied(tmp_path, *places, require_referrer="application/vnd.test.sbom")).error is None


async def test_an_ollama_store_has_no_place_for_them(embedded: EmbeddedRegistry, tmp_path: Path) -> None:
    await filled(tmp_path, embedded.host, "me/a")
    events: list[Event] = []
    place = f"registry:{embedded.host}/me/a:v1"
    assert (await copied(tmp_path, place, "ollama:", events)).error is None
    assert [each.message for each in events if isinstance(each, Warned) and "referrers" in each.message]
    layout = f"oci:{tmp_path / 'l'}"
    assert (await copied(tmp_path, f"registry:{embedded.host}/me/a", layout)).error is None
    report = await copied(tmp_path, layout, "ollama:", events)
    assert len(report.models) == 1, "cosign's tag is no model"
    with pytest.raises(UsageError, match="no place"):
        await copied(tmp_path, place, "ollama:", referrers="all")


@pytest.mark.attack("S4")
async def test_a_circle_of_referrers_ends(embedded_with: EmbeddedFactory, tmp_path: Path) -> None:
    """No manifest can name one that names it; but a registry can list what it likes."""
    from aiohttp import web

    async def lies(request: web.Request) -> web.StreamResponse | None:
        if "/referrers/" not in request.path:
            return None
        entry = {"mediaType": IMAGE.media_type, "digest": str(IMAGE.digest), "size": len(IMAGE.raw)}
        index = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": [entry]}
        return web.Response(body=json.dumps(index).encode(), content_type=index["mediaType"])  # type: ignore[arg-type]

    source, target = await embedded_with(Options(hook=lies)), await embedded_with(Options())
    await put(tmp_path, f"{source.host}/me/a", IMAGE, b"the model", tag="v1")
    report = await copied(tmp_path, f"registry:{source.host}/me/a:v1", f"registry:{target.host}/me/a:v1")
    assert report.error is None


async def test_inspect_names_them(registry: Registry, tmp_path: Path) -> None:
    await filled(tmp_path, registry.host, "referrers/shown")
    shown = await command("inspect", f"registry:{registry.host}/referrers/shown:v1", "--json", home=tmp_path)
    found = {each["digest"]: each["artifactType"] for each in shown.events[-1]["referrers"]}
    assert found[str(SIGNATURE.digest)] == "application/vnd.test.sig"
    assert set(found) == {str(each.digest) for each in (SIGNATURE, BILL, OLD)}
    text = await command("inspect", f"registry:{registry.host}/referrers/shown:v1", home=tmp_path)
    assert "REFERRER" in text.out and SIGNATURE.digest.short in text.out
    await copied(tmp_path, f"registry:{registry.host}/referrers/shown:v1", f"oci:{tmp_path / 'l'}")
    text = await command("inspect", f"oci:{tmp_path / 'l'}", home=tmp_path)
    assert SIGNATURE.digest.short in text.out


async def test_what_is_about_it_at_the_target_stays(docker_registry: Registry, tmp_path: Path) -> None:
    """A whole repository has its indexes of referrers among its tags; the target's own entries are not lost by them."""
    host, name = docker_registry.host, "referrers/kept"
    await filled(tmp_path, host, f"{name}/from")
    mine = artifact(b"a signature of ours", subject=IMAGE)
    await put(tmp_path, f"{host}/{name}/to", IMAGE, b"the model", tag="v1")
    await put(tmp_path, f"{host}/{name}/to", mine, b"a signature of ours")
    for _ in range(2):
        report = await copied(tmp_path, f"registry:{host}/{name}/from", f"registry:{host}/{name}/to")
        assert report.error is None
        found = await referrers(tmp_path, host, f"{name}/to", IMAGE)
        assert found == {mine.digest, SIGNATURE.digest, BILL.digest}
    tag = fallback_tag(SIGNATURE.digest)  # nothing is there that the source has not: its bytes
    assert await digest_of(tmp_path, host, f"{name}/to", tag) == await digest_of(tmp_path, host, f"{name}/from", tag)
