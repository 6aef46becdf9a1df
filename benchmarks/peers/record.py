"""What was measured: every figure of every round, written down as it comes, and summed up."""

from __future__ import annotations

import json
import os
import statistics
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import attrs

from benchmarks.peers.roster import OWN

FORMAT = 1
GIVES_UP = 2
"""Failures of one measure after which a peer is not asked for it again."""


@attrs.frozen
class Row:
    """One line of figures."""

    measure: str
    figure: str
    title: str
    unit: str
    least: bool = False
    """Less is better."""
    compared: bool = True
    """A ratio says something."""


ROWS = (
    Row("enqueue-single", "rate", "enqueue, one by one", "/s"),
    Row("enqueue-together", "rate", "enqueue, 100 callers", "/s"),
    Row("enqueue-bulk", "rate", "enqueue, in bulk by 1,000", "/s"),
    Row("drain-1", "rate", "drain, 1 process", "/s"),
    Row("drain-2", "rate", "drain, 2 processes", "/s"),
    Row("drain-4", "rate", "drain, 4 processes", "/s"),
    Row("results", "rate", "drain, 1 process, results on", "/s"),
    Row("naps", "rate", "tasks that sleep 10 ms", "/s"),
    Row("idle-to-start", "p50", "idle to start, p50", "ms", least=True),
    Row("idle-to-start", "p95", "idle to start, p95", "ms", least=True),
    Row("idle-to-start", "p99", "idle to start, p99", "ms", least=True),
    Row("through", "rate", "enqueue and work at once", "/s"),
    Row("load", "rate", "load offered: half of what saturates it", "/s", compared=False),
    Row("load", "p50", "latency at that load, p50", "ms", least=True, compared=False),
    Row("load", "p99", "latency at that load, p99", "ms", least=True, compared=False),
    Row("steady", "p50", "latency at 500 tasks a second, p50", "ms", least=True),
    Row("steady", "p99", "latency at 500 tasks a second, p99", "ms", least=True),
    Row("drain-1", "cpu_us", "worker CPU per task", "us", least=True),
    Row("drain-1", "redis_cpu_us", "Redis CPU per task", "us", least=True),
    Row("commands", "sent", "commands per task, sent", "", least=True),
    Row("commands", "inside", "commands per task, inside scripts", "", least=True, compared=False),
    Row("memory", "bytes", "Redis memory per queued task", "bytes", least=True),
    Row("drain-1", "rss_mib", "worker memory after a drain", "MiB", least=True),
    Row("idle", "cpu", "idle worker, CPU", "% of a core", least=True),
    Row("idle", "sent", "idle worker, commands sent", "/s", least=True),
    Row("idle", "inside", "idle worker, commands inside scripts", "/s", least=True, compared=False),
)
"""Every row of the tables, in their order."""


@attrs.frozen
class Sample:
    """One measurement of one peer in one round: its figures, or why there are none."""

    round: int
    peer: str
    measure: str
    figures: dict[str, float] = attrs.field(factory=dict)
    failed: str = ""


@attrs.define(kw_only=True)
class Record:
    """All that a run has found so far."""

    facts: dict[str, str]
    """The command, the machine, the server, the date."""
    options: dict[str, Any]
    """What has to be the same for a run to be continued."""
    peers: dict[str, dict[str, Any]] = attrs.field(factory=dict)
    """Of each peer its settings, its versions, and why it is not there."""
    samples: list[Sample] = attrs.field(factory=list)

    def add(self, sample: Sample) -> None:
        self.samples.append(sample)

    def has(self, round_: int, peer: str, measure: str) -> bool:
        """Say whether this was measured, or failed."""
        return any(
            s.round == round_ and s.peer == peer and s.measure == measure for s in self.samples
        )

    def tried(self, peer: str, measure: str) -> bool:
        """Say whether this was measured, or failed, in any round."""
        return any(s.peer == peer and s.measure == measure for s in self.samples)

    def hopeless(self, peer: str, measure: str) -> bool:
        """Say whether a peer has failed at a measure so often that it is not tried again."""
        mine = [s for s in self.samples if s.peer == peer and s.measure == measure]
        return len(mine) >= GIVES_UP and all(s.failed for s in mine[-GIVES_UP:])

    def seen(self, round_: int, peer: str) -> dict[str, dict[str, float]]:
        """Give the figures of a peer in a round, by their measures."""
        return {
            s.measure: s.figures
            for s in self.samples
            if s.round == round_ and s.peer == peer and not s.failed
        }

    def values(self, row: Row, peer: str) -> dict[int, float]:
        """Give a row's values of a peer, by the round."""
        return {
            s.round: s.figures[row.figure]
            for s in self.samples
            if s.peer == peer and s.measure == row.measure and row.figure in s.figures
        }

    def median(self, row: Row, peer: str) -> float | None:
        """Give the median of a row, or None where it was never measured."""
        values = self.values(row, peer)
        return statistics.median(values.values()) if values else None

    def ratio(self, row: Row, peer: str) -> float | None:
        """Give how many times better the library is than a peer; below 1 it is worse.

        It is the median of the ratios within the rounds, so that what slows a whole round
        down counts on both sides.
        """
        return ratio(self.values(row, OWN), self.values(row, peer), least=row.least)

    def best(self, row: Row) -> str | None:
        """Give the peer with the best median in a row."""
        medians = {name: self.median(row, name) for name in self.peers if name != OWN}
        known = {name: value for name, value in medians.items() if value is not None}
        if not known:
            return None
        return (min if row.least else max)(known, key=lambda name: known[name])

    def failures(self) -> Iterator[tuple[str, str, str]]:
        """Give each peer that failed: its name, at what, and its last reason."""
        for name, peer in self.peers.items():
            if peer.get("missing"):
                yield name, "not installed", str(peer["missing"])
        last = {(s.peer, s.measure): s.failed for s in self.samples if s.failed}
        for (name, measure), reason in last.items():
            yield name, measure, reason

    def write(self, path: Path) -> None:
        """Write it down; whoever reads meanwhile finds the old or the new, and never a half."""
        data = {"format": FORMAT, **attrs.asdict(self)}
        beside = path.with_name(f".{path.name}.new")
        beside.write_text(json.dumps(data, indent=1) + "\n", "utf-8")
        os.replace(beside, path)


def read(path: Path) -> Record:
    """Read what `write` has written; raise `ValueError` for anything else."""
    data = json.loads(path.read_text("utf-8"))
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise ValueError(f"{path}: not a record of this benchmark")
    samples = [Sample(**sample) for sample in data["samples"]]
    return Record(
        facts=data["facts"], options=data["options"], peers=data["peers"], samples=samples
    )


def ratio(own: dict[int, float], other: dict[int, float], *, least: bool) -> float | None:
    """Give the median over the rounds that both have; None where there is none, or one is 0."""
    pairs = [(own[number], other[number]) for number in sorted(own.keys() & other.keys())]
    ratios = [(b / a if least else a / b) for a, b in pairs if a > 0 and b > 0]
    return statistics.median(ratios) if ratios else None


def rows(measures: Iterable[str]) -> Sequence[Row]:
    """Give the rows that these measures fill."""
    wanted = set(measures)
    return [row for row in ROWS if row.measure in wanted]
