"""The reference of the Lua scripts and of the keys, from the scripts' own headers."""

from __future__ import annotations

import re

from docs.read_source import attribute_docs, oneline
from rediq_trio.spec.history.logbook import Logbook
from rediq_trio.spec.lifecycle import Transition
from rediq_trio.spec.records import Record
from rediq_trio.spec.stored_format import MARKS, RECORD_FIELDS, RELATION_FIELDS
from rediq_trio.store.redis.keys import KEY_TABLE, STATISTICS_TABLE, Keys
from rediq_trio.store.redis.prelude import PRELUDE, literal
from rediq_trio.store.redis.scripts import ALL_KEYS, Script, load_scripts


def keys() -> str:
    """Make the table of a queue's keys."""
    names = Keys("rediq")
    lines = ["| key | type | holds |", "| --- | --- | --- |"]
    for key in (*KEY_TABLE, *STATISTICS_TABLE):
        lines.append(f"| `{names.of('Q', (key.name,))[0].decode()}` | {key.type} | {key.holds} |")
    records, alive, orders = (key.decode() for key in names.workers.values())
    sizes, used = (key.decode() for key in names.statistics.values())
    graphs, order, checks, totals = (key.decode() for key in names.workflows.values())
    lines += [
        f"| `{names.queues.decode()}` | set | The names of the queues ever used. |",
        f"| `{names.logbooks[Logbook.AUDIT].decode()}` | stream | What people did through tools, the last "
        "10,000: one field each, named by the nonce of the line. |",
        f"| `{names.logbooks[Logbook.MARKS].decode()}` | stream | The last 200 marks, likewise. |",
        f"| `{names.partitions.decode()}` | hash | How many partitions each partitioned queue has. |",
        f"| `{records}` | hash | What each worker said of itself in its last heartbeat, by its id. |",
        f"| `{alive}` | sorted set | The workers, by until when each counts as alive. |",
        f"| `{orders}` | hash | The orders that each worker has not received, by its id, each with its id. |",
        f"| `{sizes}` | hash | The bytes of each queue's statistics, by its name, as they were noted last; '' "
        "has their sum. |",
        f"| `{used}` | sorted set | These queues, by when each was last used, or could lose no more. |",
        f"| `{graphs}` | hash | The record of each workflow, by its id: when it was written, in ms and 16 "
        "digits, then its name and the ids of its tasks, packed. |",
        f"| `{order}` | sorted set | The workflows, by the numbers of their records. |",
        f"| `{checks}` | sorted set | The workflows, by when it is next looked whether a task is left. |",
        f"| `{totals}` | hash | The number of the last record, and the bytes of all. |",
    ]
    return "\n".join(lines)


def lua_constants() -> str:
    """Make the table of the constants that the scripts have from Python."""
    lines = ["| made from | constants |", "| --- | --- |"]
    for constants in PRELUDE:
        values = ", ".join(
            f"`{name} = {literal(value)}`" for name, value in constants.values.items()
        )
        lines.append(f"| `{constants.source}` | {values} |")
    return "\n".join(lines)


def record() -> str:
    """Make the table of a record's fields."""
    docs = attribute_docs(Record)
    lines = ["| place | field | meaning |", "| ---: | --- | --- |"]
    marks = ", ".join(f"{bit} `{mark}`" for mark, bit in MARKS.items())
    docs = docs | {"marks": f"One bit each: {marks}."}
    for place, name in enumerate(RECORD_FIELDS, start=1):
        lines.append(f"| {place} | `{name}` | {oneline(docs.get(name, ''))} |")
    for place, name in enumerate(RELATION_FIELDS, start=1):
        lines.append(
            f"| {len(RECORD_FIELDS) + 1}.{place} | `{name}` | {oneline(docs.get(name, ''))} |"
        )
    return "\n".join(lines)


def scripts() -> str:
    """Make a section for each script, transitions first."""
    found = load_scripts()
    order = [str(transition) for transition in Transition if str(transition) in found]
    order += sorted(found.keys() - set(order))
    return "\n\n".join(_section(found[name]) for name in order)


def _section(script: Script) -> str:
    lines = [f"### {script.name}", "", f"`{script.edges}`", "", script.summary, ""]
    lines += ["| | |", "| --- | --- |"]
    for name, text in script.sections.items():
        lines.append(f"| {name} | {_cell(name, text)} |")
    return "\n".join(lines)


def _cell(name: str, text: str) -> str:
    # Numbered parts stand two blanks apart in a header; a line of the table shows them so.
    text = text.replace("|", "\\|")
    if name == "KEYS" and text in ALL_KEYS:
        return f"{text}, in the order of the table above"
    if name == "KEYS":
        return (
            ", ".join(f"{number} `{key}`" for number, key in re.findall(r"(\d+) ([a-z]+)", text))
            or text
        )
    if name == "INCLUDE":
        return ", ".join(f"`{snippet}`" for snippet in text.split())
    return "<br>".join(part.strip() for part in re.split(r"  +(?=\d)", text))
