"""The state machine as data."""

import pytest

from rediq_trio.spec.lifecycle import (
    TERMINAL,
    TRANSITIONS,
    WAITING,
    Event,
    IllegalTransition,
    State,
    advance,
)

ANYTHING = [None, *State]
EDGES = [(event, *edge) for event, edges in TRANSITIONS.items() for edge in sorted(edges, key=str)]


@pytest.mark.parametrize(("event", "source", "target"), EDGES)
def test_an_edge_of_the_table_gives_its_target(
    event: Event, source: State | None, target: State | None
) -> None:
    assert advance(event, source, target) is target


@pytest.mark.parametrize("event", Event)
def test_every_other_edge_is_refused(event: Event) -> None:
    for source in ANYTHING:
        for target in ANYTHING:
            if (source, target) not in TRANSITIONS[event]:
                with pytest.raises(IllegalTransition, match=event.value):
                    advance(event, source, target)


def test_every_event_has_edges() -> None:
    assert set(TRANSITIONS) == set(Event)
    assert all(TRANSITIONS.values())


def test_only_revive_delete_flush_and_purge_leave_a_terminal_state() -> None:
    leaving = {event for event, source, _ in EDGES if source in TERMINAL}
    assert leaving == {Event.REVIVE, Event.DELETE, Event.FLUSH, Event.PURGE}


def test_only_a_claim_makes_a_task_active() -> None:
    assert {
        e for e, source, target in EDGES if target is State.ACTIVE and source is not target
    } == {Event.CLAIM}


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
