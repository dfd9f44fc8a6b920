"""Schedules of faults for an embedded registry: seeded, finite, and printable."""

from __future__ import annotations

import random
from collections.abc import Callable
from enum import Enum
from typing import Final, Self

from msgspec import Struct

MiB: Final = 1024 * 1024


class On(Enum):
    """Which requests a fault counts."""

    ANY = "any request"
    HEAD = "HEAD"
    POST = "POST"
    GET = "GET"
    PATCH = "PATCH"
    PUT = "PUT"  # of a blob
    MANIFEST = "PUT of a manifest"
    STORAGE = "PUT at the storage"


class What(Enum):
    """What a fault does to the request or its answer."""

    CUT = "the line is cut in its body"
    STALL = "the server goes silent"
    ANSWER = "it is answered before its body is read"
    LOST = "it is done, its answer is lost"
    TRUNCATED = "it is done, its answer ends in the middle"
    GARBLED = "it is done, its answer is no HTTP"
    WRONG_DIGEST = "its 201 names another digest"
    FORGET = "the session is forgotten"
    OFFSET = "it is refused with 416"
    RANGE = "the Range of its answer is off"
    LOCATION = "the Location of its answer is put differently"
    LIMIT = "from now on longer bodies are refused with 413"
    EXPIRE = "all tokens end"
    UNAUTHORIZED = "it is answered 401"
    BROKEN = "its session is broken for good"
    PORTAL = "a captive portal answers, and to what comes next"
    DRIP = "it is done, its answer drips and never ends"
    ECHO = "its error repeats the Authorization and the URL"


class Kinds(Enum):
    """Which faults a schedule draws from.

    `OLD`: those that a seed has always stood for. `NEW`: broken sessions, portals, drips and echoes. `ALL`: the old
    ones of the seed, and one or two new ones with every other seed.
    """

    OLD = "old"
    NEW = "new"
    ALL = "all"


class Fault(Struct, frozen=True):
    """Happens to the `number`-th request that is `on`, the first being 1, and to `times` in all.

    - `at`: the byte of the body at which the line is cut; longer than the body, it counts from the start again.
    - `status` and `retry_after` are an early answer's; `status` is also a broken session's and an echo's.
    - `form`: of a 416's Range (`true ahead behind odd none`), of a Location (`relative changed elsewhere`), of the
      challenge of a 401 (`same none no-realm elsewhere`), of what a broken session does (`answer hang`), of a portal
      (`page chunked empty`), of a drip (`informational head body chunk`), of an echo (`json text page`).
    - A portal answers `times` requests in a row, of whatever kind. A broken session stays broken.
    - `shift`: bytes by which a Range is off. `limit`: the longest body that is taken from then on, in bytes.
    """

    what: What
    on: On
    number: int = 1
    times: int = 1
    at: int = 0
    status: int = 503
    retry_after: str | None = None
    form: str = ""
    shift: int = 0
    limit: int = 0

    def __str__(self) -> str:
        details = {
            What.CUT: f"at byte {self.at}",
            What.ANSWER: f"{self.status}" + (f", Retry-After: {self.retry_after}" if self.retry_after else ""),
            What.OFFSET: self.form,
            What.LOCATION: self.form,
            What.UNAUTHORIZED: self.form,
            What.RANGE: f"by {self.shift:+}",
            What.LIMIT: f"over {self.limit}",
            What.BROKEN: "it hangs" if self.form == "hang" else f"{self.status}",
            What.PORTAL: self.form,
            What.DRIP: self.form,
            What.ECHO: f"{self.status}, {self.form}",
        }
        detail = f" ({details[self.what]})" if self.what in details else ""
        return f"{self.on.value}, number {self.number}, {self.times} time(s): {self.what.value}{detail}"


