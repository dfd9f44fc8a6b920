"""`SyncRecord`: a sync that has begun and not ended."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final, Self

from msgspec import Struct

from ..model import HTTPOrigin
from ..settings import Settings
from .kept_options import Kept, is_path, kept_of, read_kept, with_kept

_VERB: Final = "sync"
_SWITCHES: Final = ("pinned", "delete", "fail_fast")


class SyncRecord(Struct, frozen=True):
    """The plan in the file `plan`, and how it is carried out, as `SyncOptions`; `options` are fields of `Settings`.

    `pinned`: the file was written by `--plan-out`. `folder`: where the plan's relative paths are; None if it has none.
    """

    plan: str
    store: str
    options: Kept
    pinned: bool = False
    delete: bool = False
    max_delete: int | None = None
    fail_fast: bool = False
    folder: str | None = None

    @classmethod
    def of(
        cls,
        plan: Path,
        store: Path,
        settings: Settings,
        *,
        pinned: bool,
        delete: bool,
        max_delete: int | None,
        fail_fast: bool,
        folder: Path | None = None,
    ) -> Self:
        """Record that `plan` is carried out."""
        return cls(
            str(plan.absolute()),
            str(store.absolute()),
            kept_of(settings),
            pinned,
            delete,
            max_delete,
            fail_fast,
            str(folder.absolute()) if folder is not None else None,
        )

    @property
    def short(self) -> str:
        """What is carried out, for messages."""
        return self.plan

    @property
    def target(self) -> str:
        """What `resume` knows it by: a plan has many targets."""
        return self.plan

    @property
    def sources(self) -> tuple[str, ...]:
        """The same."""
        return (self.plan,)

    @property
    def origin(self) -> HTTPOrigin | None:
        """The registry that is written to: a plan may have many."""
        return None

    @property
    def text(self) -> str:
        """The record as the journal stores it."""
        switches = dict.fromkeys((name for name in _SWITCHES if getattr(self, name)), True)
        fields = [self.plan, self.store, dict(self.options), switches, self.max_delete]
        return json.dumps({_VERB: fields if self.folder is None else [*fields, self.folder]})

    @classmethod
    def read(cls, text: object) -> Self | None:
        """Return the record in `text`; None if it is none: another version or a damaged disk may have written it."""
        try:
            [(verb, (plan, store, options, switches, max_delete, *folder))] = json.loads(str(text)).items()
            if verb != _VERB or not is_path(plan) or not is_path(store) or not _are_switches(switches):
                return None
            if not (max_delete is None or (type(max_delete) is int and max_delete >= 0)):
                return None
            if len(folder) > 1 or not all(map(is_path, folder)):  # the first versions wrote none
                return None
            kept = read_kept(options)
            if kept is None:
                return None
            return cls(plan, store, kept, max_delete=max_delete, folder=folder[0] if folder else None, **switches)
        except (ValueError, TypeError, AttributeError, RecursionError):
            return None

    def settings(self, base: Settings) -> Settings:
        """Return `base` with the command's store and the way it reached registries. Raises `InvalidSettings`."""
        return with_kept(base, self.options, models=Path(self.store))


def _are_switches(value: Any) -> bool:
    return isinstance(value, dict) and value.keys() <= {*_SWITCHES} and all(each is True for each in value.values())
