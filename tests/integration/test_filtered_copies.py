"""Copies of some tags: what the filters take is copied with what is about it, and nothing else is."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from aiohttp import web

from registry_push import Settings as OwnSettings
from registry_push import TagFilter, copy_sync
from registry_push.content.oci.layout import OCILayout
from registry_push.embedded import EmbeddedRegistry, Options
from registry_push.embedded.sample import write_sample_store
from registry_push.errors import InvalidFilter, ModelNotFound, UsageError
from registry_push.events import Event, Warned, ignore
from registry_push.model import Manifest, Reference
from registry_push.model.referrers import cosign_tags, fallback_tag
from registry_push.registry.registries import Registries
from registry_push.settings import Settings
from registry_push.transfer.report import Report
from registry_push.verbs.copy import copy
from tests.support.artifacts import artifact, put
from tests.support.command import command, start_command
from tests.support.registries import EmbeddedFactory, Registry

TAGS = ("latest", "3b", "8b-fp16", "v1.0.0", "v1.2.0", "v1.10.0", "v2.0.0-rc.1", "v2.0.0", "v3.0.0")


def model(tag: str) -> Manifest:
    return artifact(tag.encode(), kind=None)


async def filled(home: Path, host: str, repository: str, tags: tuple[str, ...] = TAGS) -> str:
    for tag in tags:
        await put(home, f"{host}/{repository}", model(tag), tag.encode(), tag=tag)
    return f"registry:{host}/{repository}"


async def signed(home: Path, host: str, repository: str, subject: Manifest, words: str) -> Manifest:
    """A signature under cosign's tag for `subject`."""
    signature = artifact(words.encode(), kind=None)
    await put(home, f"{host}/{repository}", signature, words.encode(), tag=cosign_tags(subject.digest)[0])
    return signature


async def tags_at(home: Path, host: str, repository: str) -> set[str]:
    async with Registries(Settings(home=home, state_dir=None), ignore) as registries:
        return {*await registries.repository(Reference.parse(f"{host}/{repository}")).every_tag()}


async def copied(home: Path, source: str, target: str, given: TagFilter, sink: list[Event] | None = None) -> Report:
    settings = Settings(home=home, models=home / "models", state_dir=None)
    told = (sink if sink is not None else []).append
    report = await copy(source, target, tag_filter=given, settings=settings, sink=told)
    assert report.error is None, report.error
    return report


async def test_a_repository_between_registries(
    registry: Registry, embedded_with: EmbeddedFactory, tmp_path: Path
) -> None:
    target = await embedded_with(Options())
    source = await filled(tmp_path, registry.host, "filtered/some")
    given = TagFilter.parse(include=["latest", "*b*"], semver=">=1 <3", exclude="*-fp16", latest=2)
    report = await copied(tmp_path, source, f"registry:{target.host}/to/", given)
    wanted = ["v2.0.0", "v1.10.0", "3b", "latest"]
    assert {str(each.target).rpartition(":")[2] for each in report.done} == {*wanted}
    assert await tags_at(tmp_path, target.host, "to/filtered/some") == {*wanted}
    listed = await command(
        *("tags", source, "--include", "latest", "--include", "*b*", "--semver", ">=1 <3", "--exclude", "*-fp16"),
        *("--latest", "2"),
        home=tmp_path,
    )
    assert (listed.out.split(), listed.code) == (wanted, 0), "tags shows what a copy takes"
    target.log.clear()
    await copied(tmp_path, source, f"registry:{target.host}/to/", given)
    assert {each.method for each in target.log} == {"HEAD"}


