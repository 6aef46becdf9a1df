"""Workflows are built from tasks, refused where they cannot be run, and planned."""

from __future__ import annotations

import itertools
import uuid
from types import SimpleNamespace
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rediq_trio import ConfigError, Task, Unique
from rediq_trio.workflow.build import Workflow, chain, gather
from rediq_trio.workflow.plan import MAX_NODES

TASKS: list[Task[Any]] = [Task(name) for name in "abcd"]
A, B, C, D = TASKS


def links(workflow: Workflow[Any]) -> set[tuple[str, str]]:
    return set(workflow.links)


def test_a_node_waits_for_those_it_was_put_after() -> None:
    workflow = Workflow("orders")
    first = workflow.add(A)
    workflow.add(B, "second", after=[first])
    workflow.add(C, after=(first, "second"))
    workflow.add(D, after="c")
    assert [node.name for node in workflow.nodes] == ["a", "second", "c", "d"]
    assert [node.task for node in workflow.nodes] == [A, B, C, D]
    assert links(workflow) == {("a", "second"), ("a", "c"), ("second", "c"), ("c", "d")}
    assert len(workflow) == 4
    assert repr(workflow) == "<Workflow 'orders' of 4 nodes>"


def test_nodes_are_linked_later_and_twice_is_once() -> None:
    workflow = Workflow()
    first, second = workflow.add(A), workflow.add(B)
    workflow.link(first, second)
    workflow.link("a", "b")
    workflow.add(C, after=[first, first])
    assert workflow.links == (("a", "b"), ("a", "c"))


def test_a_name_that_is_taken_gets_a_number_where_it_was_not_asked_for() -> None:
    workflow = Workflow()
    workflow.add(B, "a-2")
    assert [workflow.add(A).name for _ in range(4)] == ["a", "a-3", "a-4", "a-5"]
    with pytest.raises(ConfigError, match="a node is named 'a' already"):
        workflow.add(C, "a")
    assert len(workflow) == 5


@pytest.mark.parametrize("name", ["", "x" * 257, "a\nb", 5])
def test_a_name_out_of_its_bounds_is_refused(name: Any) -> None:
    with pytest.raises(ConfigError, match=r"^name=.*1 to 256 printable characters"):
        Workflow(name)
    with pytest.raises(ConfigError, match=r"^name=.*1 to 256 printable characters"):
        Workflow().add(A, name)


@pytest.mark.parametrize("task", [None, "a", 5, Task, lambda: None])
def test_what_is_no_task_is_refused_by_its_value(task: Any) -> None:
    with pytest.raises(ConfigError, match=r"^task=.*must be a Task"):
        Workflow().add(task)
    for make in (chain, gather):
        with pytest.raises(ConfigError, match=r"^task=.*must be a Task or a Workflow"):
            make(A, task)
    if task is not None:
        with pytest.raises(ConfigError, match=r"^task=.*must be a Task or a Workflow"):
            gather(A, then=task)


def test_a_workflow_is_nested_by_chain_and_gather_not_by_add() -> None:
    with pytest.raises(ConfigError, match="must be a Task"):
        Workflow().add(chain(A))  # type: ignore[arg-type]


def test_an_unknown_node_is_named() -> None:
    workflow = Workflow("w")
    mine = workflow.add(A)
    other = Workflow().add(A)
    for bad in ("b", 5, None):
        with pytest.raises(ConfigError, match=f"workflow 'w': no node {bad!r}"):
            workflow.link(mine, bad)  # type: ignore[arg-type]
        with pytest.raises(ConfigError, match=f"no node {bad!r}"):
            workflow.add(B, after=[bad])  # type: ignore[list-item]
    with pytest.raises(ConfigError, match="after=5"):
        workflow.add(B, after=5)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="'a' is a node of another workflow"):
        workflow.link(other, mine)
    with pytest.raises(ConfigError, match="'a' is a node of another workflow"):
        workflow.add(B, after=other)
    assert len(workflow) == 1


def test_a_node_is_not_linked_to_itself() -> None:
    workflow = Workflow()
    node = workflow.add(A)
    with pytest.raises(ConfigError, match="node 'a' cannot wait for itself"):
        workflow.link(node, "a")


def test_a_cycle_is_named_whole() -> None:
    workflow = Workflow("loop")
    first = workflow.add(A)
    second = workflow.add(B, after=first)
    third = workflow.add(C, after=second)
    workflow.add(D, after=third)
    workflow.check()
    workflow.link(third, first)
    for refuse in (workflow.check, workflow.plan, workflow.svg, lambda: chain(workflow)):
        with pytest.raises(ConfigError, match=r"^workflow 'loop': .*: a -> b -> c -> a$"):
            refuse()
    assert "n2 --> n0" in workflow.mermaid()


def test_an_empty_workflow_is_refused() -> None:
    for refuse in (Workflow("w").check, Workflow("w").plan, Workflow("w").svg):
        with pytest.raises(ConfigError, match="workflow 'w': it has no node"):
            refuse()
    nothing: list[Task[Any]] = []
    for empty in (gather(), gather(*nothing), chain(*nothing), chain(gather(), Workflow())):  # type: ignore[call-overload]
        with pytest.raises(ConfigError, match="it has no node"):
            empty.plan()


def test_a_part_without_nodes_is_skipped() -> None:
    nothing: list[Task[Any]] = []
    assert links(chain(A, gather(*nothing), B)) == {("a", "b")}
    assert links(chain(gather(), A, Workflow("w"))) == set()
    assert links(gather(A, gather(), B, then=C)) == {("a", "c"), ("b", "c")}
    for one in (gather(*nothing, then=A), chain(gather(), A), gather(A, then=gather())):
        assert [node.name for node in one.nodes] == ["a"]
        assert [node.name for node in one.plan().sinks] == ["a"]


