"""Random priorities: a scheduler that makes some tasks late for as long as a plan lasts.

A fair coin at each step hardly ever makes one task wait for many steps of another. Probabilistic
concurrency testing gives each task a random priority, and lowers the highest at a few random steps:
of the bugs that need a certain order of few steps, it finds each with a probability that has a lower
bound [Burckhardt, Kothari, Musuvathi and Nagarakatte, A randomized scheduler with probabilistic
guarantees of finding bugs, 2010]. Trio runs all that is ready once before it runs anything again, so
here the priorities order the tasks of a batch.
"""

from __future__ import annotations

from random import Random

from rediq_trio.testing.simulated.trio_run import TrioTask, age_of

CHANGE_POINTS = 4
"""How often the highest priority is lowered."""
EXPECTED_STEPS = 8000
"""Steps of a run, about; the changes are drawn among these."""


class RandomPriorities:
    """A scheduler that runs the task of the highest priority first."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._priorities: dict[int, float] = {}
        self._changes = sorted(random.randrange(EXPECTED_STEPS) for _ in range(CHANGE_POINTS))
        self._steps = 0

    def shuffle(self, batch: list[TrioTask], /) -> None:
        """Sort a batch by priority: the last one runs first."""
        priorities = self._priorities
        for task in batch:  # which comes by age, so that the draws do too
            if age_of(task) not in priorities:
                priorities[age_of(task)] = self._random.random()
        batch.sort(key=self._priority)
        self._steps += len(batch)
        while batch and self._changes and self._changes[0] <= self._steps:
            self._changes.pop(0)
            priorities[age_of(batch[-1])] = -float(self._steps)
            batch.sort(key=self._priority)

    def _priority(self, task: TrioTask) -> float:
        return self._priorities[age_of(task)]
