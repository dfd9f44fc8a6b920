"""Runs the service: its sockets, its signals and its exit code."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import socket
import stat
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final, Self

from aiohttp import web
from msgspec import Struct, field
from msgspec.structs import replace

from .. import collector
from ..auth.identity import mode_warning
from ..content.ollama.paths import read_small
from ..content.read_errors import passes, read_error, unreadable
from ..errors import Interrupted, InvalidSettings, NotAtSource, UsageError, printable
from ..interrupts import raise_on_interrupt
from ..options.flags import homeless_warning
from ..settings import Settings
from ..text.hint import Setting, step
from ..verbs.shared import sharing
from .access import Access, Origins
from .address import Address, parse_ollama_host
from .application import Service
from .bounds import Bounds
from .introduction import check_store, introduced
from .log import LOG, begin, tell
from .loop_errors import LoopErrors
from .running_pushes import RunningPushes
from .targets import AllowedTargets

_MAX_TOKEN_FILE: Final = 4096
# Files that a process may open if the system does not say: Windows has no limit on sockets.
_FILES: Final = 65536
# Characters of a token, so that it can't be guessed: 16 characters of base64 are 96 bits.
_MIN_TOKEN: Final = 16


class ServeOptions(Struct, frozen=True):
    """Where the service listens and which clients it serves."""

    address: Address = field(default_factory=Address)
    unix: Path | None = None
    access: Access = field(default_factory=lambda: Access(guards_host=True, origins=Origins.parse("")))
    targets: AllowedTargets = field(default_factory=AllowedTargets)

    @classmethod
    def of(cls, flags: Mapping[str, Any], environ: Mapping[str, str]) -> Self:
        """Return the options from flags and environment; read the token.

        Raises `UsageError`, `NotAtSource`, `Unreadable`.
        """
        address = parse_ollama_host(environ.get("OLLAMA_HOST", ""))
        if flags["host"] is not None:
            address = replace(address, host=flags["host"].strip("[]"))
        if flags["port"] is not None:
            if not 0 <= flags["port"] <= 65535:
                raise InvalidSettings(
                    f"--port {flags['port']} is out of range", hint=step("give ", Setting("port"), " from 0 to 65535")
                )
            address = replace(address, port=flags["port"])
        token = _read_token(flags["token_file"]) if flags["token_file"] is not None else None
        is_local = flags["unix"] is not None or address.is_local
        if not is_local and token is None and not flags["allow_anonymous"]:
            # CVE-2025-63389: an API open to the whole network.
            raise UsageError(
                f"on {address} others than this machine can push with your logins",
                hint=step(
                    "give ",
                    Setting("token_file", "FILE"),
                    "; or ",
                    Setting("allow_anonymous"),
                    ", best with ",
                    Setting("allow_target"),
                    "; or listen on 127.0.0.1",
                ),
            )
        access = Access(
            # A browser can't reach a socket in the file system.
            guards_host=flags["unix"] is None and address.is_local,
            origins=Origins.parse(environ.get("OLLAMA_ORIGINS", "")),
            token=token,
        )
        targets = AllowedTargets.parse(flags["allow_targets"])
        if not is_local and token is None and not targets.globs:
            LOG.warning("everyone who reaches %s can push every model here; --allow-target limits where to", address)
        return cls(address, flags["unix"], access, targets)


def _read_token(path: Path) -> str:
    try:
        token = read_small(path, _MAX_TOKEN_FILE).decode().strip()
    except PermissionError as error:
        raise unreadable(path, what="the token") from error
    except OSError as error:
        if passes(error):
            raise read_error(error, "the token", path=path) from error
        raise NotAtSource(
            f"no token at {path}: {error.strerror or error}", hint=step("check ", Setting("token_file"))
        ) from error
    except ValueError as error:
        raise InvalidSettings(f"{path} holds no token: {error}", hint="write one line of text into it") from error
    if len(token) < _MIN_TOKEN or not token.isascii() or not token.isprintable() or " " in token:
        raise InvalidSettings(
            f"{path} holds no token: one line of at least {_MIN_TOKEN} printable characters",
            hint="create one: openssl rand -base64 32",
        )
    if warning := mode_warning(path):
        LOG.warning("%s", warning)
    return token


def run(settings: Settings, flags: Mapping[str, Any]) -> int:
    """Serve until SIGINT or SIGTERM and return the exit code.

    0: stopped in order, whatever was under way, since service managers take anything else for a crash. 130: stopped at
    once, by a second signal. Raises `UsageError` if it can't listen, `StoreNotFound`, and what `ServeOptions.of`
    raises.
    """
    raise_on_interrupt()
    collector.resume()  # all is imported
    begin(quiet=flags["quiet"], verbose=flags["verbose"], as_json=flags["as_json"])
    if warning := homeless_warning(flags):
        tell(warning)
    bounds = Bounds().within(_allow_many_files())
    options = ServeOptions.of(flags, settings.environ)
    if not flags["wait_for_store"]:
        check_store(settings)
    try:
        return asyncio.run(_serve(settings, options, bounds))
    except (asyncio.CancelledError, KeyboardInterrupt):
        return Interrupted.exit_code


async def _serve(settings: Settings, options: ServeOptions, bounds: Bounds) -> int:
    asyncio.get_running_loop().set_exception_handler(LoopErrors())
    signals: asyncio.Queue[signal.Signals] = asyncio.Queue()
    for which in (signal.SIGINT, signal.SIGTERM):
        with suppress(NotImplementedError):  # Windows: there KeyboardInterrupt does it
            asyncio.get_running_loop().add_signal_handler(which, signals.put_nowait, which)
    async with (
        sharing(settings, tell, connections=bounds.connections, per_registry=bounds.per_registry) as shared,
        RunningPushes(shared, bounds) as hub,
    ):
        service = Service(settings, hub, options.access, options.targets, bounds=bounds)
        async with _listening(service.runner(), options) as site:
            LOG.info("%s", introduced(settings, options.targets))
            LOG.info("%s: finishing the chunks under way; once more stops at once", (await signals.get()).name)
            hub.stop()
            await site.stop()
            at_once = asyncio.create_task(_cancelled_by_the_next(signals, hub))
            await hub.idle()
            return Interrupted.exit_code if _ended(at_once) else 0


async def _cancelled_by_the_next(signals: asyncio.Queue[signal.Signals], hub: RunningPushes) -> None:
    LOG.info("%s: stopping at once", (await signals.get()).name)
    hub.cancel()


def _ended(task: asyncio.Task[None]) -> bool:
    return task.done() or not task.cancel()


@asynccontextmanager
async def _listening(runner: web.AppRunner, options: ServeOptions) -> AsyncIterator[web.BaseSite]:
    """Listen inside this context; at its end, give clients time to read the last line."""
    await runner.setup()
    try:
        site = _site(runner, options)
        await _start(site, options)
        for address in runner.addresses:
            where = f"http://{Address(address[0], address[1])}" if isinstance(address, tuple) else f"unix:{address}"
            LOG.info("listening on %s", where)
        yield site
    finally:
        await runner.cleanup()


def _site(runner: web.AppRunner, options: ServeOptions) -> web.BaseSite:
    if options.unix is not None:
        return web.SockSite(runner, _unix_socket(options.unix))
    return web.TCPSite(runner, options.address.host or None, options.address.port)


async def _start(site: web.BaseSite, options: ServeOptions) -> None:
    try:
        await site.start()
    except OSError as error:
        where = options.unix or options.address
        hint = step("choose another: ", Setting("host", "ADDRESS"), " ", Setting("port", "PORT"))
        if error.errno == errno.EADDRINUSE:
            hint = step(
                "Ollama itself may be running there: stop it, or choose another port: ", Setting("port", "PORT")
            )
        raise UsageError(f"can't listen on {where}: {error.strerror or error}", hint=hint) from error


def _unix_socket(path: Path) -> socket.socket:
    """Return a socket at `path` that only this user can connect to; replace one that a dead process has left."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        _remove_dead(path)
        mask = os.umask(0o177)
        try:
            listener.bind(str(path))
        finally:
            os.umask(mask)
    except OSError as error:
        listener.close()
        raise UsageError(f"can't listen on {printable(str(path))}: {error.strerror or error}") from error
    return listener


def _remove_dead(path: Path) -> None:
    with suppress(FileNotFoundError), socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        if stat.S_ISSOCK(path.lstat().st_mode):
            try:
                probe.connect(str(path))
            except ConnectionRefusedError:
                path.unlink()


def _allow_many_files() -> int:
    """Raise the limit on open files as far as allowed, as Go programs do: a hundred pushes have three thousand open.

    Returns the limit.
    """
    if os.name != "posix":
        return _FILES
    import resource

    few, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):  # macOS refuses its own hard limit
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
        few = most
    return few if few != resource.RLIM_INFINITY else _FILES
