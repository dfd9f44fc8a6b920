"""Everything optional that is looked for in a home, looked for."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import click

from registry_push.auth.credentials import CredentialStore
from registry_push.auth.sign_in import SignIn
from registry_push.content.ollama.paths import find_root
from registry_push.errors import RegistryPushError
from registry_push.events import Event
from registry_push.http import tls
from registry_push.options.flags import options
from registry_push.settings import Settings
from registry_push.state.journal import Journal

HOST: Final = "r.example"
CONFIG: Final = ".config/registry-push/config.toml"
LOGINS: Final = (".docker/config.json", ".config/containers/auth.json")
KEY: Final = ".ollama/id_ed25519"
CERTS: Final = (".config/containers/certs.d", ".config/docker/certs.d", ".docker/certs.d", "etc/docker/certs.d")
STORE: Final = ".ollama/models"


def look(home: Path) -> dict[str, str]:
    """What is found of each: "there", "absent", or the error that it ends with."""
    os.environ["HOME"] = str(home)
    tls._SYSTEM_FOLDERS = (home / "etc/docker/certs.d",)  # type: ignore[misc]  # the machine's own are left alone
    settings = Settings(home=home)
    return {
        "config": _tried(_config),
        "login": _tried(lambda: asyncio.run(CredentialStore(None, {}, home, None).lookup(HOST, "a/b"))),
        "runtime login": _tried(
            lambda: asyncio.run(
                CredentialStore(None, {"XDG_RUNTIME_DIR": str(home / ".config")}, None, None).lookup(HOST, "a/b")
            )
        ),
        "key": _tried(lambda: asyncio.run(SignIn(settings, lambda _: None)._read_identity())),
        "certificates": _tried(lambda: _roots(settings) - _roots(Settings(home=None, tls_verify=True)) or None),
        "client certificate": _tried(lambda: tls.client_certificates(HOST, settings, is_registry=True) or None),
        "state": _state(home / ".local/state/registry-push"),
        "store": _tried(lambda: find_root(None, None, home, platform="darwin")),
    }


def _tried(lookup: Callable[[], Any]) -> str:
    try:
        return "absent" if lookup() is None else "there"
    except RegistryPushError as error:
        return f"{type(error).__name__} {error.exit_code}: {error}; {error.hint}"


def _config() -> object:
    found = []

    @click.command()
    @options("output")
    def probe(**flags: Any) -> None:
        found.append(flags["verbose"])

    probe.main([], standalone_mode=False)
    return found[0] or None


def _roots(settings: Settings) -> int:
    return tls.context_for(HOST, settings, is_registry=True).cert_store_stats()["x509_ca"]


def _state(folder: Path) -> str:
    told: list[Event] = []
    Journal(folder, told.append).close()
    return f"{len(told)} warnings"
