"""`Claims`: which tags at the targets the entries of a plan want, so that none is written twice or deleted by mistake.

Memory is about 100 bytes a tag.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from msgspec import Struct, field

from ...errors import NameCollision
from ...model import Digest, Reference
from ...transfer.job import AnyReference
from .naming import Coverage, coverage_of_reference
from .plan import Entry


class Claim(Struct):
    """A repository at a target: which entry wants which tag, and which entries write there, and from where."""

    reference: AnyReference
    tags: dict[str, tuple[int, str]] = field(default_factory=dict)  # each with its entry, and its name at the source
    entries: dict[int, tuple[Entry, str]] = field(default_factory=dict)
    left_out: list[Mapping[str, str]] = field(default_factory=list)  # why the plan does not want a tag of the source

    def why_unwanted(self, tag: str) -> str | None:
        """Return why the plan leaves out a tag that the source has; None if it has none."""
        reason = next((found for each in self.left_out if (found := each.get(tag)) is not None), None)
        return f"the plan leaves it out: {reason}" if reason is not None else None


class Held:
    """The manifests that a run has found wanted at its targets, by repository: none of them is deleted."""

    def __init__(self) -> None:
        self._digests: dict[Coverage, set[Digest]] = {}

    def add(self, reference: AnyReference, digests: Iterable[Digest]) -> None:
        """Note that the repository of `reference` has to have these manifests."""
        self._digests.setdefault(coverage_of_reference(reference), set()).update(digests)

    def at(self, reference: AnyReference) -> Collection[Digest]:
        """Return those in the repository of `reference`."""
        return self._digests.get(coverage_of_reference(reference), ())


class Claims:
    """All repositories that a run writes; and what it can't know, since a source was not listed."""

    def __init__(self) -> None:
        self._claims: dict[Coverage, Claim] = {}
        self._unknown: list[Coverage] = []  # prefixes
        self._unknown_one: set[Coverage] = set()
        self.broken: set[int] = set()  # entries of which something has failed

    def claim(self, entry: Entry, repository: str, name: str, reference: AnyReference) -> int | None:
        """Note that `entry` wants `reference`, which is `name` in the source's `repository`.

        Return the number of the entry, this or another one, that has claimed the same already. Raises `NameCollision`
        if an entry wants something else there.
        """
        claim = self._claims.setdefault(coverage_of_reference(reference), Claim(reference))
        claim.entries[entry.number] = (entry, repository)
        key = reference.tag or ""
        # Names that differ only in case are one name to an Ollama store.
        key = key if isinstance(reference, Reference) else key.lower()
        known = claim.tags.get(key)
        if known is None:
            claim.tags[key] = (entry.number, name)
            return None
        other, there = known
        if there != name:
            raise NameCollision(
                f"entry {other} of the plan puts {there} at {reference} already",
                hint="leave one of them out: by tags, by models, or by another target",
            )
        return other

    def explain(self, reference: AnyReference, left_out: Mapping[str, str]) -> None:
        """Note why tags are left out in the repository of `reference`, if it is claimed."""
        if (claim := self._claims.get(coverage_of_reference(reference))) is not None:
            claim.left_out.append(left_out)

    def miss(self, coverage: Sequence[Coverage]) -> None:
        """Note that it is not known what is wanted there, since a source could not be listed, or has nothing."""
        self._unknown += [each for each in coverage if each.below]
        self._unknown_one.update(each for each in coverage if not each.below)

    def known(self) -> Iterator[tuple[Coverage, Claim]]:
        """Yield the repositories for which all that is wanted is known, in the order of their names."""
        for coverage in sorted(self._claims, key=lambda each: (each.store, each.path)):
            if not self.is_unknown(coverage):
                yield coverage, self._claims[coverage]

    def is_unknown(self, coverage: Coverage) -> bool:
        """Return whether more may be wanted in this one repository."""
        return coverage in self._unknown_one or any(each.overlaps(coverage) for each in self._unknown)

    def is_claimed(self, coverage: Coverage) -> bool:
        """Return whether an entry writes this repository."""
        return coverage in self._claims


class Order:
    """Which entries have to wait for earlier ones, since both may write the same repository."""

    def __init__(self) -> None:
        self._exact: dict[Coverage, list[int]] = {}
        self._prefixes: list[tuple[Coverage, int]] = []

    def before(self, number: int, coverage: Sequence[Coverage]) -> set[int]:
        """Return the numbers of the entries that were added before and overlap with `coverage`, and add this one."""
        found: set[int] = set()
        for each in coverage:
            found |= {other for prefix, other in self._prefixes if prefix.overlaps(each)}
            if each.below:
                found |= {other for exact, others in self._exact.items() if each.overlaps(exact) for other in others}
                self._prefixes.append((each, number))
            else:
                found |= set(self._exact.get(each, ()))
                self._exact.setdefault(each, []).append(number)
        return found - {number}
