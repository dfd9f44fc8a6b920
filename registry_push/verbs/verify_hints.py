"""The commands that mend what a verification has found. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from ..errors import RegistryPushError
from ..model import LocalReference, ModelName, Reference
from ..model.broken_blob import BrokenBlob, Problem
from ..model.mapping import AnyName
from ..text.hint import Command, Hint, step


def for_blobs(name: AnyName, broken: Sequence[BrokenBlob], *, tried: bool) -> Hint:
    """Return what mends the `broken` blobs of `name`; `tried`: a repair has not mended them."""
    match name:
        case ModelName():
            source = "FROM" if tried else _registry_of(name)
            where = "" if source != "FROM" else ", where FROM is a place that has it whole"
            return step("mend it: ", Command(f"verify {shlex.quote(name.short)} --repair {source}"), where)
        case Reference():
            return _at_registry(name, broken)
        case LocalReference():
            return _in_layout(name, broken, tried=tried)


def for_manifest(name: AnyName) -> Hint:
    """Return what mends a manifest that is known by its name only."""
    if isinstance(name, ModelName):
        return step("mend it: ", Command(f"pull {shlex.quote(name.short)}"))
    return step("push the model there again: ", Command(f"copy PLACE registry:{name} --recheck"))


def _registry_of(name: ModelName) -> str:
    try:
        return f"registry:{Reference.for_model(name)}"
    except RegistryPushError:  # no registry could have it under this name
        return "FROM"


def _at_registry(name: Reference, broken: Sequence[BrokenBlob]) -> Hint:
    again = Command(f"copy PLACE registry:{name} --recheck")
    where = ", where PLACE has it whole"
    if all(each.problem is Problem.MISSING for each in broken):
        return step("send what is missing: ", again, where)
    # It would be found there by its digest, and not be sent.
    return step("have the damaged blobs removed from the registry's storage, and send them again: ", again, where)


def _in_layout(name: LocalReference, broken: Sequence[BrokenBlob], *, tried: bool) -> Hint:
    is_archive = name.repository.startswith("oci-archive:")
    if is_archive and any(each.problem in (Problem.MISSING, Problem.SIZE) for each in broken):
        return step("export it again, or copy it again from where it came: what an archive lacks can't be added to it")
    place = name.repository if name.digest is not None else str(name)
    another = "another place" if tried else "a place"
    return step(
        "mend it: ",
        Command(f"verify {shlex.quote(place)} --repair FROM"),
        f", where FROM is {another} that has it whole",
    )
