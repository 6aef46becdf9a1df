"""What each story may cost: `python -m benchmarks.budgets`.

Speed differs from machine to machine, and from hour to hour; how many commands, round trips, steps and
calls a task takes does not. `budgets.toml` holds for each figure of each story the least and the most
that it may be. Above it, something has become dearer; below it, the budget would no longer notice if
it became as dear again, so it is to be written anew.

    --write         rewrite budgets.toml from what is measured
    --runs N        times that each story is played (1; 5 when writing)
    --only WORD     only the stories whose name has this word
    --server PATH   the redis-server to run
"""

from __future__ import annotations

import argparse
import platform
import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

import attrs

from benchmarks.server import Bench, run_server
from benchmarks.stories import STORIES, play

FILE = Path(__file__).with_name("budgets.toml")
PLAYED = 3
"""Times that a story is played before a figure counts as out of its range: what only timing
moves is within it in one of them, what the code costs in none."""

Figures = Mapping[str, float]


@attrs.frozen
class Allowance:
    """What a figure may be beyond what was seen when the budget was written."""

    share: float
    more: float = 0.0
    """Beside the share, in each whole story: what a keeper or a heartbeat does meanwhile."""


ALLOWED: Mapping[str, Allowance] = {
    "commands": Allowance(0.08, 8),
    "scripts": Allowance(0.08, 8),
    "inside": Allowance(0.02, 40),
    "round_trips": Allowance(0.12, 6),
    "tasks": Allowance(0.01),
    "steps": Allowance(0.08, 30),
    "calls": Allowance(0.12),
}
"""Seen over 8 plays each on a quiet machine and on one with 20 times the load it has cores for,
where a play takes ten times as long: commands within 7 %, what scripts call within 1 %, round trips within
10 %, steps within 6 %, calls within 5 % (17 % for one task at a time)."""
LOOSE: Mapping[str, Mapping[str, float]] = {
    "drain, one at a time": {"calls": 0.2},
    "drain, over 100 queues": {"inside": 0.15, "tasks": 0.1, "calls": 0.35},
    "enqueue and await": {"inside": 0.05},
    "drain, failing once": {"commands": 0.15, "scripts": 0.15, "round_trips": 0.25},
    "idle": {"commands": 0.5, "scripts": 0.5, "inside": 0.5, "round_trips": 0.5, "steps": 0.5, "calls": 0.5},
    "idle, 100 queues": {"commands": 0.5, "scripts": 0.5, "inside": 0.5, "round_trips": 0.5, "steps": 0.5,
                         "calls": 0.5},
}  # fmt: skip
"""Shares for what timing moves more: when a signal of another queue is heard, which second it is."""
LEFT_OUT: Mapping[str, Sequence[str]] = {
    "drain, adapting": ("commands", "scripts", "inside", "round_trips"),
    "drain, delayed": ("commands", "scripts", "round_trips"),
    "drain, over 100 queues": ("commands", "scripts", "round_trips", "steps"),
    "idle, 100 queues": ("tasks",),
}
"""Figures that timing doubles: how far to claim ahead is judged by a clock, promotion comes at an
instant, and whether a queue is tended alone or with another."""
OF_PYTHON = ("steps", "calls")
"""Figures that hold for the versions they were written with."""


@attrs.frozen
class Budget:
    """The range of one figure."""

    least: float
    most: float

    def judge(self, figure: float) -> str:
        """Say what is wrong with a figure; '' when nothing is."""
        if figure > self.most:
            return f"{number(figure)} is above its budget, {number(self.most)}"
        if figure < self.least:
            return (
                f"{number(figure)} is below {number(self.least)}: good, but the budget no longer guards it; "
                "rewrite it with `python -m benchmarks.budgets --write`"
            )
        return ""


def versions() -> dict[str, str]:
    """Give the versions that move the figures of Python."""
    major, minor, _ = platform.python_version_tuple()
    found = {name: version(name) for name in ("trio", "trio-asyncio", "redis")}
    return {"python": f"{major}.{minor}"} | found


def read_budgets(file: Path = FILE) -> tuple[Mapping[str, Mapping[str, Budget]], Mapping[str, str]]:
    """Read each story's budgets, and the versions that those of Python hold for."""
    told = tomllib.loads(file.read_text())
    stories = {
        name: {figure: Budget(*ends) for figure, ends in of.items()}
        for name, of in told["stories"].items()
    }
    return stories, told["versions"]


