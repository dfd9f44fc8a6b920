"""The sentences of the renderers for people. Pure: values in, lines of text out, safe for a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

from ...errors import Interrupted, RegistryPushError, printable
from ...events import (
    Action,
    BlobDone,
    BlobRewound,
    HTTPAnswer,
    HTTPRequest,
    ModelDone,
    ModelFailed,
    ModelStarted,
    Placement,
    Retrying,
    Stopping,
    TagSettled,
    Warned,
)
from ...model import LocalReference
from ...model.broken_blob import BrokenBlob, Problem
from . import units
from .rates import RunState
from .verb import PUSH, Verb

if TYPE_CHECKING:
    from ...verbs.sync.totals import SyncReport


def heading(event: ModelStarted | ModelDone, verb: Verb = PUSH) -> str:
    """Return `me/tiny:latest → localhost:5000/me/tiny:latest`."""
    return printable(f"{event.model} → {event.target}" if verb.has_target else event.model)


def start(event: ModelStarted, verb: Verb = PUSH) -> str:
    """Return `pushing me/tiny:latest → localhost:5000/me/tiny:latest: 6 blobs, 1.93 GB`."""
    doing = "checking" if event.dry_run else verb.doing
    return f"{doing} {heading(event, verb)}: {units.count(event.blobs, 'blob')}, {units.size(event.size)}"


def summary(event: ModelDone, seconds: float, verb: Verb = PUSH) -> tuple[str, str, str]:
    """Return a model's result in three parts: from where to where, its ID, and what was moved in `seconds`."""
    if event.dry_run:
        return would(event, verb)
    placed = {
        Placement.UPLOADED: event.uploaded,
        Placement.MOUNTED: event.mounted,
        Placement.PRESENT: event.present,
        Placement.REPAIRED: event.repaired,
    }
    counts = [f"{number:,} {verb.placed[placement]}" for placement, number in placed.items() if number]
    took = f"in {units.duration(seconds)}"
    if event.sent:
        took = f"{units.size(event.sent)} {took}"
        if seconds > 0:
            took += f" ({units.speed(event.sent / seconds)})"
    took += "".join(
        f"; {each.tag} was sha256:{each.previous.short} before"
        for each in event.tags
        if each.previous not in (None, event.digest)
    )
    if more := [each.tag for each in event.tags if each.tag and each.tag != event.target.tag]:
        took += f"; also tagged {', '.join(more)}"
    if event.referrers:
        counts.append(units.count(event.referrers, "referrer"))
    return (
        heading(event, verb),
        f"sha256:{event.digest.short}",
        printable(", ".join([*(counts or ["there already"]), took])),
    )


def closing(models: Sequence[ModelDone | ModelFailed], verb: Verb = PUSH) -> list[str]:
    """Return `30 models: 28 copied, 1 there already, 1 failed; 1.20 GB copied`; nothing for a single model."""
    done = [model for model in models if isinstance(model, ModelDone)]
    if len(models) < 2:
        return []
    left = sum(isinstance(model, ModelFailed) and not model.begun for model in models)
    there = sum(model.is_there_already for model in done)
    dry_run = any(model.dry_run for model in done)
    counts = (
        (len(done) - there, f"would be {verb.done}" if dry_run else verb.done),
        (there, "there already"),
        (len(models) - len(done) - left, "failed"),
        (left, "not begun"),
    )
    facts = ", ".join(f"{number:,} {what}" for number, what in counts if number)
    size = f"{units.size(sum(model.sent for model in done))} {'would be ' if dry_run else ''}{verb.moved}"
    if any(model.dry_run and model.sent and _may_mount(model) for model in done):
        size = f"at most {size}"
    return [f"{units.count(len(models), 'model')}: {facts}; {size}"]


_ACTIONS: Final = {
    Action.COPIED: "copied",
    Action.PRESENT: "there already",
    Action.KEPT: "kept",
    Action.DELETED: "deleted",
    Action.LEFT: "left",
    Action.SKIPPED: "left out",
    Action.FAILED: "failed",
}
_WOULD: Final = {
    Action.COPIED: "would be copied",
    Action.DELETED: "would be deleted",
    Action.FAILED: "would fail",
}
_WOULD_BE: Final = {Action.COPIED: "would copy", Action.DELETED: "would delete", Action.FAILED: "would fail"}


def settled(event: TagSettled) -> str:
    """Return `deleted  localhost:5000/ml/llama:v1  (the source has no such tag that the plan takes)`."""
    action = (_WOULD_BE.get(event.action) if event.dry_run else None) or _ACTIONS[event.action]
    route = " → ".join(str(each) for each in (event.source, event.target) if each is not None)
    reason = event.reason.removeprefix("left: ")
    return printable(f"{action:<13}  {route}  ({reason})")


def looked_for(run: RunState, verb: Verb) -> str | None:
    """Return how much was compared with the target while nothing moves, or in a dry run; None if something moves."""
    if run.only_compares and verb.is_brief:
        return f"{run.models_done + run.models_failed:,}/{units.count(run.models, verb.unit)} compared"
    return f"{run.blobs_done:,}/{units.count(run.blobs, 'blob')} looked for" if run.dry_run else None


def synced(report: SyncReport, *, dry_run: bool) -> str:
    """Return `2,000 tags: 12 copied, 1,988 there already; 1.20 GB copied`."""
    totals, would = report.totals, _WOULD if dry_run else {}
    stopped = sum(isinstance(each.error, Interrupted) for each in report.settled)
    counts = {action: totals.actions[action] for action in _ACTIONS}
    counts[Action.FAILED] -= stopped
    said = [f"{count:,} {would.get(action) or _ACTIONS[action]}" for action, count in counts.items() if count]
    said += [f"{stopped:,} not finished"] if stopped else []
    line = f"{units.count(sum(totals.actions.values()), 'tag')}: {', '.join(said) or 'nothing to do'}"
    if not totals.bytes:
        return line
    return f"{line}; {'at most ' if dry_run else ''}{units.size(totals.bytes)} {'would be ' if dry_run else ''}copied"


