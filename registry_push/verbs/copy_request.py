"""What is wrong with a copy as it was written, found before anything is asked: a password, or a registry."""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import UsageError, quoted
from ..model import ModelName, Reference
from ..model.mapping import CopyTarget, parse_copy_target
from ..model.name import DEFAULT_TAG
from ..model.place import (
    ArchivePlace,
    Below,
    CatalogPlace,
    Exactly,
    LayoutPlace,
    OllamaPlace,
    RegistryPlace,
    SourcePlace,
    parse_readable,
    parse_source,
)
from ..model.tag_filter import TagFilter
from ..text.hint import Login, Setting, step
from .copy_options import CopyOptions


def check_copy(
    source: str,
    target: str,
    *,
    tags: Sequence[str],
    referrers: str | None,
    required: str | None,
    tag_filter: TagFilter | None,
    username: str | None,
) -> None:
    """Raise `UsageError` for what can't be copied as it is written."""
    to, place = parse_copy_target(target), parse_source(source)
    CopyOptions.of(tags, referrers, required, to)
    check_tag_filter(tag_filter, place, source)
    check_places(username, [place], to)


def names_several(place: SourcePlace) -> bool:
    """Return whether the place can have several tags: a registry, a repository, a layout, an archive or a store."""
    match place:
        case CatalogPlace():
            return True
        case RegistryPlace(reference):
            return reference.tag is None and reference.digest is None
        case OllamaPlace(name):
            return name is None
        case LayoutPlace(_, ref) | ArchivePlace(_, ref):
            return ref is None


def check_tag_filter(tag_filter: TagFilter | None, place: SourcePlace, source: str) -> None:
    """Raise `UsageError` if `place`, written as `source`, has no tags to filter, or the filter is not for a copy."""
    if tag_filter is None or tag_filter == TagFilter():
        return
    if not names_several(place):
        raise UsageError(
            f"filters of tags are for several, and {quoted(source)} names one manifest",
            hint="name a repository, a layout or a whole store (ollama:), or leave the filters out",
        )
    if tag_filter.immutable:
        raise UsageError("a copy has no immutable tags", hint=step("to replace no tag: ", Setting("no_clobber")))


def check_pull(names: Sequence[str], name: str | None, *, username: str | None) -> None:
    """Raise `UsageError` for what can't be pulled as it is written."""
    check_places(username, pulled_from(names), pulled_to(names, name))


def pulled_to(names: Sequence[str], name: str | None) -> OllamaPlace:
    """Return where `names` are pulled to, under the local `name` if there is one. Raises `UsageError`."""
    if name is not None and len(names) != 1:
        raise UsageError("--as names one model, and several are pulled", hint="pull them one by one")
    return OllamaPlace(ModelName.parse(name) if name is not None else None)


def pulled_from(names: Sequence[str]) -> list[RegistryPlace]:
    """Return what `names` name at registries. Raises `UsageError`."""
    return [RegistryPlace(_reference(text)) for text in names]


def _reference(text: str) -> Reference:
    place = parse_readable(text)
    match place:
        case RegistryPlace(reference):
            found = reference
        case OllamaPlace(ModelName() as model) if not text.startswith("ollama:"):
            found = Reference.to_read(model)
        case _:
            raise UsageError(
                "pull reads from a registry", hint="copy reads from everything: registry-push copy SRC DST"
            )
    return found if found.tag is not None or found.digest is not None else found.at(tag=DEFAULT_TAG)


def check_places(username: str | None, places: Sequence[SourcePlace], to: CopyTarget) -> None:
    """Raise `UsageError` if the login of `username` would be shown to two registries, or a registry were to become one
    repository or model."""
    hosts = {place.reference.host for place in places if isinstance(place, RegistryPlace)}
    hosts |= {place.host for place in places if isinstance(place, CatalogPlace)}
    if isinstance(to, Below | Exactly):
        hosts.add(to.host if isinstance(to, Below) else to.reference.host)
    if username is not None and len(hosts) > 1:
        raise UsageError(
            f"--username is one registry's login, and {' and '.join(sorted(hosts))} are asked",
            hint=step("log in to each of them: ", Login()),
        )
    for place in places:
        if isinstance(place, CatalogPlace) and (isinstance(to, Exactly) or names_one_model(to)):
            raise UsageError(
                f"registry:{place} is all repositories there, which can't become one",
                hint="to keep their names, end the target with a slash (HOST/PATH/), or name a store: ollama:, oci:DIR",
            )


def names_one_model(to: CopyTarget) -> bool:
    """Return whether `to` has room for one model only."""
    match to:
        case Below():
            return False
        case Exactly(reference):
            return reference.tag is not None
        case OllamaPlace(name):
            return name is not None
        case LayoutPlace(_, ref) | ArchivePlace(_, ref):
            return ref is not None
