"""Waiting inside a handler: the handler's slot is lent to other tasks meanwhile.

The task that a handler waits for may need a slot of the same worker. If the handler kept its own,
a worker whose handlers all wait would be locked. A handle knows no worker, so it finds the running
handler in a context variable, which `current_task` reads too.
"""

from __future__ import annotations

import contextvars
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

from rediq_trio.spec.records import Record


class WaitingHandler(Protocol):
    """The handler that runs here, as what it waits for knows it."""

    def _lend_slot(self) -> AbstractContextManager[None]:
        """Lend its slot while the block lasts."""
        ...

    async def _report_pending(self, partition: str, record: Record) -> bool:
        """Log it if a task that it waits for cannot start before it ends; return whether it was so."""
        ...


RUNNING_HANDLER: contextvars.ContextVar[WaitingHandler] = contextvars.ContextVar(
    "rediq_current_task"
)
"""Set by the worker; it names the handler also in the Trio tasks that it starts."""


def lend_slot() -> AbstractContextManager[None]:
    """Lend the slot of the handler that runs here; outside of a handler, do nothing."""
    handler = RUNNING_HANDLER.get(None)
    return nullcontext() if handler is None else handler._lend_slot()
