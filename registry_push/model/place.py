"""Places: how a user writes where content is, and where it should go."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from msgspec import Struct

from ..errors import InvalidName, UsageError, quoted
from ..text.hint import Command, Setting, step
from ..text.patterns import LazyPattern
from ..text.user_part import without_login
from .name import DEFAULT_HOST, ModelName
from .origin import HTTPOrigin
from .reference import Reference, looks_like_host

_REGISTRY_PREFIXES: Final = ("registry:", "docker://")
_PORT: Final = LazyPattern(r"[0-9]{1,5}(?:/|\Z)")
LAYOUT_PREFIXES: Final = ("oci:", "oci-archive:")
PREFIXES: Final = (*_REGISTRY_PREFIXES, "ollama:", *LAYOUT_PREFIXES)
# containers-transports(5); those that we have are above.
_SKOPEO_S: Final = ("containers-storage", "docker-archive", "docker-daemon", "ostree", "sif")
# What begins so is a path, which no place is without a prefix.
PATH_STARTS: Final = ("/", "./", "../", "~/")
_ARCHIVE: Final = "oci-archive:FILE.tar[:REF]"
_TAR: Final = ".tar"


class OllamaPlace(Struct, frozen=True):
    """A model in the local store; `name` None: the whole store."""

    name: ModelName | None


class RegistryPlace(Struct, frozen=True):
    """A repository at a registry, with its tag if one is written."""

    reference: Reference


class CatalogPlace(Struct, frozen=True):
    """All repositories of a registry, or, with a `prefix`, those below it."""

    host: str
    prefix: str
    scheme: str | None

    @property
    def inside(self) -> Reference:
        """A repository at the same registry that need not exist."""
        return Reference(self.host, "library/model", scheme=self.scheme)  # a name that every registry allows

    def __str__(self) -> str:
        return _below_spelt(self.host, self.prefix, self.scheme)


class LayoutPlace(Struct, frozen=True):
    """An OCI image layout in a folder; `ref` None: all that is in it."""

    path: str
    ref: str | None


class ArchivePlace(Struct, frozen=True):
    """An OCI image layout in a tar file; `ref` None: all that is in it."""

    path: str
    ref: str | None


Place = OllamaPlace | RegistryPlace | LayoutPlace | ArchivePlace
SourcePlace = Place | CatalogPlace


class Below(Struct, frozen=True):
    """A target that ends in `/`: models keep their names below it."""

    host: str
    prefix: str
    scheme: str | None

    def origin(self, *, plain_http: bool) -> HTTPOrigin:
        """Return the registry's origin; see `Reference.origin`."""
        return Reference(self.host, self.prefix or "any", scheme=self.scheme).origin(plain_http=plain_http)

    def reference(self, name: ModelName) -> Reference:
        """Return where `name` goes. Raises `NameNotMappable`."""
        return Reference.below(self.host, self.prefix, name, scheme=self.scheme)


class Exactly(Struct, frozen=True):
    """A target that names one repository; `reference.tag` is None if none is written."""

    reference: Reference


Destination = Below | Exactly


def _below_spelt(host: str, prefix: str, scheme: str | None) -> str:
    return f"{f'{scheme}://' if scheme else ''}{host}/{f'{prefix}/' if prefix else ''}"


def spelt(place: SourcePlace | Destination, absolute: Callable[[str], str]) -> str:
    """Return `place` as a user would write it in any folder of this machine; `absolute` makes a path absolute."""
    match place:
        case OllamaPlace(name):
            return f"ollama:{name if name is not None else ''}"
        case RegistryPlace(reference) | Exactly(reference):
            return f"registry:{reference}"
        case Below(host, prefix, scheme) | CatalogPlace(host, prefix, scheme):
            return f"registry:{_below_spelt(host, prefix, scheme)}"
        case LayoutPlace(path, ref):
            return f"oci:{_layout_spelt(absolute(path), ref)}"
        case ArchivePlace(path, ref):
            file = absolute(path)
            return f"oci-archive:{_layout_spelt(file, ref) if ref is not None or ':' in file else file}"


