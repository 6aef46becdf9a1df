"""Handlers whose queue a worker does not serve: said when it starts.

Their tasks wait until some worker serves the queue, and nothing else in the worker shows it.
"""

from __future__ import annotations

import logging
from collections.abc import Collection

from rediq_trio._errors import name_some
from rediq_trio.client import Client
from rediq_trio.handlers.app import App

log = logging.getLogger("rediq_trio")

NAMED_MAX = 10
"""Maximum number of handlers of one queue, and of queues, that are named."""


async def report_unserved(app: App, client: Client, served: Collection[str]) -> None:
    """Log the handlers whose queue is not served here: a warning if no live worker serves it."""
    names: dict[str, list[str]] = {}
    for task_type in app.types:
        if task_type.queue not in served:
            names.setdefault(task_type.queue, []).append(task_type.name)
    if not names:
        return
    elsewhere = {queue for worker in await client.workers() for queue in worker.queues}
    for queue, handlers in names.items():
        named = name_some(handlers, NAMED_MAX)
        if queue in elsewhere:
            log.info("the queue %s of %s is left to other workers", queue, named)
        else:
            log.warning(
                "tasks of %s wait in the queue %s, which neither this worker (it serves %s) nor any other "
                "live one serves: add it to queues, or start a worker for it",
                named, queue, name_some([*served], NAMED_MAX),
            )  # fmt: skip
