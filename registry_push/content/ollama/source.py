"""`OllamaStore`: the folder where Ollama keeps models, read and never written."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

from ...errors import (
    InvalidName,
    ManifestCorrupt,
    ModelNotFound,
    NothingToPush,
    RegistryPushError,
    StrayFile,
    Unavailable,
    Unreadable,
    UnsupportedManifest,
)
from ...model import Descriptor, Manifest, ModelName
from ...model.manifest import MAX_MANIFEST_BYTES
from ...settings import Settings
from ...text.hint import Command, step
from ...text.user_part import without_login
from ..body import BytesBody, FileBody, opened
from ..read_errors import Cause, cause_of, passes, read_error, unreadable
from ..small_files import read_small_file
from ..threads import in_thread
from .blob_files import BlobFiles
from .names import Listing, StoredModel, closest, entries, is_stray, matching, named_paths
from .paths import check_is_store, find_root, inside, open_regular, read_bounded, real_folder, reason_of
from .small_reads import SmallReads

# A config is a few hundred bytes; this bounds what a hostile one can make us parse.
_MAX_CONFIG: Final = 1024 * 1024
# Bytes. Smaller blobs are read when they are opened: what they cost is system calls, not memory.
_READ_AT_ONCE: Final = 128 * 1024


class OllamaStore:
    """A `Source` of models by `ModelName`. Methods read in threads, but for what `SmallReads` does; cancelling is safe.

    Links are followed inside the store only. `blobs` and the folders of manifests may themselves be links to a bigger
    disk; a single file linked out of the store is refused.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.blobs = BlobFiles(root)
        self._small_reads = SmallReads()

    async def listing(self) -> Listing:
        """Return all models, sorted, and what lies among the manifests without being one. Raises `Unreadable`."""
        return await in_thread(self.scan)

    async def models(self) -> list[StoredModel]:
        """Return all models, sorted as they are displayed. Raises `Unreadable`."""
        return list((await self.listing()).models)

    async def match(self, pattern: str) -> list[ModelName]:
        """Return the models whose short or full name matches the glob `pattern`, as `matching` says.

        Raises `ModelNotFound` if none does, `Unreadable`.
        """
        models = await self.models()
        found = matching(pattern, [model.name for model in models])
        if not found:
            raise self._not_found(pattern, (model.name for model in models))
        return found

    async def resolve(self, ref: ModelName) -> Manifest:
        """Return the manifest of `ref`, by its exact name or else, as Ollama does, without regard to case.

        Raises `ModelNotFound`, `ManifestCorrupt`, `Unreadable`.
        """
        path, real = await in_thread(self._locate_manifest, ref)
        with self._explaining(ref, path):
            raw = await read_small_file(real, MAX_MANIFEST_BYTES)
        return self._parsed(ref, path, real, raw)

    async def open(self, blob: Descriptor) -> FileBody | BytesBody:
        """Return the body of `blob`; the caller closes it. A small one is read at once.

        Raises `BlobMissing` if it is not there or no file of this store, `BlobCorrupt` if its size is wrong,
        `Unreadable`.
        """
        if blob.size <= _READ_AT_ONCE:
            return await self._small_reads.run(partial(self.blobs.read, blob))
        file = await self._small_reads.run(partial(self.blobs.open, blob), elsewhere=opened)
        return FileBody(file, name=f"{blob.kind} blob {blob.digest} ({file.name})")

    async def check(self, manifest: Manifest) -> None:
        """Look at every blob of `manifest`, content unread, so that a push fails before it begins.

        Raises one error for all: `Unreadable`, else `BlobMissing`, else `BlobCorrupt`.
        """
        await in_thread(self.blobs.check, manifest)

    async def children(self, manifest: Manifest) -> tuple[Manifest, ...]:
        """Return the manifests that a list names, none if `manifest` is no list.

        Raises `BlobMissing`, `BlobCorrupt`, `ManifestCorrupt`, `Unreadable`, `Unavailable`.
        """
        return await in_thread(manifest.children, self.blobs.read_child)

    async def refuse_stub(self, manifest: Manifest, name: ModelName | None = None) -> None:
        """Raise `NothingToPush` for a cloud stub: a config that points to another host, and no weights."""
        await in_thread(self.check_stub, manifest, name)

    async def remote_of(self, manifest: Manifest) -> str | None:
        """Return where a cloud stub's model runs; None for a model that is here."""
        return await in_thread(self.remote, manifest)

    # ── the same, without an event loop ───────────────────────────────────────────────────────────

    def scan(self) -> Listing:
        """As `listing`."""
        models: dict[tuple[str, ...], StoredModel] = {}
        problems: list[str] = []
        # Of two files for one exact name the first counts: like Ollama, `entries` begins with manifests-v2.
        for name, path in entries(self.root, problems):
            try:
                _, status = inside(self.root, path)
            except PermissionError as error:
                raise unreadable(path) from error
            except OSError as error:
                if passes(error):  # leaving the model out would report a partial list as complete
                    raise read_error(error, "a manifest", path=path) from error
                problems.append(f"{path}: {reason_of(error)}")
                continue
            models.setdefault(name.path_parts, StoredModel(name, path, status.st_size, status.st_mtime))
        return Listing.of(models.values(), problems)

    def read_manifest(self, name: ModelName) -> Manifest:
        """As `resolve`."""
        path, real = self._locate_manifest(name)
        with self._explaining(name, path), open_regular(real) as file:
            raw = read_bounded(file, MAX_MANIFEST_BYTES)
        return self._parsed(name, path, real, raw)

    def _locate_manifest(self, name: ModelName) -> tuple[Path, Path]:
        """Return where the manifest's file is, and where it really is, if that is a link."""
        path = self._manifest_path(name)
        with self._explaining(name, path):
            real, _ = inside(self.root, path)
        return path, real

    @contextmanager
    def _explaining(self, name: ModelName, path: Path) -> Iterator[None]:
        """Raise what reading the manifest at `path` raises as our own errors."""
        try:
            yield
        except OSError as error:
            raise self._manifest_error(name, path, error) from error
        except ValueError as error:
            raise ManifestCorrupt(f"the manifest of {name.short} can't be read: {path}: {error}") from error

    def _parsed(self, name: ModelName, path: Path, real: Path, raw: bytes) -> Manifest:
        try:
            manifest = Manifest.parse(raw)
        except UnsupportedManifest as error:
            raise UnsupportedManifest(f"{name.short}: {error}") from error
        except ManifestCorrupt as error:
            if is_stray(path.name, raw):
                raise StrayFile(f"{path} is a stray file, not a manifest") from error
            hint = f"the file is damaged; fetch the model again: ollama pull {name.short}"
            raise ManifestCorrupt(f"{name.short}: {error}", hint=hint) from error
        # A link into blobs/ states the digest of its content, as entries of manifests-v2 do.
        if real.parent == real_folder(self.root, "blobs") and real.name.lower() != manifest.digest.path_name:
            raise ManifestCorrupt(f"the manifest of {name.short} is {manifest.digest}, its file {real.name}")
        return manifest

    def check_stub(self, manifest: Manifest, name: ModelName | None = None) -> None:
        """As `refuse_stub`."""
        if remote := self.remote(manifest):
            raise NothingToPush(
                f"{name.short if name is not None else 'this model'} runs at {remote}; only a pointer to it is here",
                hint=step("push a model whose weights are on this machine: ", Command("list")),
            )

    def remote(self, manifest: Manifest) -> str | None:
        """Return where a cloud stub's model runs; None for a model that is here.

        A missing or damaged config is left to other checks.
        """
        if any(layer.kind in ("model", "tensor") for layer in manifest.layers):
            return None
        config = self.read_config(manifest)
        remote = config.get("remote_host") or config.get("remote_model")
        return str(remote) if remote else None

    def read_config(self, manifest: Manifest) -> dict[str, Any]:
        """Return the fields of the model's config; none if there is no config that could be read.

        Raises `Unreadable`, and `Unavailable` if it may be readable later.
        """
        if manifest.config is None:
            return {}
        try:
            with self.blobs.open(manifest.config) as file:
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
            return ManifestCorrupt(f"the manifest of {name.short} can't be read: {path}: {reason_of(error)}")
        what = f"the manifest of {name.short}"
        return read_error(error, what, path=path, damaged=ManifestCorrupt, missing=ModelNotFound)


def open_store(settings: Settings) -> OllamaStore:
    """Return the Ollama store that the settings mean. Raises `StoreNotFound`, `Unreadable`."""
    root = find_root(settings.models, settings.environ.get("OLLAMA_MODELS"), settings.home)
    check_is_store(root)
    return OllamaStore(root)


def privacy_warnings(manifest: Manifest) -> list[str]:
    """Return a warning for each `from` that is a path on its maker's machine, which a push publishes."""
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
        # With a slash, and no model's name: a path with spaces or the like.
        return "/" in value
    return "/" in value and value.lower().endswith((".gguf", ".bin", ".safetensors"))