def held(budgets: Mapping[str, Budget], written: Mapping[str, str]) -> dict[str, Budget]:
    """Give those of a story's budgets that hold for this Python."""
    same = versions() == dict(written)
    return {name: budget for name, budget in budgets.items() if same or name not in OF_PYTHON}


def broken(bench: Bench, story: str, budgets: Mapping[str, Budget]) -> list[str]:
    """Play a story, and again while something is wrong; say what is wrong each time."""
    wrong: dict[str, str] = dict.fromkeys(budgets, "")
    for _ in range(PLAYED):
        figures = play(bench, story)
        wrong = {name: said for name in wrong if (said := budgets[name].judge(figures[name]))}
        if not wrong:
            break
    return [f"{story}: {name}: {said}" for name, said in wrong.items()]


def written(story: str, runs: Sequence[Figures]) -> dict[str, Budget]:
    """Make the budgets of a story from what was seen."""
    units = STORIES[story].units
    made: dict[str, Budget] = {}
    for name, allowed in ALLOWED.items():
        if name in LEFT_OUT.get(story, ()):
            continue
        seen = [run[name] for run in runs]
        share = LOOSE.get(story, {}).get(name, allowed.share)
        more = allowed.more / units
        least = max(0.0, min(seen) * (1 - share) - more)
        made[name] = Budget(least, max(seen) * (1 + share) + more)
    return made


_HEAD = """\
# What each story of benchmarks/stories.py may cost: the least and the most of each figure, for one task,
# or for one second of an idle worker. Written by `python -m benchmarks.budgets --write`; the allowances,
# and how far timing moves what is counted, stand in benchmarks/budgets.py. commands, scripts and round trips are
# what clients send; inside is what scripts call; tasks and steps are Trio's; calls are those of functions.

[versions]
"""


def render(stories: Mapping[str, Mapping[str, Budget]]) -> str:
    """Give the text of the file."""
    lines = [_HEAD + "\n".join(f'{name} = "{is_}"' for name, is_ in versions().items())]
    for story, budgets in stories.items():
        lines.append(f'\n[stories."{story}"]')
        lines += [f"{name} = [{b.least:.5g}, {b.most:.5g}]" for name, b in budgets.items()]
    return "\n".join(lines) + "\n"


def number(value: float) -> str:
    """Give a figure with as many digits as it is worth."""
    return f"{value:,.0f}" if value >= 1000 else f"{value:.4g}"


def rows(story: str, figures: Figures, budgets: Mapping[str, Budget]) -> Iterator[str]:
    """Give a story's rows of the table."""
    for name, figure in figures.items():
        budget = budgets.get(name)
        ends = "" if budget is None else f"{number(budget.least)} to {number(budget.most)}"
        verdict = "" if budget is None else ("ok" if not budget.judge(figure) else "out")
        per = STORIES[story].of
        yield f"| {story} | {name} | {per} | {number(figure)} | {ends} | {verdict} |"


def main() -> None:
    """Measure, and print or write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.budgets")
    parser.add_argument("--write", action="store_true", help="rewrite budgets.toml")
    parser.add_argument("--runs", type=int, help="times that each story is played")
    parser.add_argument(
        "--only", metavar="WORD", default="", help="stories whose name has this word"
    )
    parser.add_argument("--server", metavar="PATH", help="the redis-server to run")
    given = parser.parse_args()
    runs = given.runs or (5 if given.write else 1)
    kept, _ = read_budgets() if FILE.exists() else ({}, {})
    stories = {name: kept.get(name, {}) for name in STORIES}
    print(
        "| story | figure | for each | seen | budget | |\n| --- | --- | --- | ---: | ---: | --- |"
    )
    with run_server(given.server) as bench:
        for name in [name for name in STORIES if given.only in name]:
            seen = []
            for number_ in range(1, runs + 1):
                print(f"{name}: play {number_} of {runs}", file=sys.stderr, flush=True)
                seen.append(play(bench, name))
            if given.write:
                stories[name] = written(name, seen)
            last = {figure: sum(run[figure] for run in seen) / runs for figure in seen[0]}
            print("\n".join(rows(name, last, stories[name])), flush=True)
    if given.write:
        FILE.write_text(render({name: of for name, of in stories.items() if of}))


if __name__ == "__main__":
    main()
