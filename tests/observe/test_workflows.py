from __future__ import annotations

import datetime as dt
from types import MappingProxyType

import rediq_trio as rediq
from rediq_trio import MemoryStore, State, Task
from rediq_trio.observe.workflows import WorkflowView, named, read_workflow
from rediq_trio.values.observed.workflow import WorkflowStatus

NOW = dt.datetime(2026, 11, 29, 12, 0, tzinfo=dt.UTC)


def view(needs: dict[str, list[str]], states: dict[str, State | None]) -> WorkflowView:
    """Return a workflow whose tasks were not read."""
    counts = {state: list(states.values()).count(state) for state in State}
    status = WorkflowStatus(
        id="w", name=None, created_at=NOW - dt.timedelta(minutes=5), state="running", total=len(states),
        counts=MappingProxyType(counts), gone=0, cursor="1",
    )  # fmt: skip
    ids = {name: f"q/{name}" for name in needs}
    return WorkflowView(status=status, at=NOW, needs=needs, ids=ids, states=states, tasks={})


CHAIN = {"a": [], "b": ["a"], "c": ["b"], "d": ["c"]}


def test_what_waits_for_a_failed_node_is_lit_with_it() -> None:
    one = view(
        CHAIN, {"a": State.COMPLETED, "b": State.DEAD, "c": State.BLOCKED, "d": State.BLOCKED}
    )
    assert (one.stuck, one.lit, one.behind) == ("b", {"b", "c", "d"}, 2)
    assert one.ordered() == ["b", "c", "d", "a"]
    assert [one.words(name) for name in "abcd"] == ["completed", "dead", "by b", "by c"]


def test_a_node_that_ran_in_spite_of_a_failure_ends_the_lit_branch() -> None:
    one = view(
        CHAIN, {"a": State.DEAD, "b": State.COMPLETED, "c": State.ACTIVE, "d": State.BLOCKED}
    )
    assert (one.stuck, one.lit, one.behind) == ("a", {"a"}, 0)
    assert one.took == 300.0


def test_a_node_that_failed_by_itself_is_named_before_those_that_failed_with_it() -> None:
    one = view(CHAIN, {"a": None, "b": State.DEAD, "c": State.DEAD, "d": State.CANCELLED})
    assert one.stuck == "b"
    assert one.words("a") == "gone"
    assert view({"a": []}, {"a": State.PENDING}).stuck is None


def test_many_names_are_counted() -> None:
    assert named(["a", "b"]) == "a, b"
    assert named(["a", "b", "c", "d", "e"]) == "a, b, c and 2 more"
    assert named(["\x1b"]) == "\\x1b"


async def test_a_workflow_is_read_with_the_states_needs_and_tasks_of_its_nodes() -> None:
    workflow: rediq.Workflow[None] = rediq.Workflow("nightly")
    first = workflow.add(Task("a", queue="x"), "fetch")
    workflow.add(Task("b", queue="y"), "join", after=first)
    async with rediq.connect(MemoryStore()) as client:
        handle = await client.enqueue(workflow)
        before = dt.datetime.now(dt.UTC)
        one = await read_workflow(handle)
        assert before <= one.at <= dt.datetime.now(dt.UTC)
        assert one.status == await handle.status()
        assert {name: tuple(each) for name, each in one.needs.items()} == {
            "fetch": (),
            "join": ("fetch",),
        }
        assert one.states == {"fetch": State.PENDING, "join": State.BLOCKED}
        assert one.ids == {name: each.id for name, each in handle.handles.items()}
        assert {name: each.type for name, each in one.tasks.items()} == {"fetch": "a", "join": "b"}
