"""`SyncScene`: what a seed stands for: what goes wrong at a source and two targets, and how the user syncs."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Final

from msgspec.structs import fields
from msgspec.structs import replace as changed

from registry_push.embedded import Fault, Kinds, On, OnCut, Quirks, Schedule, What
from registry_push.embedded.faults import NO_FAULTS

from .sources import SourceFault, faults_of_seed
from .sync_world import MOST_DELETED

_NO_QUIRKS: Final = Quirks()
_QUIRKS: Final = (
    _NO_QUIRKS,
    _NO_QUIRKS,
    Quirks(refuses_tag_deletion=400),
    Quirks(refuses_tag_deletion=405),
    Quirks(refuses_deletion=405),
    Quirks(mounts_need_manifest=True),
    Quirks(unknown_blobs=2),
)


@dataclass(frozen=True, slots=True)
class SyncScene:
    """What a seed stands for. `schedules` are the source's and the targets'; `faults` are of what the source reads."""

    seed: int = 0
    faults: tuple[SourceFault, ...] = ()
    schedules: tuple[Schedule, Schedule, Schedule] = (NO_FAULTS, NO_FAULTS, NO_FAULTS)
    on_cut: OnCut = OnCut.KEEP
    quirks: Quirks = _NO_QUIRKS  # of the first target
    auth: str = "open"
    chunk: int = 65_536
    sizes: tuple[int, ...] = (200_000, 90_000, 70_000)
    jobs: int = 4
    max_delete: int | None = None  # None: without --delete
    fail_fast: bool = False
    forgets: bool = False  # the state is lost after each run
    kills: tuple[int, ...] = ()  # the events at which the runs are killed, the first run's first
    stops: tuple[int, ...] = ()  # … and at which they are told to stop

    @classmethod
    def of_seed(cls, seed: int, kinds: Kinds = Kinds.ALL) -> SyncScene:
        """The same seed gives the same scene. Some registries do nothing wrong."""
        dice = random.Random(f"sync {seed}")
        auth, chunk = dice.choice(("open", "open", "basic", "token")), dice.choice((65_536, 65_536, 100_000))
        calm = dice.randrange(5)
        schedules = [_schedule(dice, f"{seed}{number}", kinds, signed=auth == "token") for number in range(3)]
        quiet = {0: (1, 2), 1: (0,), 2: (2,)}.get(calm, ())
        first, second, third = (NO_FAULTS if n in quiet else each for n, each in enumerate(schedules))
        return cls(
            seed,
            faults_of_seed(seed, redirects=False) if 0 not in quiet and dice.random() < 0.7 else (),
            (first, second, third),
            dice.choice(list(OnCut)),
            dice.choice(_QUIRKS),
            auth,
            chunk,
            (
                chunk * dice.randint(2, 6) + dice.choice((0, 1, 777)),
                chunk * dice.randint(1, 4) + dice.randint(1, 9),
                dice.randint(1, 2 * chunk),
            ),
            dice.choice((1, 2, 8)),
            dice.choice((None, None, 0, MOST_DELETED - 1, MOST_DELETED, 20)),
            dice.random() < 0.1,
            dice.random() < 0.15,
            tuple(dice.randint(1, 90) for _ in range(dice.choice((0, 0, 1, 3)))),
            tuple(dice.randint(1, 90) for _ in range(dice.choice((0, 0, 1)))),
        )

    def __str__(self) -> str:
        deletes = f", --delete --max-delete {self.max_delete}" if self.max_delete is not None else ""
        flags = deletes + ", --fail-fast" * self.fail_fast + ", the state is lost" * self.forgets
        places = zip(("source", "first target", "second target"), self.schedules, strict=True)
        return "\n  ".join(
            [
                f"sync ({self.auth}, {self.on_cut.name} on a cut{flags}), chunks of {self.chunk}, "
                f"blobs of {self.sizes}, {self.jobs} at once, {_told(self.quirks)}, "
                f"killed at {self.kills}, told to stop at {self.stops}",
                "what is read at the source:",
                *map(str, self.faults),
                *(f"{name}: {schedule}" for name, schedule in places),
            ]
        )


def _schedule(dice: random.Random, seed: str, kinds: Kinds, *, signed: bool) -> Schedule:
    """The faults of a seed, further apart than for one model, and some that meet any request: also a tag's."""
    made = Schedule.of_seed(int(seed), signed=signed, kinds=kinds)
    faults = [changed(fault, number=fault.number * dice.choice((1, 2, 6))) for fault in made.faults]
    for _ in range(dice.randint(0, 4)):
        what = dice.choice((What.ANSWER, What.ANSWER, What.LOST, What.TRUNCATED, What.GARBLED, What.STALL))
        on, status = dice.choice((On.ANY, On.ANY, On.MANIFEST)), dice.choice((429, 500, 503, 504))
        number = dice.randint(1, 120 if on is On.ANY else 12)
        wait = dice.choice((None, "0", "7", "300"))
        faults.append(Fault(what, on, number, dice.choice((1, 1, 2, 3, 9)), status=status, retry_after=wait))
    return Schedule(tuple(faults), made.seed)


def _told(quirks: Quirks) -> str:
    values = {each.name: getattr(quirks, each.name) for each in fields(quirks)}
    odd = [f"{name}={value}" for name, value in values.items() if value != getattr(_NO_QUIRKS, name)]
    return ", ".join(odd) or "no quirks"
