"""What looking costs, and changing many tasks at once, from the command line.

    python -m benchmarks.operate                     every figure
    python -m benchmarks.operate --quick             a tenth of everything
    python -m benchmarks.operate --only dead,search  these figures

Figures of what can be repeated are medians of 5 runs. Nothing fails because something is slow. Tables
go to standard output as Markdown, how far it is to standard error.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import attrs

from benchmarks.operate import changing, clicks, commands, drains, looking, memory, page, reads
from benchmarks.operate.rows import Row, table
from benchmarks.parts import run_parts
from benchmarks.scaling.stage import Stage, Table

PARTS: Mapping[str, Callable[[Stage], Awaitable[list[Row]]]] = {
    "dead": looking.dead,
    "search": looking.search,
    "overview": looking.overview,
    "retry": changing.retry,
    "drain": drains.observed,
    "traces": drains.traced,
    "commands": commands.commands,
    "tasks": memory.tasks,
    "series": memory.series,
    "attempts": memory.attempts,
    "page": page.first_byte,
    "browsers": page.looking,
    "page-retry": page.retried,
    "page-memory": page.memory,
    "page-clicks": clicks.clicks,
    "reads": reads.measure,
}
"""What measures the rows of the table, by name."""


def main() -> None:
    """Measure and print."""
    found = run_parts("benchmarks.operate", PARTS, _figures)
    print("\n" + "\n\n".join(one.markdown() for one in _tables(found)), flush=True)


def _figures(found: Mapping[str, list[Row]]) -> Mapping[str, Any]:
    return {
        "parts": {"operate": [attrs.asdict(one) for one in _tables(found)]},
        "rows": {name: [attrs.asdict(row) for row in rows] for name, rows in found.items()},
    }


def _tables(found: Mapping[str, list[Row]]) -> list[Table]:
    figures = [row for name, rows in found.items() if name != "reads" for row in rows]
    tables = [table("What looking and changing many tasks cost", figures)] if figures else []
    if "reads" in found:
        tables.append(table(reads.TITLE, found["reads"]))
    return tables


if __name__ == "__main__":
    main()
