"""The table of operations, and all that is made from it or held to it.

Whoever adds an operation, and forgets one of its places, is told here which.
"""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path

import attrs
import pytest

from rediq_trio.serve import ServerStats
from rediq_trio.spec.lifecycle import TRANSITIONS, State, Transition
from rediq_trio.spec.messages import Outcome
from rediq_trio.spec.operations import OPERATIONS, Carries
from rediq_trio.spec.settle import PLAIN_OUTCOMES, TRANSITION_OF
from rediq_trio.store.encrypted.store import EncryptedStore, wraps_what_is_carried
from rediq_trio.store.memory import MemoryStore
from rediq_trio.store.port import METHODS, READS, Store, implements_store, unclassified_methods
from rediq_trio.store.redis.durability import OTHER_SCRIPT, confirm_of
from rediq_trio.store.redis.scripts import load_scripts
from rediq_trio.store.redis.store import RedisStore
from rediq_trio.testing.judge import model
from rediq_trio.web.metric_table import OUTCOMES
from rediq_trio.worker.settler import OutcomeCounts
from tests.property import histories

SCRIPTS = load_scripts()
STORES = (MemoryStore, RedisStore, EncryptedStore)
each_operation = pytest.mark.parametrize("name", OPERATIONS)


def parts_of(kind: type, without: str) -> dict[str, object]:
    parts = {key: part for key, part in vars(kind).items() if key != without}
    assert len(parts) == len(vars(kind)) - 1, f"{kind.__name__} has no {without}"
    return {key: part for key, part in parts.items() if key not in ("__dict__", "__weakref__")}


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (kind, name)
        for kind in STORES
        for name in sorted(METHODS)
        if kind is RedisStore or name not in OPERATIONS
    ],
)
def test_a_store_that_lacks_a_method_cannot_be_made(kind: type, name: str) -> None:
    with pytest.raises(TypeError, match=rf"^Lacking does not define {name}$"):
        implements_store(type("Lacking", (Store,), parts_of(kind, name)))


@pytest.mark.parametrize("kind", [MemoryStore, EncryptedStore])
def test_a_store_that_does_not_say_how_it_does_an_operation_cannot_be_made(kind: type) -> None:
    missing = ", ".join(sorted(OPERATIONS.keys() - vars(kind).keys()))
    with pytest.raises(TypeError, match=rf"^Lacking does not define {missing}$"):
        implements_store(type("Lacking", (Store,), parts_of(kind, "_do")))


@each_operation
def test_an_operation_that_is_taken_out_of_the_table_is_missed_by_the_port(name: str) -> None:
    assert unclassified_methods(OPERATIONS.keys()) == []
    assert unclassified_methods(OPERATIONS.keys() - {name}) == [name]
    assert unclassified_methods({*OPERATIONS, "defer"}) == ["defer"]


CARRYING = sorted(
    name
    for name, carries in {**READS, **{n: each.carries for n, each in OPERATIONS.items()}}.items()
    if carries & ~Carries.ENCRYPTED
)


@pytest.mark.parametrize("name", CARRYING)
def test_what_carries_clear_bytes_is_not_handed_on_by_the_encrypted_store(name: str) -> None:
    parts = parts_of(EncryptedStore, name)
    with pytest.raises(TypeError, match=rf"^Clear hands on {name} unchanged"):
        wraps_what_is_carried(type("Clear", (Store,), parts))


@each_operation
def test_an_operation_has_a_script_that_is_confirmed_as_the_table_says(name: str) -> None:
    script = OTHER_SCRIPT.get(name, name)
    assert script in SCRIPTS
    assert confirm_of(script) is OPERATIONS[name].confirm


def edges_of(transitions: frozenset[Transition]) -> set[tuple[State | None, State | None]]:
    return {edge for each in transitions for edge in TRANSITIONS[each]}


@each_operation
def test_a_script_makes_the_transitions_of_its_operation(name: str) -> None:
    # What an enqueue, or an end, entails within another operation has its own scripts.
    transitions = OPERATIONS[name].transitions
    named = set(re.findall(r"[a-z]+", SCRIPTS[OTHER_SCRIPT.get(name, name)].edges)) - {"no", "edge"}
    if named:
        states = {state for edge in edges_of(transitions) for state in edge if state is not None}
        assert named <= {state.value for state in states} | {"gone"}
        assert transitions
    elif name not in ("receive", "tick", "trigger"):
        assert not transitions


@each_operation
def test_the_argument_that_a_store_bounds_is_one_of_the_rule(name: str) -> None:
    operation = OPERATIONS[name]
    parameters = inspect.signature(operation.rule).parameters
    assert not operation.batched or operation.batched in parameters


def test_every_transition_belongs_to_an_operation() -> None:
    made = {each for operation in OPERATIONS.values() for each in operation.transitions}
    assert made == {*Transition}


def test_the_random_histories_do_every_operation() -> None:
    # By their names, which `Histories.do` takes: some are chosen from a list.
    tree = ast.parse(Path(histories.__file__).read_text("utf-8"))
    done = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)}
    assert OPERATIONS.keys() - done == set(), "the random histories never do these"


# --- the outcomes of attempts


def outcome_types() -> set[type]:
    return set(Outcome.__args__)


def test_every_outcome_has_its_transition() -> None:
    assert TRANSITION_OF.keys() == outcome_types()
    assert {*TRANSITION_OF.values()} == OPERATIONS["settle"].transitions


def test_the_judge_settles_with_every_outcome() -> None:
    tree = ast.parse(inspect.getsource(model.settled))
    called = {
        node.func.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    plain = {kind.__name__ for kind, made in TRANSITION_OF.items() if made in PLAIN_OUTCOMES}
    assert "PLAIN_OUTCOMES" in inspect.getsource(model.settled)
    assert {kind.__name__ for kind in outcome_types()} - called - plain == set()


def test_statistics_and_metrics_have_every_count_of_a_worker() -> None:
    counted = OutcomeCounts().by_name().keys()
    assert counted <= {field.name for field in attrs.fields(ServerStats)}
    assert {*OUTCOMES} == counted
    # Each outcome is counted, and so is one that was rejected.
    assert len(counted) == len(outcome_types()) + 1
