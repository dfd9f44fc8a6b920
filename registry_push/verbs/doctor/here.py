"""Checks of this machine: the store, the key, the folder of state and the configuration. They change nothing."""

from __future__ import annotations

import os
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path
from shlex import quote
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from ...auth.identity import Identity, default_key_path, mode_warning, public_path_of
from ...content.ollama.source import OllamaStore, open_store
from ...content.optional_files import is_there
from ...content.read_errors import owner_of, unreadable
from ...content.threads import in_thread
from ...content.write_errors import check_writable
from ...errors import (
    InvalidKey,
    KeyNotFound,
    NotAllowed,
    RegistryPushError,
    StoreNotFound,
    Unreadable,
)
from ...model import Manifest, ModelName
from ...settings import Settings
from ...state.journal import JOURNAL
from ...state.private_files import exposed
from ...text.hint import Command, step
from .finding import Finding, failed, ok, skipped, warn

_WHO_WANTS_IT: Final = "only Ollama's registry, and those that sign in as it does, want one"
# Models that a finding names.
_NAMED: Final = 3
# Bytes. The journal of a long push has some hundred kilobytes.
_LEAST_SPACE: Final = 50_000_000


class Misconfiguration(Struct, frozen=True):
    """What is wrong with config.toml; `unread`: the settings have nothing from it."""

    error: RegistryPushError
    unread: bool


