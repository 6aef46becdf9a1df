"""Why a task is dead if no handler raised an error: texts for the `error` of its record.

The constants of the scripts are made from these (`store.redis.prelude`).
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from rediq_trio.spec.lifecycle import State

EXPIRED = "expired"
WORKER_DIED = "its worker died under it %d times"
NEED_FAILED = "the task %s that it needs %s"
"""With the reference of that task, and a text of `ENDED_AS`."""
UNREADABLE_RECORD = "its record cannot be decoded"
PAYLOAD_MISSING = "its payload is missing"

ENDED_AS: Mapping[State | None, str] = MappingProxyType(
    {
        None: "is gone",
        State.COMPLETED: "is completed",
        State.DEAD: "is dead",
        State.CANCELLED: "was cancelled",
    }
)
"""How a task that another one needs has ended; None for one that was deleted or never existed."""
