"""What real registries do that the specification does not say: each quirk names where it was seen."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from msgspec import Struct

MiB: Final = 1024 * 1024


def _loop_time() -> float:
    return asyncio.get_running_loop().time()


class SlowCommit(Struct, frozen=True):
    """A commit that outlasts the gateway: nginx, ALB or Cloudflare in front of Harbor, Quay, Artifactory, GitLab.

    The closing PUT of a blob of at least `min_size` bytes is answered `status` as soon as its body is there, or the
    connection is cut if that is None. The session is 404 from then on, and the blob appears `seconds` later by
    `clock`, which is the loop's: a virtual one costs no time.
    """

    seconds: float
    status: int | None = 504
    min_size: int = 0
    clock: Callable[[], float] = _loop_time


class EqualChunks(Struct, frozen=True):
    """R2 behind Cloudflare's serverless-registry (src/registry/r2.ts, appendStreamKnownLength).

    Both lengths, in bytes, are announced with the session and with its status. A chunk that is longer than `max` is
    413, as Cloudflare has it. The first chunk sets the size, and a longer one, or any that does not fit after a
    shorter one, is 416 with the offset unmoved. A shorter one is taken, and was the last: R2 does not join parts of
    different sizes, so a closing PUT after yet another is 500. So is a closing PUT that carries bytes after a chunk,
    since they are ignored, and chunk number `max_parts` + 1. An empty session's status reads `0--1`.
    """

    min: int = 5 * MiB
    max: int = 100 * 1000 * 1000
    max_parts: int = 10_000


class Quirks(Struct, frozen=True):
    """The defaults have none."""

    refuses_patch: int | None = None
    """Every PATCH is answered with this status and taken by nobody; POST, then PUT works. 405 and 501: firewalls and
    old proxies (IIS ARR, Apache); 400 and 403: application firewalls; 404: Google's Artifact Registry behind a custom
    domain. The answer is a page, not an error document."""

    refuses_whole_put: int | None = None
    """A PUT with a body is answered with this status if the session is empty; PATCH, then PUT works. 404: Artifactory
    before 6.x (RTFACT-19344)."""

    unchallenged: int | None = None
    """Requests without a login are answered with this status and no challenge, all but `/v2/`, which challenges. 404:
    GitLab and Harbor for private projects; 403: Nexus with anonymous access; 401: proxies that drop the header."""

    slash_redirect: int | None = None
    """POST, PATCH, PUT and manifests are answered with this status, 307 or 308, and a Location with the slash at the
    path's end toggled, where they are handled. Starlette's `redirect_slashes`, Django's and nginx's canonical URLs."""

    redirects_elsewhere: bool = False
    """The Location of `slash_redirect` names this registry as `localhost`: another origin to every client."""

    storage_head: int | None = None
    """HEAD and GET of a blob are answered 307 to a storage at another origin, which takes no login and answers GET
    with the content and HEAD with this status. 403: S3 and GCS, whose URLs are signed for GET; 405: some MinIO
    gateways. Seen at distribution with the S3 driver, Quay, GitLab."""

    storage_named: bool = True
    """The redirect to the storage carries `Docker-Content-Digest`. distribution's does, GitLab's does not."""

    mounts_are_links: bool = False
    """HEAD of a mounted blob tells the digest and size of a link to it, until the blob is uploaded; GET is true.
    Cloudflare's serverless-registry (src/router.ts)."""

    mounts_need_manifest: bool = False
    """Nothing is mounted from a repository without a manifest: the answer is 202. ECR, whose blobs are visible to
    others only after the manifest."""

    slow_commit: SlowCommit | None = None
    """Commits that outlast the gateway."""

    equal_chunks: EqualChunks | None = None
    """Chunks of one size."""

    patch_status: int = 202
    """The status of a PATCH that is taken. 201: ECR; 200 and 204: Artifactory."""

    range_sticks: bool = False
    """The Range of every answer is that of the first chunk. ECR (aws/containers-roadmap 2831)."""

    last_in_put: bool = False
    """After two or more chunks an empty closing PUT is refused with BLOB_UPLOAD_INVALID. ECR."""

    min_part: int = 0
    """A chunk after one that was smaller than this many bytes is refused with BLOB_UPLOAD_INVALID, and nothing
    announces it. ECR: 5 MiB."""

    status_adds: int = 0
    """So much is added to the Range of a status answer. 1: Quay (endpoints/v2/blob.py), Gitea, Forgejo."""

    status_has_location: bool = True
    """Whether a status answer has a Location. False: Quay."""

    refusal_adds: int | None = 0
    """So much is added to the Range of a 416; None: a 416 has no Range. 1: Quay; None: Gitea."""

    unknown_blobs: int = 0
    """So many PUTs of manifests are answered 404 MANIFEST_BLOB_UNKNOWN although every blob is there. Registries with
    replicas that lag behind: Quay, Harbor on a replicated store, Artifactory clusters."""

    refuses_deletion: int | None = None
    """Nothing is deleted: a DELETE of a manifest or a blob is answered with this status. 405: UNSUPPORTED, distribution
    without `storage.delete.enabled`; 404: a page, registries that have no such path, zuul-registry among them."""

    refuses_tag_deletion: int | None = None
    """A DELETE of a tag is answered with this status. 400: DIGEST_INVALID, distribution 2.8; 405: UNSUPPORTED, Harbor.
    They take digests only."""

    undeletable_while_tagged: bool = False
    """A DELETE of a digest that a tag names is answered 403 and DENIED. Docker Hub."""


R2: Final = Quirks(equal_chunks=EqualChunks(), mounts_are_links=True)
ECR: Final = Quirks(patch_status=201, range_sticks=True, last_in_put=True, min_part=5 * MiB, mounts_need_manifest=True)
QUAY: Final = Quirks(status_adds=1, status_has_location=False, refusal_adds=1)
GITEA: Final = Quirks(status_adds=1, refusal_adds=None)