class Here:
    """The checks of this machine for the user of `settings`.

    `proxy` is why the proxy can't be used, where no registry is examined. `wants_key`: a registry is known to sign in
    with a key; where none is, what is wrong with the key stops no push by itself.
    """

    def __init__(
        self,
        settings: Settings,
        config: Misconfiguration | None,
        proxy: RegistryPushError | None,
        *,
        wants_key: Callable[[], Awaitable[bool]],
    ) -> None:
        self._settings = settings
        self._config = config
        self._proxy = proxy
        self._wants_key = wants_key
        self._store: OllamaStore | None = None
        self._models: tuple[ModelName, ...] = ()
        self._problems: tuple[str, ...] = ()
        self._manifests: dict[ModelName, Manifest] = {}

    async def config_valid(self) -> Finding:
        """Return whether the configuration could be read, and the proxy that the environment names."""
        if self._config is not None:
            return failed(self._config.error, "the checks below are done without it" if self._config.unread else "")
        if self._proxy is not None:
            return failed(self._proxy)
        return ok("the configuration can be read")

    async def store_found(self) -> Finding:
        """Find the store as a push does."""
        is_named = self._settings.models is not None or bool(self._settings.environ.get("OLLAMA_MODELS"))
        try:
            self._store = await in_thread(open_store, self._settings)
        except StoreNotFound as error:
            if is_named:
                return failed(error)
            return warn("there is no Ollama store here", error.hint, "copies between registries and layouts need none")
        return ok(f"the store is {self._store.root}")

    async def store_readable(self) -> Finding:
        """List the models."""
        if self._store is None:
            return skipped("there is no store")
        listing = await self._store.listing()
        self._models = tuple(model.name for model in listing.models)
        self._problems = tuple(listing.problems)
        return ok(f"it has {len(self._models):,} model{'' if len(self._models) == 1 else 's'}")

    async def store_manifests(self) -> Finding:
        """Read every manifest."""
        if self._store is None:
            return skipped("there is no store")
        damaged: dict[str, RegistryPushError] = {}
        for name in self._models:
            try:
                self._manifests[name] = await self._store.resolve(name)
            except RegistryPushError as error:
                damaged[name.short] = error
        if refused := next((each for each in damaged.values() if isinstance(each, Unreadable)), None):
            return failed(refused)
        if damaged:
            first = next(iter(damaged.values()))
            return warn(f"{_some(damaged)} can't be pushed: {first.message}", first.hint)
        if self._problems:
            return warn(f"{len(self._problems)} files among the manifests are none", "see them: registry-push list",
                        self._problems[0])  # fmt: skip
        return ok("every manifest can be read")

    async def store_blobs(self) -> Finding:
        """Look at every blob's file; its content is not read."""
        if self._store is None:
            return skipped("there is no store")
        incomplete: dict[str, RegistryPushError] = {}
        for name, manifest in self._manifests.items():
            try:
                await self._store.check(manifest)
            except Unreadable as error:
                return failed(error)
            except RegistryPushError as error:
                incomplete[name.short] = error.of_model(name.short)
        if incomplete:
            first = next(iter(incomplete.values()))
            return warn(f"{_some(incomplete)} can't be pushed: {first.message}", first.hint)
        return ok("every blob is there, with its size", "their content is not hashed here")

    async def store_owner(self) -> Finding:
        """Tell whose the store is, and whether models can be pulled into it."""
        if self._store is None:
            return skipped("there is no store")
        root = self._store.root
        if os.access(root / "blobs", os.W_OK) or os.name != "posix":
            return ok("this user may read and write it")
        owner, _ = owner_of(root.stat())
        return ok(f"it belongs to {owner}, and this user may only read it", "enough to push; a pull needs to write")

    async def key_found(self) -> Finding:
        """Look for the key."""
        path = self._key
        if path is not None and await in_thread(os.path.lexists, path):
            return ok(f"the key is {path}")
        if self._settings.key is not None:
            return await self._about_key(
                KeyNotFound(
                    f"no key at {path}", hint=step("create one: ", Command(f"key create --key {quote(str(path))}"))
                )
            )
        return ok("there is no key", _WHO_WANTS_IT)

    async def key_mode(self) -> Finding:
        """Check who can read the key."""
        path = await self._present_key()
        if path is None:
            return skipped("there is no key")
        if not os.access(path, os.R_OK):
            return await self._about_key(unreadable(path, what="the key"))
        warning = mode_warning(path)
        if warning is not None:
            words, _, fix = warning.rpartition(": ")
            return warn(words, fix)
        return ok("nobody else can read it")

    async def key_pair(self) -> Finding:
        """Read the key, and compare its public half with the file beside it."""
        path = await self._present_key()
        if path is None:
            return skipped("there is no key")
        try:
            identity = await Identity.read(path)
        except RegistryPushError as error:
            return await self._about_key(error)
        public = public_path_of(path)
        if public.is_file() and (said := await in_thread(_first_words, public)) != identity.public_line:
            anew = f"ssh-keygen -y -f {quote(str(path))} >{quote(str(public))}"
            return await self._about_key(
                InvalidKey(
                    f"{public} is the public half of another key than {path}",
                    hint=f"write it anew: {anew}; and add that line to your account",
                ),
                f"the key's is {identity.public_line}, the file has {said}",
            )
        return ok("it is an ed25519 key without a passphrase", identity.fingerprint)

    async def state_writable(self) -> Finding:
        """Check that the journal of unfinished work can be kept."""
        folder = self._settings.state_dir
        if folder is None:
            return warn("nothing is noted to resume from", "set HOME, or give --state-dir DIR")
        try:
            await in_thread(check_writable, folder / JOURNAL)
        except NotAllowed as error:
            return warn(
                f"an interrupted push can't be resumed: {error.message}", "allow it, or name another: --state-dir DIR"
            )
        if folder.is_dir() and (open_to_all := await in_thread(exposed, folder)) is not None:
            return warn(f"others may replace what is in {open_to_all}", f"chmod go-w {open_to_all}")
        return ok(f"unfinished work is noted in {folder}")

    async def state_space(self) -> Finding:
        """Check that the journal's disk has room."""
        folder = self._settings.state_dir
        if folder is None:
            return skipped("there is no folder for it")
        while not is_there(folder) and folder != folder.parent:
            folder = folder.parent
        free = (await in_thread(shutil.disk_usage, folder)).free
        if free < _LEAST_SPACE:
            megabytes = free // 1_000_000
            return warn(f"the disk of {folder} has only {megabytes} MB left", "make room, or give --state-dir DIR")
        return ok("its disk has room", f"{free / 1e9:.1f} GB free")

    async def _about_key(self, error: RegistryPushError, evidence: str = "") -> Finding:
        if await self._wants_key():
            return failed(error, evidence)
        found = warn(error.message, error.hint, "; ".join(part for part in (evidence, _WHO_WANTS_IT) if part))
        return replace(found, blocks=True)

    @property
    def _key(self) -> Path | None:
        return self._settings.key or default_key_path(self._settings.home)

    async def _present_key(self) -> Path | None:
        path = self._key
        return path if path is not None and await in_thread(os.path.lexists, path) else None


def _some(models: dict[str, RegistryPushError]) -> str:
    names = list(models)
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")


def _first_words(path: Path) -> str:
    """Return the type and the key of a public half, without its comment."""
    with path.open(encoding="utf-8", errors="replace") as file:
        return " ".join(file.read(4096).split()[:2])
