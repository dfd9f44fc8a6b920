"""The places of a plan: the folder that relative paths mean, and tables of hosts that none of them names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from msgspec.structs import replace

from ...events import Warned
from ...model.mapping import CopyTarget
from ...model.place import ArchivePlace, Below, CatalogPlace, Exactly, LayoutPlace, RegistryPlace, SourcePlace
from ...model.reference import DOCKER_HUB
from ...text.registry_hosts import compared
from .plan import Entry, SyncPlan
from .plan_text import PlanText

_PATHS: Final = ("ca_file", "cert", "key_file", "key", "authfile")
# These count for whatever is reached over TLS: also for servers that hand out tokens, which no entry names.
_ANYWHERE: Final = frozenset({"ca_file", "tls_verify", "system_certs"})

Hosts = Mapping[str, Mapping[str, Any]]


def folder_meant(entries: tuple[Entry, ...], hosts: Hosts, folder: Path | None) -> Path | None:
    """Return what relative paths of a plan are relative to, `folder` or the current one; None if it has none."""
    if not any(map(_is_relative, _paths(entries, hosts))):
        return None
    if folder is not None:
        return folder
    with suppress(OSError):  # it has been removed
        return Path.cwd()
    return None


def in_folder(plan: SyncPlan, folder: Path | None) -> SyncPlan:
    """Return `plan` with its relative paths in `folder`; as it is if that is the current one."""
    if folder is None or _is_here(folder):
        return plan
    entries = tuple(
        replace(
            entry, source=_placed(entry.source, folder), targets=tuple(_placed(each, folder) for each in entry.targets)
        )
        for entry in plan.entries
    )
    return replace(plan, entries=entries, hosts=hosts_in_folder(plan.hosts, folder))


def hosts_in_folder(hosts: Hosts, folder: Path | None) -> dict[str, dict[str, Any]]:
    """Return the tables with their relative paths in `folder`."""
    if folder is None or _is_here(folder):
        return {host: dict(table) for host, table in hosts.items()}
    return {
        host: {
            name: str(folder / value) if name in _PATHS and _is_relative(value) else value
            for name, value in table.items()
        }
        for host, table in hosts.items()
    }


def unnamed_hosts(plan: SyncPlan, text: PlanText) -> Iterator[Warned]:
    """Yield a warning for each table of a host that counts for no source and no target of `plan`."""
    named = {host: None for entry in plan.entries for host in _hosts_of(entry)}
    for host, table in plan.hosts.items():
        is_near = any(_name(host) == _name(each) for each in named)  # another port
        if _known_as(host) in map(_known_as, named) or (not is_near and table.keys() <= _ANYWHERE):
            continue
        hint = f"the port belongs to the name; the entries name {', '.join(sorted(named))}" if named else "remove it"
        yield Warned(f'{text.where("host", host)}: [host."{host}"] counts for no source and no target', hint)


def _is_here(folder: Path) -> bool:
    with suppress(OSError):
        return folder == Path.cwd()
    return False


def _is_relative(path: Any) -> bool:
    return isinstance(path, str) and not Path(path).is_absolute() and not path.startswith("~")


def _paths(entries: tuple[Entry, ...], hosts: Hosts) -> Iterator[Any]:
    for entry in entries:
        for place in (entry.source, *entry.targets):
            if isinstance(place, LayoutPlace | ArchivePlace):
                yield place.path
    for table in hosts.values():
        yield from (table[name] for name in _PATHS if name in table)


def _placed(place: Any, folder: Path) -> Any:
    if isinstance(place, LayoutPlace | ArchivePlace) and _is_relative(place.path):
        return replace(place, path=str(folder / place.path))
    return place


def _hosts_of(entry: Entry) -> Iterator[str]:
    for place in (entry.source, *entry.targets):
        if (host := _host_of(place)) is not None:
            yield host


def _host_of(place: SourcePlace | CopyTarget) -> str | None:
    match place:
        case CatalogPlace() | Below():
            return place.host
        case RegistryPlace(reference) | Exactly(reference):
            return reference.host
        case _:
            return None


def _known_as(host: str) -> str:
    host = compared(host)
    return "docker.io" if host in DOCKER_HUB else host


def _name(host: str) -> str:
    name, _, port = host.lower().rpartition(":")
    return name if name and port.isdigit() else host.lower()
