"""Verbs that take ids of tasks, or one queue and a filter: what they have in common."""

from __future__ import annotations

import argparse
from collections.abc import Awaitable, Callable, Collection
from typing import Any

from rediq_trio._errors import ConfigError
from rediq_trio.cli.operate.session import Session
from rediq_trio.cli.tasks.filters import FILTER_FLAGS, check_kind_known, filter_of, filter_words
from rediq_trio.cli.tasks.flags import read_rate
from rediq_trio.cli.tasks.selected import change_selected
from rediq_trio.observe.words import shown
from rediq_trio.spec.lifecycle import State
from rediq_trio.values.bounds import check_name

CHOSEN: tuple[str, dict[str, Any]] = (
    "tasks",
    {"metavar": "ID or QUEUE", "nargs": "+",
     "help": "ids of tasks, - reads them from standard input; with a filter, the queue"},
)  # fmt: skip
RATE: tuple[str, dict[str, Any]] = (
    "--rate",
    {"metavar": "N/TIME", "help": "with a filter: how many in a time, like 50/s (all at once)"},
)
_AT_THEIR_END = (State.COMPLETED, State.DEAD, State.CANCELLED)
STATES_OF: dict[str, tuple[State, ...]] = {
    "cancel": tuple(state for state in State if state not in _AT_THEIR_END),
    "retry": (State.DEAD, State.CANCELLED),
    "delete": tuple(state for state in State if state is not State.ACTIVE),
    "requeue": (State.SCHEDULED, State.PENDING, State.RETRY, State.DEAD, State.CANCELLED),
}
"""The states whose tasks a verb changes."""

ByIds = Callable[[Session], Awaitable[int]]


def state_flag(states: Collection[State]) -> tuple[str, dict[str, Any]]:
    """Return the flag that says in which state the tasks are that a filter chooses."""
    names = [state.value for state in states]
    return "--state", {"choices": names, "help": "of a queue, the tasks in this state"}


def flags_of(verb: str) -> tuple[tuple[str, dict[str, Any]], ...]:
    """Return the arguments of a verb of `rediq task` that takes ids or a filter."""
    rate = (RATE,) if verb == "retry" else ()
    return (CHOSEN, state_flag(STATES_OF[verb]), *FILTER_FLAGS, *rate)


async def change_chosen(session: Session, by_ids: ByIds, state: State | None = None) -> int:
    """Change the tasks that are named, by `by_ids`, or those of one queue that a filter chooses.

    `state` is theirs if the command has no flag for it.
    """
    options = session.arguments
    verb, name = options.verb, f"{options.command} {options.verb}"
    wanted, of = filter_of(options), getattr(options, "state", None)
    if not wanted and of is None:
        _check_ids(options, name, needs_state=state is None)
        return await by_ids(session)
    if len(options.tasks) != 1:
        raise ConfigError(f"{name}: a filter chooses from one queue: name just that")
    if state is None and of is None:
        states = ", ".join(STATES_OF[verb])
        raise ConfigError(f"{name}: pass --state too, with one of {states}")
    rate = None if getattr(options, "rate", None) is None else read_rate("--rate", options.rate)
    target = check_name("--queue", options.queue) if verb == "requeue" else None
    queue = await session.known(options.tasks[0])
    selection = await session.client.queue(queue).select(of or state or "", **wanted)
    if (kind := wanted.get("kind")) is not None:
        await check_kind_known(session, [queue], kind)
    which = filter_words(wanted)
    return await change_selected(
        session, selection, verb, which, queue=target,
        rate=None if rate is None else rate.count / rate.per,
    )  # fmt: skip


def _check_ids(options: argparse.Namespace, name: str, *, needs_state: bool) -> None:
    if getattr(options, "rate", None) is not None:
        raise ConfigError(f"{name}: --rate is for the tasks that a filter chooses, not for ids")
    for word in options.tasks:
        if word != "-" and "/" not in word:
            every = "--state, or another filter with it" if needs_state else (
                f"a filter such as --type, or see 'rediq {name}-all'"
            )  # fmt: skip
            raise ConfigError(
                f"{name}: {shown(word, 80)} is not the id of a task. To choose from a queue, pass {every}"
            )