@pytest.mark.parametrize("kind", ["real", "embedded"])
async def test_what_is_about_a_tag_goes_where_the_tag_goes(
    docker_registry: Registry, embedded: EmbeddedRegistry, tmp_path: Path, kind: str
) -> None:
    """The real registry has no list of referrers: there, they are in an index under a tag."""
    source: Registry = docker_registry if kind == "real" else embedded
    target: Registry = embedded if kind == "real" else docker_registry
    place = await filled(tmp_path, source.host, f"filtered/signed-{kind}", ("v1", "v2"))
    of_one = await signed(tmp_path, source.host, f"filtered/signed-{kind}", model("v1"), "of the first")
    of_it = await signed(tmp_path, source.host, f"filtered/signed-{kind}", of_one, "of its signature")
    of_two = await signed(tmp_path, source.host, f"filtered/signed-{kind}", model("v2"), "of the second")
    bills = {tag: artifact(f"bill {tag}".encode(), subject=model(tag)) for tag in ("v1", "v2")}
    for tag, bill in bills.items():
        await put(tmp_path, f"{source.host}/filtered/signed-{kind}", bill, f"bill {tag}".encode())
        if kind == "real":
            index = {
                "schemaVersion": 2,
                "mediaType": "application/vnd.oci.image.index.v1+json",
                "manifests": [{"mediaType": bill.media_type, "digest": str(bill.digest), "size": len(bill.raw)}],
            }
            fallback = fallback_tag(model(tag).digest)
            raw = Manifest.parse(json.dumps(index).encode())
            await put(tmp_path, f"{source.host}/filtered/signed-{kind}", raw, b"", tag=fallback)
    await copied(tmp_path, place, f"registry:{target.host}/signed-{kind}/to", TagFilter(include=("v1",)))
    there = await tags_at(tmp_path, target.host, f"signed-{kind}/to")
    assert {"v1", cosign_tags(model("v1").digest)[0], cosign_tags(of_one.digest)[0]} <= there
    assert not there & {"v2", cosign_tags(model("v2").digest)[0], fallback_tag(model("v2").digest)}
    async with Registries(Settings(home=tmp_path, state_dir=None), ignore) as registries:
        opened = registries.repository(Reference.parse(f"{target.host}/signed-{kind}/to"))
        assert (await opened.resolve(cosign_tags(of_one.digest)[0])).raw == of_it.raw
        assert await opened.digest_of(str(bills["v1"].digest)) is not None
        assert await opened.digest_of(str(bills["v2"].digest)) is None
        assert await opened.digest_of(str(of_two.digest)) is None


async def test_a_signature_that_comes_later_is_copied_later(embedded_with: EmbeddedFactory, tmp_path: Path) -> None:
    source, target = await embedded_with(Options()), await embedded_with(Options())
    place = await filled(tmp_path, source.host, "me/a", ("v1", "v2"))
    for _ in range(2):
        await copied(tmp_path, place, f"registry:{target.host}/me/a", TagFilter(include=("v1",)))
        await signed(tmp_path, source.host, "me/a", model("v1"), "of the first")
        await signed(tmp_path, source.host, "me/a", model("v2"), "of the second")
    assert await tags_at(tmp_path, target.host, "me/a") == {"v1", cosign_tags(model("v1").digest)[0]}


async def test_a_signature_that_cannot_be_read_does_not_hold_its_model_back(
    embedded_with: EmbeddedFactory, tmp_path: Path
) -> None:
    closed = asyncio.Event()

    async def refuse(request: web.Request) -> web.StreamResponse | None:
        return web.Response(status=403) if closed.is_set() and request.path.endswith(".sig") else None

    source, target = await embedded_with(Options(hook=refuse)), await embedded_with(Options())
    place = await filled(tmp_path, source.host, "me/a", ("v1", "v2"))
    await signed(tmp_path, source.host, "me/a", model("v1"), "a signature")
    closed.set()
    settings = Settings(home=tmp_path, state_dir=None)
    given = TagFilter(include=("v1",))
    report = await copy(place, f"registry:{target.host}/me/a", tag_filter=given, settings=settings)
    assert [each.model for each in report.failed] == [f"{source.host}/me/a:{cosign_tags(model('v1').digest)[0]}"]
    assert await tags_at(tmp_path, target.host, "me/a") == {"v1"}


async def test_one_tag_that_is_left_can_get_another_name(embedded_with: EmbeddedFactory, tmp_path: Path) -> None:
    source, target = await embedded_with(Options()), await embedded_with(Options())
    place = await filled(tmp_path, source.host, "me/a")
    await signed(tmp_path, source.host, "me/a", model("v2.0.0"), "a signature")
    await copied(tmp_path, place, f"registry:{target.host}/b:newest", TagFilter(semver="<3", latest=1))
    assert await tags_at(tmp_path, target.host, "b") == {"newest", cosign_tags(model("v2.0.0").digest)[0]}


async def test_an_ollama_store_has_no_place_for_signatures(embedded_with: EmbeddedFactory, tmp_path: Path) -> None:
    source = await embedded_with(Options())
    place = await filled(tmp_path, source.host, "me/a", ("v1", "v2", "w1"))
    for tag in ("v1", "v2", "w1"):
        await signed(tmp_path, source.host, "me/a", model(tag), f"of {tag}")
    (tmp_path / "models").mkdir()
    told: list[Event] = []
    await copied(tmp_path, place, "ollama:", TagFilter(include=("v*",)), told)
    assert [each.message for each in told if isinstance(each, Warned)] == [
        "2 tags of signatures and the like are left behind: an Ollama store has no place for them"
    ]


