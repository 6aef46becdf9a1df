"""The state machine as data."""

import pytest

from rediq_trio.spec.lifecycle import (
    TERMINAL,
    TRANSITIONS,
    WAITING,
    IllegalTransition,
    State,
    Transition,
    advance,
)

ANYTHING = [None, *State]
EDGES = [
    (transition, *edge)
    for transition, edges in TRANSITIONS.items()
    for edge in sorted(edges, key=str)
]


@pytest.mark.parametrize(("transition", "source", "target"), EDGES)
def test_an_edge_of_the_table_gives_its_target(
    transition: Transition, source: State | None, target: State | None
) -> None:
    assert advance(transition, source, target) is target


@pytest.mark.parametrize("transition", Transition)
def test_every_other_edge_is_refused(transition: Transition) -> None:
    for source in ANYTHING:
        for target in ANYTHING:
            if (source, target) not in TRANSITIONS[transition]:
                with pytest.raises(IllegalTransition, match=transition.value):
                    advance(transition, source, target)


def test_every_event_has_edges() -> None:
    assert set(TRANSITIONS) == set(Transition)
    assert all(TRANSITIONS.values())


def test_only_what_is_asked_for_and_a_purge_leave_a_terminal_state() -> None:
    leaving = {transition for transition, source, _ in EDGES if source in TERMINAL}
    asked = {Transition.REVIVE, Transition.DELETE, Transition.FLUSH, Transition.REQUEUE}
    assert leaving == {*asked, Transition.PURGE}


def test_only_a_claim_makes_a_task_active() -> None:
    assert {
        e for e, source, target in EDGES if target is State.ACTIVE and source is not target
    } == {Transition.CLAIM}


def test_no_completed_task_runs_again() -> None:
    assert {target for _, source, target in EDGES if source is State.COMPLETED} == {None}


def test_waiting_and_terminal_states_are_apart_from_the_active() -> None:
    assert not WAITING & TERMINAL
    assert State.ACTIVE not in WAITING | TERMINAL


def test_the_order_of_the_states_is_that_of_the_records_written_so_far() -> None:
    assert [state.value for state in State] == [
        "scheduled", "blocked", "grouped", "pending", "active", "retry",
        "completed", "dead", "cancelled",
    ]  # fmt: skip
