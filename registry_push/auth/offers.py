"""What logins the environment offers without their being kept: by CI services' variables, and clouds' programs. Pure.

Each is for its own registry only.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from msgspec import Struct

from ..text.patterns import LazyPattern

_ECR: Final = LazyPattern(r"[0-9]{12}\.dkr[.-]ecr(?:-fips)?\.([a-z0-9-]+)\.(?:amazonaws\.com(?:\.cn)?|on\.aws)\Z")
_GOOGLE: Final = LazyPattern(r"(?:[a-z0-9-]+\.)?(?:gcr\.io|pkg\.dev)\Z")
_AZURE: Final = LazyPattern(r"([a-z0-9]+)\.azurecr\.(?:io|cn|us)\Z")
# The name under which Azure's registry takes a token as password (az acr login --expose-token).
_AZURE_USER: Final = "00000000-0000-0000-0000-000000000000"


class Program(Struct, frozen=True):
    """A cloud's program that prints the password of `username`."""

    name: str
    arguments: tuple[str, ...]
    username: str

    @property
    def line(self) -> str:
        """The command, as it is typed."""
        return " ".join((self.name, *self.arguments))


class Offered(Struct, frozen=True):
    """A login in a CI service's variables; `source` names the one with the password."""

    source: str
    username: str
    password: str

    def __repr__(self) -> str:
        return f"Offered({self.source!r})"


def from_variables(host: str, environ: Mapping[str, str]) -> Offered | None:
    """Return the login that a CI service offers for its own registry, which is at `host[:port]`."""
    if host and environ.get("GITLAB_CI") and host == environ.get("CI_REGISTRY", "").lower():
        if environ.get("CI_REGISTRY_USER") and environ.get("CI_REGISTRY_PASSWORD"):
            return Offered("CI_REGISTRY_PASSWORD", environ["CI_REGISTRY_USER"], environ["CI_REGISTRY_PASSWORD"])
        if environ.get("CI_JOB_TOKEN"):
            return Offered("CI_JOB_TOKEN", "gitlab-ci-token", environ["CI_JOB_TOKEN"])
    # Elsewhere than in Actions, the variable is for other programs, and may not be allowed to read packages.
    if host == "ghcr.io" and environ.get("GITHUB_ACTIONS") == "true" and environ.get("GITHUB_TOKEN"):
        return Offered("GITHUB_TOKEN", environ.get("GITHUB_ACTOR") or "github-actions", environ["GITHUB_TOKEN"])
    return None


def program_for(host: str) -> Program | None:
    """Return the program that signs in at the cloud registry `host`; None if it is none that is known."""
    if found := _ECR.compiled.match(host):
        return Program("aws", ("ecr", "get-login-password", "--region", found[1]), "AWS")
    if host == "public.ecr.aws":
        return Program("aws", ("ecr-public", "get-login-password", "--region", "us-east-1"), "AWS")
    if _GOOGLE.compiled.match(host):
        return Program("gcloud", ("auth", "print-access-token"), "oauth2accesstoken")
    if found := _AZURE.compiled.match(host):
        arguments = ("acr", "login", "--name", found[1], "--expose-token", "--output", "tsv", "--query", "accessToken")
        return Program("az", arguments, _AZURE_USER)
    return None


def is_offered(host: str, environ: Mapping[str, str]) -> bool:
    """Return whether there may be such a login for `host`; cheap."""
    return from_variables(host, environ) is not None or program_for(host) is not None
