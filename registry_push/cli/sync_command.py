"""`registry-push sync`."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import UsageError
from ..events import Action, Warned
from ..model import Reference
from ..options.flags import option, options, settings_of
from ..options.grouped_help import GroupedCommand
from ..options.option import own
from ..options.paths import FILE
from ..text.hint import Command, step
from .metrics_file import MetricsFile, metrics_file
from .render import SYNC, Renderer, words
from .running import Outcome, run

if TYPE_CHECKING:
    from ..verbs.sync.totals import SyncReport


@click.command("sync", cls=GroupedCommand)
@click.argument("plan", metavar="[PLAN.toml]", required=False, type=FILE)
@option("-n", "--dry-run", is_flag=True, help="Say of each tag what would be done with it, and why. Write nothing.")
@option("--plan-out", type=FILE, metavar="FILE", help="With --dry-run: write what would be done to FILE, for --plan.")
@option("--plan", "pinned", type=FILE, metavar="FILE", help="Carry out exactly the plan that --plan-out wrote to FILE.")
@option("--delete", is_flag=True, help="Delete tags at the targets that the sources don't have any more.")
@option("--max-delete", type=int, metavar="N", help="Delete nothing if more than N tags would be deleted.")
@option("--fail-fast", is_flag=True, help="Stop at the first tag that fails, instead of going on with the others.")
@option("--report", type=FILE, metavar="FILE", help="Write what was done with each tag to FILE, as JSON.")
@option(
    "--metrics-file",
    type=FILE,
    metavar="FILE.prom",
    help="Write the outcome of the run to FILE.prom, for Prometheus. A dry run writes none.",
)
@option("--from-skopeo", type=FILE, metavar="FILE", help="Convert a plan of 'skopeo sync' and print it.")
@option("--from-regsync", type=FILE, metavar="FILE", help="Convert a plan of 'regsync' and print it.")
@option("--to", metavar="PLACE", help="With --from-skopeo: what skopeo takes as its destination.")
@options("store", "registries", "transfer", "uploads", "output")
def command(plan: Path | None, pinned: Path | None, **flags: Any) -> None:
    """Mirror models between registries, stores and layouts, as a plan says.

    Run it again and again: what is at its target already costs two requests and moves nothing. A tag that fails does
    not stop the others; the exit code is then 8. With nothing to do, --quiet prints nothing, so cron sends no mail. How
    plans are written, what is deleted, and how to run one each night: registry-push help migration

    \b
    Examples:
      registry-push sync plan.toml --dry-run
      registry-push sync plan.toml
      registry-push sync plan.toml -n --delete --max-delete 9 --plan-out seen.json
      registry-push sync --plan seen.json
      registry-push sync plan.toml --quiet --metrics-file sync.prom
      registry-push sync --from-skopeo skopeo.yml --to HOST/mirror/ > plan.toml

    \b
    A plan:
      [[sync]]
      source = "registry:localhost:5000/ml/"
      target = "registry:registry.example.com/mirror/"
      models = ["ml/llama*"]
      tags = ["latest", "8b*"]
    """
    to: str | None = flags["to"] if "to" in _typed("command line") else None  # elsewhere it is the one for push
    if flags["from_skopeo"] is not None or flags["from_regsync"] is not None:
        _convert(plan or pinned, flags, to)
        return
    if to is not None:
        raise UsageError("--to goes with --from-skopeo", hint="the targets of a plan stand in its entries")
    if plan is not None and pinned is not None:
        raise UsageError("PLAN.toml and --plan exclude each other", hint="leave one of them out")
    if plan is None and pinned is None:
        raise UsageError("name a plan", hint=step("see how one is written: ", Command("help migration")))
    file = plan or pinned
    assert file is not None, "one of them was given"
    from ..verbs.sync.output_files import check_apart

    metrics_to = None if flags["dry_run"] else flags["metrics_file"]
    check_apart(
        {
            "the plan": file,
            "the metrics file": metrics_to,
            "the report": flags["report"],
            "the pinned plan": flags["plan_out"],
        }
    )
    with metrics_file(metrics_to, file) as metrics:
        _carry_out(file, flags, metrics, is_pinned=pinned is not None)


def _carry_out(file: Path, flags: Mapping[str, Any], metrics: MetricsFile | None, *, is_pinned: bool) -> None:
    if is_pinned and (flags["delete"] or flags["plan_out"] is not None):
        raise UsageError(
            "--plan does what its file says: it takes no --delete and no --plan-out", hint="leave them out"
        )
    settings = settings_of(flags)
    from ..verbs.sync.sync import SyncOptions, sync, sync_pinned

    chosen = SyncOptions(
        dry_run=flags["dry_run"],
        delete=flags["delete"],
        max_delete=flags["max_delete"],
        fail_fast=flags["fail_fast"],
        report=flags["report"],
        plan_out=flags["plan_out"],
        wins=_typed("command line", "environment"),  # they go before those of the plan
        keeps_all=flags["dry_run"],
    )

    async def work(show: Renderer, stop: asyncio.Event) -> Outcome:
        from ..http.loading import load_aiohttp

        load_aiohttp(os.environ)
        carry_out = sync_pinned if is_pinned else sync
        report = await carry_out(file, chosen, settings=settings, sink=show, stop=stop)
        if metrics is not None:
            metrics.report = report
        return _outcome(report, file, flags)

    run(flags, work, verb=SYNC, finishes=True)


def _convert(plan: Path | None, flags: Mapping[str, Any], to: str | None) -> None:
    """Print a converted plan, and say what was not converted."""
    given = [name for name in ("from_skopeo", "from_regsync") if flags[name] is not None]
    if plan is not None or len(given) > 1:
        raise UsageError("a plan is either converted or carried out", hint="give one of these files only")
    from ..verbs.conversion import converted_regsync, converted_skopeo
    from ..verbs.sync.plan_text import read_plan_file

    file: Path = flags[given[0]]
    if given[0] == "from_skopeo":
        found = converted_skopeo(read_plan_file(file), str(file), to)
    elif to is None:
        found = converted_regsync(read_plan_file(file), str(file))
    else:
        raise UsageError("--to goes with --from-skopeo", hint="a plan of regsync has its targets")

    async def work(show: Renderer, _: asyncio.Event) -> Outcome:
        for note in found.notes:
            show(Warned(f"{file}, line {note.line}: {note.key}: {note.message}"))
        notes = [{"line": note.line, "key": note.key, "message": note.message} for note in found.notes]
        return Outcome(found.text.rstrip("\n").split("\n"), {"plan": found.text, "notes": notes})

    run(flags, work)


def _typed(*kinds: str) -> frozenset[str]:
    """Return the settings that come from sources of these `kinds`."""
    ctx = click.get_current_context()
    return frozenset(each.name or "" for each in own(ctx) if each.source(ctx).kind in kinds)


def _outcome(report: SyncReport, plan: Path, flags: Mapping[str, Any]) -> Outcome:
    from ..verbs.sync.report import report_of

    dry_run, quiet = flags["dry_run"], flags["quiet"]
    fields: dict[str, object] = {"run": report.run, "dry_run": dry_run, "totals": report.totals.fields}
    unchecked = _unchecked(report) if dry_run else ()
    if dry_run:
        fields = {**report_of(report, str(plan), dry_run=True), "not_checked": list(unchecked)}
    is_refused = report.error is not None and not any(report.totals.actions.values())
    if is_refused or (quiet and (dry_run or report.totals.is_quiet)):
        return Outcome((), fields, report.error)
    return Outcome(_lines(report, unchecked, dry_run=dry_run), fields, report.error)


def _unchecked(report: SyncReport) -> tuple[str, ...]:
    """Return what a dry run can't know about what it would do."""
    from ..transfer.dry_run import NOT_CHECKED, NOT_CHECKED_HERE, NOT_DELETED

    copied = [each.target for each in report.settled if each.action is Action.COPIED]
    found = list(NOT_CHECKED if any(isinstance(target, Reference) for target in copied) else ())
    if not all(isinstance(target, Reference) for target in copied):
        found += NOT_CHECKED_HERE[:1] if found else NOT_CHECKED_HERE
    if report.totals.actions[Action.DELETED]:
        found.append(NOT_DELETED)
    return tuple(found)


def _lines(report: SyncReport, unchecked: Sequence[str], *, dry_run: bool) -> Iterator[str]:
    if dry_run:
        yield from (words.settled(each) for each in report.settled if each.action is not Action.FAILED)
    yield words.synced(report, dry_run=dry_run)
    if unchecked:
        yield ""
        yield "This was a dry run: nothing was changed. It did not check:"
        yield from (f"- {each}" for each in unchecked)
