"""CallMeter: how long the calls of a store took, and how many items they carried, for the metrics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from rediq_trio.spec.messages import Claimed
from rediq_trio.spec.operations import Operation
from rediq_trio.values.histogram import SIZE_BOUNDS, Histogram


@attrs.frozen(eq=False)
class CallMeter:
    """The calls of one process, by script. Its event loop adds to them, any thread may read them."""

    seconds: dict[str, Histogram] = attrs.field(factory=dict[str, Histogram])
    """How long calls took, from the request to the answer, the wait for the connection included."""
    items: dict[str, Histogram] = attrs.field(factory=dict[str, Histogram])
    """How many items a call carried: tasks, outcomes or ids that it sent, or tasks that it claimed."""

    def add(self, script: str, seconds: float) -> None:
        """Count a call."""
        found = self.seconds.get(script)
        if found is None:
            found = self.seconds[script] = Histogram()
        found.add(seconds)

    def add_items(
        self,
        operation: Operation[..., Any],
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        answer: Any,
    ) -> None:
        """Count the items of a call, if the operation takes several or claims them."""
        if isinstance(answer, Claimed):
            items: Sequence[Any] = answer.leases
        elif operation.batched:
            items = kwargs[operation.batched] if operation.batched in kwargs else args[-1]
        else:
            return
        if items:
            found = self.items.get(operation.name)
            if found is None:
                found = self.items[operation.name] = Histogram(SIZE_BOUNDS)
            found.add(len(items))
