"""`SignIn`: how one run signs in, at whichever registry asks for it."""

from __future__ import annotations

from ..events import Sink, Warned
from ..model import HTTPOrigin
from ..settings import Settings
from .credentials import Credential, CredentialStore
from .identity import Identity, default_key_path, mode_warning
from .tokens import Authenticator
from .transport import Transport


class SignIn:
    """The logins and the key that the settings mean, each read when it is wanted."""

    def __init__(self, settings: Settings, sink: Sink) -> None:
        self._settings = settings
        self._sink = sink
        self._identity: Identity | None = None
        self._looked_for_identity = False
        explicit = (
            Credential("--username", settings.username, settings.password)
            if settings.username is not None and settings.password is not None
            else None
        )
        self._logins = CredentialStore(settings.authfile, settings.environ, settings.home, explicit)

    def at(self, origin: HTTPOrigin, transport: Transport, *, prefers_signature: bool) -> Authenticator:
        """Who signs in at `origin`."""
        return Authenticator(
            origin,
            transport,
            login=lambda repository: self._logins.lookup(origin.netloc, repository),
            identity=self._load_identity,
            prefers_signature=prefers_signature,
            allowed_realms=self._settings.allow_realms,
        )

    def _load_identity(self) -> Identity | None:
        """The key to sign in with, read once; None where none was named and none is in the usual place."""
        if not self._looked_for_identity:
            path = self._settings.key or default_key_path(self._settings.home)
            if self._settings.key is not None or path.exists():
                self._identity = Identity.load(path)
                if warning := mode_warning(path):
                    self._sink(Warned(warning))
            self._looked_for_identity = True
        return self._identity
