"""Run our own worker with many seeds; no promise may be broken.

    python -m tests.testing.campaign [--seeds N | --minutes M] [--first N] [--jobs N] [--keep FOLDER]

Prints what was run, how often each fault took effect and each promise applied, and what never did.
With `--minutes`, no seed is begun after so many minutes, and the first one is drawn, unless it is
given. An alarm is shrunk, kept as a plan and printed, and the exit code is 1.
"""

from __future__ import annotations

import argparse
import logging
import sys
import time
from pathlib import Path

from rediq_trio.spec.lifecycle import Transition
from rediq_trio.testing.fleets.campaign import MAX_SEEDS, draw_first_seed
from rediq_trio.testing.fleets.failure import SimulationFailed
from rediq_trio.testing.fleets.oracles import ORACLES, words
from rediq_trio.testing.fleets.plan import FaultKind
from rediq_trio.testing.fleets.simulate import simulate
from tests.testing.fleets.storm import SECONDS, STORM, make, transition_name, transitions_seen

KEPT_ALARMS = Path(__file__).parent / "plans" / "kept"
"""Plans that once were alarms. They run first, and in `test_kept_plans.py`."""


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.testing.campaign", description=__doc__)
    parser.add_argument("--seeds", type=int, help="how many (200)")
    parser.add_argument("--minutes", type=float, help="begin no seed after so many")
    parser.add_argument("--first", type=int, help="the first seed (0; with --minutes, a new one)")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--keep", type=Path, default=KEPT_ALARMS, help="where alarms are kept")
    chosen = parser.parse_args(arguments)
    drawn = 0 if chosen.minutes is None else draw_first_seed()
    first: int = drawn if chosen.first is None else chosen.first
    seeds: int = chosen.seeds or (200 if chosen.minutes is None else MAX_SEEDS)
    print(f"from seed {first}", flush=True)
    logging.disable(logging.CRITICAL)
    began = time.monotonic()
    try:
        with transitions_seen():
            report = simulate(
                make, STORM, seed=first, seeds=seeds, minutes=chosen.minutes, hours=SECONDS / 3600,
                jobs=chosen.jobs, keep=chosen.keep,
            )  # fmt: skip
    except SimulationFailed as failure:
        print(failure, failure.timeline(), sep="\n\n")
        return 1
    print(f"{report}, in {time.monotonic() - began:.0f} s")
    for oracle in ORACLES:
        print(f"  {report.applied.get(words(oracle), 0):>9,}  {words(oracle)}")
    missed = [words(oracle) for oracle in ORACLES if not report.applied.get(words(oracle))]
    missed += [kind.value for kind in FaultKind if not report.happened.get(kind.value)]
    taken = {name: report.seen.get(name, 0) for name in map(transition_name, Transition)}
    print(*(f"  {count:>9,}  {name}" for name, count in taken.items()), sep="\n")
    missed += [name for name, count in taken.items() if not count]
    print(f"never: {', '.join(missed) or 'nothing'}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
