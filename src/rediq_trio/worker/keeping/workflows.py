"""The sweeper: removes the records of workflows of which no task is left.

Any number of workers run one: the store hands each record that is due to one of them. Nothing waits
for it, so a round that fails is left to the next one. A round goes on while there is more to look at
than one call takes. A worker that finds nothing to look at looks more and more rarely: a fleet without
workflows makes a call now and then.
"""

from __future__ import annotations

import logging

import trio

from rediq_trio._errors import ConnectionLost, RediqError
from rediq_trio.store.port import Store
from rediq_trio.values.chance import uniform
from rediq_trio.workflow.listing import sweep

SWEEP_EVERY, SWEEP_MAX_SLEEP = 60.0, 960.0
"""Seconds between two rounds, at most: after one that found a record, and after many that did not."""
LOOKED_AT_ONCE = 10
"""Records that are looked at together, at most."""
SWEEP_MORE_AFTER = 1.0
"""Seconds until a round goes on that found so many."""

log = logging.getLogger(__name__)


async def run_sweeper(store: Store) -> None:
    """Remove such records, some in each round, until cancelled."""
    refused, every = False, SWEEP_EVERY
    pause = every
    while True:
        await trio.sleep(pause * uniform(0.8, 1.0))
        try:
            looked = (await sweep(store, LOOKED_AT_ONCE)).looked
        except ConnectionLost:
            continue  # the actors that serve the queues say so
        except RediqError as error:
            if not refused:
                log.warning("records of workflows that are gone cannot be removed: %s", error)
            refused = True
        else:
            refused = False
            every = SWEEP_EVERY if looked else min(2 * every, SWEEP_MAX_SLEEP)
            pause = SWEEP_MORE_AFTER if looked >= LOOKED_AT_ONCE else every
