"""One tree of errors.

Every class has an exit code (the guide on exit codes lists them), an origin — the side that is at fault — and each
instance a next step for the person who reads it.
"""

from __future__ import annotations

from typing import Any, ClassVar

from .refused_errors import ForeignAddress as ForeignAddress  # 5: refused for good
from .refused_errors import ManifestRefused as ManifestRefused
from .refused_errors import NoCatalog as NoCatalog
from .refused_errors import NotARegistry as NotARegistry
from .refused_errors import PlanOutdated as PlanOutdated
from .refused_errors import ProtocolViolation as ProtocolViolation
from .refused_errors import Refused as Refused
from .refused_errors import TagTaken as TagTaken
from .refused_errors import TooManyDeletions as TooManyDeletions
from .root_error import Origin as Origin
from .root_error import RegistryPushError as RegistryPushError
from .root_error import unwrapped as unwrapped
from .text.hint import Command, Hint, Login, Setting, step
from .text.safe_text import printable as printable
from .text.safe_text import quoted as quoted
from .text.safe_text import redacted as redacted
from .usage_errors import InvalidDigest as InvalidDigest  # 2: usage
from .usage_errors import InvalidFilter as InvalidFilter
from .usage_errors import InvalidName as InvalidName
from .usage_errors import InvalidPlan as InvalidPlan
from .usage_errors import InvalidSettings as InvalidSettings
from .usage_errors import NameCollision as NameCollision
from .usage_errors import NameNotMappable as NameNotMappable
from .usage_errors import UnsupportedDigest as UnsupportedDigest
from .usage_errors import UsageError as UsageError

# ── 3: not at the source ──────────────────────────────────────────────────────────────────────────


class NotAtSource(RegistryPushError):
    """Something to be read is not there."""

    exit_code = 3
    origin = Origin.SOURCE


class StoreNotFound(NotAtSource):
    """There is no store where one was looked for."""

    default_hint = step("name the folder that holds blobs and manifests: ", Setting("models", "DIR"))


class ModelNotFound(NotAtSource):
    """The store is there, the model is not."""

    default_hint = step("see what is there: ", Command("list"))


class NothingToPush(NotAtSource):
    """The model is there but has no content that could be pushed (a cloud stub)."""

    default_hint = step("push a model that runs here; see which: ", Command("list"))


class BlobMissing(NotAtSource):
    """A manifest names a blob that the source does not hold."""

    default_hint = "fetch the model again on the machine it came from: ollama pull NAME"


class VolumeMissing(BlobMissing):
    """Volumes of an export were not given; `files` are their names. `part` is the one that is missing of a blob."""

    default_hint = "import them too; what is there is kept"

    def __init__(
        self, message: str, *, files: tuple[str, ...] = (), part: int = 0, hint: str | Hint | None = None
    ) -> None:
        super().__init__(message, hint=hint)
        self.files = files
        self.part = part


class NothingUnderWay(NotAtSource):
    """There is unfinished work, but none for the named targets."""

    origin = Origin.USER


class KeyNotFound(NotAtSource):
    """The file of a key, a certificate or logins that was named is not there."""

    default_hint = step("create one: ", Command("key create"))


# ── 4: not allowed ────────────────────────────────────────────────────────────────────────────────


class NotAllowed(RegistryPushError):
    """Permissions are missing, here or at the registry."""

    exit_code = 4
    origin = Origin.TARGET


class Unreadable(NotAllowed):
    """A store, a key or a file of logins is there, but this user may not read it."""

    origin = Origin.SOURCE
    default_hint = "run as the user who owns it, or have it made readable"


class Unwritable(NotAllowed):
    """A file that was named for writing may not be written by this user."""

    origin = Origin.LOCAL


class InvalidKey(NotAllowed):
    """The key file is no unencrypted OpenSSH ed25519 key."""

    origin = Origin.LOCAL
    default_hint = step("name another key: ", Setting("key", "FILE"), "; or create one: ", Command("key create"))


class NoIdentity(NotAllowed):
    """The registry wants a signature and there is no key to sign with."""

    default_hint = step("create a key: ", Command("key create"), "; then add its public half at the registry")


class Unauthorized(NotAllowed):
    """The registry wants credentials, or refuses those it got (HTTP 401)."""

    default_hint = step(
        "log in with: ", Login(), "; or give ", Setting("username", "NAME"), " ", Setting("password_stdin")
    )


class LoginWithheld(Unauthorized):
    """The registry wants credentials, and those found here may not be sent over http."""

    default_hint = step(
        "reach the registry by https; or, if its login may be sent in clear text: ", Setting("plain_http")
    )


class Denied(NotAllowed):
    """The registry knows who we are and says no (HTTP 403)."""

    default_hint = step(
        "check that this account may write there; to push under a name that is yours: ",
        Setting("to", "HOST/YOURNAME/MODEL:TAG"),
    )


