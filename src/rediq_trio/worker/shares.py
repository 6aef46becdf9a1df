"""Shares: how many tasks to claim from each of several queues, in proportion to their weights.

Each queue has a level: the number of tasks claimed from it, divided by its weight. Room
is split so that all levels rise to one height, which makes the counts proportional,
whatever the size of each claim. (Start-time fair queueing counts packets in this way:
P. Goyal, H. M. Vin and H. Cheng, SIGCOMM 1996.)

The level counts the tasks that a claim returned, not those it asked for, so a remainder
carries over. A queue that ran out is raised to the level of the others: it gets no credit
for the share that it did not use.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

WEIGHT_SHARE_MIN = 1e-9
"""Minimum weight as a share of the largest one, which keeps the numbers finite."""


class Shares:
    """The levels of the queues. Owned by the poller."""

    def __init__(self, weights: Mapping[str, float]) -> None:
        most = max(weights.values())
        self._weights = {
            queue: max(WEIGHT_SHARE_MIN, weight / most) for queue, weight in weights.items()
        }
        self._levels = dict.fromkeys(weights, 0.0)

    def split(self, room: int, queues: Collection[str]) -> dict[str, int]:
        """Split room for `room` tasks among some queues; queues that get none are left out."""
        weights, levels = self._weights, self._levels
        height = self._height(room, queues)
        parts = {q: max(0, int(weights[q] * (height - levels[q]))) for q in queues}
        for _ in range(room - sum(parts.values())):
            # One more for the queue whose level stays lowest; among equals, the first.
            parts[min(parts, key=lambda q: levels[q] + (parts[q] + 1) / weights[q])] += 1
        return {queue: part for queue, part in parts.items() if part}

    def took(self, queue: str, count: int) -> None:
        """Record that `count` tasks were claimed from a queue."""
        self._levels[queue] += count / self._weights[queue]

    def even_out(self, full: Collection[str]) -> None:
        """Raise the queues that ran out to the level of the others; `full` are those that may have more."""
        levels = self._levels
        height = min(levels[q] for q in full) if full else max(levels.values())
        least = min(height, *levels.values())
        for queue, level in levels.items():
            # Relative to the lowest level, so that the numbers stay small.
            levels[queue] = (level if queue in full else max(level, height)) - least

    def _height(self, room: int, queues: Collection[str]) -> float:
        """Return the level to which `room` tasks raise the lowest of some queues."""
        weight = volume = 0.0
        for queue in sorted(queues, key=self._levels.__getitem__):
            if weight and (room + volume) / weight <= self._levels[queue]:
                break
            weight += self._weights[queue]
            volume += self._weights[queue] * self._levels[queue]
        return (room + volume) / weight
