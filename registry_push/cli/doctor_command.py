"""`registry-push doctor`."""

from __future__ import annotations

import asyncio
import getpass
import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import click
from msgspec.structs import replace

from ..errors import InvalidSettings, KeyNotFound, RegistryPushError, UsageError, quoted
from ..model import Reference
from ..model.place import LAYOUT_PREFIXES, after_prefix
from ..model.reference import looks_like_host
from ..options.flags import BROKEN, option, options, settings_of
from ..options.grouped_help import GroupedCommand
from ..options.option import HOSTS, located
from ..options.whole_configuration import check_configuration
from .candidates import hosts
from .render import Renderer
from .render.line_breaks import broken
from .running import Outcome, run

if TYPE_CHECKING:
    from ..settings import Settings
    from ..verbs.doctor.examination import Examination, Examined
    from ..verbs.doctor.examine import Subject
    from ..verbs.doctor.here import Misconfiguration

_MARKS = {"ok": "ok", "warn": "warn", "fail": "FAIL", "skipped": "-", "crashed": "FAIL"}


@click.command("doctor", cls=GroupedCommand)
@click.argument("places", nargs=-1, metavar="[HOST|HOST/REPOSITORY]…", shell_complete=hosts)
@option(
    "--write",
    "writes",
    multiple=True,
    metavar="HOST/REPOSITORY",
    help="Open an upload there too, send some MB, and delete it. Repeatable.",
)
@option(
    "--only", multiple=True, metavar="ID", help="Run this check or group (tls) only, and what it needs. Repeatable."
)
@option("--list", "lists", is_flag=True, help="Show every check and what it is about.")
@option("--report", is_flag=True, help="Print a report in Markdown, without user names and with hosts replaced.")
@option("--hosts", "names_hosts", env="HOSTS", is_flag=True, help="Leave the hosts in the report.")
@options("store", "registry", "state", "output", config="config_to_examine")
@click.pass_context
def command(
    ctx: click.Context,
    /,
    places: tuple[str, ...],
    writes: tuple[str, ...],
    only: tuple[str, ...],
    lists: bool,
    report: bool,
    names_hosts: bool,
    **flags: Any,
) -> None:
    """Find out what keeps models from being pushed to HOST: in the store, the key, the network, the login or the
    registry. Each problem comes with the command that mends it.

    Nothing is changed. Without HOST, only this machine is examined; with HOST/REPOSITORY, that is read too; with
    --write, an upload to it is opened and deleted.

    \b
    Examples:
      registry-push doctor registry.example.com
      registry-push doctor localhost:5000 --write localhost:5000/me/model
      registry-push doctor --only store.blobs
    """
    if lists:
        run(flags, _listing)
        return
    if report and flags["as_json"]:
        raise UsageError("--report prints Markdown, --json prints JSON", hint="leave one of them out")
    subjects = _subjects(places, writes)
    settings, config = _configured(ctx, flags)
    only = tuple(part for each in only for part in each.split(",") if part)
    if settings.username is not None and len({subject.reference.host for subject in subjects}) > 1:
        raise UsageError(
            "--username is one registry's login, and several are to be examined",
            hint="examine one after the other; or log in to each: registry-push login HOST",
        )

    async def work(show: Renderer, _stop: asyncio.Event) -> Outcome:
        from ..http.loading import load_aiohttp

        load_aiohttp(os.environ)
        from ..verbs.doctor.examine import examine
        from .render.tables import terminal_width

        quiet = flags["quiet"] or report or flags["as_json"]
        printed = _Printed(verbose=flags["verbose"], quiet=quiet, width=terminal_width(sys.stdout))
        done = await examine(
            subjects,
            settings=settings,
            only=only,
            config=config,
            tell=printed.print,
            word=located,
            sink=show,
        )
        last = [done.verdict] if done.untried is None else [done.untried, done.verdict]
        folded = [line for words in last for line in broken(words, terminal_width(sys.stdout))]
        lines = _report(done, settings.home, hosts=names_hosts) if report else [*printed.end, *folded]
        return Outcome(lines, _fields(done), code=done.exit_code)

    run(flags, work)


def _configured(ctx: click.Context, flags: dict[str, Any]) -> tuple[Settings, Misconfiguration | None]:
    """Return the settings, and what is wrong with the configuration file, without which they may be."""
    from ..verbs.doctor.here import Misconfiguration

    unreadable: RegistryPushError | None = ctx.meta.get(BROKEN)
    try:
        settings = settings_of(flags)
    except InvalidSettings as error:
        if not ctx.meta.get(HOSTS):
            raise
        unreadable = located(error)  # it may be a table's; what is wrong without them is raised now
        del ctx.meta[HOSTS]
        settings = settings_of(flags)
    if unreadable is not None:
        return settings, Misconfiguration(unreadable, unread=True)
    try:
        check_configuration(ctx)
    except (InvalidSettings, KeyNotFound) as error:
        return settings, Misconfiguration(error, unread=False)
    return settings, None


