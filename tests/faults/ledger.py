"""What a registry has acknowledged, read off its log: no such byte is to be sent again (P2)."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol
from urllib.parse import parse_qs, urlsplit

from registry_push.embedded import Exchange, Quirks, What
from registry_push.model import Digest

# Of an upload that ended so nothing is kept: the code says that it is of no use to go on.
_FOR_GOOD: Final = frozenset({3, 5, 7})
_SESSION: Final = re.compile(r"/(?:blobs/uploads|_uploads)/([A-Za-z0-9-]+)")
_STATED: Final = re.compile(r"([0-9]+)-")
_RANGE: Final = re.compile(r"0-([0-9]+)\Z")
# Requests in trouble without a byte of progress between them, after which a client may take it that a session is
# broken: its retries.
_TRIES: Final = 5
_BUSY: Final = frozenset({0, 408, 425, 429, *range(500, 600)}) - {501, 505}
# So many random bytes occur once.
_TELLING: Final = 16
_COMMITTED: Final = "committed"
# Two bodies of parts for each of two jobs are under way at once, and one question for where the next belongs.
_WORKERS: Final = 5

Interval = tuple[int, int]


@dataclass(frozen=True, slots=True)
class End:
    """How a push ended: `turn` is the log's when it broke off, `settled` when the server was done with it too."""

    turn: int
    settled: int
    code: int | None
    rewritten: Digest | None = None  # the blob whose file was written to meanwhile, or before the next push


class Broken(AssertionError):
    """A promise that was not kept."""


class Logged(Protocol):
    """A registry, or one repository of it, by its log."""

    @property
    def host(self) -> str:
        """As the registry's."""
        ...

    @property
    def log(self) -> list[Exchange]:
        """As the registry's."""
        ...

    @property
    def has_storage(self) -> bool:
        """As the registry's."""
        ...

    @property
    def storage_log(self) -> list[Exchange]:
        """As the registry's."""
        ...


def stored(registry: Logged) -> list[Exchange]:
    """What went to the registry's storage, if it has one."""
    return registry.storage_log if registry.has_storage else []