def test_a_workflow_has_at_most_so_many_nodes() -> None:
    workflow = gather(*[A] * MAX_NODES)
    workflow.check()
    with pytest.raises(ConfigError, match="more than 1,000 nodes"):
        workflow.add(A)
    assert len(workflow) == MAX_NODES
    with pytest.raises(ConfigError, match="more than 1,000 nodes"):
        chain(workflow, B)


@pytest.mark.parametrize(
    ("option", "special"),
    [("group", Task("special", group="some")), ("unique", Task("special", unique=Unique("k")))],
)
def test_a_task_that_may_not_be_itself_in_the_end_is_refused(
    option: str, special: Task[Any]
) -> None:
    with pytest.raises(ConfigError, match=f"task 'special' has {option}="):
        Workflow().add(special)
    with pytest.raises(ConfigError, match=f"task 'special' has {option}="):
        chain(A, special)


def test_an_own_id_is_used_once_per_queue() -> None:
    workflow = Workflow()
    workflow.add(Task("a", id="x"), "first")
    workflow.add(Task("a", id="x", queue="other"))
    workflow.add(Task("a", id="y"))
    with pytest.raises(ConfigError, match="the id 'default/x', which is that of node 'first'"):
        workflow.add(Task("b", id="x"))
    with pytest.raises(ConfigError, match="the id 'default/x'"):
        gather(workflow, workflow)


def test_a_node_depends_on_a_node_of_its_workflow_by_a_link_only() -> None:
    needing = _needing("default/x")
    workflow = gather(Task("a", id="x"), needing)
    with pytest.raises(ConfigError, match=r"link\('a', 'needing'\) instead"):
        workflow.check()
    gather(Task("a", id="z"), needing).check()


def _needing(task_id: str) -> Task[Any]:
    if any(field.name == "depends_on" for field in attrs.fields(Task)):
        return Task("needing", depends_on=(task_id,))  # type: ignore[call-arg]
    kind = type("Needing", (Task,), {"depends_on": (task_id, SimpleNamespace(id=task_id))})
    found: Task[Any] = kind("needing")
    return found


def test_a_chain_runs_one_after_the_other() -> None:
    assert links(chain(A, B, C)) == {("a", "b"), ("b", "c")}
    assert links(chain(A)) == set()


def test_a_gathering_runs_side_by_side() -> None:
    assert links(gather(A, B)) == set()
    assert links(gather(A, B, then=C)) == {("a", "c"), ("b", "c")}


def test_a_part_may_be_a_workflow() -> None:
    assert links(chain(gather(A, B), C)) == {("a", "c"), ("b", "c")}
    assert links(chain(C, gather(A, B))) == {("c", "a"), ("c", "b")}
    assert links(gather(chain(A, B), C, then=chain(D, A))) == {
        ("a", "b"),
        ("b", "d"),
        ("c", "d"),
        ("d", "a-2"),
    }
    assert links(chain(gather(A, B), gather(C, D))) == {
        ("a", "c"),
        ("b", "c"),
        ("a", "d"),
        ("b", "d"),
    }


def test_a_nested_workflow_is_copied_and_stays_as_it_was() -> None:
    inner = Workflow()
    begin = inner.add(A, "begin")
    inner.add(B, after=begin)
    outer = chain(inner, inner)
    assert [node.name for node in outer.nodes] == ["begin", "b", "begin-2", "b-2"]
    assert links(outer) == {("begin", "b"), ("b", "begin-2"), ("begin-2", "b-2")}
    outer.add(C, after="b-2")
    inner.add(D, after=begin)
    assert (len(inner), len(outer)) == (3, 5)
    assert links(inner) == {("begin", "b"), ("begin", "d")}


def test_a_plan_decides_ids_anew_and_keeps_own_ones() -> None:
    workflow = chain(Task("a", queue="q"), Task("b", id="mine"), A)
    first, second = workflow.plan(), workflow.plan()
    assert [node.name for node in first.nodes] == ["a-2", "b", "a"]
    last, middle, begin = first.nodes
    assert middle.id == "default/mine"
    assert (begin.queue, begin.needs, begin.dependents) == ("q", (), ("default/mine",))
    assert (last.needs, last.dependents) == (("default/mine",), ())
    assert uuid.UUID(begin.local_id).version == 7
    assert begin.id == f"q/{begin.local_id}"
    assert begin.local_id not in {node.local_id for node in second.nodes}
    assert (first.home, first.sinks, first.roots) == ("default", (last,), (begin,))


@given(st.data())
def test_whatever_is_linked_a_plan_is_sound_or_its_cycle_is_real(data: st.DataObject) -> None:
    workflow = Workflow()
    nodes = [workflow.add(A) for _ in range(data.draw(st.integers(1, 10)))]
    pairs = data.draw(st.lists(st.tuples(st.sampled_from(nodes), st.sampled_from(nodes))))
    for before, after in pairs:
        if before is not after:
            workflow.link(before, after)
    try:
        plan = workflow.plan()
    except ConfigError as error:
        around = str(error).rpartition(": ")[2].split(" -> ")
        assert around[0] == around[-1]
        assert set(itertools.pairwise(around)) <= links(workflow)
        return
    written: set[str] = set()
    for node in plan.nodes:
        assert set(node.dependents) <= written
        written.add(node.id)
    names = {node.id: node.name for node in plan.nodes}
    assert links(workflow) == {(names[n], node.name) for node in plan.nodes for n in node.needs}
