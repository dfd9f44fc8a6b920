"""TLS contexts from the settings and the `certs.d` folders."""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from ..content.ollama.paths import open_regular
from ..content.optional_files import is_there, names_in
from ..content.read_errors import unreadable
from ..errors import InvalidSettings, KeyNotFound
from ..model import HTTPOrigin
from ..model.origin import spellings
from ..settings import Settings
from ..text.hint import Hint, Setting, step
from ..text.patterns import LazyPattern

# containers-certs.d(5), rootless docker's, docker's on other systems, and the system's own two. In each, below a folder
# named after the host, every `*.crt` joins the roots and `x.cert` goes with `x.key`.
_OWN_FOLDERS: Final = (".config/containers/certs.d", ".config/docker/certs.d", ".docker/certs.d")
_SYSTEM_FOLDERS: Final[tuple[Path, ...]] = (Path("/etc/containers/certs.d"), Path("/etc/docker/certs.d"))
# What Python adds to OpenSSL's messages: `[SSL: NAME] … (_ssl.c:1006)`. And the oldest protocol with an alert, which is
# not the one that is spoken.
_PYTHONS_OWN: Final = LazyPattern(r"\[[A-Z0-9_]+(?:: [A-Z0-9_]+)?\] | ?\(_ssl\.c:[0-9]+\)|\bsslv3 (?=alert )")


class TLSContexts:
    """One TLS context for each host and port, made when it is first needed."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._contexts: dict[str, ssl.SSLContext] = {}
        self._registries: set[HTTPOrigin] = set()

    def know_registry(self, origin: HTTPOrigin) -> None:
        """Show `origin` the client certificate from now on."""
        self._registries.add(origin)

    def is_registry(self, origin: HTTPOrigin) -> bool:
        """Return whether `origin` is shown the client certificate."""
        return origin in self._registries

    def of(self, origin: HTTPOrigin) -> ssl.SSLContext:
        """Return the context for connections to `origin`. Raises as `context_for`."""
        if origin.netloc not in self._contexts:
            is_registry = self.is_registry(origin)
            self._contexts[origin.netloc] = context_for(
                origin.netloc, self._settings.at(origin.netloc), is_registry=is_registry
            )
        return self._contexts[origin.netloc]


def context_for(netloc: str, settings: Settings, *, is_registry: bool) -> ssl.SSLContext:
    """Return the TLS context for `netloc` (host or host:port); only a registry is shown the certificate of `--cert`.

    Raises `InvalidSettings` if a certificate can't be used, `Unreadable` if this user may not read it, `KeyNotFound` if
    one that was named is missing.
    """
    context = _system_context() if settings.system_certs else ssl.create_default_context()
    # Since 3.13 Python refuses CAs without keyUsage or with basicConstraints that are not critical, and certificates
    # without key identifiers, which 3.11, curl and Go accept. Signatures, dates, names and the CA bit are checked
    # without this flag too. It is cleared for all: neither the user of --ca-file nor the administrator of the system's
    # store can have a company's CA issued again.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    # The default since 3.13, and in curl and Go: an intermediate in the trust store is trusted without its root.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    if not settings.tls_verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if settings.ca_file is not None:
        _load_roots(context, settings.ca_file, hint=step("check ", Setting("ca_file")))
    for folder, names in _host_folders(netloc, settings):
        for name in names:
            if name.endswith(".crt") and is_there(folder / name):
                _load_roots(context, folder / name, hint="fix it, or remove it")
    for cert, key in client_certificates(netloc, settings, is_registry=is_registry):
        _load_chain(context, cert, key, is_named=cert == settings.cert)
    return context


def _system_context() -> ssl.SSLContext:
    """Return a context that trusts what the system does: on macOS and Windows, Python's own does not ask it."""
    try:
        import truststore
    except ImportError as error:
        raise InvalidSettings(
            "needs the package truststore, which is not installed",
            hint="install it: pip install 'registry-push[truststore]'",
            setting="system_certs",
        ) from error
    return truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def client_certificates(netloc: str, settings: Settings, *, is_registry: bool) -> list[tuple[Path, Path]]:
    """Return the client certificates for `netloc`, each with its key; of several, TLS uses the last that fits."""
    found = [
        (folder / name, (folder / name).with_suffix(".key"))
        for folder, names in _host_folders(netloc, settings)
        for name in names
        if name.endswith(".cert") and is_there(folder / name)
    ]
    if is_registry and settings.cert is not None and settings.key_file is not None:
        found.append((settings.cert, settings.key_file))
    return found


def speaks_of_tls(netloc: str, settings: Settings) -> bool:
    """Return whether a flag or a `certs.d` folder shows that `netloc` is reached by TLS."""
    if settings.ca_file is not None or settings.cert is not None or not settings.tls_verify:
        return True
    return any(True for _ in _host_folders(netloc, settings))


def words_of(error: OSError) -> str:
    """Return OpenSSL's message in `error`, without what Python adds."""
    return _PYTHONS_OWN.compiled.sub("", error.strerror or str(error)).strip()


def _host_folders(netloc: str, settings: Settings) -> Iterator[tuple[Path, list[str]]]:
    """Yield the folders for `netloc` that exist and may be looked into, with the names in them."""
    own = () if settings.home is None else tuple(settings.home / folder for folder in _OWN_FOLDERS)
    for folder in (*own, *_SYSTEM_FOLDERS):
        for spelling in spellings(netloc, "https"):
            names = names_in(folder / spelling)
            if names is not None:
                yield folder / spelling, names


def _load_roots(context: ssl.SSLContext, file: Path, *, hint: str | Hint) -> None:
    try:
        _check_readable(file, "the CA file", is_public=True)
        context.load_verify_locations(cafile=file)
    except FileNotFoundError as error:
        raise KeyNotFound(f"the CA file {file} is not there", hint=hint) from error
    except (ssl.SSLError, OSError) as error:
        raise InvalidSettings(f"the CA file {file} can't be used: {words_of(error)}", hint=hint) from error


def _check_readable(file: Path, what: str, *, is_public: bool = False) -> None:
    """Raise `Unreadable`, or `OSError` if it is no file: OpenSSL would wait for the writer of a pipe."""
    try:
        open_regular(Path(os.path.realpath(file))).close()
    except PermissionError as error:
        raise unreadable(file, what=what, is_public=is_public) from error


def _no_passphrase(key: Path) -> str:
    raise InvalidSettings(
        f"the key {key} has a passphrase", hint="remove the passphrase: openssl pkey -in KEY -out NEW"
    )


def _load_chain(context: ssl.SSLContext, cert: Path, key: Path, *, is_named: bool) -> None:
    hint: str | Hint = step("check ", Setting("cert"), " and ", Setting("key_file"))
    if not is_named:
        hint = f"put the key of {cert.name} there; if that is a CA's certificate, call it {cert.stem}.crt"
    for file, what in ((cert, "the client certificate"), (key, "the key of the client certificate")):
        try:
            _check_readable(file, what)
        except FileNotFoundError as error:
            raise KeyNotFound(f"{what} is not there: {file}", hint=hint) from error
        except OSError as error:
            raise InvalidSettings(f"{what} can't be used: {file}: {error.strerror or error}", hint=hint) from error
    try:
        context.load_cert_chain(cert, key, password=lambda: _no_passphrase(key))
    except (ssl.SSLError, OSError) as error:
        message = f"the client certificate {cert} with {key} can't be used: {words_of(error)}"
        raise InvalidSettings(message, hint="they must be PEM, and belong together") from error
