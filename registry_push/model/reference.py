"""`Reference`: a tag or digest in a repository of a registry, and how Ollama names become one."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from typing import Final, Self

from msgspec import Struct
from msgspec.structs import replace

from ..errors import InvalidName, NameNotMappable, quoted
from ..text.hint import Login, Setting, step
from ..text.user_part import OTHER_ATS
from .digest import Digest
from .name import DEFAULT_HOST, DEFAULT_NAMESPACE, DEFAULT_TAG, ModelName
from .origin import HTTPOrigin

# distribution-spec, "Pulling manifests": <name> and <reference>.
_REPOSITORY = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*\Z")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}\Z")
# What a repository's name can't hold, with a separator or without one.
_NOT_ALLOWED = re.compile(r"[^a-z0-9]++")
_HOST = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?\Z")
# The spec asks clients to keep host and name together under 255 characters.
_MAX_NAME: Final = 255

# Ollama's own registry takes Ollama's names as they are (two parts, capitals, runs of separators).
OLLAMA_HOSTS: Final = frozenset({DEFAULT_HOST, "ollama.com", "www.ollama.com", "registry.ollama.com"})
# And so does Hugging Face's, from which Ollama can pull.
_HUGGING_FACE: Final = frozenset({"hf.co", "huggingface.co"})

# Docker Hub is named docker.io, and answers elsewhere (docker's registry/config.go). Its names have two parts.
DOCKER_HUB: Final = frozenset({"docker.io", "index.docker.io", "registry-1.docker.io"})
_DOCKER_HUB_SERVER: Final = "registry-1.docker.io"


class Reference(Struct, frozen=True):
    """`host[:port]/repository:tag` or `…@sha256:<hex>`.

    `scheme` is `http` or `https` if the user wrote it in the name, else None. A `lenient` one is an Ollama name that
    OCI does not allow; it is only used to read, from a registry that may take such names.
    """

    host: str
    repository: str
    tag: str | None = None
    digest: Digest | None = None
    scheme: str | None = None
    lenient: bool = False

    def __post_init__(self) -> None:
        _check_host(self.host)
        if self.lenient or self.host.lower() in OLLAMA_HOSTS | _HUGGING_FACE:
            namespace, _, model = self.repository.partition("/")
            ModelName(self.host, namespace, model, self.tag or DEFAULT_TAG)  # raises InvalidName
        elif self.host.lower() in DOCKER_HUB and self.repository.count("/") != 1:
            raise InvalidName(
                f"{quoted(f'{self.host}/{self.repository}')} has not the two parts of a name at Docker Hub",
                hint=f"write {self.host}/ACCOUNT/NAME",
            )
        elif not _REPOSITORY.match(self.repository) or len(self.repository) + len(self.host) > _MAX_NAME:
            raise InvalidName(
                f"{quoted(self.repository)} is not a repository name",
                hint="write it in lower case"
                if _REPOSITORY.match(self.repository.lower())
                else "use lower-case letters and digits, joined by one of . _ __ - within a part, parts joined by /",
            )
        if self.tag is not None and not _TAG.match(self.tag):
            raise InvalidName(
                f"{quoted(self.tag, limit=140)} is not a tag",
                hint="a tag has up to 128 of A-Z a-z 0-9 _ . - and begins with none of . -",
            )

    @classmethod
    def parse_readable(cls, text: str) -> Self:
        """As `parse`; an Ollama name that OCI does not allow stays as it is, as in `to_read`."""
        try:
            return cls.parse(text)
        except InvalidName as error:
            with suppress(InvalidName):
                return cls.parse(text, lenient=True)
            raise error from None

    @classmethod
    def parse(cls, text: str, *, lenient: bool = False) -> Self:
        """Return the reference that `text` spells: `[http[s]://]host[:port]/path[:tag][@digest]`, any depth of path.

        The tag stays None if none is written. Raises `InvalidName`, `InvalidDigest`.
        """
        scheme, separator, rest = text.partition("://")
        if not separator:
            rest = text
        elif scheme not in ("http", "https"):
            raise InvalidName(
                f"{quoted(text)} has the scheme {quoted(scheme)}", hint="write https:// or http://, or no scheme"
            )
        if "@" in rest.partition("/")[0] or any(at in rest for at in OTHER_ATS):
            raise InvalidName(
                f"{quoted(text)} has a login in it",
                hint=step(
                    "leave it out, and log in with: ",
                    Login(),
                    "; or give ",
                    Setting("username", "NAME"),
                    " ",
                    Setting("password_stdin"),
                ),
            )
        rest, at, digest = rest.partition("@")
        host, slash, path = rest.partition("/")
        if not slash:
            raise InvalidName(f"{quoted(text)} names no repository", hint="write HOST/REPOSITORY[:TAG]")
        path, colon, tag = path.partition(":")
        return cls(
            host,
            path,
            tag if colon else None,
            Digest.parse(digest) if at else None,
            scheme=scheme if separator else None,
            lenient=lenient,
        )

    @classmethod
    def for_model(cls, name: ModelName) -> Self:
        """Return where `name` lies at the registry in the name: `namespace/model`, its tag unchanged.

        Raises `NameNotMappable` for a name that OCI does not allow there; nothing is changed silently.
        """
        return cls.mapped(
            name.host, f"{name.namespace}/{name.model}", name, scheme="http" if name.scheme == "http" else None
        )

    @classmethod
    def to_read(cls, name: ModelName) -> Self:
        """As `for_model`, but a name that OCI does not allow stays as it is: a registry for Ollama may take it."""
        try:
            return cls.for_model(name)
        except NameNotMappable:
            scheme = "http" if name.scheme == "http" else None
            return cls(name.host, f"{name.namespace}/{name.model}", name.tag, scheme=scheme, lenient=True)

    @classmethod
    def below(cls, host: str, prefix: str, name: ModelName, *, scheme: str | None = None) -> Self:
        """Return where `name` lies below `host/prefix/`.

        Directly below a host its path is `namespace/model`, as Ollama clients ask for it. Below a prefix it is
        the name as Ollama shows it: `model` for Ollama's library, else `namespace/model`. Ollama's own registry
        and Docker Hub know two parts only, so there the prefix takes the namespace's place.
        Raises `NameNotMappable`.
        """
        if prefix and (name.namespace.lower() == DEFAULT_NAMESPACE or host.lower() in OLLAMA_HOSTS | DOCKER_HUB):
            return cls.mapped(host, f"{prefix}/{name.model}", name, scheme=scheme)
        path = f"{name.namespace}/{name.model}"
        return cls.mapped(host, f"{prefix}/{path}" if prefix else path, name, scheme=scheme)

    @classmethod
    def mapped(cls, host: str, repository: str, name: ModelName, *, scheme: str | None) -> Self:
        """`name` at `host/repository`. Raises `NameNotMappable` with a name that would do."""
        _check_host(host)
        try:
            return cls(host, repository, name.tag, scheme=scheme)
        except InvalidName as error:
            raise NameNotMappable(
                f"{name.short} can't be called {host}/{repository} at a registry: {error}",
                hint=step("give it a name: ", Setting("to", f"{host}/{_allowed(repository)}:{name.tag}")),
            ) from error

    def check_writable(self) -> None:
        """Raise `NameNotMappable` for what nobody but Docker writes: the library of its Hub."""
        if self.host.lower() in DOCKER_HUB and self.repository.startswith(f"{DEFAULT_NAMESPACE}/"):
            model = self.repository.partition("/")[2]
            raise NameNotMappable(
                f"{self.host}/{self.repository} is in Docker's own library, which only Docker writes",
                hint=step("name your account: ", Setting("to", f"{self.host}/ACCOUNT/{model}")),
            )

    def at(self, *, tag: str | None = None, digest: Digest | None = None) -> Self:
        """Return the same repository at another tag or digest."""
        return replace(self, tag=tag, digest=digest)

    def origin(self, *, plain_http: bool = False, speaks_of_tls: Callable[[str], bool] = lambda _: False) -> HTTPOrigin:
        """Return the registry's origin.

        The scheme is the name's, if it has one; else http with `plain_http` (the flag) and for a host on this machine,
        unless `speaks_of_tls` (called with `host[:port]`) says that TLS is configured for it; else https.
        """
        host = _DOCKER_HUB_SERVER if self.host.lower() in DOCKER_HUB else self.host
        if self.scheme is not None:
            return HTTPOrigin.of(f"{self.scheme}://{host}")
        secure = HTTPOrigin.of(f"https://{host}")
        if plain_http or (secure.is_loopback and not speaks_of_tls(secure.netloc)):
            return HTTPOrigin.of(f"http://{host}")
        return secure

    @property
    def is_ollama(self) -> bool:
        """Whether this is at Ollama's own registry."""
        return self.host.lower() in OLLAMA_HOSTS

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag is not None else ""
        digest = f"@{self.digest}" if self.digest is not None else ""
        return f"{f'{self.scheme}://' if self.scheme else ''}{self.host}/{self.repository}{tag}{digest}"


