"""The password of `--username`: from standard input, the environment, or a prompt at the terminal."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any, Final

from ..errors import InvalidSettings
from ..interrupts import leave_on_interrupt, raise_on_interrupt
from ..settings import check_text

PASSWORD_VARIABLE: Final = "REGISTRY_PUSH_PASSWORD"  # noqa: S105  # its name
_HOW: Final = f"give the password on standard input with --password-stdin, or in {PASSWORD_VARIABLE}"


def password_of(flags: Mapping[str, Any], environ: Mapping[str, str]) -> str | None:
    """Return the password that goes with the `username` in `flags`; None without one.

    With `--password-stdin` it is a line of standard input, else the variable's, else it is asked for. Somebody at a
    terminal types it, without an echo. Raises `InvalidSettings` if there is none.
    """
    username = flags.get("username")
    check_text("user name", username or "", "--username")
    if username and ":" in username:  # curl's way; what follows would be printed
        raise InvalidSettings("--username takes the name alone, and what was given has a colon", hint=_HOW)
    if not username:
        if flags.get("password_stdin"):
            raise InvalidSettings("--password-stdin needs a user name", hint="name it: --username NAME")
        return None
    if flags.get("password_stdin"):
        password, source = _asked(username) if _is_at_terminal() else _read(), "standard input"
    elif PASSWORD_VARIABLE in environ:
        password, source = environ[PASSWORD_VARIABLE], PASSWORD_VARIABLE
    elif _is_at_terminal():
        password, source = _asked(username), "the terminal"
    else:
        raise InvalidSettings(f"there is no password for {username}", hint=_HOW)
    check_text("password", password, source)
    if not password:
        raise InvalidSettings(f"the password from {source} is empty", hint="check what was to put it there")
    return password


def _is_at_terminal() -> bool:
    return sys.stdin is not None and sys.stdin.isatty()


def _asked(username: str) -> str:
    from getpass import getpass  # 3 ms, for those who are asked

    raise_on_interrupt()  # so that the terminal echoes again after Ctrl-C
    try:
        return getpass(f"Password for {username}: ")
    except UnicodeDecodeError as error:
        print(file=sys.stderr)
        return _undecoded(error)
    except KeyboardInterrupt:
        print(file=sys.stderr)  # so that the shell's prompt begins a line
        raise
    except EOFError as error:
        raise InvalidSettings(f"no password for {username} was typed", hint=_HOW) from error
    finally:
        leave_on_interrupt()


def _read() -> str:
    """Return the first line of standard input."""
    if sys.stdin is None:  # closed by the shell (`<&-`)
        raise InvalidSettings("standard input is closed, and the password is to be read from it", hint=_HOW)
    try:
        line = sys.stdin.readline()
    except UnicodeDecodeError as error:
        return _undecoded(error)
    return line.rstrip("\r\n")


def _undecoded(error: UnicodeDecodeError) -> str:
    """Return the first line of the undecodable input in `error`, decoded as Python does if the locale is C."""
    line, _, _ = error.object.partition(b"\n")
    return line.rstrip(b"\r").decode("utf-8", "surrogateescape")
