"""`Kind`: the registries that are known by name: how each is recognised, and what is special there. Pure.

What we do about it is in the profile that its host has, or learns (`profile.py`); here are the words for people.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from msgspec import Struct

from ..model.reference import DOCKER_HUB, OLLAMA_HOSTS


class RegistryKind(Struct, frozen=True):
    """A registry: its `name`, what is special about it, how to sign in, and how it is recognised.

    `hosts` are names and endings of names (with a dot before them); `headers` name a header and a part of its value, in
    lower case.
    """

    name: str
    fact: str
    login: str
    hosts: tuple[str, ...] = ()
    headers: tuple[tuple[str, str], ...] = ()

    def is_at(self, host: str) -> bool:
        """Return whether the host's name says so."""
        return any(host == each or (each.startswith(".") and host.endswith(each)) for each in self.hosts)

    def shows_in(self, headers: Mapping[str, str]) -> bool:
        """Return whether the headers of an answer say so."""
        return any(part in headers.get(name, "").lower() for name, part in self.headers if name in headers)


_TOKEN: Final = "registry-push login HOST, with a token that may write packages"  # noqa: S105  # how to make one
KINDS: Final = (
    RegistryKind(
        "Ollama's registry", "large blobs go to its storage in parts", "the key: registry-push key show",
        tuple(OLLAMA_HOSTS),
    ),
    RegistryKind(
        "Docker Hub", "names have two parts, and requests are counted", "registry-push login docker.io",
        tuple(DOCKER_HUB),
    ),
    RegistryKind(
        "GitHub's registry", "chunks have at most 4 MiB, so blobs go in one request; 10 GB a blob", _TOKEN,
        ("ghcr.io",),
    ),
    RegistryKind(
        "Amazon ECR", "a repository has to be made first; chunks are at least 5 MiB",
        "aws ecr get-login-password | registry-push login HOST --username AWS --password-stdin, or its helper",
        (".amazonaws.com", ".amazonaws.com.cn", ".on.aws", "public.ecr.aws"),
    ),
    RegistryKind(
        "Google's registry", "blobs go in one request each", "gcloud auth configure-docker HOST",
        ("gcr.io", ".gcr.io", ".pkg.dev"),
    ),
    RegistryKind(
        "Azure's registry", "an upload that was cut begins anew", "az acr login --name NAME",
        (".azurecr.io", ".azurecr.cn", ".azurecr.us"),
    ),
    RegistryKind(
        "Quay", "blobs without a manifest live for an hour", _TOKEN, ("quay.io",),
    ),
    RegistryKind(
        "GitLab's registry", "tokens live for five minutes and are renewed", _TOKEN, ("registry.gitlab.com",),
        (("GitLab-Container-Registry-Version", ""), ("WWW-Authenticate", "/jwt/auth")),
    ),
    RegistryKind(
        "Harbor", "a project has to be made first", "registry-push login HOST", (),
        (("WWW-Authenticate", "harbor-registry"),),
    ),
    RegistryKind(
        "Artifactory", "old versions take no blob in one request", _TOKEN, (".jfrog.io",),
        (("Server", "artifactory"), ("X-JFrog-Version", ""), ("X-Artifactory-Id", "")),
    ),
    RegistryKind(
        "Nexus", "it may be below a path, or at a port of its own", "registry-push login HOST", (),
        (("Server", "nexus"),),
    ),
    RegistryKind(
        "Gitea or Forgejo", "its status of an upload is one too high", _TOKEN, ("codeberg.org",),
        (("WWW-Authenticate", "/v2/token\",service=\"container_registry"),),
    ),
    RegistryKind(
        "Cloudflare's serverless registry", "chunks have one size, at most 100 MB a request",
        "registry-push login HOST", (".workers.dev",),
    ),
    RegistryKind(
        "Alibaba's registry", "a repository has to be made first", "registry-push login HOST", (".aliyuncs.com",),
    ),
    RegistryKind("Hugging Face", "it is read from only", "none", ("hf.co", "huggingface.co")),
    RegistryKind(
        "distribution (docker-registry), or built on it", "version 2 forgets an upload that was cut",
        "registry-push login HOST", (),
        (("Docker-Distribution-Api-Version", "registry/2.0"),),
    ),
)  # fmt: skip


def recognised(host: str, headers: Mapping[str, str]) -> RegistryKind | None:
    """Return which registry `host` is, by its name or else by the headers of an answer; None if that is unknown."""
    name = host.lower()
    by_name = next((kind for kind in KINDS if kind.is_at(name)), None)
    return by_name or next((kind for kind in KINDS if kind.shows_in(headers)), None)
