"""`KINDS`: the registries that are known by name: how each is recognised, how it takes uploads, what is special there.

The table in the guide on registries says the same, which a test holds. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from msgspec import Struct

from ..model.reference import DOCKER_HUB, OLLAMA_HOSTS
from ..protocol.cut_behaviour import CutBehaviour
from ..protocol.upload.chunks import MiB, WholePut
from .profile import Profile

_USUAL: Final = Profile()


class RegistryKind(Struct, frozen=True):
    """A registry: its `name`, how people sign in there, and what is worth knowing.

    `hosts` are names, in which a `*` stands for anything. `headers` name a header of the answer at `/v2/` and a part of
    its value, in lower case. `profile` is what is known before the first request to one of the hosts.
    """

    name: str
    login: str
    fact: str
    hosts: tuple[str, ...] = ()
    headers: tuple[tuple[str, str], ...] = ()
    profile: Profile = _USUAL

    def is_at(self, name: str) -> bool:
        """Return whether a host's name, without its port, says so."""
        return any(_fits(name, pattern) for pattern in self.hosts)

    def shows_in(self, headers: Mapping[str, str]) -> bool:
        """Return whether the headers of an answer say so."""
        return any(name in headers and part in headers[name].lower() for name, part in self.headers)


KINDS: Final = (
    RegistryKind(
        "ollama.com, registry.ollama.ai",
        "your key (`registry-push key show`)",
        "parts of a blob go side by side, to its storage",
        tuple(OLLAMA_HOSTS),
        profile=Profile(ollama=True, kept=CutBehaviour.ACKNOWLEDGED),
    ),
    RegistryKind(
        "ghcr.io",
        "a token with `write:packages`",
        "takes 10 GB a layer; one PUT a blob, chunks of 4 MiB only on a line that keeps breaking",
        ("ghcr.io",),
        # Longer chunks get 416 "exceeds 4.00MiB". That is 256 requests a GiB, and chunks may not be joined correctly; a
        # PUT of any length is accepted.
        profile=Profile(chunk_limit=4 * MiB, whole=WholePut.FIRST, kept=CutBehaviour.ACKNOWLEDGED),
    ),
    RegistryKind(
        "docker.io", "an access token", "names have two parts: `--to docker.io/ME/`; requests are counted",
        tuple(DOCKER_HUB),
    ),
    RegistryKind(
        "Harbor", "a user or robot account", "its core is distribution 2; a project has to be made first",
        headers=(("WWW-Authenticate", "harbor-registry"),),
    ),
    # ECR, private and public, also by its newer and its FIPS names.
    RegistryKind(
        "ECR",
        "`AWS` and a token of 12 hours",
        "parts of 5–10 MiB; create the repository first",
        ("*.dkr.ecr*.amazonaws.com", "*.dkr.ecr*.amazonaws.com.cn", "*.dkr-ecr*.on.aws", "public.ecr.aws"),
        profile=Profile(kept=CutBehaviour.ACKNOWLEDGED, ecr=True),
    ),
    RegistryKind(
        "GAR, GCR", "`oauth2accesstoken` and a token of an hour", "no chunks: one PUT a blob",
        ("gcr.io", "*.gcr.io", "*.pkg.dev"),
        profile=Profile(whole=WholePut.ONLY),
    ),
    RegistryKind(
        "ACR", "`az acr login`, or an admin's password", "an upload that was cut begins anew",
        ("*.azurecr.io", "*.azurecr.cn", "*.azurecr.us"),
        profile=Profile(kept=CutBehaviour.NOTHING),
    ),
    RegistryKind(
        "GitLab", "a deploy token, or `$CI_JOB_TOKEN`", "tokens end after five minutes and are renewed",
        ("registry.gitlab.com",), (("WWW-Authenticate", "/jwt/auth"),),
    ),
    RegistryKind(
        "Artifactory", "an access token", "often below a path of its own; old versions take no blob in one PUT",
        ("*.jfrog.io",), (("Server", "artifactory"), ("X-JFrog-Version", ""), ("X-Artifactory-Id", "")),
    ),
    RegistryKind("Nexus", "a user", "often at a port of its own", headers=(("Server", "nexus"),)),
    RegistryKind("Quay", "a robot account", "counts one byte too many; that is known", ("quay.io",)),
    RegistryKind(
        "Gitea, Forgejo", "an access token", "count one byte too many; that is known",
        ("codeberg.org", "gitea.com"), (("WWW-Authenticate", '/v2/token",service="container_registry'),),
    ),
    RegistryKind("zot", "what you set up", 'needs `compat: ["docker2s2"]` for Ollama\'s manifests'),
    RegistryKind(
        "R2 (serverless-registry)", "what you set up", "equal chunks; an upload lives two hours", ("*.workers.dev",)
    ),
    RegistryKind(
        "Aliyun", "a user", "counts from the beginning of a chunk; that is known", ("*.aliyuncs.com",)
    ),
    RegistryKind("hf.co, huggingface.co", "none", "read only", ("hf.co", "huggingface.co")),
    # The last: others send its header too.
    RegistryKind(
        "docker-registry, distribution", "what you set up",
        "version 2 forgets an upload that was cut inside a chunk; version 3 keeps every byte",
        headers=(("Docker-Distribution-Api-Version", "registry/2.0"),),
    ),
)  # fmt: skip


def known_profile(host: str) -> Profile:
    """Return what is known of `host[:port]` before the first request to it."""
    name = host.lower().partition(":")[0]
    return next((kind.profile for kind in KINDS if kind.is_at(name)), _USUAL)


def recognised(host: str, headers: Mapping[str, str]) -> RegistryKind | None:
    """Return which registry `host` is, by its name or else by the headers of an answer; None if that is unknown."""
    name = host.lower()
    by_name = next((kind for kind in KINDS if kind.is_at(name)), None)
    return by_name or next((kind for kind in KINDS if kind.shows_in(headers)), None)


def _fits(name: str, pattern: str) -> bool:
    """Return whether the pattern means `name`: what is between its stars is in it, in that order."""
    first, *rest = pattern.split("*")
    if not rest:
        return name == pattern
    if not name.startswith(first) or not name.endswith(rest[-1]) or len(name) <= len(first) + len(rest[-1]):
        return False
    at = len(first)
    for part in rest[:-1]:
        at = name.find(part, at)
        if at < 0:
            return False
        at += len(part)
    return at <= len(name) - len(rest[-1])
