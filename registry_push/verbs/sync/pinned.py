"""Pinned plans: what a dry run has found to do, with digests, to be reviewed and then done exactly so."""

from __future__ import annotations

import json
from collections.abc import Sequence
from os.path import abspath
from pathlib import Path
from typing import Any, Final, Literal

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from ...errors import InvalidPlan, InvalidSettings, RegistryPushError, quoted
from ...events import Action, TagSettled
from ...model import Digest, LocalReference, ModelName, Reference
from ...model.mapping import AnyName, mapped, model_name, parse_copy_target
from ...model.place import (
    ArchivePlace,
    Exactly,
    LayoutPlace,
    OllamaPlace,
    RegistryPlace,
    parse_place,
    parse_source,
    spelt,
)
from ...transfer.job import AnyReference
from ..stores import Stores
from .deletion import Doomed
from .plan import Backup, Entry, OnExists, SyncPlan
from .plan_checks import check_run_settings, is_template
from .plan_text import read_plan_file
from .report import VERSION
from .tag_sync import Pinned, Work
from .totals import SyncReport

# Bytes. An operation has 500.
_MOST_BYTES: Final = 256 * 1024 * 1024
_ANEW: Final = "write the plan anew: registry-push sync PLAN.toml --dry-run --plan-out FILE"


