"""The judge: checks from observations of a run that the queue kept all its promises.

It reads a folder of observations and nothing else, so it does not matter how they were made. A
violation that it reports is certain, whatever was not observed. Each module says which violations
it may miss. `verdict.PROMISES` lists what it checks, and `observed` what it reads.

    python -m rediq_trio.testing.judge FOLDER
"""

from __future__ import annotations

from pathlib import Path

from rediq_trio.testing.judge.accounting import judge_accounts
from rediq_trio.testing.judge.histories import MOST, Histories, judge_histories
from rediq_trio.testing.judge.limiting import judge_limits
from rediq_trio.testing.judge.moving import judge_moves
from rediq_trio.testing.judge.observed import Observed
from rediq_trio.testing.judge.once import judge_once
from rediq_trio.testing.judge.reading import Unreadable, read
from rediq_trio.testing.judge.reasons import judge_reasons
from rediq_trio.testing.judge.seen import judge_views
from rediq_trio.testing.judge.timing import judge_times
from rediq_trio.testing.judge.verdict import BrokenPromise, Duplicate, JudgeVerdict

__all__ = ["Duplicate", "Unreadable", "JudgeVerdict", "BrokenPromise", "judge"]


def judge(folder: Path, *, most: int = MOST) -> JudgeVerdict:
    """Judge a folder of observations; raise `Unreadable` for one that is damaged.

    The search for one task's history visits at most `most` states.
    """
    observed = read(folder)
    found = [*judge_accounts(observed), *judge_once(observed), *judge_times(observed)]
    found += judge_moves(observed)
    found += judge_limits(observed)
    reasons, duplicates = judge_reasons(observed)
    found += _unless_known(reasons, found)
    histories = Histories(most)
    wrong, undecided = judge_histories(observed, (each.subject for each in found), histories)
    found += wrong
    views, untrue = judge_views(folder)
    found += untrue
    forgiven = [each for each in found if observed.forgetful and each.forgivable]
    return JudgeVerdict(
        violations=sorted(
            (each for each in found if each not in forgiven),
            key=lambda each: (each.invariant, each.subject),
        ),
        duplicates=duplicates,
        losses=forgiven,
        undecided=undecided,
        counts={**_counts(observed, histories), "views of a queue": views},
    )


def _unless_known(
    violations: list[BrokenPromise], known: list[BrokenPromise]
) -> list[BrokenPromise]:
    """Leave out violations of tasks that have one already."""
    subjects = {each.subject for each in known}
    return [each for each in violations if each.subject not in subjects]


def _counts(observed: Observed, histories: Histories) -> dict[str, int]:
    tasks = observed.tasks.values()
    return {
        "tasks": len(tasks),
        "acknowledged": sum(any(c.created or c.holder == t.id for c in t.calls) for t in tasks),
        "there at the end": sum(bool(task.finals) for task in tasks),
        "starts": sum(len(task.starts) for task in tasks),
        "calls": sum(len(task.calls) for task in tasks),
        "shapes of histories": histories.shapes,
    }
