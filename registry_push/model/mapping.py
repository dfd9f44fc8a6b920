"""Where a copy goes: what a model of one store is called in another. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from ..errors import InvalidName, NameNotMappable, UsageError, quoted
from .local_reference import LocalReference
from .name import DEFAULT_TAG, ModelName
from .place import (
    PATH_STARTS,
    ArchivePlace,
    Below,
    Destination,
    Exactly,
    LayoutPlace,
    OllamaPlace,
    RegistryPlace,
    parse_destination,
    parse_place,
)
from .reference import Reference

CopyTarget = Destination | OllamaPlace | LayoutPlace | ArchivePlace
AnyName = ModelName | Reference | LocalReference

_WHERE: Final = (
    "write ollama:NAME for the local store, registry:HOST/PATH or registry:HOST/ for a registry, oci:DIR or"
    " oci-archive:FILE.tar"
)


class Mapped(Struct, frozen=True):
    """What is called `name` at the source, and where it goes: the main reference first."""

    name: AnyName
    references: tuple[Reference | LocalReference, ...]


def parse_copy_target(text: str) -> CopyTarget:
    """Return the target of a copy that `text` spells. Raises `UsageError`.

    A name without a prefix is a registry's, as for `push`; but a single word could also be a folder.
    """
    if text.startswith(("ollama:", "oci:", "oci-archive:")):
        place = parse_place(text)
        assert not isinstance(place, RegistryPlace), "it has none of a registry's prefixes"
        return place
    if text.startswith(PATH_STARTS):
        parse_place(text)  # which says what to write
    try:
        target = parse_destination(text)
    except InvalidName as error:
        if "/" in text or text.endswith(":"):
            raise
        raise InvalidName(error.message, hint=_WHERE) from error
    if "/" not in text:
        raise InvalidName(f"{quoted(text)} could be a model, a folder or a host", hint=_WHERE)
    return target


def mapped(name: AnyName, target: CopyTarget, tags: Sequence[str] = ()) -> Mapped:
    """Return where `name` goes, and each of `tags` beside it.

    Raises `NameNotMappable`, `InvalidName`, `UsageError` with what to write instead.
    """
    main = _main(name, target)
    if isinstance(main, Reference):
        main.check_writable()
    return Mapped(name, (main, *(main.at(tag=tag) for tag in dict.fromkeys(tags) if tag != main.tag)))


def _main(name: AnyName, target: CopyTarget) -> Reference | LocalReference:
    match target:
        case Below():
            return _below(name, target)
        case Exactly(reference):
            if reference.digest is not None:
                raise UsageError(f"{reference} names a digest; a copy needs a tag", hint="write …:TAG")
            return reference if reference.tag is not None else reference.at(tag=_tag_of(name))
        case OllamaPlace(model):
            return local_reference(model if model is not None else _model_name(name))
        case LayoutPlace(path, ref):
            return LocalReference(f"oci:{path}", ref if ref is not None else _full_name(name))
        case ArchivePlace(path, ref):
            return LocalReference(f"oci-archive:{path}", ref if ref is not None else _full_name(name))


def local_reference(name: ModelName) -> LocalReference:
    """Return the reference of a model in the local store."""
    return LocalReference("ollama:" + name.short.removesuffix(f":{name.tag}"), name.tag)


def model_name(reference: LocalReference) -> ModelName:
    """Return the name of a model in the local store."""
    return ModelName.parse(f"{reference.repository.removeprefix('ollama:')}:{reference.tag or DEFAULT_TAG}")


def _below(name: AnyName, target: Below) -> Reference:
    match name:
        case ModelName():
            return target.reference(name)
        case Reference():
            prefix = f"{target.prefix}/" if target.prefix else ""
            return Reference(target.host, prefix + name.repository, _tag_of(name), scheme=target.scheme)
        case LocalReference():
            return target.reference(_listed_name(name, target))


def _listed_name(name: LocalReference, target: Below) -> ModelName:
    """Return the model's name that a layout's manifest has, to keep it below `target`. Raises `NameNotMappable`."""
    below = f"{target.host}/{target.prefix}/" if target.prefix else f"{target.host}/"
    try:
        return ModelName.parse(name.tag or "")
    except InvalidName as error:
        raise NameNotMappable(
            f"{quoted(str(name))} can't keep its name at {below}: {error.message}",
            hint=f"give it a name there: registry:{below}NAME:TAG",
        ) from error


def _tag_of(name: AnyName) -> str:
    match name:
        case ModelName():
            return name.tag
        case Reference():
            if name.tag is None:
                raise UsageError(
                    f"{name} has no tag to keep",
                    hint="name one at the target, as in HOST/PATH:TAG or oci:DIR:TAG; for pull, --as NAME:TAG",
                )
            return name.tag
        case LocalReference():
            tag = (name.tag or "").rpartition("/")[2]
            return tag.rpartition(":")[2] or DEFAULT_TAG


def _model_name(name: AnyName) -> ModelName:
    """Return the name under which Ollama stores it; a registry's name keeps its host, as after `ollama pull`."""
    if isinstance(name, ModelName):
        return name
    try:
        if isinstance(name, LocalReference):
            return ModelName.parse(name.tag or "")
        namespace, _, model = name.repository.partition("/")
        return ModelName(name.host, namespace, model, _tag_of(name), name.scheme or "https")
    except InvalidName as error:
        raise NameNotMappable(
            f"{quoted(str(name))} is no name for a model in an Ollama store: {error.message}",
            hint="give it a name: ollama:NAME[:TAG]",
        ) from error


def _full_name(name: AnyName) -> str:
    match name:
        case ModelName():
            return f"{name.host}/{name.namespace}/{name.model}:{name.tag}"
        case Reference():
            return f"{name.host}/{name.repository}:{_tag_of(name)}"
        case LocalReference():
            return name.tag or DEFAULT_TAG
