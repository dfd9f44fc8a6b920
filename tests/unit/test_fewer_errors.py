"""Of failures with one cause the first few are told, and how many more there were."""

from __future__ import annotations

from registry_push.errors import ConnectionLost, Interrupted, RegistryPushError, Unauthorized
from registry_push.events import Event, ModelDone, ModelFailed, TagSet, Warned
from registry_push.verbs.sync.fewer_errors import FewerErrors
from tests.support.pushes import MANIFEST, TARGET


def told(*errors: RegistryPushError) -> list[Event]:
    events: list[Event] = []
    sink = FewerErrors(events.append)
    for number, error in enumerate(errors):
        sink(ModelFailed(f"ml/a:v{number}", TARGET, error))
    sink.close()
    return events


def lost(host: str) -> ConnectionLost:
    return ConnectionLost("no connection", url=f"http://{host}/v2/")


def test_thousands_of_failures_with_one_cause_are_three_and_a_count() -> None:
    events = told(*(lost("a:5000") for _ in range(2000)), lost("b:5000"))
    shown = [event for event in events if isinstance(event, ModelFailed) and event.begun]
    assert [event.model for event in shown] == ["ml/a:v0", "ml/a:v1", "ml/a:v2", "ml/a:v2000"]
    assert sum(isinstance(event, ModelFailed) for event in events) == 2001, "all of them count"
    [warning] = [event for event in events if isinstance(event, Warned)]
    assert warning.message == "1,997 more failures of the same kind: ConnectionLost at a:5000"


def test_a_few_failures_are_told_as_they_are() -> None:
    events = told(lost("a:5000"), lost("a:5000"), lost("a:5000"))
    assert len(events) == 3 and all(isinstance(event, ModelFailed) and event.begun for event in events)


def test_what_was_stopped_or_there_already_is_told_by_the_run_itself() -> None:
    events: list[Event] = []
    sink = FewerErrors(events.append)
    there = TagSet(TARGET.tag or "", MANIFEST)
    sink(ModelDone("ml/a:v1", TARGET, MANIFEST, uploaded=0, mounted=0, present=2, sent=0, tags=(there,)))
    sink(ModelFailed("ml/a:v2", TARGET, Interrupted("stopped before it was done")))
    assert events == []
    sink(ModelDone("ml/a:v3", TARGET, MANIFEST, uploaded=1, mounted=0, present=1, sent=5, tags=(there,)))
    assert len(events) == 1


def test_a_login_is_proposed_by_the_command_that_sync_has() -> None:
    error = Unauthorized("it wants a login", url="https://a.example.com/v2/")
    assert error.hint is not None and "--username" in error.hint
    told(error)
    assert error.hint == "log in with: registry-push login HOST"
