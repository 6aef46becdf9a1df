"""NotDeterministic: two runs of the same simulation were different."""

from __future__ import annotations

from rediq_trio.testing.simulated.errors import SimulationError

USUAL_SUSPECTS = (
    "the usual suspects are `random`, the time of day, `uuid4`, the order of a set, and state that "
    "outlives a run"
)


class NotDeterministic(SimulationError):
    """Two runs from the same seed were different, because a handler depends on something else.

    The message has the first difference.
    """
