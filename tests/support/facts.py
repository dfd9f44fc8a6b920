"""What is true of each registry where registries differ: the wire suites are parametrised with it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from .registries import DockerRegistry, Registry, ZuulRegistry


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """The defaults are the embedded registry's, and the specification's where it says something.

    Numbers are statuses. A fact that is False says that the registry does not do it at all.
    """

    # Answers
    names_its_api: bool = True  # Docker-Distribution-Api-Version in every answer
    base: dict[str, Any] = field(default_factory=dict)  # the document at /v2/
    speaks_errors: bool = True  # error documents; without it an error is a page, for people
    says_what_is_allowed: bool = True  # 405 with Allow; without it a wrong method is 404
    absolute_locations: bool = True
    checks_names: bool = True  # `a..b` is no repository
    checks_parameters: bool = False  # 404 for a parameter in the query that it does not know
    # Blobs
    shares_blobs: bool = False  # a blob of one repository is a blob of all
    odd_digest: int = 400
    has_ranges: bool = True  # parts of blobs, and entity tags
    types_heads: bool = True  # HEAD of a blob says application/octet-stream
    deletes: bool = True
    sha512: int = 400  # a blob under a sha512 digest
    # Uploads
    takes_whole_posts: bool = True
    answers_status: bool = True  # GET of a session
    cancels: bool = True  # DELETE of a session
    has_state: bool = True  # Locations change with the offset, and carry a query
    binds_sessions: bool = True  # a session belongs to one repository
    no_digest: int = 400
    wrong_digest: int = 400
    after_a_wrong_digest: int = 404  # the true one, to a session that had its bytes in a PATCH
    ended_session: int = 404  # a PATCH or PUT to one
    unknown_session: int = 404
    unknown_session_code: str = "BLOB_UPLOAD_UNKNOWN"
    stale_patch: int = 416
    status_of_stale: int = 204
    checks_places: bool = True  # Content-Range is checked, and a gap or a false length refused
    keeps_cut_chunks: bool = True  # every byte of a PATCH that was cut
    takes_cut_puts: bool = False  # a cut PUT is committed if what came has the digest
    mounts: bool = True
    # Manifests
    needs_accept: bool = False  # without an Accept that names its type a manifest is 404
    locates_manifests_by_digest: bool = True
    checks_manifest_digests: bool = True
    missing_layer: int = 400
    checks_oci: bool = True  # OCI manifests are checked as docker's are
    checks_config: bool = True
    misstated_size: int = 201
    no_config_codes: tuple[str, ...] = ("MANIFEST_INVALID",)
    absent_foreign_layer: int = 201
    sha512_layer_code: str = "UNSUPPORTED"
    broken_manifest: int = 400  # what is no JSON, or no manifest
    checks_types: bool = True  # the manifest's type against the Content-Type
    limits_manifests: bool = True  # 4 MiB
    tags_by_query: bool = True  # `?tag=` beside a digest
    deletes_manifests: bool = True
    deletes_tags: bool = True
    # Lists
    pages_tags: bool = True
    knows_empty_repositories: bool = False  # a repository that nobody pushed to has no tags, instead of being unknown
    has_catalog: bool = True
    has_referrers: bool = True


EMBEDDED: Final = Facts()

# Debian's docker-registry, distribution 2.8.2.
DISTRIBUTION_2_8: Final = Facts(
    sha512=201,
    takes_whole_posts=False,
    after_a_wrong_digest=201,
    unknown_session_code="BLOB_UPLOAD_INVALID",  # it checks `_state` first, and it is missing there
    stale_patch=404,
    status_of_stale=404,
    checks_places=False,
    keeps_cut_chunks=False,
    needs_accept=True,  # OCI manifests are hidden from clients that don't ask for them
    no_config_codes=("DIGEST_INVALID", "MANIFEST_BLOB_UNKNOWN"),
    absent_foreign_layer=500,  # `validation.manifests.urls` allows no URL by default, and has no code for that
    sha512_layer_code="MANIFEST_BLOB_UNKNOWN",
    tags_by_query=False,
    deletes_tags=False,
    pages_tags=False,
    has_referrers=False,
)

# zuul-registry 1.3.0. Wherever it answers 500 it has met an exception.
ZUUL: Final = Facts(
    names_its_api=False,
    base={"version": "1.0"},
    speaks_errors=False,
    says_what_is_allowed=False,
    absolute_locations=False,
    checks_names=False,
    checks_parameters=True,
    shares_blobs=True,
    odd_digest=404,
    has_ranges=False,
    types_heads=False,
    deletes=False,
    sha512=500,
    takes_whole_posts=False,
    answers_status=False,
    cancels=False,
    has_state=False,
    binds_sessions=False,
    no_digest=404,
    wrong_digest=500,
    after_a_wrong_digest=201,
    ended_session=500,
    unknown_session=500,
    stale_patch=202,
    status_of_stale=404,
    checks_places=False,
    takes_cut_puts=True,
    mounts=False,
    needs_accept=True,
    locates_manifests_by_digest=False,
    checks_manifest_digests=False,
    checks_oci=False,
    checks_config=False,
    misstated_size=400,
    missing_layer=500,
    absent_foreign_layer=500,
    broken_manifest=500,
    checks_types=False,
    limits_manifests=False,
    tags_by_query=False,
    deletes_manifests=False,
    deletes_tags=False,
    pages_tags=False,
    knows_empty_repositories=True,
    has_catalog=False,
    has_referrers=False,
)


def facts_of(registry: Registry) -> Facts:
    """The facts of this registry."""
    match registry:
        case DockerRegistry():
            return DISTRIBUTION_2_8
        case ZuulRegistry():
            return ZUUL
        case _:
            return EMBEDDED
