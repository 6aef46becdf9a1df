"""What Redis keeps beside the specification's values: permits, and the lanes of limit keys."""

from __future__ import annotations

from collections import Counter

from rediq_trio.spec.lifecycle import State
from rediq_trio.spec.order.lanes import free_at, limit_of
from rediq_trio.spec.records import QueueState
from tests.servers import OpenStore


async def derived_violations(
    opened: OpenStore, name: str, queue: QueueState, now: int
) -> list[str]:
    """Say where they are not what follows from the queue's records, limits, rates and turns."""
    call, at = opened.gateway.call, opened.keys.of(name, ("permits", "lanes", "shut"))
    flat = await call(b"HGETALL", at[0])
    permits = {k.decode(): int(n) for k, n in zip(flat[::2], flat[1::2], strict=True)}
    lanes, shut = [
        {flat[i].decode(): float(flat[i + 1]) for i in range(0, len(flat), 2)}
        for flat in [await call(b"ZRANGE", key, 0, -1, b"WITHSCORES") for key in at[1:]]
    ]
    records = queue.records.values()
    running = Counter(r.limit_key for r in records if r.state is State.ACTIVE and r.limit_key)
    first: dict[str, int] = {}
    for record in records:
        if record.state is State.PENDING and record.limit_key:
            key = record.limit_key
            first[key] = min(record.score, first.get(key, record.score))
    said: list[str] = []
    if permits != running:
        said.append(f"permits are {permits}, should be {dict(running)}")
    if sorted([*lanes, *shut]) != sorted(first):
        said.append(f"lanes {sorted(lanes)}, shut {sorted(shut)}, pending {sorted(first)}")
        return said
    for key, rank in first.items():
        limit, arrival = limit_of(queue, key), queue.rates.get(key, 0)
        full = 0 < limit.concurrency <= running[key]
        till = float("inf") if full else free_at(limit, arrival)
        if key in shut and (shut[key] != till or till == 0):
            said.append(f"lane {key} is shut till {shut[key]}, should be till {till}")
        if key in lanes and (full or till > now):
            said.append(f"lane {key} is open, should be shut till {till}")
        score = queue.turns[key] if queue.fair else rank
        if key in lanes and lanes[key] != score:
            said.append(f"lane {key} is at {lanes[key]}, should be at {score}")
    return said
