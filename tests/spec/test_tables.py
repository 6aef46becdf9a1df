"""Tables against plain dicts, whatever is done to them; and how little of a queue a step touches."""

from __future__ import annotations

import sys
import tracemalloc
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rediq_trio.spec import rules as spec
from rediq_trio.spec.check.totals import totals_of
from rediq_trio.spec.lifecycle import State
from rediq_trio.spec.messages import Completed, Failed, Fence, NewTask, Relations
from rediq_trio.spec.order.lanes import oldest_due_ms
from rediq_trio.spec.order.sorted_map import PARTS_LEAST, PARTS_MOST, SortedMap
from rediq_trio.spec.order.table import Key, MutableTable, Table
from rediq_trio.spec.records import Counters, Lock, QueueState, Record
from rediq_trio.store.memory_signals import signals_of

# Few keys, so that many are replaced; and runs of neighbours, so that nodes are split and joined.
KEYS = st.integers(0, 300)
CHANGES = st.lists(
    st.tuples(st.booleans(), KEYS, st.integers(1, 80), st.integers(0, 9)), max_size=20
)


def changed(
    made: SortedMap[int, int], expected: dict[int, int], changes: list[tuple[bool, int, int, int]]
) -> SortedMap[int, int]:
    """Set or remove runs of keys in a map and in a dict."""
    for adds, first, length, value in changes:
        for key in range(first, first + length):
            if adds:
                made, expected[key] = made.set(key, value), value
            elif key in expected:
                made = made.without(key)
                del expected[key]
    return made


def depths(node: Any, *, root: bool = True) -> set[int]:
    """Check the nodes below one, and return in which depths its leaves are."""
    assert len(node.parts) <= PARTS_MOST
    assert root or len(node.parts) >= PARTS_LEAST
    below = [part for part in node.parts if hasattr(part, "parts")]
    if not below:
        return {0}
    assert node.size == sum(part.size for part in below)
    assert node.starts == tuple(part.starts[0] for part in below)
    return {1 + depth for part in below for depth in depths(part, root=False)}


def test_a_map_that_has_shrunk_is_as_shallow_as_a_small_one() -> None:
    found = SortedMap((key, key) for key in range(2000))
    for key in range(2000):
        if key % 100:
            found = found.without(key)
            assert len(depths(found._root)) == 1
    assert (len(found), depths(found._root)) == (20, {0})


def test_two_copies_differ_in_the_rows_that_are_not_one_object() -> None:
    first = SortedMap((key, f"{key}") for key in range(200))
    last = first.set(7, "seven").set(90, "".join(["9", "0"])).without(150).set(300, "new")
    found = list(first.differences(last))
    assert found == [(7, "7", "seven"), (90, "90", "90"), (150, "150", None), (300, None, "new")]
    assert first != last
    assert list(first.differences(first)) == []


@settings(max_examples=40, deadline=None)
@given(start=st.sets(KEYS), one=CHANGES, two=CHANGES)
def test_a_sorted_map_is_what_a_dict_would_be_and_its_copies_stay_as_they_were(
    start: set[int],
    one: list[tuple[bool, int, int, int]],
    two: list[tuple[bool, int, int, int]],
) -> None:
    expected = dict.fromkeys(start, 1)
    first = changed(SortedMap(expected.items()), expected, one)
    before = dict(expected)
    last = changed(first, expected, two)
    for found, rows in ((first, before), (last, expected)):
        keys = sorted(rows)
        assert found == rows == dict(found.items())
        assert rows == found == SortedMap(rows.items())
        assert (list(found), len(found)) == (keys, len(keys))
        assert list(found.values()) == [rows[key] for key in keys]
        assert [found.at(rank)[0] for rank in range(len(found))] == keys
        for key in range(0, 400, 7):
            assert found.find(key) == rows.get(key)
            assert found.rank(key) == sum(each < key for each in keys)
            assert [each for each, _ in found.entries_from(key)] == [k for k in keys if k >= key]
        assert len(depths(found._root)) == 1
    assert (first == last) == (before == expected)
    differ = {key for key in before | expected if before.get(key) != expected.get(key)}
    assert [key for key, _, _ in first.differences(last)] == sorted(differ)
    assert dict.fromkeys(differ) == {
        key: None
        for key, old, new in first.differences(last)
        if (old, new) == (before.get(key), expected.get(key))
    }


def test_a_key_that_is_not_there_is_a_key_error() -> None:
    for empty in (SortedMap[str, int](), SortedMap([("a", 1)])):
        with pytest.raises(KeyError):
            empty["b"]
        with pytest.raises(KeyError):
            empty.without("b")


