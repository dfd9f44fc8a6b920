"""`Job`: what is copied where, decided in full before the first byte moves. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Generic, TypeVar

from msgspec import Struct

from ..errors import NameCollision, UsageError
from ..model import Descriptor, Digest, LocalReference, Manifest, ModelName, Reference
from ..model.name import DEFAULT_TAG
from ..model.place import Below, Destination
from ..text.hint import Setting, step

AnyReference = Reference | LocalReference
AnyName = ModelName | AnyReference
Name = TypeVar("Name", bound=AnyName, covariant=True)
Target = TypeVar("Target", bound=AnyReference, covariant=True)


class Referrer(Struct, frozen=True):
    """A manifest about another one; `ref`, its digest or a tag, to put it under; and the manifests that it lists."""

    manifest: Manifest
    ref: str
    children: tuple[Manifest, ...] = ()


class Job(Struct, Generic[Name, Target], frozen=True):
    """A model to copy: its name at the source, its manifest, and its references at the target.

    `references` are in one repository, one for each tag, the main one first. `children` are the manifests that
    `manifest` lists, if it is a list. `referrers` follow the manifest, each after its subject. `before` is what the
    target has under each tag, if it was asked just now.
    """

    name: Name
    manifest: Manifest
    references: tuple[Target, ...]
    children: tuple[Manifest, ...] = ()
    referrers: tuple[Referrer, ...] = ()
    before: Mapping[str, Digest | None] | None = None

    @property
    def called(self) -> str:
        """The model's name, for messages."""
        return self.name.short if isinstance(self.name, ModelName) else str(self.name)

    @property
    def in_ollama(self) -> str | None:
        """The model's name in Ollama; None if it is not from an Ollama store."""
        return self.called if isinstance(self.name, ModelName) else None

    @property
    def target(self) -> Target:
        """The target, with its main tag."""
        return self.references[0]

    @property
    def manifests(self) -> tuple[Manifest, ...]:
        """Every manifest that is put."""
        attached = (each for referrer in self.referrers for each in (referrer.manifest, *referrer.children))
        return (self.manifest, *self.children, *attached)

    @property
    def blobs(self) -> tuple[Descriptor, ...]:
        """Every blob of the model, each digest once."""
        unique = {blob.digest: blob for manifest in self.manifests for blob in manifest.blobs}
        return tuple(unique.values())

    @property
    def tags(self) -> dict[str, Digest]:
        """Every tag that is set, and its manifest."""
        named = {each.ref: each.manifest.digest for each in self.referrers if each.ref != str(each.manifest.digest)}
        return named | {reference.tag or "": self.manifest.digest for reference in self.references}

    @property
    def size(self) -> int:
        """Bytes of all blobs."""
        return sum(blob.size for blob in self.blobs)


class PartialJob(Job[Name, Target], frozen=True):
    """A model without the blobs `without`, whose manifest is not put therefore."""

    without: frozenset[Digest] = frozenset()

    @classmethod
    def of(cls, job: AnyJob, without: frozenset[Digest]) -> PartialJob[AnyName, AnyReference]:
        """Return `job` without these blobs."""
        return PartialJob(
            job.name, job.manifest, job.references, job.children, job.referrers, job.before, without=without
        )

    @property
    def blobs(self) -> tuple[Descriptor, ...]:
        """Every blob of the model but those."""
        return tuple(blob for blob in super().blobs if blob.digest not in self.without)


AnyJob = Job[AnyName, AnyReference]
PushJob = Job[ModelName, Reference]  # from the Ollama store to a registry


def targets_of(name: ModelName, to: Destination | None, tags: Sequence[str]) -> tuple[Reference, ...]:
    """Return the references for the model `name`: the main one, then one for each of `tags`.

    Without `to` it goes to the registry in its name. Raises `NameNotMappable`, `InvalidName`.
    """
    match to:
        case None:
            main = Reference.for_model(name)
        case Below():
            main = to.reference(name)
        case _:
            # A target without a tag keeps the model's own tag, which says what it is; `docker tag` would not.
            main = to.reference if to.reference.tag is not None else to.reference.at(tag=name.tag)
    if main.digest is not None:
        raise UsageError(f"{main} names a digest; a push needs a tag", hint=f"write …:{name.tag or DEFAULT_TAG}")
    main.check_writable()
    return (main, *(main.at(tag=tag) for tag in dict.fromkeys(tags) if tag != main.tag))


def check_tags(tags: Iterable[str]) -> None:
    """Raise `InvalidName` for a tag that no model can have."""
    for tag in tags:
        Reference("localhost", "any", tag)


def check_collisions(models: Iterable[tuple[ModelName, tuple[Reference, ...]]]) -> None:
    """Raise `NameCollision` if two models would get one name at the target."""
    taken: dict[Reference, ModelName] = {}
    for name, references in models:
        for reference in references:
            other = taken.setdefault(reference, name)
            if other != name:
                raise NameCollision(
                    f"{other.short} and {name.short} would both become {reference}",
                    hint=step(
                        "push them one by one, each with its own ",
                        Setting("to", "HOST/NS/MODEL:TAG"),
                        "; or leave one out: ",
                        Setting("exclude"),
                    ),
                )


def total(models: Iterable[AnyJob]) -> tuple[int, int]:
    """Return how many blobs there are and their bytes, each digest of a repository counted once."""
    unique: dict[tuple[str, str, Digest], int] = {}
    for model in models:
        for blob in model.blobs:
            unique[model.target.host, model.target.repository, blob.digest] = blob.size
    return len(unique), sum(unique.values())
