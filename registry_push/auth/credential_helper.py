"""docker's credential helpers: programs that keep logins (docker-credential-helpers, client/command.go)."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from ..content.threads import in_thread
from ..errors import InvalidSettings, Unauthorized, printable
from ..model.reference import looks_like_host
from ..text.hint import Hint, Setting, step
from .helper_process import MOST_OUTPUT, found_on_path, reason, run_program, sentence

# A name becomes part of a program's name: no slash, no leading dash or dot.
_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*\Z")
# Seconds. Helpers may ask their user to unlock a keyring, or a cloud service for a token. One that takes longer hangs.
PATIENCE: Final = 30.0
# What every helper says on stdout where it holds no login (credentials/error.go there).
_NOT_FOUND: Final = "credentials not found"
# What a login is spelled with, and no list of servers.
_OF_A_LOGIN: Final = frozenset({"username", "secret", "serverurl", "password", "token", "identitytoken"})


@dataclass(frozen=True, slots=True)
class HelperAnswer:
    """A login as a helper returns it."""

    username: str
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class CredentialHelper:
    """`docker-credential-<name>`, which the file of logins `source` names.

    Every method raises `InvalidSettings` for a name that can't be one, and `Unauthorized` for a helper that is missing,
    fails, or takes longer than `patience` seconds. Cancelling kills it.
    """

    name: str
    source: str
    environ: Mapping[str, str] = field(repr=False)
    patience: float = PATIENCE

    @property
    def program(self) -> str:
        """The name of its program."""
        return f"docker-credential-{self.name}"

    async def get(self, server: str) -> HelperAnswer | None:
        """Return its login for `server`; None if it has none."""
        hint = f"try it: echo {server} | {self.program} get"
        said = await self._ask("get", f"{server}\n".encode(), f"keeps the login for {server}", hint)
        return parse_login(said[0], self.program, hint, beside=said[1]) if said is not None else None

    async def store(self, server: str, username: str, secret: str) -> None:
        """Have it keep the login for `server`."""
        login = json.dumps({"ServerURL": server, "Username": username, "Secret": secret}).encode()
        hint = f"see what it needs; or take it out of {self.source}"
        await self._ask("store", login, f"keeps the login for {server}", hint)

    async def erase(self, server: str) -> bool:
        """Have it forget the login for `server`; return False if it has none."""
        hint = f"try it: echo {server} | {self.program} erase"
        return await self._ask("erase", f"{server}\n".encode(), f"keeps the login for {server}", hint) is not None

    async def list(self) -> dict[str, str]:
        """Return the user name for each server that it has a login for. Raises `Unauthorized`."""
        hint = f"try it: {self.program} list"
        said = await self._ask("list", b"", "keeps logins", hint)
        found = _json(said[0], self.program, hint, beside=said[1]) if said is not None else None
        if not isinstance(found, dict):
            return {}
        if any(key.casefold() in _OF_A_LOGIN for key in found):  # it heeds no action; its answer is not to be shown
            raise Unauthorized(f"{self.program} answered a login where it was asked for a list", hint=hint)
        return {server: name for server, name in found.items() if isinstance(name, str) and _is_server(server)}

    async def _ask(self, action: str, given: bytes, what: str, hint: str) -> tuple[bytes, str] | None:
        """Return what it printed on stdout, and on stderr; None if it has no such login."""
        if not _NAME.match(self.name):
            raise InvalidSettings(f"{printable(repr(self.name), limit=80)} is not a helper's name, in {self.source}")
        path = await in_thread(found_on_path, self.program, self.environ)
        if path is None:
            raise Unauthorized(
                f"{self.program} is not installed; {self.source} says that it {what}", hint=self._without_it(action)
            )
        try:
            ended = await run_program(path, (action,), given, self.environ, self.patience)
        except OSError as error:
            raise Unauthorized(f"{self.program} can't be started: {error.strerror}", hint=hint) from error
        if ended.code is None:
            raise Unauthorized(f"{self.program} has not answered for {self.patience:g} s{reason(ended)}", hint=hint)
        if len(ended.output) > MOST_OUTPUT:
            raise Unauthorized(f"{self.program} answered more than {MOST_OUTPUT} bytes", hint=hint)
        if ended.code != 0:
            if _NOT_FOUND in ended.output.decode(errors="replace"):
                return None
            raise Unauthorized(f"{self.program} failed (code {ended.code}){reason(ended)}", hint=hint)
        # stderr is no part of an answer.
        return ended.output, sentence(ended.errors, ended)

    def _without_it(self, action: str) -> Hint:
        hint = step(f"install it, or take it out of {self.source}")
        if action == "get":  # whoever keeps or forgets a login has already said who they are
            who = (Setting("username", "NAME"), " ", Setting("password_stdin"))
            return step(*hint.parts, ", or say who you are: ", *who)
        return hint


def _is_server(text: str) -> bool:
    scheme, separator, rest = text.partition("://")
    return looks_like_host((rest if separator else scheme).partition("/")[0])


def parse_login(output: bytes, program: str, hint: str, *, beside: str = "") -> HelperAnswer | None:
    """Return the login in what `program get` printed; None for an empty one. Raises `Unauthorized`."""
    answer = _json(output, program, hint, beside=beside)
    username, secret = (answer.get("Username"), answer.get("Secret")) if isinstance(answer, dict) else (None, None)
    if not isinstance(username, str) or not isinstance(secret, str):
        raise Unauthorized(f"{program} answered without Username and Secret", hint=hint)
    return HelperAnswer(username, secret) if username or secret else None


def _json(output: bytes, program: str, hint: str, *, beside: str) -> Any:
    try:
        return json.loads(output)
    except (ValueError, RecursionError):
        # Not the cause of this error: its text could hold the secret.
        what = f"what is not JSON: {beside}" if beside else "what is not JSON"
        raise Unauthorized(f"{program} answered {what}", hint=hint) from None