class ForeignRealm(NotAllowed):
    """A registry asked for credentials to be sent where they don't belong."""

    default_hint = "nothing was sent there; ask the registry's owner where its token service is"


class ProxyRefused(NotAllowed):
    """The proxy on the way wants a login, takes no such login, or does not let through to this host."""


# ── 6: try again later ────────────────────────────────────────────────────────────────────────────


class Unavailable(RegistryPushError):
    """The registry or the line failed temporarily; acknowledged data is kept.

    `retry_after`: the seconds that the server asks to wait, if it does.
    """

    exit_code = 6
    origin = Origin.TARGET
    default_hint: ClassVar[str | Hint | None] = "run the same command again: what is already there is not sent twice"

    def __init__(
        self, message: str, *, hint: str | Hint | None = None, url: str | None = None, retry_after: float | None = None
    ) -> None:
        super().__init__(message, hint=hint, url=url)
        self.retry_after = retry_after


class ConnectionLost(Unavailable):
    """The connection could not be made, or broke."""


class TimedOut(Unavailable):
    """No byte moved for as long as `--timeout` allows."""


class RateLimited(Unavailable):
    """The registry answers "too many requests" (HTTP 429) to all of them, for longer than `--retry-for` allows."""

    default_hint = step(
        "wait, and run the same command again; or wait longer for the registry: ",
        Setting("retry_for", "1h"),
        "; many registries allow more to those who log in",
    )


class OutOfResources(Unavailable):
    """This machine or this process has no more files, memory or threads."""

    origin = Origin.LOCAL
    default_hint = step(
        "close other programs, or send fewer blobs at once: ", Setting("jobs", "2"), "; then run the same command again"
    )


class SourceUnavailable(Unavailable):
    """The source's disk or network file system does not respond at present."""

    origin = Origin.SOURCE
    default_hint = "check that the file system with the models is mounted and answers, then run the same command again"


class TLSFailed(Unavailable):
    """The server's certificate is not trusted, ours is not taken, or one side does not speak TLS."""

    default_hint = "see what the server says: openssl s_client -connect HOST:PORT"


# ── 7: integrity ──────────────────────────────────────────────────────────────────────────────────


class IntegrityError(RegistryPushError):
    """Content is not what its digest or size says."""

    exit_code = 7
    origin = Origin.SOURCE
    default_hint = "fetch the model again: ollama pull NAME"


class BlobCorrupt(IntegrityError):
    """A blob's bytes don't have its digest, or its file hasn't its size."""

    default_hint = "the file is damaged; remove it and fetch the model again: ollama pull NAME"


class ContentDamaged(IntegrityError):
    """Content that was verified is damaged or missing.

    `broken` are the blobs of one model (`BrokenBlob`); `report` is that of the whole run, which lists each model.
    """

    def __init__(
        self,
        message: str,
        *,
        hint: str | Hint | None = None,
        url: str | None = None,
        broken: tuple[Any, ...] = (),
        report: Any = None,
    ) -> None:
        super().__init__(message, hint=hint, url=url)
        self.broken = broken
        self.report = report


class SourceChanged(IntegrityError):
    """A file changed while it was read."""

    default_hint = "run the same command again when nothing writes to the store"


class ManifestCorrupt(IntegrityError):
    """Content that should be a manifest and is none."""


class UnsupportedManifest(ManifestCorrupt):
    """A manifest that may be sound, and names content by a digest of another algorithm than sha256."""

    exit_code = 2
    default_hint = UnsupportedDigest.default_hint


class ArchiveCorrupt(IntegrityError):
    """A tar file that is cut off or damaged, or has entries that no image layout has."""

    default_hint = "copy it again from where it came"


class StrayFile(ManifestCorrupt):
    """A file among the manifests that was never one, such as a file manager's or an editor's."""

    default_hint = "it is no model; remove the file, or leave it"


class JournalDamaged(IntegrityError):
    """The journal's database is damaged, so unfinished work is unknown."""

    origin = Origin.LOCAL
    default_hint = "run the pushes again: what the registries have is not sent twice"


class RemoteMismatch(IntegrityError):
    """The registry holds or confirmed other content than requested."""

    origin = Origin.TARGET
    default_hint = "run the same command again; if it ends so again, tell who runs the registry or the proxy before it"


# ── 8 and 130: a run of several; an interrupted one ───────────────────────────────────────────────


class SomeFailed(RegistryPushError):
    """Some of several models failed; `report` (a `Report`) lists each in `done` or `failed`."""

    exit_code = 8

    def __init__(self, message: str, *, hint: str | Hint | None = None, report: Any = None) -> None:
        super().__init__(message, hint=hint)
        self.report = report


class Interrupted(RegistryPushError):
    """Stopped by SIGINT or SIGTERM; sent data is kept if the registry keeps it."""

    exit_code = 130
    origin = Origin.USER
    default_hint = step("to resume, run the same command again, or: ", Command("resume"))
