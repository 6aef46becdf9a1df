"""Faults that a test plans: what befalls the n-th effect of a host."""

from __future__ import annotations

import attrs

from rediq_trio.testing.effects import HANDLER_STEP, Effect
from rediq_trio.testing.simulated.host_network import HostNetwork
from rediq_trio.testing.wire import Spoil, SpoilKind
from rediq_trio.values import bounds


class PlannedFaults:
    """The faults of one simulation that have not happened yet."""

    def __init__(self, network: HostNetwork) -> None:
        self._network = network
        self._planned: dict[tuple[str, str, int], Spoil] = {}

    def add(self, host: str, name: str, nth: int, spoil: Spoil) -> None:
        """Plan a fault for the `nth` effect of a name from now on."""
        number = self._network.count(host, name) + nth
        self._planned[host, name, number] = spoil
        self._network.rule = self._rule
        if name == HANDLER_STEP:
            self._network.count_steps()

    def __len__(self) -> int:
        return len(self._planned)

    def _rule(self, effect: Effect) -> Spoil | None:
        for name, number in effect.numbers.items():
            if spoil := self._planned.pop((effect.host, name, number), None):
                return spoil
        return None


@attrs.frozen
class At:
    """One effect to come; its methods plan what befalls it."""

    _faults: PlannedFaults
    host: str
    effect: str
    nth: int

    def lose_call(self) -> None:
        """Lose the call: it never happens, its caller gets an error, and the connection breaks."""
        self._plan("lose_call")

    def lose_answer(self) -> None:
        """Lose the answer: it happens, its caller gets an error, and the connection breaks."""
        self._plan("lose_answer")

    def late(self, seconds: float) -> None:
        """Carry it out `seconds` later, although its caller gets an error now."""
        self._plan("late", seconds)

    def delay(self, seconds: float) -> None:
        """Delay its answer by `seconds`."""
        self._plan("delay", seconds)

    def kill(self) -> None:
        """Kill its host right after it: nobody reads the answer."""
        self._plan("kill")

    def freeze(self, seconds: float) -> None:
        """Freeze its host for `seconds` right after it, before the answer is read."""
        self._plan("freeze", seconds)

    def _plan(self, kind: SpoilKind, seconds: float = 0.0) -> None:
        bounds.check_seconds("seconds", seconds, 0, bounds.MAX_DELAY)
        self._faults.add(self.host, self.effect, self.nth, Spoil(kind, seconds))
