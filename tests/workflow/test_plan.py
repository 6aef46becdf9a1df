"""Graphs of tasks: their order, their cycles, and the plan that is made of them."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rediq_trio.values.task import Task
from rediq_trio.workflow.plan import dependents_of, find_cycle, layers, make_plan, topological

Needs = dict[str, list[str]]


@st.composite
def graphs(draw: st.DrawFn, *, acyclic: bool) -> Needs:
    names = [f"t{number}" for number in draw(st.permutations(range(draw(st.integers(1, 12)))))]
    pairs = [
        (before, after)
        for before, after in itertools.permutations(names, 2)
        if not acyclic or before < after
    ]
    chosen = draw(st.lists(st.sampled_from(pairs), unique=True)) if pairs else []
    needs: Needs = {name: [] for name in names}
    for before, after in chosen:
        needs[after].append(before)
    return needs


@given(graphs(acyclic=True))
def test_the_order_has_each_name_once_and_behind_all_it_needs(needs: Needs) -> None:
    order = topological(needs)
    place = {name: number for number, name in enumerate(order)}
    assert sorted(order) == sorted(needs)
    assert all(place[other] < place[name] for name in needs for other in needs[name])


@given(graphs(acyclic=True))
def test_a_graph_without_a_cycle_has_none_found(needs: Needs) -> None:
    assert find_cycle(needs) == []


@given(graphs(acyclic=False))
def test_a_cycle_that_is_found_is_one_and_none_is_missed(needs: Needs) -> None:
    cycle = find_cycle(needs)
    if cycle:
        assert len(set(cycle)) == len(cycle)
        for before, after in zip(cycle, cycle[1:] + cycle[:1], strict=True):
            assert before in needs[after]
    else:
        assert len(topological(needs)) == len(needs)


def test_a_cycle_begins_with_its_first_name_and_leaves_out_what_leads_to_it_and_from_it() -> None:
    needs: Needs = {"in": [], "a": ["in", "c"], "b": ["a"], "c": ["b"], "out": ["c"]}
    assert find_cycle(needs) == ["a", "b", "c"]


@given(graphs(acyclic=True))
def test_a_layer_is_the_next_behind_the_last_that_is_needed(needs: Needs) -> None:
    found = layers(needs)
    for name, before in needs.items():
        assert found[name] == max((found[other] + 1 for other in before), default=0)


@given(graphs(acyclic=True))
def test_turning_twice_gives_the_same_links(needs: Needs) -> None:
    twice = dependents_of(dependents_of(needs))
    assert {name: set(before) for name, before in twice.items()} == {
        name: set(before) for name, before in needs.items()
    }


@given(graphs(acyclic=True), st.data())
def test_a_plan_is_in_reverse_order_and_its_links_mirror_one_another(
    needs: Needs, data: st.DataObject
) -> None:
    queues = st.sampled_from(["q1", "q2", "q3"])
    tasks = {name: Task(name, queue=data.draw(queues)) for name in needs}
    plan = make_plan(tasks, needs, lambda task: f"id-{task.type}", "mine")
    ids = [node.id for node in plan.nodes]
    by_id = dict(zip(ids, plan.nodes, strict=True))
    assert sorted(node.name for node in plan.nodes) == sorted(needs)
    for place, node in enumerate(plan.nodes):
        assert node.id == f"{node.task.queue}/id-{node.name}"
        assert [by_id[other].name for other in node.needs] == needs[node.name]
        assert set(node.needs) <= set(ids[place + 1 :])
        assert set(node.dependents) <= set(ids[:place])
        assert all(node.id in by_id[other].dependents for other in node.needs)
        assert all(node.id in by_id[other].needs for other in node.dependents)
    ordered = [node for name in needs for node in plan.nodes if node.name == name]
    assert list(plan.sinks) == [node for node in ordered if not node.dependents]
    assert list(plan.roots) == [node for node in ordered if not node.needs]
    assert plan == make_plan(tasks, needs, lambda task: f"id-{task.type}", "mine")
    assert plan.needs() == {name: needs[name] for name in topological(needs)}


@pytest.mark.parametrize(
    ("queues", "home"), [("a", "a"), ("ab", "a"), ("bab", "b"), ("abba", "a"), ("abb", "b")]
)
def test_home_is_the_queue_of_most_nodes_or_of_the_first(queues: str, home: str) -> None:
    tasks = {f"t{place}": Task("t", queue=queue) for place, queue in enumerate(queues)}
    plan = make_plan(tasks, {name: [] for name in tasks}, lambda _: "x", None)
    assert plan.home == home
