"""A store of a simulation that breaks an invariant."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from rediq_trio.testing.network import SimNetwork


def lose_enqueued(network: SimNetwork, name: str) -> None:
    """Make the next call of a name also forget one task in the total of the enqueued ones."""
    store, call = network.store, network.store.call

    def broken(called: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        answer = call(called, args, kwargs)
        if called == name:
            state = store.queue_state(args[0])
            fewer = attrs.evolve(state.counters, enqueued=state.counters.enqueued - 1)
            store._queues[args[0]] = attrs.evolve(state, counters=fewer)
        return answer

    vars(store)["call"] = broken
