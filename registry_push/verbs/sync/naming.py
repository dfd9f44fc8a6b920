"""Names of a plan: which its globs mean, and what they are called at the target. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from ...errors import InvalidName, UsageError
from ...model import LocalReference, ModelName, Reference
from ...model.mapping import AnyName, CopyTarget, mapped
from ...model.name import DEFAULT_TAG
from ...model.place import Below, Exactly, LayoutPlace, OllamaPlace
from ...model.reference import DOCKER_HUB
from ...model.renaming import Renaming
from ...transfer.job import AnyReference

_WILDCARDS: Final = "*?["


def repository_of(name: AnyName) -> str:
    """Return what is called so, without its tag; the names of one repository have this in common."""
    match name:
        case ModelName():
            return name.short.rpartition(":")[0]
        case Reference():
            return name.repository
        case LocalReference():
            path, colon, tag = (name.tag or "").rpartition(":")
            return path if colon and "/" not in tag else name.tag or ""


def tag_of(name: AnyName) -> str:
    """Return the tag, or what stands for it."""
    match name:
        case ModelName():
            return name.tag
        case Reference():
            return name.tag if name.tag is not None else str(name.digest)
        case LocalReference():
            _, colon, tag = (name.tag or "").rpartition(":")
            return tag if colon and "/" not in tag else DEFAULT_TAG


class ModelGlobs(Struct, frozen=True):
    """Globs on models or repositories; those with a `!` before them leave out. Compared without case.

    Each is matched with the whole path, and with what follows its last slash; with the tag, and, if the glob has no
    tag itself, without.
    """

    globs: tuple[str, ...] = ()

    @property
    def include(self) -> list[str]:
        """Those of which one has to match."""
        return [glob.lower() for glob in self.globs if not glob.startswith("!")]

    def may_match(self, repository: str) -> bool:
        """Return whether a name in `repository` may be meant: if not, its tags need not be listed."""
        spellings = list(_spellings(repository.lower()))
        if any(_matches(glob, spellings, None) for glob in self._left_out if ":" not in glob):
            return False
        return not self.include or any(_begins_alike(glob, each) for glob in self.include for each in spellings)

    def why_out(self, repository: str, tag: str) -> str | None:
        """Return why the name is left out; None if it is meant."""
        spellings, folded = list(_spellings(repository.lower())), tag.lower()
        if self.include and not any(_matches(glob, spellings, folded) for glob in self.include):
            return "matches none of models"
        for glob in self._left_out:
            if _matches(glob, spellings, folded):
                return f"left out by !{glob}"
        return None

    @property
    def _left_out(self) -> list[str]:
        return [glob[1:].lower() for glob in self.globs if glob.startswith("!")]


def _spellings(path: str) -> Iterator[str]:
    yield path
    if "/" in path:
        yield path.rpartition("/")[2]


def _matches(glob: str, spellings: Sequence[str], tag: str | None) -> bool:
    has_tag = ":" in glob.rpartition("/")[2]
    if not has_tag and any(fnmatchcase(each, glob) for each in spellings):
        return True
    return tag is not None and any(fnmatchcase(f"{each}:{tag}", glob) for each in spellings)


def _begins_alike(glob: str, spelling: str) -> bool:
    literal = glob
    for wildcard in _WILDCARDS:
        literal = literal.partition(wildcard)[0]
    literal = literal.partition(":")[0]
    return spelling.startswith(literal) if literal != glob else spelling == literal


def renamed(name: AnyName, renaming: Renaming) -> AnyName:
    """Return what `name` is called at its target. Raises `UsageError`, `InvalidName`."""
    match name:
        case _ if not renaming.rules:
            return name
        case ModelName():
            return renaming.renamed(name)
        case Reference():
            return Reference(
                name.host, _path_renamed(name.repository, renaming), name.tag, digest=name.digest, scheme=name.scheme
            )
        case LocalReference():
            path = _path_renamed(repository_of(name), renaming)
            return replace(name, tag=f"{path}:{tag_of(name)}")


def _path_renamed(path: str, renaming: Renaming) -> str:
    for rule in renaming.rules:
        changed = rule.applied(path)
        if changed is None:
            continue
        if not changed:
            raise InvalidName(f"rename makes nothing of {path}", hint="the replacement has to leave a name")
        return changed
    return path


def target_of(name: AnyName, renaming: Renaming, target: CopyTarget) -> AnyReference:
    """Return where `name` goes. Raises `UsageError`."""
    return mapped(renamed(name, renaming), target).references[0]


class Coverage(Struct, frozen=True):
    """The repositories of `store` that an entry may write: the one at `path`, or all `below` it."""

    store: str
    path: str
    below: bool

    def holds(self, store: str, path: str) -> bool:
        """Return whether the entry may write the repository at `path`."""
        return store == self.store and (path.startswith(self.path) if self.below else path == self.path)

    def overlaps(self, other: Coverage) -> bool:
        """Return whether two entries may write the same repository."""
        if self.below and other.below:
            near = self.path.startswith(other.path) or other.path.startswith(self.path)
            return near and self.store == other.store
        return other.holds(self.store, self.path) if other.below else self.holds(other.store, other.path)


def store_of(host: str, scheme: str | None) -> str:
    """Return the registry at `host` in one spelling: without the default port, and one name of Docker Hub's."""
    host = host.lower()
    if host in DOCKER_HUB:
        return "docker.io"
    return host.removesuffix(":80" if scheme == "http" else ":443")


def coverage_of(target: CopyTarget, name: AnyName | None, renaming: Renaming) -> Coverage:
    """Return what an entry may write at `target`; `name` is a name in the only repository that it reads, if so."""
    if name is not None:
        try:
            return coverage_of_reference(target_of(name, renaming, target))
        except UsageError:
            pass  # reported when it is the name's turn
    match target:
        case Below(host, prefix, scheme):
            return Coverage(store_of(host, scheme), f"{prefix}/" if prefix else "", below=True)
        case Exactly(reference):
            return coverage_of_reference(reference)
        case OllamaPlace():
            return Coverage("ollama:", "", below=True)
        case LayoutPlace(path):
            return Coverage(f"oci:{path}", "", below=True)
        case _:
            raise AssertionError("archives are refused before")


def coverage_of_reference(reference: AnyReference) -> Coverage:
    """Return the one repository in which `reference` is."""
    if isinstance(reference, Reference):
        return Coverage(store_of(reference.host, reference.scheme), reference.repository, below=False)
    kind, _, path = reference.repository.partition(":")
    if kind == "ollama":
        return Coverage("ollama:", path, below=False)
    return Coverage(reference.repository, repository_of(reference), below=False)
