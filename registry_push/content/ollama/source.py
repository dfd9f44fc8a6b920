"""`OllamaStore`: the folder where Ollama keeps models, read and never written."""

from __future__ import annotations

import errno
import io
import json
import os
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from ...errors import (
    BlobCorrupt,
    BlobMissing,
    InvalidName,
    ManifestCorrupt,
    ModelNotFound,
    NothingToPush,
    RegistryPushError,
    StrayFile,
    Unavailable,
    Unreadable,
)
from ...model import Descriptor, Digest, Manifest, ModelName
from ...model.manifest import MAX_MANIFEST_BYTES, ManifestEntry
from ...settings import Settings
from ...text.hint import Command, step
from ...text.user_part import without_login
from ..body import BytesBody, FileBody, hint_for_damaged, opened
from ..read_errors import Cause, cause_of, passes, read_error, unreadable
from ..threads import in_thread
from .names import Listing, StoredModel, closest, entries, is_stray, matching, named_paths
from .paths import check_is_store, find_root, kind_of, open_regular, read_bounded

# A config is a few hundred bytes; this bounds what a hostile one can make us parse.
_MAX_CONFIG: Final = 1024 * 1024
# Bytes. Smaller blobs are read when they are opened: what they cost is threads and system calls, not memory.
_READ_AT_ONCE: Final = 128 * 1024
# How many broken blobs one message names.
_SHOWN: Final = 3


