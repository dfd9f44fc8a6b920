"""`Stores`: the stores of one copy. The only switch over the kinds of places."""

from __future__ import annotations

from contextlib import AsyncExitStack

from ..content.ollama.source import open_store
from ..errors import UsageError
from ..model import LocalReference, Reference
from ..model.place import ArchivePlace, LayoutPlace, OllamaPlace, Place, RegistryPlace
from ..registry.registries import Registries
from ..settings import Settings
from ..transfer.dry_run import CheckableTarget
from .sources import CopySource, OllamaSource, RepositorySource


class Stores:
    """Opens each store once. An async context manager: what was opened is closed at its end."""

    def __init__(self, settings: Settings, registries: Registries, held: AsyncExitStack) -> None:
        self._settings = settings
        self._registries = registries
        self._held = held

    def source(self, place: Place) -> CopySource:
        """What is read from. Raises `StoreNotFound`, `Unreadable`."""
        match place:
            case OllamaPlace(name):
                return OllamaSource(open_store(self._settings), name)
            case RegistryPlace(reference):
                return RepositorySource(self._registries.repository(reference), reference)
            case LayoutPlace() | ArchivePlace():
                raise UsageError("layouts are not copied yet", hint="copy between registries, or from a store")

    def target(self, reference: Reference | LocalReference) -> CheckableTarget:
        """What is written to."""
        if isinstance(reference, Reference):
            return self._registries.repository(reference)
        raise UsageError("only registries are copied to yet", hint="name one: registry:HOST/PATH:TAG")
