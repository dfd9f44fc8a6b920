"""Names of images as docker's tools write them: `alpine` is `docker.io/library/alpine`."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from ...errors import InvalidName
from ...model.reference import DOCKER_HUB, Reference
from ...text.patterns import LazyPattern
from .converted import Unconvertible

_HUB: Final = "docker.io"
_DIGEST: Final = LazyPattern(r"[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9A-Fa-f]{32,}")
_LAYOUT: Final = LazyPattern(r"oci(?:dir|file)://([/a-zA-Z0-9_\-. ~+]+)(?::([a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}))?(@.+)?")


class Image(Struct, frozen=True):
    """A repository at a registry, or a layout in a folder (`host` is empty then), and what of it is named."""

    host: str
    repository: str
    tag: str | None = None
    digest: str | None = None

    @property
    def is_layout(self) -> bool:
        """Whether this is a layout in a folder."""
        return not self.host

    def place(self, *, tag: str | None = None) -> str:
        """Return how our plans write the repository, or its `tag`."""
        before = f"registry:{self.host}/{self.repository}" if self.host else f"oci:{self.repository}"
        return f"{before}:{tag}" if tag else before


def is_digest(text: str) -> bool:
    """Return whether `text` is a digest and no tag."""
    return _DIGEST.compiled.fullmatch(text) is not None


def parse_image(text: str) -> Image:
    """Return the image or repository that `text` names. Raises `Unconvertible`."""
    if "://" in text:
        return _layout(text)
    name, at, digest = text.partition("@")
    if at and not is_digest(digest):
        raise Unconvertible("it is no image's name")  # it may hold a login, and is not repeated
    host, slash, path = name.partition("/")
    if not slash or not (set(host) & set(".:") or host == "localhost" or host != host.lower()):
        host, path = _HUB, name
    path, _, tag = path.partition(":")
    host = host.lower() if host.lower() not in DOCKER_HUB else _HUB
    if host == _HUB and "/" not in path:
        path = f"library/{path}"
    try:
        Reference(host, path, tag or None)
    except InvalidName as error:
        raise Unconvertible(error.message) from error
    return Image(host, path, tag or None, digest or None)


def _layout(text: str) -> Image:
    found = _LAYOUT.compiled.fullmatch(text)
    if found is None:
        raise Unconvertible("it is no image's name and no layout")
    path, tag, digest = found.groups()
    return Image("", f"./{path}" if path.startswith("~") else path, tag, digest[1:] if digest else None)


def parse_host(text: str) -> str:
    """Return the registry's `host[:port]` that `text` names. Raises `Unconvertible`."""
    host = text.lower()
    if host in DOCKER_HUB:
        return _HUB
    try:
        Reference(host, "any/any")
    except InvalidName:
        raise Unconvertible("it is no host of a registry") from None
    return host