class OllamaStore:
    """A `Source` of models by `ModelName`. Every method reads in a thread; cancelling one is safe.

    Links are followed inside the store only. `blobs` and the folders of manifests may themselves be links,
    as owners make them who keep blobs on a bigger disk; a single file linked out of the store is refused.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    async def listing(self) -> Listing:
        """All models, sorted, and what lies among the manifests without being one. Raises `Unreadable`."""
        return await in_thread(self.scan)

    async def models(self) -> list[StoredModel]:
        """All models, sorted as they are displayed. Raises `Unreadable`."""
        return list((await self.listing()).models)

    async def match(self, pattern: str) -> list[ModelName]:
        """The models whose short or full name matches the glob `pattern`, as `matching` says.

        Raises `ModelNotFound` where none does, `Unreadable`.
        """
        models = await self.models()
        found = matching(pattern, [model.name for model in models])
        if not found:
            raise self._not_found(pattern, (model.name for model in models))
        return found

    async def resolve(self, ref: ModelName) -> Manifest:
        """The manifest of `ref`, its bytes untouched: first by its exact name, then as Ollama compares, without case.

        Raises `ModelNotFound`, `ManifestCorrupt`, `Unreadable`.
        """
        return await in_thread(self.read_manifest, ref)

    async def open(self, blob: Descriptor) -> FileBody | BytesBody:
        """The body of `blob`; the caller closes it. A small one is read at once: one way to a thread in place of three.

        Raises `BlobMissing` where it is not there or no file of this store, `BlobCorrupt` where its size is wrong,
        `Unreadable`.
        """
        if blob.size <= _READ_AT_ONCE:
            return await in_thread(self._small_body, blob)
        file = await opened(lambda: self.open_blob(blob))
        return FileBody(file, name=f"{blob.kind} blob {blob.digest} ({file.name})")

    async def check(self, manifest: Manifest) -> None:
        """Looks at every blob of `manifest`, content unread, so that a push fails before it begins.

        Raises one error for all: `Unreadable`, else `BlobMissing`, else `BlobCorrupt`.
        """
        await in_thread(self.check_blobs, manifest)

    async def children(self, manifest: Manifest) -> tuple[Manifest, ...]:
        """The manifests that a list names, none where `manifest` is no list.

        Raises `BlobMissing`, `BlobCorrupt`, `ManifestCorrupt`, `Unreadable`, `Unavailable`.
        """
        return await in_thread(manifest.children, self.read_child)

    async def refuse_stub(self, manifest: Manifest, name: ModelName | None = None) -> None:
        """Raises `NothingToPush` for a cloud stub: a config that points to another host, and no weights."""
        await in_thread(self.check_stub, manifest, name)

    async def remote_of(self, manifest: Manifest) -> str | None:
        """Where a cloud stub's model runs; None for a model that is here."""
        return await in_thread(self.remote, manifest)

    # ── the same, without an event loop ───────────────────────────────────────────────────────────

    def scan(self) -> Listing:
        """As `listing`."""
        models: dict[tuple[str, ...], StoredModel] = {}
        problems: list[str] = []
        # First come, first served by exact name: Ollama reads manifests-v2 first, and writes new names only there.
        for name, path in entries(self.root, problems):
            try:
                _, status = self._inside(path)
            except PermissionError as error:
                raise unreadable(path) from error
            except OSError as error:
                if passes(error):  # to leave the model out would be to push some and call it all
                    raise read_error(error, "a manifest", path=path) from error
                problems.append(f"{path}: {_reason(error)}")
                continue
            models.setdefault(name.path_parts, StoredModel(name, path, status.st_size, status.st_mtime))
        return Listing.of(models.values(), problems)

    def read_manifest(self, name: ModelName) -> Manifest:
        """As `resolve`."""
        path = self._manifest_path(name)
        try:
            real, _ = self._inside(path)
            with open_regular(real) as file:
                raw = read_bounded(file, MAX_MANIFEST_BYTES)
        except OSError as error:
            raise self._manifest_error(name, path, error) from error
        except ValueError as error:
            raise ManifestCorrupt(f"the manifest of {name.short} can't be read: {path}: {error}") from error
        try:
            manifest = Manifest.parse(raw)
        except ManifestCorrupt as error:
            if is_stray(path.name, raw):
                raise StrayFile(f"{path} is a stray file, not a manifest") from error
            hint = f"the file is damaged; fetch the model again: ollama pull {name.short}"
            raise ManifestCorrupt(f"{name.short}: {error}", hint=hint) from error
        # A link into blobs/ promises its content by name, as entries of manifests-v2 do.
        if real.parent == self._real("blobs") and real.name.lower() != manifest.digest.path_name:
            raise ManifestCorrupt(f"the manifest of {name.short} is {manifest.digest}, its file {real.name}")
        return manifest

    def read_child(self, entry: ManifestEntry) -> bytes:
        """The bytes of a manifest that a list names: a blob of the store. Raises `BlobMissing`, `BlobCorrupt`,
        `Unreadable`, `Unavailable`."""
        blob = Descriptor(entry.media_type, entry.digest, entry.size or 0)
        path, _ = self._locate(blob)
        try:
            with open_regular(path) as file:
                return read_bounded(file, MAX_MANIFEST_BYTES)
        except OSError as error:
            raise self._unusable(blob, path, error) from error
        except ValueError as error:
            raise BlobCorrupt(f"the manifest {entry.digest} can't be read: {error}") from error

    def read_blob(self, blob: Descriptor) -> bytes:
        """All of a small blob; raises as `open`."""
        return self._small_body(blob).content

    def _small_body(self, blob: Descriptor) -> BytesBody:
        with self.open_blob(blob) as file:
            path = Path(file.name)
            try:
                content = file.read(blob.size + 1)
            except OSError as error:
                raise self._unusable(blob, path, error) from error
        self._check_size(blob, len(content), path)
        return BytesBody(content, path=path)

    def open_blob(self, blob: Descriptor) -> io.FileIO:
        """As `open`, but the bare file."""
        path, _ = self._locate(blob)
        try:
            file = open_regular(path)
        except OSError as error:
            raise self._unusable(blob, path, error) from error
        try:
            self._check_size(blob, os.fstat(file.fileno()).st_size, path)
        except OSError as error:
            file.close()
            raise self._unusable(blob, path, error) from error
        except BaseException:
            file.close()
            raise
        return file

    def check_blobs(self, manifest: Manifest) -> None:
        """As `check`."""
        missing: list[RegistryPushError] = []
        corrupt: list[RegistryPushError] = []
        for blob in manifest.blobs:
            try:
                path, status = self._locate(blob)
                if not os.access(path, os.R_OK):
                    raise unreadable(path)
                self._check_size(blob, status.st_size, path)
            except BlobMissing as error:
                missing.append(error)
            except BlobCorrupt as error:
                corrupt.append(error)
        broken = missing or corrupt
        if not broken:
            return
        if len(broken) == 1:
            raise broken[0]
        shown = "; ".join(error.message for error in broken[:_SHOWN]) + ("; …" if len(broken) > _SHOWN else "")
        what = "missing" if missing else "damaged"
        raise type(broken[0])(f"{len(broken)} of {len(manifest.blobs)} blobs are {what}: {shown}", hint=broken[0].hint)

    def check_stub(self, manifest: Manifest, name: ModelName | None = None) -> None:
        """As `refuse_stub`."""
        if remote := self.remote(manifest):
            raise NothingToPush(
                f"{name.short if name is not None else 'this model'} runs at {remote}; only a pointer to it is here",
                hint=step("push a model whose weights are on this machine: ", Command("list")),
            )

    def remote(self, manifest: Manifest) -> str | None:
        """Where a cloud stub's model runs; None for a model that is here.

        A config that is missing or no JSON is another check's business.
        """
        if any(layer.kind in ("model", "tensor") for layer in manifest.layers):
            return None
        config = self.read_config(manifest)
        remote = config.get("remote_host") or config.get("remote_model")
        return str(remote) if remote else None

    def read_config(self, manifest: Manifest) -> dict[str, Any]:
        """The fields of the model's config; none if there is no config that could be read.

        Raises `Unreadable`, and `Unavailable` if it may be readable later.
        """
        if manifest.config is None:
            return {}
        try:
            with self.open_blob(manifest.config) as file:
                config = json.loads(read_bounded(file, _MAX_CONFIG))
        except (Unreadable, Unavailable):
            raise
        except OSError as error:
            if passes(error):
                raise read_error(error, "the model's config") from error
            return {}
        except (RegistryPushError, ValueError, RecursionError):
            return {}
        return config if isinstance(config, dict) else {}

    # ── finding files ─────────────────────────────────────────────────────────────────────────────

    def _manifest_path(self, name: ModelName) -> Path:
        for path in named_paths(self.root, name):
            try:
                path.lstat()
            except (FileNotFoundError, NotADirectoryError):
                continue
            except OSError as error:
                raise self._manifest_error(name, path, error) from error
            return path
        models = self.scan().models
        alike = [model for model in models if model.name.same_as(name)]
        if len(alike) == 1:
            return alike[0].path
        if alike:
            both = " and ".join(model.name.short for model in alike)
            raise ModelNotFound(f"{name.short} could be {both}", hint="spell it as one of them")
        raise self._not_found(name.short, (model.name for model in models))

    def _not_found(self, wanted: str, names: Iterable[ModelName]) -> ModelNotFound:
        near = closest(wanted, names)
        hint = f"did you mean {' or '.join(near)}?" if near else step("see what is there: ", Command("list"))
        return ModelNotFound(f"no model {without_login(wanted)} in {self.root}", hint=hint)

    def _manifest_error(self, name: ModelName, path: Path, error: OSError) -> RegistryPushError:
        if error.errno is None or (cause_of(error.errno) is Cause.MISSING and path.is_symlink()):
            return ManifestCorrupt(f"the manifest of {name.short} can't be read: {path}: {_reason(error)}")
        what = f"the manifest of {name.short}"
        return read_error(error, what, path=path, damaged=ManifestCorrupt, missing=ModelNotFound)

    def _real(self, folder: str) -> Path:
        return Path(os.path.realpath(self.root / folder))

    def _inside(self, path: Path) -> tuple[Path, os.stat_result]:
        """The regular file that `path` is or links to. Raises `OSError` with the reason where there is none."""
        status = path.lstat()
        real = Path(os.path.realpath(path, strict=True))
        homes = (self._real("."), self._real("blobs"), self._real("manifests"), self._real("manifests-v2"))
        if not any(real.is_relative_to(home) for home in homes):
            raise OSError("is linked to a place outside the store")
        if stat.S_ISLNK(status.st_mode):
            status = real.lstat()
        if not stat.S_ISREG(status.st_mode):
            raise OSError(f"is {kind_of(status.st_mode)}, not a file")
        return real, status

    def _locate(self, blob: Descriptor) -> tuple[Path, os.stat_result]:
        for name in _file_names(blob.digest):
            path = self.root / "blobs" / name
            try:
                status = path.lstat()
                # Nearly all are plain files: one system call each, of thousands.
                return (path, status) if stat.S_ISREG(status.st_mode) else self._inside(path)
            except (FileNotFoundError, NotADirectoryError) as error:
                if path.is_symlink():
                    raise self._missing(blob, "is linked to what does not exist") from error
            except OSError as error:
                raise self._unusable(blob, path, error) from error
        raise self._missing(blob, "is not in the store")

    def _missing(self, blob: Descriptor, reason: str) -> BlobMissing:
        return BlobMissing(f"{blob.kind} blob {blob.digest} {reason}", hint=self._partial_hint(blob))

    def _unusable(self, blob: Descriptor, path: Path, error: OSError) -> RegistryPushError:
        if error.errno is None or cause_of(error.errno) is Cause.MISSING:
            return self._missing(blob, _reason(error))
        return read_error(error, f"{blob.kind} blob {blob.digest}", path=path)

    def _check_size(self, blob: Descriptor, size: int, path: Path) -> None:
        if size != blob.size:
            message = f"{blob.kind} blob {blob.digest} has {size} bytes, not {blob.size}"
            raise BlobCorrupt(message, hint=self._partial_hint(blob) or hint_for_damaged(path))

    def _partial_hint(self, blob: Descriptor) -> str | None:
        """The next step where a pull of this blob has begun and not ended, else None: the error's own."""
        if os.path.lexists(self.root / "blobs" / f"{blob.digest.path_name}-partial"):
            return "a pull of it is unfinished: let it end, or ollama pull NAME"
        return None


