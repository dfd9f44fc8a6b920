"""Where this user's files usually are: the home, the configuration, what is kept from one run to the next."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from .homes import home_folder, usual_home


def home_of(environ: Mapping[str, str], *, posix: bool) -> Path | None:
    """Return the user's home; None if there is none."""
    return home_folder(environ.get("HOME")) if posix else usual_home()


def usual_config() -> Path | None:
    """Return the configuration file that is read without `--config`; None for a user without a home."""
    from platformdirs import user_config_path

    folder = _ours(user_config_path)
    return None if folder is None else folder / "config.toml"


def usual_state() -> Path | None:
    """Return where uploads under way are noted without `--state-dir`; None for a user without a home."""
    from platformdirs import user_state_path

    return _ours(user_state_path)


def _ours(folder: Callable[..., Path]) -> Path | None:
    """Return our folder among those of platformdirs; None if it would be in a home and this user has none."""
    try:
        ours = folder("registry-push", appauthor=False)
    except RuntimeError:
        return None
    return ours if ours.is_absolute() else None  # versions before 4.14 leave the ~ where it was
