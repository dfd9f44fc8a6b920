"""`registry-push verify`."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Any

import click

from ..events import as_json
from ..options.flags import option, options, settings_of
from ..options.grouped_help import GroupedCommand
from .candidates import model_names
from .render import VERIFY, Renderer, units, words
from .running import Outcome, run

if TYPE_CHECKING:
    from ..verbs.verify_report import VerifyReport


@click.command("verify", cls=GroupedCommand)
@click.argument("places", nargs=-1, required=True, metavar="PLACE…", shell_complete=model_names)
@option(
    "--repair",
    metavar="FROM",
    help="Fetch what is damaged or missing, and nothing else, from this place, and replace it.",
)
@options("store", "registry", "download", "output")
def command(places: tuple[str, ...], repair: str | None, **flags: Any) -> None:
    """Read and hash all content, and say which models are whole and which are damaged.

    PLACE is ollama:NAME or ollama: (the whole store), oci:DIR[:REF], oci-archive:FILE.tar[:REF], registry:HOST/PATH:TAG
    or registry:HOST/PATH (all its tags). FROM is any of them. Nothing is written but what is repaired. The exit code is
    0 if all is whole, and 7 if anything is damaged or missing.

    \b
    Examples:
      registry-push verify ollama:
      registry-push verify oci-archive:models.tar registry:example.com/ai/llama
      registry-push verify llama:8b --repair registry:example.com/ai/llama:8b
    """
    from ..verbs.verify_request import check_verify

    check_verify(places, repair, username=flags["username"])  # before a password is asked for
    settings = settings_of(flags)

    async def work(show: Renderer, stop: asyncio.Event) -> Outcome:
        from ..http.loading import load_aiohttp

        load_aiohttp(os.environ)
        from ..verbs.verify import verify

        report = await verify(places, repair=repair, settings=settings, sink=show, stop=stop)
        return _outcome(report, quiet=flags["quiet"])

    run(flags, work, verb=VERIFY, finishes=True, resumes=False)


def _outcome(report: VerifyReport, *, quiet: bool) -> Outcome:
    fields: dict[str, object] = {
        "models": [as_json(model) for model in report.models],
        "whole": [model.model for model in report.done],
        "damaged": list(report.damaged),
        "blobs": [finding.fields for finding in report.findings],
    }
    repaired = [finding for finding in report.findings if finding.repaired]
    lines = [words.repaired(each.broken, each.place) for each in repaired]
    return Outcome([] if quiet else [*lines, *_closing(report)], fields, report.error)


def _closing(report: VerifyReport) -> list[str]:
    """Return `30 models: 28 whole, 1 damaged, 1 not verified`; nothing for a single model."""
    whole, damaged, count = len(report.done), len(report.damaged), len(report.models)
    if count < 2:
        return []
    counts = ((whole, "whole"), (damaged, "damaged"), (count - whole - damaged, "not verified"))
    return [f"{units.count(count, 'model')}: {', '.join(f'{each:,} {what}' for each, what in counts if each)}"]
