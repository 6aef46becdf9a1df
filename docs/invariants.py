"""The table of the invariants: the contract's words, and which checks the code has for each."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Mapping
from types import MappingProxyType, ModuleType
from typing import cast

from rediq_trio.spec.check import totals
from rediq_trio.spec.check.meanings import INVARIANTS
from rediq_trio.spec.check.table import CHECKS
from rediq_trio.testing.judge import invariants

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
    for number in sorted(INVARIANTS.keys() | tested):
        words = INVARIANTS.get(number, "(not described yet)")
        marks = ("yes" if number in where else "" for where in (live, tested))
        lines.append(f"| {number} | {words} | {' | '.join(marks)} | {ALSO.get(number, '')} |")
    return "\n".join(lines)