async def test_a_store_and_a_layout_are_filtered_model_by_model(embedded_with: EmbeddedFactory, tmp_path: Path) -> None:
    target = await embedded_with(Options())
    for name in ("me/a:v1", "me/a:v2", "me/a:v10", "you/b:v3", "you/b:latest", "c:x"):
        write_sample_store(tmp_path / "models", name=name, weights=70_000)
    await copied(tmp_path, "ollama:", f"oci:{tmp_path / 'layout'}", TagFilter(include=("v*",), latest=2))
    names = {tag.partition("/")[2] for tag in await OCILayout(tmp_path / "layout").tags()}
    assert names == {"me/a:v2", "me/a:v10", "you/b:v3"}
    await copied(tmp_path, f"oci:{tmp_path / 'layout'}", f"registry:{target.host}/", TagFilter(latest=1))
    assert await tags_at(tmp_path, target.host, "me/a") == {"v10"}
    assert await tags_at(tmp_path, target.host, "you/b") == {"v3"}


async def test_filters_that_leave_nothing_say_what_left_it_out(embedded_with: EmbeddedFactory, tmp_path: Path) -> None:
    source, target = await embedded_with(Options()), await embedded_with(Options())
    place = await filled(tmp_path, source.host, "me/a")
    words = f"of the 9 tags of {source.host}/me/a, none is left: 6 × is not in >=9, 3 × is no version, so not in >=9"
    with pytest.raises(ModelNotFound) as caught:
        await copied(tmp_path, place, f"registry:{target.host}/me/a", TagFilter(semver=">=9", exclude=("v2.0.0-rc.1",)))
    assert caught.value.message == words
    with pytest.raises(ModelNotFound, match=r"of the 9 tags of .*, 1 is left, and 2 are the least: 8 × matches none"):
        await copied(tmp_path, place, f"registry:{target.host}/me/a", TagFilter(include=("3b",), min=2))
    done = await command("tags", place, "--semver", ">=9", home=tmp_path)
    assert done.code == 3 and words in done.err and not done.out
    await signed(tmp_path, source.host, "me/b", model("v1"), "only a signature")
    with pytest.raises(ModelNotFound, match="has no tags but those of signatures"):
        await copied(tmp_path, f"registry:{source.host}/me/b", f"registry:{target.host}/", TagFilter(latest=1))
    assert not [each for each in target.log if each.method != "GET" or each.target != "/v2/"], "nothing was asked"


@pytest.mark.parametrize(
    "place", ["registry:127.0.0.1:9/x:v1", "ollama:x", "ollama:", "oci:dir:v1", "oci-archive:x.tar:v1"]
)
async def test_one_manifest_has_no_tags_to_filter(tmp_path: Path, place: str) -> None:
    target = "registry:127.0.0.1:9/y"
    done = await command("copy", place, target, "--latest", "2", home=tmp_path)
    if place == "ollama:":
        assert done.code == 3, done.err
        return
    assert done.code == 2 and f"'{place}' names one manifest" in done.err
    (tmp_path / "config.toml").write_text('latest = 2\nexclude = "*-fp16"\n')
    done = await command(
        "copy", place, target, "--retries", "0", "--config", str(tmp_path / "config.toml"), home=tmp_path
    )
    assert done.code != 2, "a filter that is set for all commands says nothing about one manifest"


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--semver", ">=a"], "--semver '>=a' is not a range of versions"),
        (["--latest", "0"], "--latest can't be 0"),
        (["--include", ""], "--include can't be ''"),
        (["--exclude", "!a"], "--exclude can't be '!a'"),
        (["--sort", "date"], "--sort"),
    ],
)
async def test_a_filter_that_cannot_be_understood_is_named(tmp_path: Path, flags: list[str], words: str) -> None:
    for arguments in (["tags", "127.0.0.1:9/x"], ["copy", "registry:127.0.0.1:9/x", "oci:y"]):
        done = await command(*arguments, *flags, home=tmp_path)
        assert done.code == 2 and words in done.err, done.err
    done = await command("tags", "127.0.0.1:9/x", home=tmp_path, REGISTRY_PUSH_SEMVER=">=a")
    assert "REGISTRY_PUSH_SEMVER '>=a' is not a range" in done.err
    (tmp_path / "c.toml").write_text("latest = -1\n")
    done = await command("tags", "127.0.0.1:9/x", "--config", str(tmp_path / "c.toml"), home=tmp_path)
    assert f"{tmp_path / 'c.toml'}, line 1: latest can't be -1" in done.err