def after_prefix(text: str) -> str | None:
    """Return what follows `registry:` or `docker://`; None if `text` begins with neither.

    `registry:5000/me/model` has no prefix: its host is called `registry`, as most Compose files call it.
    """
    for prefix in _REGISTRY_PREFIXES:
        if text.startswith(prefix) and not (prefix == "registry:" and _PORT.compiled.match(text, len(prefix))):
            return text.removeprefix(prefix)
    return None


def parse_place(text: str) -> Place:
    """Return the place that `text` spells; a bare name is a model in the local store. Raises `UsageError`."""
    if text == "ollama:":
        return OllamaPlace(None)
    if text.startswith("ollama:"):
        return OllamaPlace(ModelName.parse(text.removeprefix("ollama:")))
    if (named := after_prefix(text)) is not None:
        return RegistryPlace(_readable(named, text))
    if text.startswith("oci:"):
        return LayoutPlace(*_split_layout(text.removeprefix("oci:"), "oci:DIR[:REF]"))
    if text.startswith("oci-archive:"):
        return ArchivePlace(*_split_layout(text.removeprefix("oci-archive:"), _ARCHIVE))
    if text.startswith(PATH_STARTS):
        raise UsageError(
            f"{quoted(text)} is a path, but does not say of what",
            hint="write oci:DIR for an OCI layout, or oci-archive:FILE.tar for an archive",
        )
    _refuse_skopeo_s(text)
    return OllamaPlace(ModelName.parse(text))


def parse_readable(text: str) -> Place:
    """As `parse_place`; a name that begins with a host and is too deep for Ollama's is that registry's."""
    try:
        return parse_place(text)
    except InvalidName:
        if text.startswith(PREFIXES) or not names_host(text):
            raise
        return RegistryPlace(Reference.parse(text))


def parse_source(text: str) -> SourcePlace:
    """As `parse_readable`; also a whole registry, `registry:HOST/`, or a part of one, `registry:HOST/PREFIX/`."""
    named = after_prefix(text)
    if named is None and text.endswith("/") and not text.startswith((*PREFIXES, *PATH_STARTS)) and names_host(text):
        named = text
    if named is None or "/" not in named or not named.endswith("/"):
        return parse_readable(text)
    return CatalogPlace(*_below(named, text, "names no part of a registry"))


def place_meant(text: str) -> str | None:
    """Return how a path is written as a place, if `text`, which was read as a model's name, looks like one."""
    return f"oci-archive:{text}" if text.endswith(_TAR) else None


def names_host(text: str) -> bool:
    """Return whether a name begins with a registry's host, with a scheme or without, by docker's rule."""
    scheme, separator, rest = text.partition("://")
    host, slash, _ = (rest if separator else scheme).partition("/")
    return bool(slash) and (bool(separator) or looks_like_host(host))


def parse_destination(text: str) -> Destination:
    """Parse the value of `--to`. Raises `InvalidName`, with the spelling that was probably meant.

    `HOST/`, `HOST/NS/` keep names below it; `HOST/PATH[:TAG]`, `registry:…`, `docker://…` and Ollama names
    (`me/model:tag`) name one repository.
    """
    if (named := after_prefix(text)) is not None:
        return _destination(named, text)
    if text.startswith(("oci:", "oci-archive:", "ollama:")):
        raise UsageError(
            f"push writes to registries, and {quoted(text)} is none",
            hint=step("copy writes to everything: ", Command("copy SRC DST")),
        )
    _refuse_skopeo_s(text)
    scheme, separator, rest = text.partition("://")
    if separator or looks_like_host((rest or scheme).partition("/")[0]) or text.endswith("/"):
        return _destination(text, text)
    name = ModelName.parse(text)
    reference = Reference.for_model(name)
    return Exactly(reference if ":" in text.rpartition("/")[2] else reference.at())


def _refuse_skopeo_s(text: str) -> None:
    prefix, _, rest = text.partition(":")
    if prefix in _SKOPEO_S or (prefix == "dir" and "/" in rest):  # a model may be called "dir"
        raise UsageError(
            f"{quoted(text)}: {prefix}: is one of skopeo's places, which registry-push does not read or write",
            hint="go by an archive: skopeo copies between those places and oci-archive:FILE.tar",
        )


