"""The report of an examination, in Markdown, to paste into an issue: without logins, user names and, usually, hosts."""

from __future__ import annotations

import hashlib
import platform
import re
import sys
from collections.abc import Iterable
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Final

from ...version import __version__
from .examination import Examination, Examined

_LIBRARIES: Final = ("aiohttp", "cryptography")
# Checks whose findings name users and repositories, and those that name other hosts: of them only the state is told.
_NAMING: Final = (
    *("auth.source", "auth.token", "auth.scope", "auth.push", "key.pair"),
    *("store.found", "store.manifests", "store.blobs", "store.owner"),  # a model's namespace, the owner of a home
)
_LOCATING: Final = (
    *("config.valid", "proxy.used", "net.dns", "net.tcp", "limits.redirects", "auth.challenge"),
    *("tls.chain", "tls.name"),
)
_NAMED: Final = 8  # hexadecimal digits that stand for a host


def report(done: Examination, *, home: Path | None, users: Iterable[str], hosts: bool) -> list[str]:
    """Return the lines. `users` are names to leave out; with `hosts`, hosts stay readable."""
    private = partial(_private, done=done, home=home, users=tuple(users), hosts=hosts)
    libraries = ", ".join(f"{name} {version(name)}" for name in _LIBRARIES)
    lines = [
        f"registry-push {__version__}, Python {sys.version.split()[0]}, {libraries}, {platform.platform()}",
        "",
        "| check | of | state | found |",
        "|---|---|---|---|",
    ]
    for each in done.checks:
        parts = (each.finding.summary, each.finding.evidence)
        if each.id in _NAMING or (each.id in _LOCATING and not hosts):
            why = ", ".join(part for part in ("left out: it can name users or hosts", each.finding.code) if part)
            parts = (why, f"exit code {each.finding.exit_code}" if each.finding.exit_code else "")
        found = private("; ".join(part for part in parts if part)).replace("|", "\\|")
        lines.append(f"| {each.id} | {private(_about(each, done))} | {each.finding.state.value} | {found} |")
    count = len(done.troubles)
    lines += ["", f"{count} of {len(done.checks)} checks found what stops pushes"]
    return lines


def _about(each: Examined, done: Examination) -> str:
    """Return what a check is about. Repositories get numbers, since their names can be those of users."""
    if each.host is None or each.repository is None:
        return each.host or "this machine"
    number = done.places.index(each.about) + 1
    return f"{each.host}, repository {number}"


def _private(words: str, *, done: Examination, home: Path | None, users: Iterable[str], hosts: bool) -> str:
    if home is not None and len(home.parts) > 1:
        words = words.replace(str(home), "~")
    for name in users:
        words = _replaced(words, name, "USER")
    if not hosts:
        for host in done.hosts:
            words = _replaced(words, host, _shortened(host))
        for host in done.hosts:  # after all that have a port: two can differ by that alone
            name, colon, port = host.rpartition(":")
            if colon and port.isdigit():
                words = _replaced(words, name, _shortened(name))
    return words


def _shortened(host: str) -> str:
    return f"host-{hashlib.sha256(host.encode()).hexdigest()[:_NAMED]}"


def _replaced(words: str, name: str, by: str) -> str:
    return re.sub(rf"(?<![\w-]){re.escape(name)}(?![\w-])", by, words) if name else words