async def test_tags_are_in_natural_order_and_explained(embedded_with: EmbeddedFactory, tmp_path: Path) -> None:
    source = await embedded_with(Options())
    place = await filled(tmp_path, source.host, "me/a")
    await signed(tmp_path, source.host, "me/a", model("v1.0.0"), "a signature")
    plain = (await command("tags", place, home=tmp_path)).out.split()
    attached = cosign_tags(model("v1.0.0").digest)[0]
    assert plain == [
        *("3b", "8b-fp16", "latest", attached, "v1.0.0", "v1.2.0", "v1.10.0", "v2.0.0", "v2.0.0-rc.1", "v3.0.0")
    ]
    flags = ("--include", "3b", "--semver", "^1", "--latest", "1")
    explained = (await command("tags", place, *flags, "-v", home=tmp_path)).out.splitlines()
    assert explained[:2] == [
        "v1.10.0      in   is in ^1, among the latest 1",
        "3b           in   matches 3b, no version, so not counted",
    ]
    assert explained[-1] == "v1.0.0       out  not among the latest 1" and len(explained) == len(TAGS)
    told = (await command("tags", place, *flags, "--json", home=tmp_path)).events[-1]
    assert told["tags"] == ["v1.10.0", "3b"] == [each["tag"] for each in told["kept"]]
    assert {"tag": "v1.2.0", "reason": "not among the latest 1"} in told["left_out"]
    oldest_first = (await command("tags", place, "--sort", "semver", home=tmp_path)).out.split()
    assert oldest_first[:5] == ["v1.0.0", "v1.2.0", "v1.10.0", "v2.0.0-rc.1", "v2.0.0"]


async def test_an_interrupted_copy_is_continued_with_its_filter(embedded_with: EmbeddedFactory, tmp_path: Path) -> None:
    arrived, may_go = asyncio.Event(), asyncio.Event()

    async def hold(request: web.Request) -> web.StreamResponse | None:
        if request.method == "GET" and "/blobs/" in request.path:
            arrived.set()
            await may_go.wait()
        return None

    source, target = await embedded_with(Options(hook=hold)), await embedded_with(Options())
    place = await filled(tmp_path, source.host, "me/a")
    running = await start_command(
        *("copy", place, f"registry:{target.host}/me/a", "--semver", ">=1 <3", "--exclude", "*.0.0", "--latest", "3"),
        home=tmp_path,
    )
    await arrived.wait()
    running.kill()
    await running.communicate()
    may_go.set()
    done = await command("resume", home=tmp_path)
    assert done.code == 0, done.err
    assert await tags_at(tmp_path, target.host, "me/a") == {"v1.2.0", "v1.10.0"}
    assert (await command("resume", "--list", home=tmp_path)).out == "nothing is under way\n"


async def test_a_listed_name_that_is_no_tag_counts_only_if_it_is_wanted(
    embedded_with: EmbeddedFactory, tmp_path: Path
) -> None:
    async def lying(request: web.Request) -> web.StreamResponse | None:
        return web.json_response({"tags": ["v1", "v2", "-no-tag"]}) if request.path.endswith("/tags/list") else None

    source, target = await embedded_with(Options(hook=lying)), await embedded_with(Options())
    place = await filled(tmp_path, source.host, "me/a", ("v1", "v2"))
    await copied(tmp_path, place, f"registry:{target.host}/me/a", TagFilter(include=("v*",)))
    settings = Settings(home=tmp_path, state_dir=None)
    report = await copy(place, f"registry:{target.host}/me/a", tag_filter=TagFilter(exclude=("v1",)), settings=settings)
    assert [each.model for each in report.failed] == [f"{source.host}/me/a:-no-tag"]


def test_the_library_takes_a_filter(tmp_path: Path) -> None:
    own = OwnSettings(home=tmp_path, models=tmp_path / "models", environ={}, state_dir=None)
    for name in ("me/a:v1", "me/a:v2"):
        write_sample_store(tmp_path / "models", name=name, weights=70_000)
    report = copy_sync("ollama:", f"oci:{tmp_path / 'layout'}", tag_filter=TagFilter(include=("v2",)), settings=own)
    assert [each.model for each in report.done] == ["me/a:v2"]
    with pytest.raises(UsageError, match="tag_filter can't be"):
        copy_sync("ollama:", f"oci:{tmp_path / 'layout'}", tag_filter={"latest": 1}, settings=own)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="immutable"):
        copy_sync("ollama:", f"oci:{tmp_path / 'layout'}", tag_filter=TagFilter(immutable=("v*",)), settings=own)
    with pytest.raises(InvalidFilter):
        TagFilter(latest=0)
