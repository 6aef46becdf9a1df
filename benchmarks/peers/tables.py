"""The record as Markdown: the figures, how the library compares, who failed, and where it ran."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from benchmarks.peers.record import Record, Row
from benchmarks.peers.roster import OWN

USUAL = "at least once"
"""What a peer promises of which nothing else is said."""


def number(value: float | None) -> str:
    """Give a figure with as many digits as it is worth."""
    if value is None:
        return "–"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def times(value: float | None) -> str:
    """Give a ratio."""
    return "–" if value is None else f"{number(value)} ×"


def _table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    marks = ["---", *("---:" for _ in head[1:])]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, marks, *lines))


def _called(row: Row) -> str:
    return f"{row.title}, {row.unit}" if row.unit else row.title


def figures(record: Record, rows: Sequence[Row]) -> str:
    """Give the medians."""
    names = [*record.peers]
    lines = [[_called(row), *(number(record.median(row, name)) for name in names)] for row in rows]
    return _table(["median", *names], lines)


def ratios(record: Record, rows: Sequence[Row]) -> str:
    """Give how many times better the library is than the best peer, and than each."""
    names = [name for name in record.peers if name != OWN]
    lines = []
    for row in rows:
        best = record.best(row)
        if not row.compared or best is None or record.median(row, OWN) is None:
            continue
        promise = record.peers[best]["promise"]
        called = best if promise == USUAL else f"{best}, {promise}"
        first = [times(record.ratio(row, best)), called]
        lines.append([row.title, *first, *(times(record.ratio(row, name)) for name in names)])
    return _table(["times better", "than the best", "which is", *names], lines)


def shown_versions(peer: dict[str, Any]) -> str:
    """Give the versions of the packages that matter most for a peer."""
    known = peer.get("versions", {})
    return ", ".join(f"{package} {known[package]}" for package in peer["shown"] if package in known)


def settings(record: Record) -> str:
    """Give how each was set up."""
    lines = []
    for name, peer in record.peers.items():
        sleeping = f"{peer['naps']:,} at once that sleep"
        lines.append(
            [name, f"{peer['settings']}; {sleeping}", peer["promise"], shown_versions(peer)]
        )
    return _table(["peer", "set up", "promise", "versions"], lines).replace("---:", "---")


def _rounds(record: Record) -> str:
    """Say how many rounds there were, and of which measures fewer."""
    seen: dict[str, set[int]] = {}
    for sample in record.samples:
        seen.setdefault(sample.measure, set()).add(sample.round)
    most = max((len(rounds) for rounds in seen.values()), default=0)
    fewer: dict[int, list[str]] = {}
    for measure, rounds in seen.items():
        if len(rounds) < most:
            fewer.setdefault(len(rounds), []).append(f"`{measure}`")
    told = "; ".join(f"{count} of {', '.join(names)}" for count, names in sorted(fewer.items()))
    return f"{most} interleaved rounds" + (f" ({told})" if told else "")


def report(record: Record, rows: Sequence[Row]) -> str:
    """Give all of it."""
    facts = "\n".join(f"- {name}: {fact}" for name, fact in record.facts.items())
    parts = [
        f"Medians of {_rounds(record)}, each drain to the last settlement. A ratio "
        f"is the median of the ratios within the rounds; above 1 × {OWN} does better.",
        figures(record, rows),
    ]
    if OWN in record.peers and len(record.peers) > 1:
        parts.append(ratios(record, rows))
    parts.append(settings(record))
    failed = [f"- {name}, {what}: {_plain(reason)}" for name, what, reason in record.failures()]
    if failed:
        parts.append("What failed:\n\n" + "\n".join(failed))
    parts.append(facts)
    return "\n\n".join(parts) + "\n"


def _plain(reason: str) -> str:
    line = " ".join(reason.split())
    return line if len(line) <= 600 else f"{line[:300]} … {line[-300:]}"
