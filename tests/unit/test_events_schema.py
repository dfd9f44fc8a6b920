"""The schema of the JSON events says what is printed: no event, no field more or less."""

from __future__ import annotations

import io
from typing import Any, get_args

import jsonschema_rs
import pytest

from registry_push.cli.guides import guides
from registry_push.cli.render import Kind, renderer
from registry_push.cli.render.jsonl import timestamp
from registry_push.errors import ConnectionLost, Denied
from registry_push.events import (
    Action,
    BlobCounts,
    BlobDone,
    BlobProgress,
    BlobRewound,
    BlobStarted,
    BlobWaiting,
    Event,
    HTTPAnswer,
    HTTPRequest,
    ManifestPushed,
    ModelDone,
    ModelFailed,
    ModelStarted,
    Placement,
    Retrying,
    RunGrew,
    RunStarted,
    Stopping,
    TagSettled,
    Warned,
    as_json,
)
from tests.support.event_schema import checked, schema
from tests.support.pushes import MANIFEST, REPO, TARGET, Clock, blob

BIG = blob("big", 100)
EVENTS: list[Event] = [
    RunStarted(1, 2, 100),
    RunGrew(1, 2, 100),
    ModelStarted("me/big:latest", TARGET, 2, 100),
    BlobStarted(REPO, BIG, 0),
    BlobProgress(REPO, BIG.digest, 50, 100),
    BlobRewound(REPO, BIG.digest, 0, 100, "the session was lost", 50),
    BlobDone(REPO, BIG, Placement.UPLOADED, 150),
    Retrying("PATCH", "connection reset", 0.5),
    Warned("a key that others can read", "chmod 600 FILE"),
    Warned("without a hint"),
    BlobWaiting(REPO, BIG),
    Stopping(100, None, 50, loses_uploads=False),
    Stopping(100, 2.5, 50, loses_uploads=True),
    Stopping(100, 2.5, 50, loses_uploads=False, may_lose_uploads=True),
    ManifestPushed(TARGET, MANIFEST, True),
    ModelDone("me/big:latest", TARGET, MANIFEST, uploaded=1, mounted=0, present=1, sent=150),
    ModelDone("me/big:latest", TARGET, MANIFEST, uploaded=0, mounted=0, present=None, sent=0),
    ModelFailed("me/big:latest", TARGET, Denied("no", url="http://localhost:5000/v2/")),
    TagSettled(1, "a/big:v1", TARGET, Action.COPIED, "new", MANIFEST, bytes=100, blobs=BlobCounts(sent=1), seconds=0.5),
    TagSettled(1, None, TARGET, Action.DELETED, "the source has no such tag", previous=MANIFEST, whole=True),
    TagSettled(2, "a/big:v2", None, Action.FAILED, "no", error=Denied("no", url="http://localhost:5000/v2/")),
    HTTPRequest(1, "PUT", "http://localhost:5000/v2/", {"Authorization": "Basic …"}, 100),
    HTTPAnswer(1, 403, {"Content-Length": "0"}, "no", 0.25),
    HTTPAnswer(2, None, {}, None, 1.0),
]


def printed(*events: Event) -> str:
    out, clock = io.StringIO(), Clock()
    with renderer(Kind.JSON, io.StringIO(), out, clock=clock, debug=True) as show:
        for event in events:
            show(event)
            clock.now += 1
        show.result(
            fields={
                "dry_run": False,
                "models": [as_json(event) for event in EVENTS if isinstance(event, ModelDone | ModelFailed)],
            }
        )
        show.error(ConnectionLost("gone"))
    return out.getvalue()


def test_each_event_is_valid() -> None:
    assert {type(event) for event in EVENTS} == {*get_args(Event)}, "one of each"
    events = checked(printed(*EVENTS))
    assert [event["event"] for event in events[-2:]] == ["result", "error"]
    assert events[-1]["elapsed"] == len(EVENTS)


@pytest.mark.parametrize("event", EVENTS, ids=[event.name for event in EVENTS])
def test_the_schema_has_each_field_and_none_that_is_gone(event: Event) -> None:
    described = schema()["$defs"][event.name]
    assert set(described["properties"]) == set(described["required"]) == set(as_json(event))


def test_the_schema_describes_no_event_that_is_gone() -> None:
    named = {each["$ref"].rpartition("/")[2] for each in schema()["oneOf"]}
    assert named == {event.name for event in EVENTS} | {"result", "error"}


def test_the_guide_names_each_event() -> None:
    text = guides()["json"].text
    assert [each["$ref"] for each in schema()["oneOf"] if f"`{each['$ref'].rpartition('/')[2]}`" not in text] == []


@pytest.mark.parametrize(
    "wrong", [{"offset": "50"}, {"offset": -1}, {"digest": "sha256:1"}, {"time": "yesterday"}, {"event": "gone"}]
)
def test_the_schema_refuses_what_is_wrong(wrong: dict[str, Any]) -> None:
    (event, *_) = checked(printed(EVENTS[4]))
    with pytest.raises(jsonschema_rs.ValidationError):
        jsonschema_rs.validate(schema(), event | wrong)


def test_the_time_is_utc_with_milliseconds() -> None:
    assert timestamp(1_795_908_278.1236) == "2026-11-28T23:24:38.123Z"
    assert timestamp(0) == "1970-01-01T00:00:00.000Z"
