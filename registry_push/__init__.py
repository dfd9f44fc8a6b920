"""Push, pull and copy models between Ollama stores, OCI registries, layouts and archives, without Ollama.

    import registry_push as rp

    report = await rp.push("llama3.2:3b", to="registry.example.com/ml/")
    report = await rp.pull("registry.example.com/ml/llama3.2:3b")
    report = await rp.copy("ollama:", "oci:./models")
    report = rp.push_sync(["me/*"], to="localhost:5000/", settings=rp.Settings(jobs=4), sink=print)

They raise the errors that the command exits with (`rp.RegistryPushError` and its subclasses), use the same store, key
and logins as the command, and resume interrupted work.
"""

from __future__ import annotations

# Not imported from `typing`: this is the first module of the command, and until it handles Ctrl-C, every import is time
# in which Ctrl-C prints a traceback.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .api import (
        Import,
        Settings,
        VerifyReport,
        copy,
        copy_sync,
        export,
        export_sync,
        import_,
        import_sync,
        inventory,
        inventory_sync,
        open_store,
        pull,
        pull_sync,
        push,
        push_sync,
        transfer,
        verify,
        verify_sync,
    )
    from .content.base import BlobBody
    from .content.oci.layout import OCILayout
    from .content.ollama.source import OllamaStore
    from .errors import (
        ArchiveCorrupt,
        BlobCorrupt,
        BlobMissing,
        ConnectionLost,
        ContentDamaged,
        Denied,
        ForeignAddress,
        ForeignRealm,
        IntegrityError,
        Interrupted,
        InvalidDigest,
        InvalidKey,
        InvalidName,
        InvalidSettings,
        JournalDamaged,
        KeyNotFound,
        LoginWithheld,
        ManifestCorrupt,
        ManifestRefused,
        ModelNotFound,
        NameCollision,
        NameNotMappable,
        NoIdentity,
        NotAllowed,
        NotARegistry,
        NotAtSource,
        NothingToPush,
        NothingUnderWay,
        Origin,
        OutOfResources,
        ProtocolViolation,
        ProxyRefused,
        Refused,
        RegistryPushError,
        RemoteMismatch,
        SomeFailed,
        SourceChanged,
        SourceUnavailable,
        StoreNotFound,
        StrayFile,
        TagTaken,
        TimedOut,
        TLSFailed,
        Unauthorized,
        Unavailable,
        Unreadable,
        UnsupportedDigest,
        UnsupportedManifest,
        Unwritable,
        UsageError,
        VolumeMissing,
    )
    from .events import Event, ModelDone, ModelFailed, Sink
    from .model import Descriptor, Digest, Manifest, ModelName, Reference
    from .model.inventory import Inventory
    from .text.hint import Hint
    from .transfer.report import Report
    from .verbs.open_store import OpenStore
    from .version import __version__

# The module of each public name. Modules are imported on first use, so that the command starts fast.
_PLACES = {
    "Descriptor": "model",
    "Digest": "model",
    "Event": "events",
    "Manifest": "model",
    "ModelDone": "events",
    "ModelFailed": "events",
    "ModelName": "model",
    "OCILayout": "content.oci.layout",
    "OllamaStore": "content.ollama.source",
    "Origin": "errors",
    "Reference": "model",
    "Report": "api",  # not from its own module: importing that would make `transfer` the room of that name
    "Settings": "api",
    "Sink": "events",
    "BlobBody": "content.base",
    "Hint": "text.hint",
    "OpenStore": "api",
    "Inventory": "model.inventory",
    **dict.fromkeys(("copy", "copy_sync", "open_store", "pull", "pull_sync", "push", "push_sync", "transfer"), "api"),
    **dict.fromkeys(("inventory", "inventory_sync"), "api"),
    **dict.fromkeys(("VerifyReport", "verify", "verify_sync"), "api"),
    **dict.fromkeys(("Import", "export", "export_sync", "import_", "import_sync"), "api"),
    "__version__": "version",
    **dict.fromkeys(
        (
            "ArchiveCorrupt",
            "BlobCorrupt",
            "BlobMissing",
            "ConnectionLost",
            "ContentDamaged",
            "Denied",
            "ForeignAddress",
            "ForeignRealm",
            "IntegrityError",
            "Interrupted",
            "InvalidDigest",
            "InvalidKey",
            "InvalidName",
            "InvalidSettings",
            "JournalDamaged",
            "KeyNotFound",
            "LoginWithheld",
            "ManifestCorrupt",
            "ManifestRefused",
            "ModelNotFound",
            "NameCollision",
            "NameNotMappable",
            "NoIdentity",
            "NotARegistry",
            "NotAllowed",
            "NotAtSource",
            "NothingToPush",
            "NothingUnderWay",
            "OutOfResources",
            "ProtocolViolation",
            "ProxyRefused",
            "Refused",
            "RegistryPushError",
            "RemoteMismatch",
            "SomeFailed",
            "SourceChanged",
            "SourceUnavailable",
            "StoreNotFound",
            "StrayFile",
            "TagTaken",
            "Unwritable",
            "TLSFailed",
            "TimedOut",
            "Unauthorized",
            "Unavailable",
            "Unreadable",
            "UnsupportedDigest",
            "UnsupportedManifest",
            "UsageError",
            "VolumeMissing",
        ),
        "errors",
    ),
}


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_PLACES[name]}", __name__), name)


def __dir__() -> list[str]:
    return __all__


__all__ = [
    "ArchiveCorrupt",
    "BlobBody",
    "BlobCorrupt",
    "BlobMissing",
    "ConnectionLost",
    "ContentDamaged",
    "Denied",
    "Descriptor",
    "Digest",
    "Event",
    "ForeignAddress",
    "ForeignRealm",
    "Hint",
    "Import",
    "IntegrityError",
    "Interrupted",
    "InvalidDigest",
    "InvalidKey",
    "InvalidName",
    "InvalidSettings",
    "Inventory",
    "JournalDamaged",
    "KeyNotFound",
    "LoginWithheld",
    "Manifest",
    "ManifestCorrupt",
    "ManifestRefused",
    "ModelDone",
    "ModelFailed",
    "ModelName",
    "ModelNotFound",
    "NameCollision",
    "NameNotMappable",
    "NoIdentity",
    "NotARegistry",
    "NotAllowed",
    "NotAtSource",
    "NothingToPush",
    "NothingUnderWay",
    "OCILayout",
    "OllamaStore",
    "OpenStore",
    "Origin",
    "OutOfResources",
    "ProtocolViolation",
    "ProxyRefused",
    "Reference",
    "Refused",
    "RegistryPushError",
    "RemoteMismatch",
    "Report",
    "Settings",
    "Sink",
    "SomeFailed",
    "SourceChanged",
    "SourceUnavailable",
    "StoreNotFound",
    "StrayFile",
    "TLSFailed",
    "TagTaken",
    "TimedOut",
    "Unauthorized",
    "Unavailable",
    "Unreadable",
    "UnsupportedDigest",
    "UnsupportedManifest",
    "Unwritable",
    "UsageError",
    "VerifyReport",
    "VolumeMissing",
    "__version__",
    "copy",
    "copy_sync",
    "export",
    "export_sync",
    "import_",
    "import_sync",
    "inventory",
    "inventory_sync",
    "open_store",
    "pull",
    "pull_sync",
    "push",
    "push_sync",
    "transfer",
    "verify",
    "verify_sync",
]
