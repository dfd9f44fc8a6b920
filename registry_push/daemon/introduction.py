"""What the service reports when it starts: its models, its key, and its targets."""

from __future__ import annotations

from ..auth.identity import Identity, default_key_path
from ..content.ollama.source import open_store
from ..content.optional_files import is_there
from ..errors import RegistryPushError, StoreNotFound
from ..settings import Settings
from ..text.hint import Setting, step
from .targets import AllowedTargets


def check_store(settings: Settings) -> None:
    """Raise `StoreNotFound` or `Unreadable` if there is no store to push from."""
    try:
        open_store(settings)
    except StoreNotFound as error:
        hint = (
            step(f"{error.hint}; or ", Setting("wait_for_store"), " if it comes later")
            if error.hint
            else step(Setting("wait_for_store"))
        )
        raise StoreNotFound(error.message, hint=hint, url=error.url) from error


def introduced(settings: Settings, targets: AllowedTargets) -> str:
    """Return the line to report."""
    return f"pushing {_store(settings)}, signed in with {_key(settings)} and this user's logins, to {targets}"


def _store(settings: Settings) -> str:
    try:
        return f"the models in {open_store(settings).root}"
    except RegistryPushError:
        return "models, when their store is there"


def _key(settings: Settings) -> str:
    path = settings.key or default_key_path(settings.home)
    if path is None or (settings.key is None and not is_there(path)):
        return "no key"
    try:
        return f"the key {Identity.load(path).fingerprint} ({path})"
    except RegistryPushError as error:
        return f"no key ({error.message})"
