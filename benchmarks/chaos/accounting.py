"""A first account of a run, from the observations: what was acknowledged, what ran, what is there."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

import attrs

from benchmarks.chaos.observe import read

SHOWN = 5
"""Tasks that are named for each thing that is wrong."""


@attrs.define
class Account:
    """What the observations come to."""

    acknowledged: set[str] = attrs.field(factory=set)
    asked: set[str] = attrs.field(factory=set)
    deleted: set[str] = attrs.field(factory=set)
    revived: set[str] = attrs.field(factory=set)
    starts: dict[str, list[int]] = attrs.field(factory=lambda: defaultdict(list))
    ends: dict[str, list[str]] = attrs.field(factory=lambda: defaultdict(list))
    final: dict[str, dict[str, Any]] = attrs.field(factory=dict)
    batched: set[str] = attrs.field(factory=set)
    queues: list[dict[str, Any]] = attrs.field(factory=list)
    begun: int = 0

    def take(self, line: dict[str, Any], calls: dict[tuple[str, int], dict[str, Any]]) -> None:
        """Take in one line."""
        match line["e"]:
            case "call":
                calls[line["c"], line["n"]] = line
                self._ask(line)
            case "return":
                self._answer(calls[line["c"], line["n"]], line["answer"])
            case "start":
                self.starts[line["id"]].append(line["fence"])
                self.begun += 1
            case "end":
                self.ends[line["id"]].append(line["how"])
            case "task":
                self.final[line["id"]] = line
                self.batched.update(line["members"] or ())
            case "queue":
                self.queues.append(line)
            case _:
                pass

    def _ask(self, call: dict[str, Any]) -> None:
        if call["op"] == "enqueue":
            self.asked.add(call["id"])
        elif call["op"] == "delete":
            self.deleted.add(call["id"])
        elif call["op"] == "retry":
            self.revived.add(call["id"])

    def _answer(self, call: dict[str, Any], answer: Any) -> None:
        if call["op"] == "enqueue" and answer["id"] == call["id"]:
            self.acknowledged.add(call["id"])

    def violations(self) -> list[str]:
        """Give what must not be."""
        there = self.final.keys() | self.batched | self.deleted
        lost = sorted(self.acknowledged - there)
        twice = sorted(task for task, fences in self.starts.items() if len(set(fences)) != len(fences))
        unended = sorted(
            task
            for task, line in self.final.items()
            if line["state"] not in ("completed", "dead", "cancelled")
        )
        found = [
            self._say("acknowledged and lost", lost),
            self._say("two starts under one fence", twice),
            self._say("stuck", unended),
            self._say("ran more often than it was delivered", self._uncounted()),
            self._say("completed twice without a lapse", self._unexplained()),
        ]
        found += [
            f"Queue.check() of {queue['name']}: {wrong}"
            for queue in self.queues
            for wrong in queue["violations"][:SHOWN]
        ]
        return [text for text in found if text]

    def _uncounted(self) -> list[str]:
        return sorted(
            task
            for task, fences in self.starts.items()
            if task in self.final and max(fences) > self.final[task]["deliveries"]
        )

    def duplicates(self) -> list[str]:
        """Give the tasks whose handler reached its end in success more than once."""
        return sorted(task for task, ends in self.ends.items() if ends.count("success") > 1)

    def _unexplained(self) -> list[str]:
        return [
            task
            for task in self.duplicates()
            if task not in self.revived and task in self.final and not self.final[task]["crashes"]
        ]

    @staticmethod
    def _say(what: str, tasks: list[str]) -> str:
        if not tasks:
            return ""
        return f"{what}: {len(tasks)} tasks, such as {', '.join(tasks[:SHOWN])}"


def account(folder: Path) -> Account:
    """Read a folder of observations."""
    found = Account()
    calls: dict[tuple[str, int], dict[str, Any]] = {}
    for line in read(folder):
        found.take(line, calls)
    return found


def history(folder: Path, task_id: str) -> list[dict[str, Any]]:
    """Give all that was seen of one task, in the order of time."""
    lines: list[dict[str, Any]] = []
    numbers: set[tuple[str, int]] = set()
    for line in read(folder):
        if line.get("id") == task_id or (line["c"], line.get("n")) in numbers:
            lines.append(line)
            if line["e"] == "call":
                numbers.add((line["c"], line["n"]))
    return sorted(lines, key=lambda line: line["t"])