def looks_like_host(part: str) -> bool:
    """Return whether the first part of a path is a host by docker's rule: a `.`, a `:` or `localhost`."""
    return "." in part or ":" in part or part == "localhost"


def _allowed(repository: str) -> str:
    """Return an allowed repository name similar to this one, to propose in a message; it is never used silently."""
    parts = (_NOT_ALLOWED.sub(_separator, part).strip("._-") for part in repository.lower().split("/"))
    return "/".join(part or "x" for part in parts)


def _separator(found: re.Match[str]) -> str:
    """Return the last separator in a run of characters that are not allowed; the run itself if it has none."""
    return next((character for character in reversed(found[0]) if character in "._-"), found[0])


def _bare(host: str) -> str:
    return HTTPOrigin.of(f"http://{host}").host


def _check_host(host: str) -> None:
    if len(host) > 350 or not _HOST.match(host):
        # Of `https:/HOST`, what is before the one slash.
        hint = f"write two slashes: {host}//HOST" if host in ("http:", "https:") else "write HOST or HOST:PORT"
        raise InvalidName(f"{quoted(host)} is not a host", hint=hint)
    try:
        _bare(host)
    except InvalidName as error:
        raise InvalidName(f"{quoted(host)} has a port over 65535", hint="write HOST or HOST:PORT") from error
