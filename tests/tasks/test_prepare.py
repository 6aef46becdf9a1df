"""A task as a store takes it in: its ties, and what its unique key is."""

from __future__ import annotations

import datetime as dt
import enum
from typing import Any

import pytest

import rediq_trio as rediq
from rediq_trio import ConfigError, PayloadTooLarge, Task, Unique, Workflow
from rediq_trio.spec.messages import NO_RELATIONS, Relations, Until
from rediq_trio.tasks.prepare import (
    MAX_ATOMIC_BYTES,
    PreparedTask,
    milliseconds,
    prepare,
)
from rediq_trio.wire.envelope import open_envelope
from rediq_trio.workflow.plan import MAX_LINKS, check_atomic, prepare_node

MAX_PARTITIONS = 512 * 1024


class Colour(enum.Enum):
    RED = "red"


def prepared(**options: Any) -> PreparedTask:
    return prepare(Task("t", {}, queue="q", **options), MAX_PARTITIONS)


def relations(**options: Any) -> Relations:
    return prepared(**options).new.relations


def test_a_task_on_its_own_has_no_ties() -> None:
    assert relations() is NO_RELATIONS
    assert relations(on_dependency_failure="run") is NO_RELATIONS
    assert prepared().elsewhere == ()
    assert prepared().rejects_duplicate is False


def test_its_own_queue_is_left_out_of_a_dependency() -> None:
    one = prepared(depends_on=["q/a", "other/a", "q/b"])
    assert one.new.relations.needs == ("a", "other/a", "b")
    assert one.elsewhere == (("other", "a"),)


def test_a_dependency_that_is_named_twice_is_waited_for_once() -> None:
    assert relations(depends_on=["q/a", "r/a", "q/a", "r/a"]).needs == ("a", "r/a")


def test_the_ids_travel_in_the_envelope_as_they_were_given() -> None:
    one = prepared(depends_on=["q/a", "r/b"])
    assert open_envelope(one.new.envelope).depends_on == ("q/a", "r/b")


def test_a_policy_a_group_and_a_limit_key_go_along() -> None:
    assert (
        relations(depends_on="q/a", on_dependency_failure="run").run_on_dependency_failure is True
    )
    assert relations(group="g").group == "g"
    assert relations(limit_key="k").limit_key == "k"


@pytest.mark.parametrize(
    ("unique", "expected"),
    [
        (Unique("k"), Relations(unique="k", until=Until.DONE)),
        (Unique("k", until="started"), Relations(unique="k", until=Until.STARTED)),
        (
            Unique("k", until="expired", ttl=1.5),
            Relations(unique="k", until=Until.EXPIRED, ttl_ms=1500),
        ),
        (Unique("k", on_conflict="replace"), Relations(unique="k", replace=True)),
        (Unique("k", on_conflict="return", ttl=1e-9), Relations(unique="k", ttl_ms=1)),
    ],
)
def test_a_unique_key_and_its_window(unique: Unique, expected: Relations) -> None:
    assert relations(unique=unique) == expected


@pytest.mark.parametrize(
    ("conflict", "rejects"), [("reject", True), ("replace", True), ("return", False)]
)
def test_a_holder_is_an_error_unless_it_may_be_returned(conflict: Any, rejects: bool) -> None:
    assert prepared(unique=Unique(on_conflict=conflict)).rejects_duplicate is rejects


def key(kind: str, payload: Any) -> str:
    return prepare(Task(kind, payload, unique=Unique()), MAX_PARTITIONS).new.relations.unique


def test_without_a_key_it_is_the_type_and_the_payload() -> None:
    mine = key("mail", {"to": "a", "cc": [1, 2]})
    assert mine == key("mail", {"to": "a", "cc": [1, 2]})
    assert mine.startswith("mail ")
    others = [key("post", {"to": "a", "cc": [1, 2]}), key("mail", {"to": "a", "cc": [2, 1]})]
    others += [key("mail", {"to": "a"}), key("mail", None), key("mail", b""), key("mail", {})]
    assert len({mine, *others}) == 1 + len(others)


def test_equal_payloads_have_one_key_however_they_are_ordered() -> None:
    one = {"a": 1, "b": [{"x": 1, "y": 2}], b"c": {"k": None, b"k": 1}}
    same = {b"c": {b"k": 1, "k": None}, "b": [{"y": 2, "x": 1}], "a": 1}
    assert key("t", one) == key("t", same)