async def _listing(_: Renderer, _stop: asyncio.Event) -> Outcome:
    from ..verbs.doctor.table import CHECKS, About

    lines: list[str] = []
    for about in About:
        of = [f"  {check.id:<22} {check.what}" for check in CHECKS if check.about is about]
        lines += [*([""] if lines else []), about.value, *of]
    fields = [{"id": check.id, "about": check.what, "needs": list(check.needs)} for check in CHECKS]
    return Outcome(lines, {"checks": fields})


def _subjects(places: tuple[str, ...], writes: tuple[str, ...]) -> list[Subject]:
    """Return the registries to examine, each once. Raises `UsageError`."""
    from ..verbs.doctor.examine import Subject
    from ..verbs.login import LoginHost

    found: dict[str, Subject] = {}
    for text in places:
        if text.startswith(LAYOUT_PREFIXES):
            raise UsageError(f"{quoted(text)} is no registry", hint="see what is in it: registry-push inspect PLACE")
        if text == "ollama:":
            continue
        subject = _repository(text)
        if subject is None:
            subject = Subject(LoginHost.parse(text).reference)
        found[str(subject.reference)] = subject
    for text in writes:
        subject = _repository(text, writes=True)
        if subject is None:
            raise UsageError(f"--write {quoted(text)} names no repository", hint="write HOST/REPOSITORY")
        found[str(subject.reference)] = subject
    # A host alone is examined with its repositories, if some are named; a scheme that was typed once holds for all.
    named = {each.reference.host for each in found.values() if each.is_repository}
    schemes = {each.reference.host: each.reference.scheme for each in found.values() if each.reference.scheme}
    return [
        replace(each, reference=replace(each.reference, scheme=schemes.get(each.reference.host)))
        for each in found.values()
        if each.is_repository or each.reference.host not in named
    ]


def _repository(text: str, *, writes: bool = False) -> Subject | None:
    """Return the subject if `text` names a repository and not only a host; to one that it `writes`, a push may go."""
    from ..verbs.doctor.examine import Subject

    text = text if (named := after_prefix(text)) is None else named
    scheme, separator, rest = text.partition("://")
    host, _, path = (rest if separator else scheme).partition("/")
    if path.rstrip("/") and not separator and not looks_like_host(host):
        raise UsageError(f"{quoted(text)} names no registry", hint="name its host: HOST, or HOST/REPOSITORY")
    if not path.rstrip("/"):
        return None
    reference = Reference.parse(text)
    if writes:
        reference.check_writable()
    return Subject(reference, is_repository=True, writes=writes)


class _Printed:
    """Prints each check as soon as it has ended, below the name of what it is about. `quiet`: nothing.

    Lines are broken between words to fit `width` columns; None: they may have any length.
    """

    def __init__(self, *, verbose: bool, quiet: bool, width: int | None) -> None:
        self._width = width
        self._verbose = verbose
        self._quiet = quiet
        self._about: str | None = None
        self._kept_back: dict[str, int] = {}  # checks that were not done, by the one that they need

    def print(self, each: Examined) -> None:
        """Print what the check has found, and the mend if something is wrong."""
        finding, about = each.finding, each.about
        if self._quiet:
            return
        if about != self._about:
            self._count()
            click.echo(about if self._about is None else f"\n{about}")
            self._about = about
        if finding.needs is not None and not self._verbose:
            self._kept_back[finding.needs] = self._kept_back.get(finding.needs, 0) + 1
            return
        is_well = finding.state.value in ("ok", "skipped")
        evidence = f" ({finding.evidence})" if finding.evidence and (self._verbose or not is_well) else ""
        self._echo(f"  {_MARKS[finding.state.value]:<5} {each.id:<22} ", f"{finding.summary}{evidence}")
        if finding.fix and not is_well:
            self._echo(f"{'':<31}→ ", finding.fix)

    def _echo(self, start: str, words: str) -> None:
        lines = broken(words, self._width - len(start) if self._width is not None else None)
        click.echo(f"\n{'':<{len(start)}}".join([start + lines[0], *lines[1:]]))

    @property
    def end(self) -> list[str]:
        """What stands between the checks and the verdict."""
        self._count()
        return [""] if self._about is not None else []

    def _count(self) -> None:
        for need, count in self._kept_back.items():
            what = "1 check is" if count == 1 else f"{count} checks are"
            click.echo(f"  {'-':<5} {what} skipped, which {'needs' if count == 1 else 'need'} {need}")
        self._kept_back.clear()


def _fields(done: Examination) -> dict[str, object]:
    return {
        "success": not done.troubles,
        "verdict": done.verdict,
        "checks": [
            {
                "id": each.id,
                "host": each.host,
                "repository": each.repository,
                "state": each.finding.state.value,
                "summary": each.finding.summary,
                "evidence": each.finding.evidence,
                "fix": each.finding.fix,
                "code": each.finding.code,
            }
            for each in done.checks
        ],
    }


def _report(done: Examination, home: Any, *, hosts: bool) -> list[str]:
    from ..verbs.doctor.report import report

    users: list[str] = []
    with suppress(OSError, KeyError):
        users.append(getpass.getuser())
    return report(done, home=home, users=users, hosts=hosts)
