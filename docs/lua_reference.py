"""The reference of the Lua scripts and of the keys, from the scripts' own headers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

from docs.read_source import attribute_docs, oneline
from rediq_trio.spec.lifecycle import Transition
from rediq_trio.spec.records import Record
from rediq_trio.store.redis.codec import MARKS, RECORD_FIELDS, RELATION_FIELDS
from rediq_trio.store.redis.keys import INDEX_OF, QUEUE_KEYS, Keys
from rediq_trio.store.redis.scripts import Script, load_scripts

MEANINGS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "records": ("hash", "id -> record, a msgpack array (below)"),
        "payloads": (
            "hash",
            "id -> envelope: type, payload, rules and metadata; where no record carries it",
        ),
        "results": ("hash", "id -> what the handler returned, packed"),
        "progress": ("hash", "id -> the newest progress"),
        "inputs": ("hash", "id -> what the tasks it waited for returned, packed"),
        "steps": ("hash", "id -> what its steps returned, packed"),
        "meta": (
            "hash",
            "`seq`, `paused`, other settings and the totals; its name is also the queue's channel",
        ),
        "expiring": ("sorted set", "waiting tasks with `expires`, by that instant"),
        "scheduled": ("sorted set", "by the instant at which they are due"),
        "retry": ("sorted set", "by the instant at which they are due"),
        "pending": (
            "sorted set",
            "and have no limit key, by priority x 2^45 + seq: the order of the claims",
        ),
        "keyed": ("sorted set", "the tasks that are pending and have a limit key, key by key"),
        "blocked": ("sorted set", "by the instant at which they were enqueued"),
        "grouped": ("sorted set", "group by group, in the order in which they came"),
        "active": ("sorted set", "by the instant at which the lease runs out"),
        "completed": ("sorted set", "by the instant from which they may be purged"),
        "cancelled": ("sorted set", "by the instant from which they may be purged"),
        "dead": ("sorted set", "by the instant at which they died"),
        "lanes": (
            "sorted set",
            "limit keys with a pending task that may start, by its place; by turn when fair",
        ),
        "shut": (
            "sorted set",
            "limit keys that their limit holds up, by until when; +inf: a lease",
        ),
        "permits": ("hash", "limit key -> how many leases it has"),
        "turns": ("hash", "limit key -> the turn at which it was last served, for fair queues"),
        "limits": ("hash", "limit key -> its limit; '' for the queue's own, `*` for any other key"),
        "rates": ("sorted set", "limit keys, by the instant in us that its rate counts from"),
        "unique": ("hash", "unique key -> its holder"),
        "locks": ("sorted set", "unique keys whose window ends by time, by when"),
        "edges": ("sorted set", "task and dependent: who is told of whose end; all scores 0"),
        "needs": (
            "sorted set",
            "task and dependency: what a blocked task still waits for; scores 0",
        ),
        "endings": ("sorted set", "ends of tasks that some dependents have still to be told of"),
        "outbox": ("sorted set", "messages to other queues, by their number"),
        "received": ("hash", "other queue -> the number of its last message that was taken in"),
        "schedules": ("hash", "name -> schedule"),
        "ticks": ("sorted set", "schedules, by the instant of the next tick"),
        "history": ("stream", "the last transitions, by number: see [history](../history.md)"),
        "groups": (
            "sorted set",
            "the groups with members, by the instant at which they become a batch",
        ),
        "rules": ("hash", "group -> its most members, its grace and its longest delay"),
    }
)
"""What each key of a queue holds."""


def keys() -> str:
    """Make the table of a queue's keys."""
    names = Keys("rediq")
    lines = ["| key | type | holds |", "| --- | --- | --- |"]
    for name in QUEUE_KEYS:
        kind, meaning = MEANINGS.get(name, ("", "(not described yet)"))
        if name in INDEX_OF.values():
            said = "to be retried" if name == "retry" else name
            joint = " " if meaning.startswith("and ") else ", "
            meaning = f"the tasks that are {said}{joint}{meaning}"
        lines.append(f"| `{names.of('Q', (name,))[0].decode()}` | {kind} | {meaning} |")
    records, alive = (key.decode() for key in names.workers)
    lines += [
        f"| `{names.queues.decode()}` | set | the names of the queues ever used |",
        f"| `{names.partitions.decode()}` | hash | partitioned queue -> how many partitions it has |",
        f"| `{records}` | hash | worker -> what it said of itself in its last heartbeat |",
        f"| `{alive}` | sorted set | workers, by the instant until which each counts as alive |",
    ]
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
    if text == "all":
        return "all, in the order of the table above"
    if name == "KEYS":
        return (
            ", ".join(f"{number} `{key}`" for number, key in re.findall(r"(\d+) ([a-z]+)", text))
            or text
        )
    if name == "INCLUDE":
        return ", ".join(f"`{snippet}`" for snippet in text.split())
    return "<br>".join(part.strip() for part in re.split(r"  +(?=\d)", text))
