"""Logins that are offered without being kept: by the variables of CI services, and by clouds' own programs.

Each is for its own registry only, and comes after all logins that were kept.
"""

from __future__ import annotations

from collections.abc import Mapping

from ..content.threads import in_thread
from ..events import Sink, Warned
from .credential_helper import PATIENCE
from .credentials import Credential
from .helper_process import MOST_OUTPUT, found_on_path, run_program, sentence
from .offers import Program, from_variables, program_for


async def ambient_login(host: str, environ: Mapping[str, str], sink: Sink) -> Credential | None:
    """Return the login that is offered for `host[:port]`, and tell `sink` of it; None if there is none.

    A program that is not installed offers none, nor does one that fails, which is told: reading may need no login.
    Cancelling ends the program.
    """
    host = host.lower()
    offered, login = from_variables(host, environ), None
    if offered is not None:
        login = Credential(offered.source, offered.username, offered.password)
    elif (program := program_for(host)) is not None:
        login = await _from_program(program, host, environ, sink)
    if login is not None:
        sink(Warned(f"signing in at {host} with {login.source}, since no login is kept for it"))
    return login


async def _from_program(program: Program, host: str, environ: Mapping[str, str], sink: Sink) -> Credential | None:
    path = await in_thread(found_on_path, program.name, environ)
    if path is None:
        return None
    hint = f"see what it says: {program.line}"
    try:
        ended = await run_program(path, program.arguments, b"", environ, PATIENCE)
    except OSError as error:
        sink(Warned(f"{program.name}, which knows logins for {host}, can't be started: {error.strerror}", hint))
        return None
    password = ended.output.decode("utf-8", "replace").strip()
    if ended.code != 0 or not password or len(password) > MOST_OUTPUT or not password.isprintable():
        # What it prints on stdout is nothing but the password, so only stderr is quoted.
        why = sentence(ended.errors, ended) if ended.code != 0 else "it prints no password"
        sink(Warned(f"{program.name} has no login for {host}{f': {why}' if why else ''}", hint))
        return None
    return Credential(program.line, program.username, password)
