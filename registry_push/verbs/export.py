"""Export: models into a file, volumes or a folder, to be carried where there is no network."""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import Sequence
from os.path import abspath
from pathlib import Path
from typing import Final

from msgspec import Struct

from ..content.oci.layout import OCILayout
from ..content.oci.layout_document import write_document
from ..content.oci.volume_plan import VolumePlan
from ..content.oci.volume_writer import VolumeWriter
from ..content.ollama.source import open_store
from ..content.optional_files import is_folder
from ..content.page_cache import forget
from ..content.threads import in_thread
from ..errors import Interrupted, UsageError, quoted
from ..events import Sink, ignore
from ..model.place import (
    PREFIXES,
    ArchivePlace,
    LayoutPlace,
    OllamaPlace,
    SourcePlace,
    after_prefix,
    parse_place,
    parse_source,
    spelt,
)
from ..settings import Settings
from ..state.copy_details import CopyDetails
from ..text.hint import Command, Setting, step
from ..transfer.report import Report
from .content_check import only_progress
from .copy import Variant, copy_each
from .copy_options import CopyOptions
from .selection import Selection, names_of
from .since import digests_since, since_path
from .stores import Writers
from .verify import verify

_TAR: Final = ".tar"
_COMPRESSED: Final = (".gz", ".tgz", ".zst", ".xz", ".bz2", ".zip", ".7z")


class Export(Struct, frozen=True):
    """How an export ended: the report, and what is in which file; None for a folder, or if nothing was planned."""

    report: Report
    plan: VolumePlan | None
    folder: Path


async def export(
    models: Sequence[str],
    to: str,
    *,
    every: bool = False,
    exclude: Sequence[str] = (),
    since: Sequence[str] = (),
    split: int | None = None,
    verify_medium: bool = False,
    referrers: str | None = None,
    dry_run: bool = False,
    settings: Settings | None = None,
    sink: Sink = ignore,
    stop: asyncio.Event | None = None,
) -> Export:
    """Export models of the local store, or from other places, to `to`: FILE.tar, or a folder.

    `since` are paths of inventories of the receiver, or of archives that it got before: blobs that it has are left out.
    With `split`, volumes of at most so many bytes are written; with `verify_medium`, all is read again at the end.
    Raises as `copy`; an archive appears with all models or not at all. Cancelling is safe: what is written is kept, and
    continued by the same export.
    """
    settings = settings or Settings()
    target = export_target(to, split)
    receiver = [since_path(text) for text in since]
    known = await digests_since(receiver)
    places = await _places(models, Selection(models, every, exclude), settings, sink)
    path = Path(target.path)
    archives: list[VolumeWriter] = []

    def archive(path: Path, stop: asyncio.Event) -> VolumeWriter:
        archives.append(VolumeWriter(path, split=split, elsewhere=known, stop=stop))
        return archives[-1]

    def layout(path: Path, stop: asyncio.Event) -> OCILayout:
        return OCILayout(path, elsewhere=known, stop=stop)

    options = CopyOptions.of((), referrers, None, target)
    details = CopyDetails(since=tuple(map(abspath, receiver)), split=split, verify_medium=verify_medium)
    variant = Variant("export", writers=Writers(layout, archive), details=details)
    report = await copy_each(
        places, target, options, variant=variant, dry_run=dry_run, settings=settings, sink=sink, stop=stop
    )
    if isinstance(target, LayoutPlace) and report.done and not dry_run:
        await write_document(OCILayout(path))
    if verify_medium and report.error is None and not dry_run:
        await _read_again(target, archives, settings, sink, stop)
    return Export(report, archives[0].plan if archives else None, path.parent if archives else path)


async def _read_again(
    target: ArchivePlace | LayoutPlace,
    archives: Sequence[VolumeWriter],
    settings: Settings,
    sink: Sink,
    stop: asyncio.Event | None,
) -> None:
    """Hash all that was written, from the medium and not from the system's memory.

    Raises `ContentDamaged`, `Interrupted`.
    """
    path = Path(target.path)
    files = [path.with_name(file.name) for archive in archives for file in archive.plan.files]
    await in_thread(forget, files or [path])
    place = spelt(target, str)
    try:
        report = await verify([place], settings=settings, sink=only_progress(sink, "verifying"), stop=stop)
    except Interrupted as error:  # the same export would find its own files in the way
        again = step("to read it again: ", Command(f"verify {shlex.quote(place)}"))
        raise Interrupted("stopped while the medium was read; all of it is written", hint=again) from error
    for failed in report.failed:
        failed.error.hint = "what was written is not what is on the medium: export to another disk"
        raise failed.error


def export_target(text: str, split: int | None = None) -> ArchivePlace | LayoutPlace:
    """Return where `text` says that an export goes. Raises `UsageError`."""
    if not text:  # a variable that is not set, in a script
        raise UsageError("export needs a file or a folder", hint=step("name one: ", Setting("to", "FILE.tar")))
    if text.startswith(("oci:", "oci-archive:")):
        place = parse_place(text)
        assert isinstance(place, ArchivePlace | LayoutPlace), "it has one of their prefixes"
        if place.ref is not None:
            raise UsageError(
                f"{quoted(text)} has a name for one manifest, and an export keeps the names",
                hint=step("leave it out: ", Setting("to", text.removesuffix(f":{place.ref}"))),
            )
        found: ArchivePlace | LayoutPlace = place
    elif after_prefix(text) is not None or "://" in text or text.startswith("ollama:"):
        raise UsageError(
            f"export writes files, and {quoted(text)} is none",
            hint=step("to write there without a disk between: ", Command("copy SRC DST")),
        )
    elif text.lower().endswith(_COMPRESSED):
        raise UsageError(
            f"{quoted(text)} would be compressed, and weights do not shrink", hint=step(Setting("to", "FILE.tar"))
        )
    elif text.lower().endswith(_TAR) and not text.endswith(_TAR):
        raise UsageError(
            f"{quoted(text)} has its ending in capitals", hint=step(Setting("to", f"{text[: -len(_TAR)]}{_TAR}"))
        )
    else:
        is_archive = text.endswith(_TAR) and not is_folder(Path(text))
        found = ArchivePlace(text, None) if is_archive else LayoutPlace(text, None)
    if split is not None and not (isinstance(found, ArchivePlace) and found.path.endswith(_TAR)):
        raise UsageError("--split makes volumes of an archive", hint=step("name one: ", Setting("to", "NAME.tar")))
    return found


async def _places(texts: Sequence[str], selection: Selection, settings: Settings, sink: Sink) -> list[SourcePlace]:
    """Return what is exported: places as they are written, and the models of the store that the others name."""
    other = [text for text in texts if text.startswith(PREFIXES) and not text.startswith("ollama:")]
    whole = any(text == "ollama:" for text in texts)
    local = [text for text in texts if text not in other and text != "ollama:"]
    places = [parse_source(text) for text in other]
    if not local and not selection.every and not whole:
        if not places:
            raise UsageError(
                "name the models to export, or give --all for every one",
                hint=step("see them: ", Command("list")),
            )
        return places
    store = open_store(settings)
    every = selection.every or whole
    if every and not local and not selection.exclude:
        return [*places, OllamaPlace(None)]
    wanted = Selection(local, every, selection.exclude)
    return [*places, *map(OllamaPlace, await names_of(store, wanted, sink))]
