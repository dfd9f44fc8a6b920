"""The checks, in the order of what they need."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from enum import Enum
from fnmatch import fnmatchcase
from typing import Final

from msgspec import Struct

from ...errors import UsageError, quoted
from ...text.suggestions import did_you_mean
from .finding import Finding, WaitsFor
from .here import Here
from .there import There
from .upload import Upload


class About(Enum):
    """What a check is about: this machine, a registry, or, with --write, uploads to a repository there."""

    HERE = "this machine"
    THERE = "a registry"
    UPLOADS = "uploads (--write)"


class Check(Struct, frozen=True):
    """A check: its stable `id`, what it is about, what has to be well before it, and how it is done.

    `told_by` is the check that tells it if the answer that this one looks at does not come. `of_repository`: it can end
    differently for two repositories of one registry.
    """

    id: str
    about: About
    what: str
    needs: tuple[str, ...]
    look: Callable[..., Awaitable[Finding]]
    told_by: str | None = None
    waits_for: WaitsFor | None = None  # None: for what it is about
    of_repository: bool = False


_HERE, _THERE, _UPLOADS = About.HERE, About.THERE, About.UPLOADS
_REGISTRY: Final = WaitsFor(
    "the registry", "check the line and the address; a registry that is only slow takes a push, slowly"
)
_LOGIN: Final = WaitsFor(
    "the program that keeps the login",
    "see whether it works: registry-push login --list; a credential helper can wait for a password",
)
_DNS: Final = WaitsFor("the name server", "check the spelling, and your name server (DNS): /etc/resolv.conf")
WAITS_FOR: Final = {
    About.HERE: WaitsFor("the disk", "see whether it works; a folder that is on a server can be out of reach"),
    About.THERE: _REGISTRY,
    About.UPLOADS: _REGISTRY,
}
_ANSWERS: Final = ("registry.v2",)

CHECKS: Final = (
    Check("config.valid", _HERE, "the configuration file can be read", (), Here.config_valid),
    Check("store.found", _HERE, "there is an Ollama store", (), Here.store_found),
    Check("store.readable", _HERE, "this user may list its models", ("store.found",), Here.store_readable),
    Check("store.manifests", _HERE, "every manifest can be read", ("store.readable",), Here.store_manifests),
    Check("store.blobs", _HERE, "every blob is there and may be read", ("store.manifests",), Here.store_blobs),
    Check("store.owner", _HERE, "whose the store is", ("store.found",), Here.store_owner),
    Check("key.found", _HERE, "there is a key", (), Here.key_found),
    Check("key.mode", _HERE, "nobody else can read the key", ("key.found",), Here.key_mode),
    Check("key.pair", _HERE, "the key can be used, and its public half is its own", ("key.mode",), Here.key_pair),
    Check("state.writable", _HERE, "unfinished work can be noted", (), Here.state_writable),
    Check("state.space", _HERE, "there is room for it", (), Here.state_space),
    Check("proxy.used", _THERE, "which proxy is on the way", (), There.proxy_used),
    Check("net.dns", _THERE, "its name has an address", ("proxy.used",), There.dns, None, _DNS),
    Check("net.tcp", _THERE, "it takes connections", ("net.dns",), There.tcp),
    Check("http.instead-of-https", _THERE, "both sides speak the same", ("net.tcp",), There.http_instead_of_https),
    Check("tls.version", _THERE, "both have a version of TLS", ("http.instead-of-https",), There.tls_version),
    Check("tls.chain", _THERE, "its certificate is trusted", ("tls.version",), There.tls_chain),
    Check("tls.name", _THERE, "its certificate is this host's", ("tls.chain",), There.tls_name),
    Check("clock.skew", _THERE, "the clocks agree", ("tls.name",), There.clock, "registry.v2"),
    Check("registry.v2", _THERE, "a registry answers", ("tls.name",), There.v2),
    Check("registry.kind", _THERE, "which registry it is", _ANSWERS, There.kind),
    Check("limits.rate", _THERE, "it takes requests now", _ANSWERS, There.rate),
    Check("limits.redirects", _THERE, "it answers itself", ("tls.name",), There.redirects, "registry.v2"),
    Check("auth.challenge", _THERE, "how to sign in", ("limits.rate",), There.challenge),
    Check("auth.source", _THERE, "which login or key is used", ("auth.challenge",), There.source, None, _LOGIN, True),
    Check("auth.token", _THERE, "it takes the login", ("auth.source",), There.token, None, None, True),
    Check("auth.scope", _THERE, "the repository may be read", ("auth.token",), There.scope, None, None, True),
    Check("auth.push", _UPLOADS, "the repository may be written", ("auth.scope",), Upload.push),
    Check("chunk.min", _UPLOADS, "the smallest chunk", ("auth.push",), Upload.least),
    Check("chunk.max", _UPLOADS, "the largest chunk", ("auth.push",), Upload.most),
    Check("session.survives", _UPLOADS, "an interrupted upload stays", ("chunk.max",), Upload.survives),
    Check("session.status", _UPLOADS, "its status is right", ("session.survives",), Upload.status),
    Check("mount", _UPLOADS, "blobs are mounted", ("auth.push",), Upload.mount),
)
BY_ID: Final = {check.id: check for check in CHECKS}


def with_needs(ids: tuple[str, ...]) -> frozenset[str]:
    """Return `ids` and all that they need."""
    wanted, todo = set[str](), list(ids)
    while todo:
        each = todo.pop()
        if each not in wanted:
            wanted.add(each)
            todo += [*BY_ID[each].needs, *([told] if (told := BY_ID[each].told_by) else [])]
    return frozenset(wanted)


def chosen(only: Sequence[str], *, host: str | None, writes: bool) -> tuple[Check, ...]:
    """Return the checks to run: all, or those with the ids `only` and what they need; `tls` and `tls.*` are a group.

    `host` is a registry that was named; `writes`: a repository to write to was. Raises `UsageError`.
    """
    there = host is not None
    asked = {each: name for name in only for each in _expanded(name, there=there, writes=writes)}
    for each, name in asked.items():
        if BY_ID[each].about is About.UPLOADS and not writes:
            raise UsageError(f"{each} opens an upload", hint=f"say where it may: --write {host or 'HOST'}/REPOSITORY")
        if BY_ID[each].about is About.THERE and not there:
            raise UsageError(
                f"{each} is about a registry, and none was named",
                hint=f"name one: registry-push doctor HOST --only {name}",
            )
    wanted = with_needs(tuple(asked)) if only else frozenset(BY_ID)
    return tuple(check for check in CHECKS if check.id in wanted and (writes or check.about is not About.UPLOADS))


def _expanded(name: str, *, there: bool, writes: bool) -> list[str]:
    """Return the check called `name`, or those of a group that can be run. Raises `UsageError` if there is none."""
    if name in BY_ID:
        return [name]
    checks = [check for check in CHECKS if fnmatchcase(check.id, name) or check.id.startswith(f"{name}.")]
    if not checks:
        raise UsageError(
            f"no check is called {quoted(name)}",
            hint=did_you_mean(name, BY_ID) or "see them: registry-push doctor --list",
        )
    possible = {About.HERE, *([About.THERE] if there else []), *([About.UPLOADS] if writes else [])}
    return [check.id for check in checks if check.about in possible] or [check.id for check in checks]
