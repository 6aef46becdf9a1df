"""The table of the invariants: the contract's words, and which checks the code has for each."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Mapping
from types import MappingProxyType, ModuleType
from typing import cast

from rediq_trio.spec.check import totals
from rediq_trio.spec.check.table import CHECKS
from rediq_trio.testing.judge import invariants

WORDS: Mapping[int, str] = MappingProxyType(
    {
        1: "A task is in exactly one state, and in exactly the index that the state names.",
        2: "Nothing is lost: an enqueued task is in some index until it is purged after its end. "
        "No key carries a TTL.",
        3: "One holder: at most one live lease per task. A write with an older token changes "
        "nothing. Being active and having a lease are one.",
        4: "`attempt <= max_retry + 1`; only a failure or a timeout uses one up; every claim "
        "raises `deliveries`.",
        5: "A terminal state changes only by revive, requeue, delete and purge.",
        6: "At most one task in the window of a unique key; the key names its holder, and is free "
        "once the window ends, also after death, cancellation, deletion and purge.",
        7: "Among ready tasks the lower priority number goes first, then first come, first served.",
        8: "No task is claimed before its `run_at`, after its `expires`, before its dependencies "
        "have ended as its policy asks, or once `pause()` has returned.",
        9: "A tick of a schedule makes exactly one task, whatever number of servers run it.",
        10: "A grouped task ends in exactly one batch; a group waits no longer than `max_delay`.",
        11: "Limits hold at every instant: no more live leases than a limit of concurrency, no more "
        "starts in any window than a rate; a permit dies with its lease.",
        12: "Counters agree with a recount: enqueued = tasks in all states + purged + deleted "
        "+ batched.",
        13: "Liveness: with a live worker and capacity, every ready task is claimed, and every "
        "lapsed lease reclaimed within `lease + 5 s`.",
    }
)
"""The invariants, by the numbers that `Violation.invariant` gives."""

ALSO: Mapping[int, str] = MappingProxyType(
    {
        1: "`conformance/`, `redis/test_damage.py`",
        2: "`faults/`: workers killed, servers restarted under load",
        3: "`conformance/test_fences.py`; a stale token in each state of the exploration",
        4: "`conformance/test_claim.py`, `test_settle.py`, `test_give_back.py`",
        5: "`conformance/test_operating.py`, `test_purge.py`",
        6: "`conformance/test_unique.py`; racing producers in `worker/test_unique.py`",
        7: "each claim of the random histories; `worker/test_queues.py`",
        8: "`conformance/test_claim.py`, `test_dependencies.py`, `test_operating.py`",
        9: "`conformance/test_schedules.py`; servers that race in `worker/test_schedules.py`",
        10: "`conformance/test_groups.py`, `worker/test_groups.py`",
        11: "`conformance/test_limits.py` (rates too), `worker/test_limits.py`; permits and lanes of "
        "Redis in each step of the random histories (`derived/state.py`)",
        12: "`conformance/`",
        13: "`actors/`, `worker/` under a clock of their own; `faults/`",
    }
)
"""Where else an invariant is tested: below `tests/`."""


def _numbers(module: object) -> set[int]:
    """Return the invariants that the functions of a module can find violated."""
    found: set[int] = set()
    for node in ast.walk(ast.parse(inspect.getsource(cast("ModuleType", module)))):
        match node:
            case ast.Call(
                func=ast.Name(id="Violation" | "violation"),
                args=[ast.Constant(value=int(number)), *_],
            ):
                found.add(number)
            # What is found of one task is a pair of number and detail, as yet without the task.
            case ast.Yield(value=ast.Tuple(elts=[ast.Constant(value=int(number)), _])):
                found.add(number)
            case _:
                pass
    return found


def table() -> str:
    """Make the table."""
    # What `Queue.check()` calls on a live queue; each step of the tests calls that too.
    live = set().union(*(_numbers(module) for module in (totals, *CHECKS.values())))
    tested = live | _numbers(invariants)
    lines = [
        "| | invariant | `check()` | every step of the tests | also in `tests/` |",
        "| ---: | --- | --- | --- | --- |",
    ]
    for number in sorted(WORDS.keys() | tested):
        words = WORDS.get(number, "(not described yet)")
        marks = ("yes" if number in where else "" for where in (live, tested))
        lines.append(f"| {number} | {words} | {' | '.join(marks)} | {ALSO.get(number, '')} |")
    return "\n".join(lines)