def _destination(text: str, written: str) -> Destination:
    _, separator, rest = text.partition("://")
    if not separator:
        rest = text
    if rest.endswith("/"):
        host = rest.partition("/")[0]
        if not separator and written == text and not looks_like_host(host):
            shown = without_login(rest)
            raise InvalidName(
                f"{quoted(written)} could be a host or a namespace",
                hint=f"write https://{shown} for the host, or {DEFAULT_HOST}/{shown} for Ollama's registry",
            )
        return Below(*_below(text, written, "is no target"))
    if "/" not in rest:
        shown = quoted(written)
        raise InvalidName(
            f"{shown} names a registry but no repository",
            hint=step("to keep the names: ", Setting("to", f"{without_login(rest)}/")),
        )
    return Exactly(Reference.parse(text))


def _below(text: str, written: str, wrong: str) -> tuple[str, str, str | None]:
    """Return the host, the prefix and the scheme of a text that ends in a slash. Raises `InvalidName`."""
    scheme, separator, rest = text.partition("://")
    host, _, prefix = (rest if separator else text).rstrip("/").partition("/")
    # Checked with a model's name after it: Ollama's registry knows no path of one part.
    said = f"{scheme}://" if separator else ""
    try:
        probe = Reference.parse(f"{said}{host}/{prefix or 'library'}/model")
    except InvalidName as error:
        shown = quoted(written)
        if separator and scheme not in ("http", "https"):
            raise InvalidName(f"{shown} has the scheme {quoted(scheme)}", hint=error.next_step) from error
        raise InvalidName(f"{shown} {wrong}: {error}", hint=error.next_step) from error
    return probe.host, prefix, probe.scheme


def _readable(text: str, written: str) -> Reference:
    scheme, separator, rest = text.partition("://")
    path = (rest if separator else scheme).partition("/")[2]
    if not path or path.endswith("/") or "*" in path:
        raise InvalidName(
            f"{quoted(without_login(written))} names no repository",
            hint="name one repository, for all its tags, or one tag: registry:HOST/PATH[:TAG]; copy, export"
            " and sync also take all repositories, or those below a prefix: registry:HOST/[PREFIX/]",
        )
    return Reference.parse_readable(text)


def _layout_spelt(path: str, ref: str | None) -> str:
    # After a slash a colon is never the path's own, and without one behind it every colon is.
    if ref is None:
        return f"{path.rstrip('/')}/"
    return f"{path.rstrip('/')}/:{ref}" if ":" in path else f"{path}:{ref}"


def _split_layout(text: str, form: str) -> tuple[str, str | None]:
    if "\0" in text:
        raise InvalidName(f"{quoted(text)} is no path: it has a zero byte", hint=f"write {form}")
    before, slash, ref = text.rpartition("/:")
    if slash and before:
        return before, ref or None
    # A tar file's own name may hold colons, as times do.
    file, ending, ref = text.partition(f"{_TAR}:")
    if form == _ARCHIVE and (ending or text.endswith(_TAR)):
        return (file + _TAR, ref or None) if ending else (text, None)
    # A name of a model with its tag, from the first colon on; else a bare name after the last one.
    path, colon, ref = text[:1] + text[1:].partition(":")[0], *text[1:].partition(":")[1:]
    if not colon or len(path) <= 1 or ":" not in ref.rpartition("/")[2]:
        path, colon, ref = text.rpartition(":")
        # "C:\models" is a path; and a folder may hold a colon only before a slash.
        if not colon or "/" in ref or "\\" in ref or len(path) <= 1:
            path, ref = text, ""
    if not path:
        raise InvalidName(f"{quoted(form.partition(':')[0] + ':')} names nothing", hint=f"write {form}")
    return path, ref or None


__all__ = [
    "PATH_STARTS",
    "ArchivePlace",
    "Below",
    "CatalogPlace",
    "Destination",
    "Exactly",
    "LayoutPlace",
    "OllamaPlace",
    "Place",
    "RegistryPlace",
    "SourcePlace",
    "names_host",
    "parse_destination",
    "parse_place",
    "parse_readable",
    "parse_source",
]