@dataclass
class Ledger:
    """What the registry has acknowledged of each blob, by session, and has not denied since.

    It denies what a session held by 404; by a Range that ends lower; by one that ends behind all that was ever sent,
    which can't be our session; by refusing the same bytes twice with 401, 403 or 416, or the status with 403; by
    refusing the digest of what it put together; by a 401 at another origin, where nobody may sign in. It denies a
    committed blob by a HEAD answered 404.
    A status whose end it refused as a start says nothing, unless the bytes before it had been taken with 2xx.
    A session that is broken for good is as good as denied from the first time that this shows. What a captive portal
    says is no word of the registry's.

    A run in which a session was asked for nothing as often as a client tries (`_TRIES`) may pass it over for a fresh
    one: that counts as denied too.

    What we gave up for good (codes 3, 5, 7) may be sent again too: there is nothing to go on with. A later push begins
    anew with a blob that goes in one request, and with one whose file was written to: its beginning may be another.
    """

    registry: Logged
    contents: Mapping[Digest, list[bytes]]
    one_request: int
    quirks: Quirks
    held: dict[Digest, dict[str, list[Interval]]] = field(default_factory=lambda: defaultdict(dict))
    owner: dict[str, Digest] = field(default_factory=dict)
    furthest: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    denied: set[str] = field(default_factory=set)
    deleted: set[str] = field(default_factory=set)
    unseen: set[int] = field(default_factory=set)
    refused: Counter[tuple[str, str]] = field(default_factory=Counter)
    refused_starts: dict[str, set[int]] = field(default_factory=lambda: defaultdict(set))
    taken: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    troubled: Counter[Digest] = field(default_factory=Counter)

    def read(self, ends: Sequence[End]) -> None:
        log = [*self.registry.log, *stored(self.registry)]
        turns: list[tuple[float, int, Exchange | End]] = [(each.began, 0, each) for each in log]
        turns += [(each.ended, 1, each) for each in log if each.ended]
        turns += [(end.settled + 0.5, 2, end) for end in ends]
        for end in ends:
            if end.code != 0:
                self._find_unseen(log, end)
        for _, what, subject in sorted(turns, key=lambda turn: turn[:2]):
            if not isinstance(subject, Exchange):
                self._ended(subject.code, subject.rewritten)
            elif what == 0:
                self._sent(subject)
            else:
                self._answered(subject)

    def _find_unseen(self, log: list[Exchange], end: End) -> None:
        """Answers that were on their way when a push was broken off, or broke itself off.

        What was asked after an answer shows that it was read; two questions, since one may have been on its way too.
        Parts go side by side, and so may as many questions as there are workers for them.
        """
        at_storage = {id(exchange) for exchange in stored(self.registry)}
        for exchange in log:
            needed = _WORKERS if id(exchange) in at_storage else 2
            later = sum(exchange.ended < each.began <= end.turn for each in log) if exchange.ended else 0
            if exchange.began <= end.settled and later < needed:
                self.unseen.add(id(exchange))

    def _sent(self, exchange: Exchange) -> None:
        if _is(exchange, What.BROKEN):
            session = _session(exchange)
            self.denied.add(session)
            for held in self.held.values():
                held.pop(session, None)
            return
        span = self._span(exchange)
        if span is None:
            return
        digest, (start, stop) = span
        session = _session(exchange)
        self.owner[session] = digest
        if self.troubled[digest] >= _TRIES:
            for other in {*self.held[digest]} - {session, _COMMITTED}:
                del self.held[digest][other]
        self.furthest[session] = max(self.furthest[session], stop)
        for where, intervals in self.held[digest].items():
            for first, last in intervals:
                if start < last and first < stop:
                    raise Broken(
                        f"P2: bytes {start}-{stop - 1} of {digest.short} were sent again by {_told(exchange)}, though "
                        f"{first}-{last - 1} were acknowledged in {where}\n{self.story(digest)}"
                    )

    def _answered(self, exchange: Exchange) -> None:
        if _is(exchange, What.PORTAL):
            return
        self._count_trouble(exchange)
        if exchange.status == 0:
            return
        session, target = _session(exchange), urlsplit(exchange.target)
        digest = self.owner.get(session)
        if exchange.method == "HEAD" and "/blobs/" in target.path:
            self._found(target.path, is_there=exchange.status == 200)
        if not session:
            return
        if exchange.method == "DELETE":
            self.deleted.add(session)
        commits = exchange.method == "PUT" and exchange.status == 201 and "digest" in parse_qs(target.query)
        if commits and id(exchange) not in self.unseen:
            self._hold_committed(Digest.parse(parse_qs(target.query)["digest"][0]))
        if digest is None:
            return
        held = self.held[digest]
        # A session whose status is refused can't be gone on with; Ollama's registry tells none, but refuses a part.
        refused = exchange.status == 400 and exchange.method in ("PUT", "PATCH" if self.registry.has_storage else "GET")
        # A presigned URL that is 404 has run out; the session is the registry's business.
        is_gone = exchange.status == 404 and target.path.startswith("/v2/")
        is_gone |= exchange.status == 401 and exchange.headers["Host"] != self.registry.host
        # A registry that refuses to say how far it came (405, as Google's) leaves nothing to go on from.
        is_gone |= exchange.status == 403 and exchange.method == "GET"
        is_gone |= exchange.status in (401, 403, 416) and self._is_refused_again(exchange, session)
        if refused or is_gone:
            held.pop(session, None)
            self.denied.add(session)
        if session in self.denied:
            return
        span = self._span(exchange)
        if (
            span is not None
            and 200 <= exchange.status < 300
            and _COMMITTED not in held
            and id(exchange) not in self.unseen
        ):
            held.setdefault(session, []).append(span[1])
        stated = _STATED.match(exchange.headers.get("Content-Range", ""))
        if stated is not None and exchange.status == 416:
            start = int(stated[1])
            self.refused_starts[session].add(start)
            if start > self.taken[session]:  # only a status has said that it has so much
                held[session] = [(first, min(last, self.taken[session])) for first, last in held.get(session, [])]
        elif span is not None and 200 <= exchange.status < 300:
            self.taken[session] = max(self.taken[session], span[1][1])
        self._weigh(exchange, held, session)

    def _count_trouble(self, exchange: Exchange) -> None:
        """What nobody answered, or with "later"; an answer that was lost on its way is none."""
        digest = self.owner.get(_session(exchange))
        if digest is None:
            digest = next((each for each in self.contents if each.hex in exchange.target), None)
        if digest is None:
            return
        is_missed = exchange.method == "HEAD" and exchange.status == 404 and self.troubled[digest]  # after a commit
        if exchange.status in _BUSY or exchange.fault is not None or is_missed:
            self.troubled[digest] += 1
        elif exchange.method in ("PATCH", "PUT") and exchange.status < 300:
            self.troubled[digest] = 0

    def _weigh(self, exchange: Exchange, held: dict[str, list[Interval]], session: str) -> None:
        """What a Range means: what is behind it is denied; a status acknowledges what is before it."""
        told = _RANGE.match(exchange.told or "")
        if told is None or exchange.status not in (200, 201, 202, 204, 416) or self.quirks.range_sticks:
            return
        end = int(told[1]) + 1 if int(told[1]) else 0
        adds = {"GET": self.quirks.status_adds, "PATCH": (self.quirks.refusal_adds or 0) * (exchange.status == 416)}
        end = max(0, end - adds.get(exchange.method, 0))
        if exchange.method == "GET" and end == self.taken[session] + 1:
            end -= 1  # the length, as Quay and Gitea have it, sooner than one byte of a chunk that was cut
        if exchange.status == 416:
            # "true" and "behind" of a refused PATCH; one that is ahead says nothing that a client may rely on.
            held[session] = [(first, min(last, end)) for first, last in held.get(session, []) if first < end]
        elif end > self.furthest[session] + 1:
            held.pop(session, None)
        elif exchange.method == "GET":
            if end in self.refused_starts[session] and end > self.taken[session]:
                return
            held[session] = [(0, min(end, self.furthest[session]))] if end else []
        else:
            held[session] = [(first, min(last, end)) for first, last in held.get(session, []) if first < end]

    def _is_refused_again(self, exchange: Exchange, session: str) -> bool:
        where = session, exchange.headers.get("Content-Range", exchange.method)
        self.refused[where] += 1
        return self.refused[where] > 1

    def _found(self, path: str, *, is_there: bool) -> None:
        digest = Digest.parse(path.rpartition("/")[2])
        if is_there and digest in self.contents:  # a manifest that was garbled on its way may name another
            self._hold_committed(digest)
        else:
            self.held[digest].pop(_COMMITTED, None)

    def _hold_committed(self, digest: Digest) -> None:
        size = len(self.contents[digest][0])
        self.held[digest] = {_COMMITTED: [(0, size)]} if size else {}

    def _ended(self, code: int | None, rewritten: Digest | None) -> None:
        self.troubled.clear()
        for digest, held in self.held.items():
            begins_anew = digest == rewritten or len(self.contents[digest][0]) <= self.one_request
            for session in list(held):
                is_given_up = code in _FOR_GOOD and (session in self.deleted or self.registry.has_storage)
                is_given_up |= code is None and session in self.deleted  # killed when it had failed for good already
                if session != _COMMITTED and (begins_anew or is_given_up):
                    del held[session]

    def _span(self, exchange: Exchange) -> tuple[Digest, Interval] | None:
        """Which bytes of which blob a request brought; None where it brought none, or it can't be told."""
        if exchange.method not in ("PATCH", "PUT") or not exchange.head or not _session(exchange):
            return None
        found = next(self._places(exchange), None)
        if found is None:
            return None
        digest, start = found
        return digest, (start, start + int(exchange.headers["Content-Length"]))

    def _places(self, exchange: Exchange) -> Iterator[tuple[Digest, int]]:
        stated = _STATED.match(exchange.headers.get("Content-Range", ""))
        closes = parse_qs(urlsplit(exchange.target).query).get("digest")
        for digest, versions in self.contents.items():
            if closes is not None and closes != [str(digest)]:
                continue
            for content in versions:
                if stated is not None:
                    start = int(stated[1])
                elif closes is not None:
                    start = len(content) - int(exchange.headers["Content-Length"])  # the rest of it
                elif len(exchange.head) < min(len(content), _TELLING):
                    continue
                else:
                    start = content.find(exchange.head)
                if start >= 0 and content.startswith(exchange.head, start):
                    yield digest, start

    def story(self, digest: Digest) -> str:
        """What the log says of the blob's sessions."""
        sessions = {session for session, owner in self.owner.items() if owner == digest}
        log = sorted([*self.registry.log, *stored(self.registry)], key=lambda each: each.began)
        return "\n".join(_told(each) for each in log if _session(each) in sessions or digest.hex in each.target)


def _is(exchange: Exchange, what: What) -> bool:
    return exchange.fault is not None and exchange.fault.what is what


def _session(exchange: Exchange) -> str:
    found = _SESSION.search(exchange.target)
    return found[1] if found else ""


def _told(exchange: Exchange) -> str:
    path, span = exchange.target.partition("?")[0][-40:], exchange.headers.get("Content-Range", "")
    return (
        f"  {exchange.began:4}-{exchange.ended:<4} {exchange.method} …{path} {span} took {exchange.received}"
        f" → {exchange.status} {exchange.told or ''} {exchange.fault or ''}"
    )