def by_tens(name: str, row: int) -> Key | None:
    return (row // 10, row, name) if row < 90 else None


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abcdefgh"), st.none() | st.integers(0, 99))))
def test_an_index_lists_what_it_would_list_if_it_were_made_anew(
    writes: list[tuple[str, int | None]],
) -> None:
    draft, expected = MutableTable(Table[int]({}, by_tens)), dict[str, int]()
    for name, row in writes:
        if row is not None:
            draft[name] = expected[name] = row
        else:
            draft.pop(name, None)
            expected.pop(name, None)
    table = draft.table
    assert table == expected
    assert table.indexes() == Table(expected, by_tens).indexes()
    listed = sorted(row for row in expected.values() if row < 90)
    assert list(table.listed(by_tens)) == listed
    assert table.count(by_tens) == len(listed)
    for tens in range(10):
        rows = [row for row in listed if row // 10 == tens]
        assert list(table.listed(by_tens, (tens,))) == rows
        assert table.count(by_tens, (tens,)) == len(rows)
        assert (table.first(by_tens, (tens,)), table.last(by_tens, (tens,))) == (
            (rows[0], rows[-1]) if rows else (None, None)
        )
        assert list(table.listed(by_tens, after=(tens,))) == [r for r in listed if r // 10 > tens]
    heads = {row // 10: row for row in reversed(listed)}
    assert list(table.heads(by_tens)) == [heads[tens] for tens in sorted(heads)]


NOW = 1_700_000_000_000
PART = 11
"""Tasks of each hundred that are in one state, or in a group."""


def record(number: int, state: State, **fields: Any) -> Record:
    standard: dict[str, Any] = {
        "priority": 50, "max_retry": 3, "max_crashes": 3, "retention_ms": 0, "run_ms": NOW, "seq": number,
        "created_ms": NOW,
    }  # fmt: skip
    return Record(id=f"{number:05}", envelope=b"e", state=state, **standard | fields)


def made(number: int) -> Record:
    """Return one of the tasks of a queue that has tasks in every state."""
    match number % 100 // PART:
        case 0 | 1:
            return record(number, State.PENDING, expires_ms=NOW + number)
        case 2:
            return record(number, State.PENDING, limit_key=f"key-{number % 2}")
        case 3:
            return record(number, State.ACTIVE, lease_ms=NOW + number, nonce=b"n", deliveries=1)
        case 4:
            unique = {"unique": f"u{number}", "owns_unique_key": True}
            return record(number, State.SCHEDULED, run_ms=NOW + number, **unique)
        case 5:
            return record(number, State.RETRY, run_ms=NOW + number, has_waiters=True)
        case 6:
            return record(number, State.GROUPED, group=f"g{number % 2}")
        case 7:
            return record(number, State.COMPLETED, finished_ms=NOW, purge_ms=NOW + number)
        case _:
            return record(number, State.DEAD, finished_ms=NOW + number)


def queue_of(size: int) -> QueueState:
    records = {each.id: each for each in map(made, range(size))}
    keyed = [each for each in records.values() if each.unique]
    return QueueState(
        records=records,
        seq=size,
        counters=Counters(enqueued=size),
        locks={each.unique: Lock(each.id, NOW + each.seq) for each in keyed},
        turns={"key-0": 0, "key-1": 0},
        rates={f"key-{number}": (NOW + number) * 1000 for number in range(size)},
        edges={f"{number}": frozenset({"d"}) for number in range(size)},
        needs={f"{number}": frozenset({"d"}) for number in range(size)},
    )


@pytest.fixture(scope="module")
def queues() -> Mapping[int, QueueState]:
    return {size: queue_of(size) for size in (100, 10_000)}


SETTLED = Fence("00034", 1, b"n")
NEW = NewTask("new", b"e")
STEPS: dict[str, Callable[[QueueState], Any]] = {
    "enqueue": lambda q: spec.enqueue(q, NOW, [NEW]),
    "enqueue with a key": lambda q: spec.enqueue(
        q, NOW, [attrs.evolve(NEW, relations=Relations(unique="k", limit_key="key-0"))]
    ),
    "enqueue in a group": lambda q: spec.enqueue(
        q, NOW, [attrs.evolve(NEW, relations=Relations(group="g0"))]
    ),
    "enqueue within bounds": lambda q: spec.enqueue(
        attrs.evolve(q, max_pending=100_000), NOW, [NEW]
    ),
    "claim": lambda q: spec.claim(q, NOW, limit=10, lease_ms=9, worker="w", nonce=b"m"),
    "renew": lambda q: spec.renew(q, NOW, [SETTLED], lease_ms=9),
    "complete": lambda q: spec.settle(q, NOW, [Completed(SETTLED, b"")]),
    "fail": lambda q: spec.settle(q, NOW, [Failed(SETTLED, "e", delay_ms=9)]),
    "promote": lambda q: spec.promote(q, NOW + 60, limit=5),
    "reclaim": lambda q: spec.reclaim(q, NOW + 60, limit=5),
    "expire": lambda q: spec.expire(q, NOW + 60, limit=5),
    "purge": lambda q: spec.purge(q, NOW + 20, limit=5, dead_retention_ms=60, max_dead=100_000),
    "batch": lambda q: spec.batch(q, NOW + 60_000, ids=["b"]),
    "cancel": lambda q: spec.cancel(q, NOW, "00000"),
    "revive": lambda q: spec.revive(q, NOW, ["00090"]),
    "delete": lambda q: spec.delete(q, NOW, ["00000"]),
    "sample": lambda q: spec.sample(q, NOW, known=-1, unseen_ms=0),
}


def effort(run: Callable[[], object]) -> tuple[int, int]:
    """Return how many calls a step makes, and how many bytes it has at once."""
    calls = 0

    def count(_frame: object, event: str, _argument: object) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    run()
    before = sys.getprofile()
    sys.setprofile(count)
    try:
        run()
    finally:
        sys.setprofile(before)
    tracemalloc.start()
    try:
        run()
        return calls, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("name", STEPS)
def test_a_step_touches_little_more_of_a_hundred_times_as_many_tasks(
    queues: Mapping[int, QueueState], name: str
) -> None:
    step = STEPS[name]

    def run(queue: QueueState) -> Callable[[], object]:
        def both() -> Iterator[object]:
            after, answer = step(queue)
            assert after != queue
            yield answer
            yield list(signals_of("q", queue, after))
            yield totals_of(after)
            yield oldest_due_ms(after)

        return lambda: list(both())

    few_calls, few_bytes = effort(run(queues[100]))
    many_calls, many_bytes = effort(run(queues[10_000]))
    assert many_calls <= 2.5 * few_calls
    assert many_bytes <= 2.5 * few_bytes + 10_000
