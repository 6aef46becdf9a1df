"""The scaling bench, from the command line.

    python -m benchmarks.scaling                      every part, some half an hour
    python -m benchmarks.scaling --quick              a tenth of everything, some minutes
    python -m benchmarks.scaling --only queues,dead   these parts

Nothing fails because something is slow. Tables go to standard output as Markdown, how far it is to
standard error.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from benchmarks.parts import run_parts
from benchmarks.scaling import dead, delayed, lengths, payloads, queues, sleepers
from benchmarks.scaling.stage import Part, Table

PARTS: Mapping[str, Part] = {
    "lengths": lengths.measure,
    "delayed": delayed.measure,
    "dead": dead.measure,
    "queues": queues.measure,
    "sleepers": sleepers.measure,
    "payloads": payloads.measure,
}
"""Each part by its name."""


def main() -> None:
    """Measure and print."""
    run_parts("benchmarks.scaling", PARTS, _figures, each=_print)


def _print(name: str, tables: list[Table]) -> None:
    print(f"\n## {name}\n\n" + "\n\n".join(t.markdown() for t in tables), flush=True)


def _figures(found: Mapping[str, list[Table]]) -> Mapping[str, Any]:
    return {"parts": {name: [attrs.asdict(t) for t in tables] for name, tables in found.items()}}


if __name__ == "__main__":
    main()