class Operation(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One tag to copy or to delete. `before` is what the target has under it, None for no such tag.

    `manifest`: the deletion is one of the manifest, not only of the tag. `sources`: where the deleted tag must still be
    missing.
    """

    do: Literal["copy", "delete"]
    entry: int
    source: str = ""
    target: str
    digest: str
    before: str | None = None
    on_exists: OnExists = "update"
    backup: str | None = None
    referrers: str | None = None
    manifest: bool = False
    sources: tuple[str, ...] = ()


class PinnedPlan(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is to be done, tag by tag; `plan` is the file that it was made from, `settings` and `hosts` are its.

    It is not `complete` if something could not be found out.
    """

    version: int
    plan: str
    created: str
    complete: bool = True
    operations: list[Operation]
    settings: dict[str, Any] = {}
    hosts: dict[str, dict[str, Any]] = {}


class PinnedWork(Struct, frozen=True):
    """The work of a pinned plan."""

    copies: tuple[Work, ...]
    deletions: tuple[Doomed, ...]


def pinned_plan(
    plan: SyncPlan, settled: Sequence[tuple[TagSettled, Work | Doomed | None]], report: SyncReport
) -> PinnedPlan:
    """Return what a dry run of `plan` has found to do; each tag that is copied or deleted comes with its work."""
    found = [operation for each, work in settled if (operation := _operation(each, work)) is not None]
    operations = sorted(found, key=lambda each: (each.entry, each.do, each.source, each.target))
    return PinnedPlan(
        version=VERSION,
        plan=plan.path,
        created=report.started,
        complete=report.error is None,
        operations=operations,
        settings=plan.settings,
        hosts=plan.hosts,
    )


def _operation(settled: TagSettled, work: Work | Doomed | None) -> Operation | None:
    if settled.target is None:
        return None
    target = spelt(_place_at(settled.target), abspath)
    match settled.action:
        case Action.COPIED if isinstance(work, Work):
            entry = work.entry
            return Operation(
                do="copy",
                entry=entry.number,
                source=spelt(_place_of(work.name), abspath),
                target=target,
                digest=str(settled.digest),
                before=_text(settled.previous),
                on_exists=entry.on_exists,
                backup=entry.backup.template if entry.backup is not None else None,
                referrers=entry.referrers,
            )
        case Action.DELETED if isinstance(work, Doomed):
            return Operation(
                do="delete",
                entry=settled.entry,
                target=target,
                digest=str(settled.previous),
                manifest=settled.whole,
                sources=tuple(spelt(RegistryPlace(each), abspath) for each in work.sources),
            )
        case _:
            return None


def as_text(pinned: PinnedPlan) -> str:
    """Return the document, a line for each operation, so that two of them can be compared."""
    fields = msgspec.to_builtins(pinned)
    operations = [json.dumps(each, ensure_ascii=False) for each in fields.pop("operations")]
    head = json.dumps(fields, ensure_ascii=False, indent=1)
    listed = ",\n  ".join(operations)
    return f'{head.removesuffix("}").rstrip()},\n "operations": [\n  {listed}\n ]\n}}\n'


def read_pinned(path: Path) -> PinnedPlan:
    """Return the pinned plan in the file at `path`. Raises `NotAtSource`, `Unreadable`, `InvalidPlan`."""
    raw = read_plan_file(path, most=_MOST_BYTES)
    try:
        pinned = msgspec.json.decode(raw, type=PinnedPlan)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        hint = "name what --plan-out has written; a plan in TOML is given without --plan"
        raise InvalidPlan(f"{path} is no pinned plan: {error}", hint=hint) from error
    try:
        check_run_settings(pinned.settings, pinned.hosts)
    except InvalidSettings as error:
        raise InvalidPlan(f"{path}: {error.message}", hint=_ANEW) from error
    if pinned.version != VERSION:
        raise InvalidPlan(f"{path} has version {pinned.version}; this registry-push reads {VERSION}", hint=_ANEW)
    return pinned


def work_of(pinned: PinnedPlan, path: Path, stores: Stores, *, no_clobber: bool) -> PinnedWork:
    """Return the work. Raises `InvalidPlan` for an operation that is none."""
    copies, deletions, taken = [], [], set[str]()
    for number, operation in enumerate(pinned.operations, 1):
        try:
            _check(operation)
            if operation.target in taken:
                raise InvalidPlan(f"{operation.target} is named twice")
            taken.add(operation.target)
            if operation.do == "copy":
                copies.append(_work(operation, stores, no_clobber=no_clobber))
            else:
                target = parse_copy_target(operation.target)
                if not isinstance(target, Exactly) or target.reference.tag is None:
                    raise InvalidPlan(f"{operation.target} names no tag at a registry")
                deletions.append(_doomed(operation, target.reference))
        except RegistryPushError as error:
            raise InvalidPlan(f"{path}, operation {number}: {error.message}", hint=_ANEW) from error
    return PinnedWork(tuple(copies), tuple(deletions))


def _doomed(operation: Operation, reference: Reference) -> Doomed:
    sources = []
    for each in operation.sources:
        place = parse_source(each)
        if not isinstance(place, RegistryPlace) or place.reference.tag is None:
            raise InvalidPlan(f"{each} names no tag at a registry")
        sources.append(place.reference)
    return Doomed(
        operation.entry,
        reference,
        Digest.parse(operation.digest),
        by_digest=operation.manifest,
        why="the reviewed plan deletes it",
        sources=tuple(sources),
    )


def _check(operation: Operation) -> None:
    """Raise `InvalidPlan` for what `--plan-out` does not write."""
    if operation.entry < 1:
        raise InvalidPlan(f"{operation.entry} is no entry of a plan")
    if operation.referrers not in (None, "all", "none") and "/" not in (operation.referrers or ""):
        raise InvalidPlan(f"{quoted(operation.referrers or '')} is no kind of referrer")
    if operation.backup is not None and not is_template(operation.backup):
        raise InvalidPlan(f"{quoted(operation.backup)} makes no tag")


def _work(operation: Operation, stores: Stores, *, no_clobber: bool) -> Work:
    place = parse_source(operation.source)
    match place:
        case RegistryPlace(reference) if reference.tag is not None:
            name: AnyName = reference
        case OllamaPlace(ModelName() as model):
            name = model
        case LayoutPlace(path, str() as ref):
            name = LocalReference(f"oci:{path}", ref)
        case ArchivePlace(path, str() as ref):
            name = LocalReference(f"oci-archive:{path}", ref)
        case _:
            raise InvalidPlan(f"{operation.source} names no model")
    target = parse_copy_target(operation.target)
    if isinstance(target, ArchivePlace):
        raise InvalidPlan(f"{operation.target} is an archive, which can't be changed once it is written")
    entry = Entry(
        operation.entry,
        f"entry {operation.entry}",
        place,
        operation.source,
        (target,),
        on_exists="error" if no_clobber and operation.on_exists == "update" else operation.on_exists,
        backup=Backup(operation.backup) if operation.backup is not None else None,
        referrers=operation.referrers,
    )
    before = Digest.parse(operation.before) if operation.before is not None else None
    pinned = Pinned(Digest.parse(operation.digest), before)
    return Work(entry, stores.source(place), name, mapped(name, target).references[0], pinned)


def _place_of(name: AnyName) -> Any:
    match name:
        case ModelName():
            return OllamaPlace(name)
        case Reference():
            return RegistryPlace(name)
        case LocalReference():
            return _layout_or_archive(name)


def _place_at(reference: AnyReference) -> Any:
    if isinstance(reference, Reference):
        return Exactly(reference)
    if reference.repository.startswith("ollama:"):
        return OllamaPlace(model_name(reference))
    return _layout_or_archive(reference)


def _layout_or_archive(name: LocalReference) -> Any:
    place = parse_place(name.repository)
    return replace(place, ref=name.tag)


def _text(digest: Digest | None) -> str | None:
    return str(digest) if digest is not None else None
