"""`sync --delete`: what goes, what stays, and when nothing is deleted at all."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from registry_push.embedded import EmbeddedRegistry, Options
from registry_push.embedded.quirks import Quirks
from registry_push.errors import SomeFailed, TooManyDeletions, UsageError
from registry_push.model import Digest
from registry_push.model.referrers import cosign_tags, fallback_tag
from registry_push.verbs.sync.totals import SyncReport
from tests.support.command import command
from tests.support.registries import DockerRegistry, EmbeddedFactory, docker_registry_at
from tests.support.sync_stage import Log, Peer, actions, reasons, synced

REGISTRY = '[[sync]]\nsource = "registry:{source}/"\ntarget = "registry:{target}/"\n'


@pytest.fixture
def docker(tmp_path: Path) -> Iterator[DockerRegistry]:
    """Deletes manifests, and no tags."""
    (tmp_path / "docker").mkdir()
    with docker_registry_at(tmp_path / "docker", logs_requests=True) as registry:
        yield registry


@pytest.fixture
def distribution_3(tmp_path: Path) -> Iterator[DockerRegistry]:
    """Deletes tags, too."""
    if shutil.which("registry3") is None:
        pytest.skip("registry3 is not installed")  # no package has it: not in CI either
    (tmp_path / "three").mkdir()
    with docker_registry_at(tmp_path / "three", logs_requests=True, program="registry3") as registry:
        yield registry


def whole(source: EmbeddedRegistry | DockerRegistry, target: EmbeddedRegistry | DockerRegistry, more: str = "") -> str:
    return REGISTRY.format(source=source.host, target=target.host) + more


async def deleted(home: Path, plan: str, *, most: int = 99, **options: Any) -> SyncReport:
    return await synced(home, plan, delete=True, max_delete=most, **options)


def deletions(registry: EmbeddedRegistry) -> list[str]:
    return [each.target for each in registry.log if each.method == "DELETE"]


@pytest.mark.real
@pytest.mark.parametrize("which", ["docker", "distribution_3"])
async def test_what_a_dry_run_says_is_deleted_is_deleted(
    embedded: EmbeddedRegistry, request: pytest.FixtureRequest, tmp_path: Path, which: str
) -> None:
    docker: DockerRegistry = request.getfixturevalue(which)
    a, b = Peer(embedded.host), Peer(docker.host)
    kept = await a.put_all({"ml/a:v1": "one", "ml/b:v1": "two", "ml/b:v2": "three"})
    await b.put_all({"ml/a:v0": "old", "ml/b:v0": "older", "ml/gone:v1": "gone", "ml/gone:v2": "gone"})
    dry = await deleted(tmp_path, whole(embedded, docker), dry_run=True)
    assert dry.error is None and len(await b.everything()) == 4
    doomed = {"ml/a:v0", "ml/b:v0", "ml/gone:v1", "ml/gone:v2"}
    assert {name for name, action in actions(dry).items() if action == "deleted"} == doomed
    done = await deleted(tmp_path, whole(embedded, docker), most=4)
    assert done.error is None
    assert actions(done) == actions(dry) and reasons(done) == reasons(dry)
    assert await b.everything() == kept
    log = Log(docker)
    again = await deleted(tmp_path, whole(embedded, docker))
    assert again.totals.is_quiet and not log.asked("DELETE")


async def test_tags_are_deleted_where_their_manifest_stays(embedded_with: EmbeddedFactory, tmp_path: Path) -> None:
    source, target = await embedded_with(Options()), await embedded_with(Options())
    a, b = Peer(source.host), Peer(target.host)
    image = await a.put("ml/a", "v1", "one")
    await b.put("ml/a", "v1", "one")
    await b.retag("ml/a", "old", image)
    report = await deleted(tmp_path, whole(source, target))
    assert report.error is None
    assert await b.tags("ml/a") == {"v1": image}
    assert deletions(target) == ["/v2/ml/a/manifests/old"]
    assert reasons(report)["ml/a:old"].endswith("its manifest stays, since another tag needs it")


async def test_what_a_kept_index_lists_stays(embedded_with: EmbeddedFactory, tmp_path: Path) -> None:
    """Also what an index lists that is listed by another."""
    source, target = await embedded_with(Options()), await embedded_with(Options())
    images: dict[str, str] = {}
    for peer in (Peer(source.host), Peer(target.host)):
        images = {name: await peer.put("ml/a", name, name) for name in ("one", "two", "three")}
        images["inner"] = await peer.put_index("ml/a", "inner", images["two"])
        images["outer"] = await peer.put_index("ml/a", "outer", images["one"], images["inner"])
    plan = whole(source, target)
    for tag in ("one", "two", "three", "inner"):
        await Peer(source.host).delete("ml/a", tag)
    report = await deleted(tmp_path, plan)
    assert report.error is None
    peer = Peer(target.host)
    assert await peer.tags("ml/a") == {"outer": images["outer"]}
    there = {name: await peer.has("ml/a", digest) for name, digest in images.items()}
    assert there == {"one": True, "two": True, "three": False, "inner": True, "outer": True}


@pytest.mark.real
async def test_docker_registry_deletes_no_tag_whose_manifest_stays(
    embedded: EmbeddedRegistry, docker: DockerRegistry, tmp_path: Path
) -> None:
    a, b = Peer(embedded.host), Peer(docker.host)
    image = await a.put("ml/a", "v1", "one")
    await b.put("ml/a", "v1", "one")
    await b.retag("ml/a", "old", image)
    await b.put("ml/a", "older", "two")
    report = await deleted(tmp_path, whole(embedded, docker))
    assert report.error is None and not report.totals.is_quiet
    assert await b.tags("ml/a") == {"v1": image, "old": image}
    assert actions(report) == {"ml/a:v1": "present", "ml/a:old": "left", "ml/a:older": "deleted"}
    assert reasons(report)["ml/a:old"].startswith("left: this registry cannot delete tags (HTTP 40")


@pytest.mark.real
async def test_distribution_3_deletes_the_tag_and_keeps_the_manifest(
    embedded: EmbeddedRegistry, distribution_3: DockerRegistry, tmp_path: Path
) -> None:
    a, b = Peer(embedded.host), Peer(distribution_3.host)
    image = await a.put("ml/a", "v1", "one")
    await b.put("ml/a", "v1", "one")
    await b.retag("ml/a", "old", image)
    report = await deleted(tmp_path, whole(embedded, distribution_3))
    assert report.error is None and actions(report) == {"ml/a:v1": "present", "ml/a:old": "deleted"}
    assert await b.tags("ml/a") == {"v1": image}


@pytest.mark.real
async def test_a_registry_that_deletes_nothing_is_told(embedded: EmbeddedRegistry, tmp_path: Path) -> None:
    (tmp_path / "r").mkdir()
    with docker_registry_at(tmp_path / "r", deletes=False) as docker:
        await Peer(embedded.host).put("ml/a", "v1", "one")
        await Peer(docker.host).put("ml/a", "v0", "zero")
        (tmp_path / "plan.toml").write_text(whole(embedded, docker))
        arguments = ["sync", str(tmp_path / "plan.toml"), "--delete", "--max-delete", "1", "--quiet"]
        done = await command(*arguments, home=tmp_path)
        assert done.code == 0, done.err
        assert "1 left" in done.out, done.out
        assert (await Peer(docker.host).tags("ml/a")).keys() == {"v0", "v1"}


async def test_more_than_the_limit_stops_before_the_first(embedded_with: EmbeddedFactory, tmp_path: Path) -> None:
    source, target = await embedded_with(Options()), await embedded_with(Options())
    await Peer(source.host).put("ml/a", "v1", "one")
    await Peer(target.host).put_all({f"ml/a:old{number}": f"{number}" for number in range(3)})
    (tmp_path / "plan.toml").write_text(whole(source, target))
    for flags in ([], ["--dry-run"]):
        done = await command(
            "sync", str(tmp_path / "plan.toml"), "--delete", "--max-delete", "2", *flags, home=tmp_path
        )
        assert done.code == TooManyDeletions.exit_code == 5
        assert "3 tags would be deleted, and --max-delete is 2" in done.err
        shown = [line for line in done.out.splitlines() if line.startswith("would delete")]
        assert len(shown) == (3 if flags else 0), "a dry run shows what they are"
    refused = await deleted(tmp_path, whole(source, target), most=2, dry_run=True, plan_out=tmp_path / "p.json")
    assert isinstance(refused.error, TooManyDeletions) and not (tmp_path / "p.json").exists()
    assert deletions(target) == []
    assert len(await Peer(target.host).tags("ml/a")) == 4, "what is to be copied is copied"


async def test_a_limit_is_needed(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--delete needs a limit"):
        await synced(tmp_path, REGISTRY.format(source="localhost:1", target="localhost:2"), delete=True)


async def failing(request: web.Request) -> web.StreamResponse | None:
    broken = request.path in ("/v2/ml/broken/tags/list", "/v2/_catalog") and request.method == "GET"
    return web.Response(status=500) if broken else None


@pytest.mark.parametrize("what", ["a repository", "the registry", "a bad page"])
async def test_a_listing_that_fails_deletes_nothing_there(
    embedded_with: EmbeddedFactory, tmp_path: Path, what: str
) -> None:
    async def hook(request: web.Request) -> web.StreamResponse | None:
        match what:
            case "a repository" if request.path == "/v2/ml/broken/tags/list":
                return web.Response(status=500)
            case "the registry" if request.path == "/v2/_catalog":
                return web.Response(status=500)
            case "a bad page" if request.path == "/v2/ml/broken/tags/list":
                return web.json_response({"name": "ml/broken", "tags": "all"})
            case _:
                return None

    source, target = await embedded_with(Options(hook=hook)), await embedded_with(Options())
    await Peer(source.host).put_all({"ml/broken:v1": "one", "ml/fine:v1": "two"})
    had = await Peer(target.host).put_all({"ml/broken:v0": "zero", "ml/fine:v0": "zero", "ml/gone:v0": "x"})
    report = await deleted(tmp_path, whole(source, target))
    assert report.error is not None
    now = await Peer(target.host).everything()
    assert now["ml/broken:v0"] == had["ml/broken:v0"]
    assert ("ml/fine:v0" in now) is (what == "the registry")
    assert "ml/gone:v0" in now, "it may have another name now, which is among what has failed"


async def test_an_empty_source_deletes_nothing(embedded_with: EmbeddedFactory, tmp_path: Path) -> None:
    source, target = await embedded_with(Options()), await embedded_with(Options())
    a, b = Peer(source.host), Peer(target.host)
    had = await b.put_all({"ml/a:v1": "one", "ml/b:v1": "two"})
    report = await deleted(tmp_path, whole(source, target))
    assert report.error is not None and report.error.exit_code == 3, "nothing is there to be listed"
    await a.put_all({"ml/a:v1": "one", "ml/b:v2": "three"})
    await a.delete("ml/a", had["ml/a:v1"])  # the repository is left, without tags
    report = await deleted(tmp_path, whole(source, target))
    assert (await b.everything()).keys() == {"ml/a:v1", "ml/b:v2"}
    plan = whole(source, target, 'tags = ["nothing-is-called-so"]\n')
    await deleted(tmp_path, plan)
    assert (await b.everything()).keys() == {"ml/a:v1", "ml/b:v2"}


async def test_a_target_that_can_not_be_listed_is_an_error(embedded_with: EmbeddedFactory, tmp_path: Path) -> None:
    source, target = await embedded_with(Options()), await embedded_with(Options(hook=failing))
    await Peer(source.host).put_all({"ml/broken:v1": "one", "ml/fine:v1": "two"})
    await Peer(target.host).put_all({"ml/broken:v0": "zero", "ml/fine:v0": "zero"})
    report = await deleted(tmp_path, whole(source, target))
    assert isinstance(report.error, SomeFailed)
    assert deletions(target) == ["/v2/ml/fine/manifests/" + str(report_digest(report, "ml/fine:v0"))]
    failed = {each.source or str(each.target) for each in report.failed}
    assert failed == {f"{target.host}/ml/broken", f"the list of repositories at {target.host}/"}


def report_digest(report: SyncReport, name: str) -> Digest | None:
    return next(each.previous for each in report.settled if str(each.target).endswith(name))


async def test_what_the_filter_is_not_about_stays(embedded_with: EmbeddedFactory, tmp_path: Path) -> None:
    source, target = await embedded_with(Options()), await embedded_with(Options())
    versions = {f"ml/a:v{number}.0": f"{number}" for number in range(1, 5)}
    await Peer(source.host).put_all({**versions, "ml/a:main": "main"})
    had = await Peer(target.host).put_all(
        {"ml/a:v1.0": "1", "ml/a:v0.5": "x", "ml/a:v9.0": "y", "ml/a:mine": "z", "other/b:v1.0": "b", "ml/no:v1.0": "n"}
    )
    plan = whole(source, target, 'tags = { semver = ">=1 <5", latest = 2 }\nmodels = ["ml/*", "!no"]\n')
    report = await deleted(tmp_path, plan)
    assert report.error is None
    assert {name for name, action in actions(report).items() if action == "deleted"} == {"ml/a:v1.0"}
    now = await Peer(target.host).everything()
    assert now.keys() == {*had.keys() - {"ml/a:v1.0"}, "ml/a:v3.0", "ml/a:v4.0"}


async def test_repositories_below_the_prefix_of_the_source_only(embedded_with: EmbeddedFactory, tmp_path: Path) -> None:
    source, target = await embedded_with(Options()), await embedded_with(Options())
    await Peer(source.host).put_all({"ml/a:v1": "1", "web/a:v1": "2"})
    await Peer(target.host).put_all({"to/ml/old:v1": "x", "to/web/old:v1": "y", "ml/old:v1": "z", "to/mlx/old:v1": "w"})
    plan = f'[[sync]]\nsource = "registry:{source.host}/ml/"\ntarget = "registry:{target.host}/to/"\n'
    report = await deleted(tmp_path, plan)
    assert report.error is None
    now = await Peer(target.host).everything()
    assert now.keys() == {"to/ml/a:v1", "to/web/old:v1", "ml/old:v1", "to/mlx/old:v1"}


async def test_backups_and_signatures_stay(embedded_with: EmbeddedFactory, tmp_path: Path) -> None:
    source, target = await embedded_with(Options()), await embedded_with(Options())
    await Peer(source.host).put("ml/a", "v1", "one")
    gone = Digest.of(b"gone")
    names = [*cosign_tags(gone), fallback_tag(gone), "v1.bak", "v1.bak-2", "v1.bak-x", "old"]
    await Peer(target.host).put_all({f"ml/a:{name}": name for name in names})
    plan = whole(source, target, 'backup = "{tag}.bak"\n')
    report = await deleted(tmp_path, plan)
    assert report.error is None
    assert (await Peer(target.host).tags("ml/a")).keys() == {"v1", *names} - {"old", "v1.bak-x"}


async def test_entries_that_write_one_repository_protect_each_other_s_tags(
    embedded_with: EmbeddedFactory, tmp_path: Path
) -> None:
    source, other = await embedded_with(Options()), await embedded_with(Options())
    target = await embedded_with(Options())
    await Peer(source.host).put_all({"ml/a:v1": "1", "ml/a:v2": "2"})
    await Peer(other.host).put_all({"ml/a:n1": "3", "ml/a:n2": "4"})
    await Peer(target.host).put_all({"all/a:v0": "x", "all/a:n0": "y", "all/a:main": "z"})
    plan = "".join(
        f'[[sync]]\nsource = "registry:{host}/ml/a"\ntarget = "registry:{target.host}/all/a"\ntags = ["{glob}"]\n'
        for host, glob in ((source.host, "v*"), (other.host, "n*"))
    )
    report = await deleted(tmp_path, plan)
    assert report.error is None
    assert (await Peer(target.host).tags("all/a")).keys() == {"v1", "v2", "n1", "n2", "main"}
    # One whose source is away takes the right to delete from the other.
    await Peer(target.host).put_all({"all/a:v0": "x", "all/a:n0": "y"})
    away = plan.replace(other.host, "127.0.0.1:9")
    report = await deleted(tmp_path, away)
    assert report.error is not None and report.totals.actions["deleted"] == 0  # type: ignore[index]
    assert (await Peer(target.host).tags("all/a")).keys() == {"v0", "v1", "v2", "n0", "n1", "n2", "main"}


@pytest.mark.parametrize("status", [400, 405])
async def test_registries_that_take_digests_only(embedded_with: EmbeddedFactory, tmp_path: Path, status: int) -> None:
    source = await embedded_with(Options())
    target = await embedded_with(Options(quirks=Quirks(refuses_tag_deletion=status)))
    image = await Peer(source.host).put("ml/a", "v1", "one")
    await Peer(target.host).put_all({"ml/a:v1": "one", "ml/a:old": "two"})
    await Peer(target.host).retag("ml/a", "same", image)
    report = await deleted(tmp_path, whole(source, target))
    assert report.error is None
    assert actions(report) == {"ml/a:v1": "present", "ml/a:old": "deleted", "ml/a:same": "left"}
    assert (await Peer(target.host).tags("ml/a")).keys() == {"v1", "same"}


async def test_only_registries_are_deleted_at(tmp_path: Path) -> None:
    plan = f'[[sync]]\nsource = "registry:localhost:1/"\ntarget = "oci:{tmp_path}/layout"\n'
    with pytest.raises(UsageError, match=r"plan\.toml, line 1: --delete deletes at registries only"):
        await deleted(tmp_path, plan)


async def test_what_the_run_could_not_copy_is_not_deleted(embedded_with: EmbeddedFactory, tmp_path: Path) -> None:
    broken = False

    async def hook(request: web.Request) -> web.StreamResponse | None:
        return web.Response(status=500) if broken and request.path == "/v2/ml/a/manifests/v1" else None

    source, target = await embedded_with(Options(hook=hook)), await embedded_with(Options())
    await Peer(source.host).put_all({"ml/a:v1": "1", "ml/a:v2": "2"})
    had = await Peer(target.host).put_all({"ml/a:v1": "was", "ml/a:v0": "x"})
    broken = True
    report = await deleted(tmp_path, whole(source, target))
    assert isinstance(report.error, SomeFailed)
    assert actions(report) == {"ml/a:v1": "failed", "ml/a:v2": "copied"}
    now = await Peer(target.host).tags("ml/a")
    assert (now["v0"], now["v1"]) == (had["ml/a:v0"], had["ml/a:v1"]), "where something fails, nothing is deleted"


async def test_an_entry_that_names_one_tag_deletes_nothing(embedded_with: EmbeddedFactory, tmp_path: Path) -> None:
    source, target = await embedded_with(Options()), await embedded_with(Options())
    await Peer(source.host).put("ml/a", "v1", "1")
    await Peer(target.host).put_all({"ml/a:v0": "x", "ml/b:v1": "y"})
    plan = f'[[sync]]\nsource = "registry:{source.host}/ml/a:v1"\ntarget = "registry:{target.host}/"\n'
    report = await deleted(tmp_path, plan)
    assert report.error is None
    assert (await Peer(target.host).everything()).keys() == {"ml/a:v0", "ml/a:v1", "ml/b:v1"}