def test_a_key_is_short_whatever_the_payload() -> None:
    assert len(key("t", "x" * 500_000)) == len("t ") + 32


def test_a_value_is_taken_apart_before_it_is_a_key() -> None:
    moment = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    assert key("t", {"at": moment}) == key("t", {"at": moment.isoformat()})


@pytest.mark.parametrize(("seconds", "ms"), [(None, 0), (0, 0), (1e-9, 1), (0.0015, 2), (3, 3000)])
def test_what_is_not_nothing_is_at_least_a_millisecond(seconds: float | None, ms: int) -> None:
    assert milliseconds(seconds) == ms


def test_what_is_no_task_is_refused() -> None:
    with pytest.raises(ConfigError, match="task=5: must be a Task"):
        prepare(5, MAX_PARTITIONS)  # type: ignore[arg-type]


def nodes(workflow: Workflow[Any]) -> dict[str, PreparedTask]:
    plan = workflow.plan()
    return {node.name: prepare_node(node, plan, MAX_PARTITIONS) for node in plan.nodes}


def test_a_node_knows_its_neighbours_as_its_own_queue_sees_them() -> None:
    made: Workflow[Any] = Workflow()
    first = made.add(Task("t", {}, queue="home", id="first"), "first")
    made.add(Task("t", {}, queue="home", id="second", depends_on="away/x"), "second", after=first)
    made.add(
        Task("t", {}, queue="away", id="third", depends_on=["home/y", "away/z"]), "third", first
    )
    found = nodes(made)
    assert found["first"].new.relations == Relations(dependents=("second", "away/third"))
    assert found["second"].new.relations == Relations(needs=("away/x",), needs_later=("first",))
    third = found["third"].new.relations
    assert third == Relations(queue="away", needs=("home/y", "z"), needs_later=("home/first",))
    assert open_envelope(found["second"].new.envelope).depends_on == ("away/x", "home/first")


def test_what_home_cannot_look_at_is_looked_at_before() -> None:
    made: Workflow[Any] = Workflow()
    made.add(Task("t", {}, queue="home", depends_on=["home/a", "away/b"]), "near")
    made.add(Task("t", {}, queue="home"), "near too")
    made.add(Task("t", {}, queue="away", depends_on=["home/c", "away/d", "third/e"]), "far")
    found = nodes(made)
    assert found["near"].outside("home") == (("away", "b"),)
    assert found["far"].outside("home") == (("home", "c"), ("away", "d"), ("third", "e"))


def test_a_workflow_of_too_many_links_is_refused() -> None:
    made: Workflow[Any] = Workflow()
    before = [made.add(Task("t"), f"a{n}") for n in range(300)]
    for n in range(MAX_LINKS // 300 + 1):
        made.add(Task("t"), f"b{n}", after=before)
    with pytest.raises(ConfigError, match="<50,100 links>': must be of at most 50,000 links"):
        check_atomic(list(nodes(made).values()))


def test_a_workflow_of_too_many_bytes_is_refused() -> None:
    made: Workflow[Any] = Workflow()
    for _ in range(MAX_ATOMIC_BYTES // 500_000 + 1):
        made.add(Task("t", "x" * 500_000))
    with pytest.raises(PayloadTooLarge, match="at most 16,777,216 are written in one step"):
        check_atomic(list(nodes(made).values()))


def test_the_options_of_a_type_keep_dependencies_that_come_once() -> None:
    app = rediq.App()

    @app.task("t", depends_on=iter(["q/a"]))
    async def handler() -> None: ...

    assert handler.task().depends_on == handler.task().depends_on == ("q/a",)
    made = handler.options(depends_on=(task_id for task_id in ["q/b", "q/c"]))
    assert made.task().depends_on == made.task().depends_on == ("q/b", "q/c")


def test_a_key_has_the_defaults_that_a_payload_can_carry() -> None:
    app, marker = rediq.App(), object()

    @app.task("f", unique=Unique())
    def f(a: int, b: Colour = Colour.RED, c: object = marker, d: Any = None) -> None: ...

    def key(task: Task[Any]) -> str:
        return prepare(task, MAX_PARTITIONS).new.relations.unique

    assert key(f.task(1)) == key(f.task(1, Colour.RED)) == key(f.task(a=1, d=None, b=Colour.RED))
    assert key(f.task(1)) == key(Task("f", {"a": 1, "b": "red", "d": None}, unique=Unique()))
    assert key(f.task(1)) != key(f.task(1, c=None))
    assert f.task(1) == Task("f", {"a": 1}, unique=Unique())
