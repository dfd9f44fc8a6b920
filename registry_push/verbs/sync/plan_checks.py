"""What no plan may say: entries that read what they write, settings that are none of a run, backups without a name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from ...errors import InvalidSettings, UsageError
from ...model.mapping import CopyTarget
from ...model.place import Below, CatalogPlace, Exactly, RegistryPlace
from ...settings import HOST_FIELDS, Settings
from ...text.patterns import LazyPattern
from ..copy_request import names_several
from .naming import Coverage, coverage_of, store_of
from .plan import Backup, Entry

# Settings of the whole run that a plan can have: fields of `Settings`.
OF_RUN: Final = ("jobs", "bwlimit", "timeout", "retries", "retry_for", "ratelimit_min", "recheck", "mount", "verify")
_TAG: Final = LazyPattern(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}\Z")


def is_template(text: str) -> bool:
    """Return whether `text` makes a tag for a backup, of a short tag at least."""
    return bool(_TAG.compiled.match(Backup(text).tag("t", "2026-01-01", "000000")))


def check_run_settings(settings: Mapping[str, Any], hosts: Mapping[str, Mapping[str, Any]]) -> None:
    """Raise `InvalidSettings` for settings that a plan can't have."""
    for key in settings:
        if key not in OF_RUN:
            raise InvalidSettings("is no setting of a plan", setting=key)
    for host, table in hosts.items():
        for key in table:
            if key not in HOST_FIELDS:
                raise InvalidSettings("can't be set for a host", setting=key, host=host)
    replace(Settings(home=None), **settings, hosts=hosts)


def refusal(entry: Entry, target: CopyTarget) -> tuple[str, str] | None:
    """Return what is wrong if `target` is, or lies inside, the source of `entry`, and the next step.

    A part of a registry that leaves its own mirror out by `models` is fine.
    """
    if not isinstance(target, Below | Exactly):
        return None
    match entry.source:
        case CatalogPlace(host, prefix, scheme):
            source = Coverage(store_of(host, scheme), f"{prefix}/" if prefix else "", below=True)
            is_same = isinstance(target, Below) and not target.prefix and not entry.renaming.rules
            inside = coverage_of(target, None, entry.renaming)
            if isinstance(target, Below) and not entry.renaming.rules:
                inside = Coverage(inside.store, f"{inside.path}{source.path}", below=True)
            excludes = any(glob.startswith("!") for glob in entry.models)
            if inside.store != source.store:
                return None
            if is_same:
                return "is the source itself", "name another target, or rename"
            if not excludes and inside.path.startswith(source.path):
                hint = f'leave it out of the source: models = ["!{inside.path or "…/"}*"]'
                return "is inside the source, which would grow with each run", hint
        case RegistryPlace(reference) if names_several(entry.source):
            source = Coverage(store_of(reference.host, reference.scheme), reference.repository, below=False)
            try:
                to = coverage_of(target, reference.at(tag="latest"), entry.renaming)
            except UsageError:
                return None  # reported when it is the name's turn
            if to == source:
                return "is the source itself", "name another target"
        case _:
            pass
    return None
