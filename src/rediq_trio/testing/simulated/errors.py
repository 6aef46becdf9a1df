"""Why a simulation cannot go on."""

from __future__ import annotations

from rediq_trio._errors import RediqError


class SimulationError(RediqError):
    """The simulation cannot go on."""


class Deadlock(SimulationError):
    """Nothing will ever happen again, and someone waits. The message has the tree of tasks."""


class Stuck(SimulationError):
    """A handler blocks, or something goes on without end while no time passes."""


class RealWorld(SimulationError):
    """Something in the simulation waits for a thread, a socket or a process, whose time is real."""


class NotAtRest(SimulationError, AssertionError):
    """Something is still ready, running or due for a retry."""