class Schedule(Struct, frozen=True):
    """The faults of one run. A request meets at most one; the next waits for the next request."""

    faults: tuple[Fault, ...] = ()
    seed: int | None = None

    @classmethod
    def of_seed(cls, seed: int, *, ollama: bool = False, signed: bool = False, kinds: Kinds = Kinds.OLD) -> Self:
        """Return one to six faults, the same for the same seed. `signed`: there are tokens that can expire."""
        dice, more = random.Random(seed), random.Random(f"new {seed}")  # noqa: S311  # reproducible mishaps, no secret
        makers = [*_PLAIN, *(_OLLAMA if ollama else _SESSIONS), *(_SIGNED if signed else ())]
        faults = [dice.choice(makers)(dice) for _ in range(dice.randint(1, 6))] if kinds is not Kinds.NEW else []
        if kinds is Kinds.NEW or (kinds is Kinds.ALL and more.random() < 0.5):
            # First in the list, since of two faults that are due the first one happens.
            faults = [more.choice(_NEW)(more) for _ in range(more.randint(1, 2))] + faults
        return cls(tuple(faults), seed)

    def __str__(self) -> str:
        lines = [f"schedule of seed {self.seed}:" if self.seed is not None else "schedule:"]
        return "\n  ".join([*lines, *map(str, self.faults)])


NO_FAULTS: Final = Schedule()

_BODIES: Final = (On.PATCH, On.PATCH, On.PUT)
_ASKED: Final = (On.HEAD, On.POST, On.PATCH, On.PATCH, On.PUT, On.GET, On.MANIFEST)
# Seconds, a date that has passed, a date that is far off, and what is none of them.
_PAUSES: Final = (
    None,
    "0",
    "2",
    "Wed, 21 Oct 2015 07:28:00 GMT",
    "Fri, 31 Dec 9999 23:59:59 GMT",
    "99999999999999999999",
    "-3",
    "soon",
)
_LENGTHS: Final = (1, 1, 2, 3, 9)  # of a burst; nine are more than a client's retries


def _number(dice: random.Random) -> int:
    return dice.choice((1, 1, 2, 2, 3, 4, 5, 7, 9))


def _cut(dice: random.Random) -> Fault:
    at = dice.choice((0, 1, dice.randrange(1 << 16), dice.randrange(1 << 23)))
    return Fault(What.CUT, dice.choice(_BODIES), _number(dice), at=at)


def _stall(dice: random.Random) -> Fault:
    return Fault(What.STALL, dice.choice(_ASKED), _number(dice), dice.choice((1, 1, 2)))


def _answer(dice: random.Random) -> Fault:
    status = dice.choice((500, 502, 503, 504, 429, 429, 408))
    on, times = dice.choice((*_ASKED, On.ANY)), dice.choice(_LENGTHS)
    return Fault(What.ANSWER, on, _number(dice), times, status=status, retry_after=dice.choice(_PAUSES))


def _lost(dice: random.Random) -> Fault:
    what = dice.choice((What.LOST, What.LOST, What.TRUNCATED, What.GARBLED))
    return Fault(what, dice.choice(_ASKED), _number(dice), dice.choice((1, 1, 2)))


def _wrong_digest(dice: random.Random) -> Fault:
    return Fault(What.WRONG_DIGEST, dice.choice((On.PUT, On.MANIFEST)), _number(dice))


def _forget(dice: random.Random) -> Fault:
    return Fault(
        What.FORGET, dice.choice((On.PATCH, On.PATCH, On.GET, On.PUT)), _number(dice), dice.choice((1, 1, 3, 7))
    )


def _location(dice: random.Random) -> Fault:
    form = dice.choice(("relative", "relative", "elsewhere"))
    return Fault(What.LOCATION, dice.choice((On.POST, On.PATCH)), _number(dice), dice.choice(_LENGTHS), form=form)


