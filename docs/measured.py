"""What benchmarks have measured, as tables: from the figures that they wrote into docs/data."""

from __future__ import annotations

import json
from pathlib import Path

from benchmarks.peers import record, tables
from benchmarks.scaling.stage import Table

DATA = Path(__file__).resolve().parent / "data"


def peers() -> str:
    """Give what `benchmarks.peers` has found."""
    found = record.read(DATA / "peers.json")
    measures = {sample.measure for sample in found.samples}
    return tables.report(found, record.rows(measures))


def scaling() -> str:
    """Give what `benchmarks.scaling` has found."""
    return _tables("scaling.json")


def rates() -> str:
    """Give what `benchmarks.rates` has found."""
    return _tables("rates.json")


def operate() -> str:
    """Give what `benchmarks.operate` has found, if its figures are there."""
    if not (DATA / "operate.json").is_file():
        return "No figures of this version are recorded yet: `python -m benchmarks.operate` prints yours."
    return _tables("operate.json")


def _tables(name: str) -> str:
    found = json.loads((DATA / name).read_text("utf-8"))
    facts = "\n".join(f"- {name}: {fact}" for name, fact in found["machine"].items())
    parts = [
        Table(table["title"], tuple(table["columns"]), tuple(map(tuple, table["rows"]))).markdown()
        for part in found["parts"].values()
        for table in part
    ]
    return "\n\n".join([*parts, facts])
