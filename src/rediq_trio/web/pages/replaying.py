"""A recorded history of a queue, run through the specification: where they part first."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from contextlib import aclosing

import attrs
import trio

from rediq_trio.admin.history_file import QueueHistory, read_histories
from rediq_trio.client import Client
from rediq_trio.spec.history.entry import Entry
from rediq_trio.spec.history.replay import Break, replay

STEPS_MAX = 20_000
"""The last steps of a history that are replayed."""
WITHIN = 15.0
"""Seconds that a replay may take."""
SHOWN_BEFORE, SHOWN_AFTER = 4, 2
"""Steps that are shown before the first one that breaks the specification, and after it."""


@attrs.frozen
class Replayed:
    """The result for one queue or partition."""

    history: QueueHistory
    breaks: tuple[Break, ...]

    @property
    def around(self) -> tuple[Entry, ...]:
        """The steps around the first one that breaks the specification; without one, the last ones."""
        entries = self.history.entries
        if not self.breaks:
            return entries[-SHOWN_BEFORE:]
        number = self.breaks[0].entry.number
        place = next(n for n, entry in enumerate(entries) if entry.number == number)
        return entries[max(0, place - SHOWN_BEFORE) : place + 1 + SHOWN_AFTER]

    @property
    def same(self) -> int:
        """How many steps keep to the specification before the first one that does not."""
        if not self.breaks:
            return len(self.history.entries)
        number = self.breaks[0].entry.number
        return sum(entry.number < number for entry in self.history.entries)


async def replay_queue(client: Client, queue: str) -> tuple[Replayed, ...] | None:
    """Replay the last steps of a queue's history; None if that takes too long."""
    with trio.move_on_after(WITHIN):
        parts: list[deque[str]] = []
        heads: list[str] = []
        async with aclosing(client.queue(queue).history_lines()) as found:
            async for line in found:
                if '"rediq_history"' in line:
                    heads.append(line)
                    parts.append(deque(maxlen=STEPS_MAX))
                else:
                    parts[-1].append(line)
        lines = [each for head, part in zip(heads, parts, strict=True) for each in (head, *part)]
        return await trio.to_thread.run_sync(_replayed, lines, abandon_on_cancel=True)
    return None


def _replayed(lines: Iterable[str]) -> tuple[Replayed, ...]:
    return tuple(
        Replayed(one, tuple(replay(one.entries, one.settings))) for one in read_histories(lines)
    )