def repaired(broken: BrokenBlob, place: str) -> str:
    """Return `repaired model sha256:1234abcd5678 in ollama:, 1.20 GB: it was missing`."""
    was = "missing" if broken.problem is Problem.MISSING else "damaged"
    return printable(f"repaired {broken.called} in {place}, {units.size(broken.blob.size)}: it was {was}")


def would(event: ModelDone, verb: Verb = PUSH) -> tuple[str, str, str]:
    """Return what a run without `--dry-run` would do with a model, in three parts as `summary`."""
    most = "at most " if _may_mount(event) else ""
    facts = [
        f"would {verb.moves} {most}{units.count(event.uploaded, 'blob')}, {units.size(event.sent)}"
        if event.uploaded
        else f"would {verb.moves} no blob"
    ]
    if event.mounted:
        facts.append(f"would mount {event.mounted:,}")
    if event.present:
        facts.append(f"{event.present:,} there already")
    for each in event.tags:
        # A store or a layout has names, not tags.
        is_local = isinstance(event.target, LocalReference)
        if each.previous == event.digest:
            facts.append("the model is there already" if is_local else f"the tag {each.tag} is there already")
        elif is_local:
            facts.append(
                "would add the model"
                if each.previous is None
                else f"would replace the model, sha256:{each.previous.short}"
            )
        else:
            now = "new" if each.previous is None else f"replaces sha256:{each.previous.short}"
            facts.append(f"would set the tag {each.tag} ({now})")
    return printable(f"{event.model} → {event.target}"), f"sha256:{event.digest.short}", "; ".join(facts)


def _may_mount(event: ModelDone) -> bool:
    """Return whether what a dry run has not found at the target may be mounted there from another repository."""
    return not isinstance(event.target, LocalReference)


def blob(event: BlobDone, seconds: float | None, verb: Verb = PUSH) -> str:
    """Return the line for a finished blob, for `--verbose`; `seconds` is None if no upload began."""
    line = f"{printable(event.blob.kind, limit=40)} {event.blob.digest.short}  {units.size(event.blob.size)}"
    line += f"  {(verb.would if event.dry_run else verb.placed)[event.placement]}"
    return f"{line} in {units.duration(seconds)}" if seconds is not None else line


def rewound(event: BlobRewound, verb: Verb = PUSH) -> str:
    """Return `blob 1234abcd5678: 300 MB are sent again, from 1.20 GB on: the session was lost`."""
    where = f"from {units.size(event.offset)} on" if event.offset else "from its beginning"
    lost = f"{units.size(event.lost) if event.lost else 'unacknowledged bytes'} are {verb.moved} again, {where}"
    return f"blob {event.digest.short}: {lost}: {printable(event.reason)}"


def waiting(verb: Verb = PUSH) -> str:
    """Return the line that other runs are waited for; shown once, however many blobs they have."""
    return f"waiting for another {verb.name}, which is {verb.moving} some of these blobs"


def stopping(event: Stopping) -> list[str]:
    """Return `stopping: 14.3 MB under way are left, 2 min 20 s`, and below it the cost of not waiting for them."""
    took = f", about {units.remaining(event.seconds)}" if event.seconds is not None else ""
    cost = f"press Ctrl-C again to stop now, which costs {units.size(event.cost)}"
    if event.loses_uploads:
        cost += ": this registry forgets an upload that is cut"
    elif event.may_lose_uploads:
        cost += ", or all of these blobs: some registries forget an upload that is cut"
    return [f"stopping: {units.size(event.left)} under way are left{took}", *_hint(cost if event.cost else None)]


def retrying(event: Retrying) -> str:
    """Return `retrying PATCH in 2.1 s: connection reset`."""
    return printable(f"retrying {event.what} in {units.duration(event.delay)}: {event.reason}")


def request(event: HTTPRequest) -> list[str]:
    """Return `> 12 PUT http://localhost:5000/v2/… (4.19 MB)`, and a line for each header."""
    body = f" ({units.size(event.size)})" if event.size else ""
    return [f"> {event.number} {event.method} {event.url}{body}", *_headers(">", event.headers)]


def answer(event: HTTPAnswer) -> list[str]:
    """Return `< 12 201 in 0.031 s`, a line for each header, and an error's body."""
    status = "no answer" if event.status is None else event.status
    lines = [f"< {event.number} {status} in {event.seconds:.3f} s", *_headers("<", event.headers)]
    return [*lines, f"<   {event.said}"] if event.said else lines


def _headers(mark: str, headers: Mapping[str, str]) -> list[str]:
    return [f"{mark}   {name}: {value}" for name, value in headers.items()]


def warning(event: Warned) -> list[str]:
    """Return `warning: …`, and the next step below it."""
    return [f"warning: {printable(event.message)}", *_hint(event.hint)]


def error(error: RegistryPushError, *, model: str | None = None) -> list[str]:
    """Return `error: …`, the next step and the address, a line each. `model` is named if there are several."""
    prefix = f"{model}: " if model and model not in error.message else ""
    lines = [printable(f"error: {prefix}{error.message}"), *_hint(error.hint)]
    return [*lines, f"  at {printable(error.url)}"] if error.url else lines


def failure(event: ModelFailed) -> list[str]:
    """Return the error of one model of several; nothing for one that was not begun, which the last line counts."""
    return error(event.error, model=event.model) if event.begun else []


def _hint(hint: str | None) -> list[str]:
    return [f"  → {printable(hint)}"] if hint else []