def open_store(settings: Settings) -> OllamaStore:
    """The Ollama store that the settings mean. Raises `StoreNotFound`, `Unreadable`."""
    root = find_root(settings.models, settings.environ.get("OLLAMA_MODELS"), settings.home)
    check_is_store(root)
    return OllamaStore(root)


def privacy_warnings(manifest: Manifest) -> list[str]:
    """A sentence for each `from` that tells where a file lay on its maker's machine; a push publishes it."""
    paths = dict.fromkeys(layer.from_model for layer in manifest.layers if _is_local_path(layer.from_model))
    return [f"the manifest tells a path of the machine it was made on: {path}" for path in paths]


def _is_local_path(value: str | None) -> bool:
    if value is None:
        return False
    if value.startswith(("/", "~", ".", "file:")) or "\\" in value or value[1:3] == ":/":
        return True
    try:
        ModelName.parse(value)
    except InvalidName:
        # What has a slash and is no model's name is a path with spaces and the like.
        return "/" in value
    return "/" in value and value.lower().endswith((".gguf", ".bin", ".safetensors"))


def _file_names(digest: Digest) -> tuple[str, ...]:
    # Written so today; by Ollama before 0.1.33; and by who kept the capitals of a digest in a manifest.
    upper = digest.hex.upper()
    return (digest.path_name, f"sha256:{digest.hex}", f"sha256-{upper}", f"sha256:{upper}")


def _reason(error: Exception) -> str:
    if not isinstance(error, OSError) or error.errno is None:
        return str(error)
    return "is a link that leads nowhere" if error.errno in (errno.ENOENT, errno.ELOOP) else os.strerror(error.errno)