def _limit(dice: random.Random) -> Fault:
    limit = dice.choice((60_000, MiB, MiB, 3 * MiB // 2, 2 * MiB, 3 * MiB))
    return Fault(What.LIMIT, dice.choice(_BODIES), _number(dice), limit=limit)


def _offset(dice: random.Random) -> Fault:
    form = dice.choice(("true", "ahead", "behind", "odd", "none"))
    on, times = dice.choice((On.PATCH, On.PATCH, On.PUT)), dice.choice((1, 1, 2))
    return Fault(What.OFFSET, on, _number(dice), times, form=form, shift=dice.choice((1, 2, 1000, 1 << 20)))


def _range(dice: random.Random) -> Fault:
    shift = dice.choice((1, 1, -1, 2, -1000, 1000, -(1 << 20), 1 << 30))
    return Fault(What.RANGE, dice.choice((On.PATCH, On.GET)), _number(dice), dice.choice(_LENGTHS), shift=shift)


def _changed_location(dice: random.Random) -> Fault:
    on, times = dice.choice((On.POST, On.PATCH, On.GET)), dice.choice(_LENGTHS)
    return Fault(What.LOCATION, on, _number(dice), times, form="changed")


def _storage(dice: random.Random) -> Fault:
    number = _number(dice)
    match dice.choice(("cut", "403", "busy", "lost", "stall")):
        case "cut":
            return Fault(What.CUT, On.STORAGE, number, at=dice.randrange(1 << 20))
        case "403":
            return Fault(What.ANSWER, On.STORAGE, number, dice.choice(_LENGTHS), status=403)
        case "busy":
            return Fault(What.ANSWER, On.STORAGE, number, dice.choice(_LENGTHS), retry_after=dice.choice(_PAUSES))
        case "lost":
            return Fault(dice.choice((What.LOST, What.TRUNCATED, What.GARBLED)), On.STORAGE, number)
        case _:
            return Fault(What.STALL, On.STORAGE, number)


def _expire(dice: random.Random) -> Fault:
    return Fault(What.EXPIRE, dice.choice((On.PATCH, On.PATCH, On.PUT, On.MANIFEST, On.ANY)), _number(dice))


def _unauthorized(dice: random.Random) -> Fault:
    form = dice.choice(("same", "none", "no-realm", "elsewhere"))
    return Fault(What.UNAUTHORIZED, dice.choice(_ASKED), _number(dice), dice.choice((1, 1, 2, 12)), form=form)


def _broken(dice: random.Random) -> Fault:
    on, form = dice.choice((On.POST, On.PATCH, On.PATCH, On.GET, On.PUT)), dice.choice(("answer", "answer", "hang"))
    return Fault(What.BROKEN, on, _number(dice), status=dice.choice((500, 503, 429)), form=form)


def _portal(dice: random.Random) -> Fault:
    number, times = dice.choice((1, 1, 2, 3, 5, 9, 17)), dice.choice((1, 3, 9, 25))
    return Fault(What.PORTAL, On.ANY, number, times, form=dice.choice(("page", "page", "chunked", "empty")))


def _drip(dice: random.Random) -> Fault:
    form = dice.choice(("informational", "head", "body", "chunk"))
    return Fault(What.DRIP, dice.choice(_ASKED), _number(dice), dice.choice((1, 1, 2)), form=form)


def _echo(dice: random.Random) -> Fault:
    on, times = dice.choice((*_ASKED, On.ANY)), dice.choice(_LENGTHS)
    status, form = dice.choice((400, 403, 500, 503)), dice.choice(("json", "text", "page"))
    return Fault(What.ECHO, on, _number(dice), times, status=status, form=form)


Maker = Callable[[random.Random], Fault]
_PLAIN: Final[tuple[Maker, ...]] = (
    _cut,
    _cut,
    _stall,
    _answer,
    _answer,
    _lost,
    _lost,
    _wrong_digest,
    _forget,
    _location,
    _limit,
)
_SESSIONS: Final[tuple[Maker, ...]] = (_offset, _offset, _range, _range, _changed_location)
_OLLAMA: Final[tuple[Maker, ...]] = (_storage, _storage, _storage)
_SIGNED: Final[tuple[Maker, ...]] = (_expire, _expire, _unauthorized)
_NEW: Final[tuple[Maker, ...]] = (_broken, _broken, _portal, _drip, _echo)
