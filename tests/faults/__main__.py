"""`python -m tests.faults --seeds 1000 [--first N] [--verb push|copy|pull|sync|all] [--faults KINDS]`: the nightly run.

Ends with 1 if a promise was broken.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import Counter
from enum import Enum
from pathlib import Path

from registry_push.embedded import Fault, Kinds

from .clock import run
from .reading import ReadingOutcome, ReadingScene, perform_copy, perform_pull
from .stage import Outcome, Scene, perform
from .sync_scene import SyncScene
from .syncing import SyncOutcome, perform_sync

AnyScene = Scene | ReadingScene | SyncScene


class Verb(Enum):
    """What is played."""

    PUSH = "push"
    COPY = "copy"
    PULL = "pull"
    SYNC = "sync"
    ALL = "all"  # pushes, copies and pulls, each with every third seed

    def of_seed(self, seed: int) -> Verb:
        """Which one a seed plays."""
        return (Verb.PUSH, Verb.COPY, Verb.PULL)[seed % 3] if self is Verb.ALL else self


def scene_of(seed: int, kinds: Kinds, verb: Verb) -> AnyScene:
    """What a seed stands for. `kinds` is for pushes and syncs; a copy's target has the old faults."""
    match verb:
        case Verb.SYNC:
            return SyncScene.of_seed(seed, kinds)
        case Verb.COPY:
            return ReadingScene.copy_of_seed(seed)
        case Verb.PULL:
            return ReadingScene.pull_of_seed(seed)
        case _:
            return Scene.of_seed(seed, kinds)


def play(seed: int, kinds: Kinds = Kinds.ALL, verb: Verb = Verb.PUSH) -> Outcome | ReadingOutcome | SyncOutcome:
    """Plays one seed in a folder of its own. Raises `AssertionError`, with how to play it again."""
    scene = scene_of(seed, kinds, verb)
    with tempfile.TemporaryDirectory() as folder:
        try:
            if isinstance(scene, Scene):
                return run(perform(scene, Path(folder)))
            if isinstance(scene, SyncScene):
                return run(perform_sync(scene, Path(folder)))
            return run(perform_pull(scene, Path(folder)) if verb is Verb.PULL else perform_copy(scene, Path(folder)))
        except Exception as error:
            again = f"python -m tests.faults --verb {verb.value} --faults {kinds.value} --first {seed} --seeds 1"
            raise AssertionError(f"seed {seed} broke a promise\n{scene}\n{error}\nplay it again: {again}") from error


def main() -> None:
    """Plays the seeds and prints what came of them."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults")
    parser.add_argument("--seeds", type=int, default=1000, metavar="N", help="how many (default 1000)")
    parser.add_argument("--first", type=int, default=0, metavar="SEED", help="the first (default 0)")
    parser.add_argument(
        "--faults",
        type=Kinds,
        default=Kinds.ALL,
        metavar="KINDS",
        help="old: those that the seeds have always stood for; new: broken sessions, portals, drips, echoes;"
        " all: the old ones, and new ones with every other seed (default)",
    )
    parser.add_argument(
        "--verb",
        type=Verb,
        default=Verb.ALL,
        metavar="VERB",
        help="push, copy, pull or sync; all: the first three, each with every third seed (default)",
    )
    parser.add_argument("--verbose", action="store_true", help="print each scene")
    given = parser.parse_args()
    first, last, restarts, broken = Counter[str](), Counter[str](), 0, 0
    fired, played, actions, began = Counter[str](), Counter[str](), Counter[str](), time.monotonic()
    for seed in range(given.first, given.first + given.seeds):
        verb = given.verb.of_seed(seed)
        played[verb.value] += 1
        try:
            outcome = play(seed, given.faults, verb)
        except AssertionError as error:
            broken += 1
            print(error, end="\n\n", flush=True)
            continue
        if given.verbose:
            print(scene_of(seed, given.faults, verb), outcome.codes, sep="\n", end="\n\n", flush=True)
        first[_word(outcome.codes[0])] += 1
        last[_word(outcome.codes[-1])] += 1
        restarts += len(outcome.codes) - 1
        for fault in outcome.fired:
            fired[fault.what.name if isinstance(fault, Fault) else f"SOURCE_{fault.what.name}"] += 1
        if isinstance(outcome, SyncOutcome):
            actions.update(outcome.actions)
    print(f"seeds {given.first} to {given.first + given.seeds - 1}, {time.monotonic() - began:.0f} s")
    print(f"played:               {_table(played)}")
    print(f"broken promises: {broken}")
    print(f"ended at first with:  {_table(first)}")
    print(f"ended at last with:   {_table(last)}")
    print(f"runs that were started again: {restarts}")
    print(f"faults that happened: {_table(fired)}")
    if actions:
        print(f"what was done:        {_table(actions)}")
    sys.exit(1 if broken else 0)


def _word(code: int | None) -> str:
    return "killed" if code is None else str(code)


def _table(counts: Counter[str]) -> str:
    return ", ".join(f"{name}: {count}" for name, count in sorted(counts.items()))


if __name__ == "__main__":
    main()
