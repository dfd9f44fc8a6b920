"""What hosts are known for before they are asked, and what they teach us since."""

from __future__ import annotations

from pathlib import Path

import pytest

import registry_push
from registry_push.errors import InvalidSettings
from registry_push.protocol.cut_behaviour import CutBehaviour
from registry_push.protocol.upload.chunks import MiB, WholePut
from registry_push.registry.kinds import KINDS, known_profile, recognised
from registry_push.registry.profile import Profile
from registry_push.settings import Settings


@pytest.mark.parametrize(
    ("host", "profile"),
    [
        ("ghcr.io", Profile(chunk_limit=4 * MiB, whole=WholePut.FIRST, kept=CutBehaviour.ACKNOWLEDGED)),
        ("europe-docker.pkg.dev", Profile(whole=WholePut.ONLY)),
        ("eu.gcr.io", Profile(whole=WholePut.ONLY)),
        ("gcr.io:443", Profile(whole=WholePut.ONLY)),
        ("1234.dkr.ecr.eu-west-1.amazonaws.com", Profile(kept=CutBehaviour.ACKNOWLEDGED, ecr=True)),
        ("1234.dkr.ecr.cn-north-1.amazonaws.com.cn", Profile(kept=CutBehaviour.ACKNOWLEDGED, ecr=True)),
        ("1234.dkr.ecr-fips.us-east-1.amazonaws.com", Profile(kept=CutBehaviour.ACKNOWLEDGED, ecr=True)),
        ("1234.dkr-ecr.eu-west-1.on.aws", Profile(kept=CutBehaviour.ACKNOWLEDGED, ecr=True)),
        ("public.ecr.aws", Profile(kept=CutBehaviour.ACKNOWLEDGED, ecr=True)),
        ("me.azurecr.io", Profile(kept=CutBehaviour.NOTHING)),
        ("registry.ollama.ai", Profile(ollama=True, kept=CutBehaviour.ACKNOWLEDGED)),
        ("ghcr.io.example.com", Profile()),
        ("s3.amazonaws.com", Profile()),
        ("127.0.0.1:5000", Profile()),
    ],
)
def test_hosts_are_known_by_name(host: str, profile: Profile) -> None:
    assert known_profile(host) == profile


def test_what_was_learned_goes_before_what_is_known_but_for_ollamas_ways() -> None:
    known, learned = known_profile("ghcr.io"), Profile(whole=WholePut.ONLY, kept=CutBehaviour.EVERYTHING, rate=5.0)
    now = known.after(learned)
    assert (now.chunk_limit, now.whole, now.kept, now.rate) == (4 * MiB, WholePut.ONLY, CutBehaviour.EVERYTHING, 5.0)
    assert known_profile("gcr.io").after(Profile()).whole is WholePut.ONLY
    assert known_profile("public.ecr.aws").after(Profile()).ecr
    assert not Profile().after(Profile(ollama=True)).ollama


def test_one_put_and_a_chunk_size_contradict_each_other() -> None:
    with pytest.raises(InvalidSettings, match="says how long chunks are, and --one-put sends none"):
        Settings(one_put=True, chunk_size=MiB)


GUIDE = Path(registry_push.__file__).parent / "guides/registries.md"


def challenge(path: str, service: str) -> dict[str, str]:
    return {"WWW-Authenticate": f'Bearer realm="https://r.example{path}",service="{service}",scope="*"'}


def test_the_guide_s_table_is_the_one_that_is_used() -> None:
    rows = [line for line in GUIDE.read_text().splitlines() if line.startswith("| ")][1:]
    assert rows == [f"| {kind.name} | {kind.login} | {kind.fact} |" for kind in KINDS]


@pytest.mark.parametrize(
    ("host", "headers", "name"),
    [
        ("quay.io", {}, "Quay"),
        (
            "harbor.example",
            {"WWW-Authenticate": 'Bearer realm="https://h/service/token",service="harbor-registry"'},
            "Harbor",
        ),
        (
            "git.example",
            {"WWW-Authenticate": 'Bearer realm="https://git.example/jwt/auth",service="container_registry"'},
            "GitLab",
        ),
        (
            "git.example",
            {"WWW-Authenticate": 'Bearer realm="https://git.example/v2/token",service="container_registry",scope="*"'},
            "Gitea, Forgejo",
        ),
        ("a.example", {"Server": "Artifactory/7.55.10"}, "Artifactory"),
        ("n.example", {"Server": "Nexus/3.61.0-02 (OSS)", "Docker-Distribution-Api-Version": "registry/2.0"}, "Nexus"),
        ("r.example", {"Docker-Distribution-Api-Version": "registry/2.0"}, "docker-registry, distribution"),
        ("r.example", {"Server": "nginx"}, None),
        ("ecr.example.amazonaws.com", {}, None),
        ("evil-gcr.io.example", {}, None),
    ],
)
def test_a_registry_is_recognised(host: str, headers: dict[str, str], name: str | None) -> None:
    found = recognised(host, headers)
    assert (found.name if found is not None else None) == name


def test_what_was_learned_is_told_in_words() -> None:
    learned = Profile(chunk_limit=4 * MiB, whole=WholePut.ONLY, kept=CutBehaviour.NOTHING, mounts_itself=True, rate=5e6)
    assert learned.words == (
        "takes chunks of at most 4,194,304 bytes",
        "takes each blob in one request",
        "forgets an upload that was cut",
        "mounts blobs from the repository itself",
        "took 5 MB/s a body",
    )
    assert Profile().words == ()
