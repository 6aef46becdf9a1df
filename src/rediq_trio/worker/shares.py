"""Shares: how many tasks to claim from each of several queues, in proportion to their weights.

Each queue has a level: the tasks claimed from it, divided by its weight. Room is
given out so that all levels rise to one height, which is what makes the counts
proportional, whatever the sizes of the single claims. (Start-time fair queueing
counts packets so: P. Goyal, H. M. Vin and H. Cheng, SIGCOMM 1996.)

What a claim brought is counted, not what it was meant to bring, so a remainder
carries over. A queue that had no more is brought up to the level of the others: it
has given its share away, and does not come back for it later.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

LEAST = 1e-9
"""Of the largest weight: a smaller one counts as that, which keeps the numbers finite."""


class Shares:
    """The levels of the queues. Owned by the poller."""

    def __init__(self, weights: Mapping[str, float]) -> None:
        most = max(weights.values())
        self._weights = {queue: max(LEAST, weight / most) for queue, weight in weights.items()}
        self._levels = dict.fromkeys(weights, 0.0)

    def split(self, room: int, queues: Collection[str]) -> dict[str, int]:
        """Split room for so many tasks among some queues; those that get none are left out."""
        weights, levels = self._weights, self._levels
        height = self._height(room, queues)
        parts = {q: max(0, int(weights[q] * (height - levels[q]))) for q in queues}
        for _ in range(room - sum(parts.values())):
            # One more to the queue whose level it lifts least high; of equals to the first.
            parts[min(parts, key=lambda q: levels[q] + (parts[q] + 1) / weights[q])] += 1
        return {queue: part for queue, part in parts.items() if part}

    def took(self, queue: str, count: int) -> None:
        """Note that so many tasks were claimed from a queue."""
        self._levels[queue] += count / self._weights[queue]

    def even_out(self, full: Collection[str]) -> None:
        """Bring the queues that ran out up to the others; `full` may have more."""
        levels = self._levels
        height = min(levels[q] for q in full) if full else max(levels.values())
        least = min(height, *levels.values())
        for queue, level in levels.items():
            # Counted from the lowest, so that the numbers stay small for ever.
            levels[queue] = (level if queue in full else max(level, height)) - least

    def _height(self, room: int, queues: Collection[str]) -> float:
        """Give the level to which so many tasks lift the lowest of some queues."""
        weight = volume = 0.0
        for queue in sorted(queues, key=self._levels.__getitem__):
            if weight and (room + volume) / weight <= self._levels[queue]:
                break
            weight += self._weights[queue]
            volume += self._weights[queue] * self._levels[queue]
        return (room + volume) / weight
