"""What has grown, and what is left: the soak's figures against their bounds."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from tests.chaos.soak.looking import Look
from tests.chaos.soak.trend import Trend, trend


@attrs.frozen
class Bound:
    """When a figure grows: it certainly rises faster than `slope`, and by more than `rise` in all."""

    slope: float
    """Per minute."""
    rise: float


BOUNDS = {
    "worker rss_kib": Bound(64, 6144),
    "producer rss_kib": Bound(64, 6144),
    "redis used_kib": Bound(32, 1024),
    "worker files": Bound(0, 2),
    "worker tasks": Bound(0, 30),
    "redis clients": Bound(0, 3),
    "redis keys": Bound(0, 10),
    "redis members": Bound(10, 20_000),
}
"""Under way, over the second half. Set by measurement, several times what a sound run shows. What
Redis holds rises until the first are purged; what it should not hold shows at the end."""

LEFT = {
    "worker objects": 5000,  # of tens of thousands; how many there are under way follows the load
    "worker files": 0, "worker tasks": 0, "producer files": 0, "producer tasks": 0, "redis clients": 0,
    "redis keys": 0, "redis members": 0,
}  # fmt: skip
"""How much more may be left at the end than there was before."""


@attrs.frozen
class Row:
    """One figure and what is said of it."""

    name: str
    before: int
    after: int
    trend: Trend | None
    bound: Bound | None
    wrong: str


def judge(before: Look, under_way: Sequence[Look], after: Look) -> list[Row]:
    """Compare the figures before, under way and after with their bounds.

    Raises `ValueError` when there are too few looks for a trend.
    """
    second = under_way[len(under_way) // 2 :]
    rows: list[Row] = []
    for name in dict.fromkeys([*BOUNDS, *LEFT]):
        bound = BOUNDS.get(name)
        found = None
        if bound is not None:
            found = trend([(look.at, look.figures[name]) for look in second])
        wrong: list[str] = []
        if (
            found is not None
            and bound is not None
            and found.low > bound.slope
            and found.rise > bound.rise
        ):
            wrong.append(f"grows by {found.slope:,.1f} a minute")
        more = after.figures[name] - before.figures[name]
        if name in LEFT and more > LEFT[name]:
            wrong.append(f"{more:,} more are left than there were before")
        rows.append(
            Row(name, before.figures[name], after.figures[name], found, bound, "; ".join(wrong))
        )
    return rows


def left_over(before: Look, after: Look) -> list[str]:
    """Name the keys that hold more than they did before."""
    more = {key: count - before.holds.get(key, 0) for key, count in after.holds.items()}
    return [f"{key}: {count} more" for key, count in sorted(more.items()) if count > 0]


def table(rows: Sequence[Row]) -> str:
    """Return the rows as a table."""
    lines = [
        f"{'figure':18} {'before':>9} {'after':>9} {'slope/min':>10} {'99 % interval':>23} {'bound':>7}"
    ]
    for row in rows:
        slope = interval = bound = ""
        if row.trend is not None and row.bound is not None:
            slope, bound = f"{row.trend.slope:,.1f}", f"{row.bound.slope:g}"
            interval = f"{row.trend.low:,.1f} to {row.trend.high:,.1f}"
        end = f"  FAILED: {row.wrong}" if row.wrong else ""
        lines.append(
            f"{row.name:18} {row.before:9,} {row.after:9,} {slope:>10} {interval:>23} {bound:>7}{end}"
        )
    return "\n".join(lines)
