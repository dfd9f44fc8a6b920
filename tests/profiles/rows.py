"""How the embedded registry plays each registry of `KINDS`."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from registry_push.embedded import ECR, GITEA, QUAY, R2, Basic, Ollama, OnCut, Options, Quirks, Token
from registry_push.registry.kinds import KINDS, RegistryKind
from tests.support.secrets import PASSWORD

USERS: Final = {"me": PASSWORD}


class Row(Struct, frozen=True):
    """A registry: its row in `KINDS`, and the options with which the embedded one does as it does.

    `at_a_cut`: the chunks that a cut in the middle may cost; None: all that was sent of the blob.
    """

    kind: str
    options: Options
    at_a_cut: int | None = 1
    variant: str = ""

    @property
    def name(self) -> str:
        """The row's name in the table."""
        return f"{self.kind}{f' ({self.variant})' if self.variant else ''}"

    @property
    def known(self) -> RegistryKind:
        """What is known of the registry."""
        return next(kind for kind in KINDS if kind.name == self.kind)


ROWS: Final = (
    Row("ollama.com, registry.ollama.ai", Options(ollama=Ollama()), at_a_cut=1),
    Row("ghcr.io", Options(quirks=Quirks(), on_cut=OnCut.ACKNOWLEDGED), at_a_cut=None),
    Row("docker.io", Options(auth=Token(users=USERS), on_cut=OnCut.LOSE), at_a_cut=None),
    Row("Harbor", Options(auth=Basic(USERS), on_cut=OnCut.LOSE, quirks=Quirks(unchallenged=404)), at_a_cut=None),
    Row("ECR", Options(quirks=ECR, auth=Basic(USERS), on_cut=OnCut.ACKNOWLEDGED)),
    Row("GAR, GCR", Options(quirks=Quirks(refuses_patch=404), on_cut=OnCut.LOSE), at_a_cut=None),
    Row("ACR", Options(on_cut=OnCut.LOSE), at_a_cut=None),
    Row("GitLab", Options(auth=Token(users=USERS), quirks=Quirks(unchallenged=404))),
    Row("Artifactory", Options(quirks=Quirks(patch_status=204))),
    Row("Artifactory", Options(quirks=Quirks(refuses_whole_put=404, patch_status=200)), variant="before 6"),
    Row("Nexus", Options(quirks=Quirks(unchallenged=403), auth=Basic(USERS))),
    Row("Quay", Options(quirks=QUAY, on_cut=OnCut.ACKNOWLEDGED)),
    Row("Gitea, Forgejo", Options(quirks=GITEA, relative_locations=True)),
    Row("zot", Options(zot_like=True, relative_locations=True, on_cut=OnCut.LOSE), at_a_cut=None),
    Row("R2 (serverless-registry)", Options(quirks=R2, on_cut=OnCut.ACKNOWLEDGED)),
    Row("docker-registry, distribution", Options(on_cut=OnCut.LOSE), at_a_cut=None, variant="2.8"),
    Row("docker-registry, distribution", Options(on_cut=OnCut.KEEP), variant="3"),
    Row("docker-registry, distribution", Options(max_chunk=5_000_000), variant="behind nginx, 5 MB a request"),
)
# Registries that the embedded one does not play, and why.
NOT_PLAYED: Final = {
    "Aliyun": "its Range counts from the beginning of a chunk, which no quirk does",
    "hf.co, huggingface.co": "nothing can be pushed there",
}
