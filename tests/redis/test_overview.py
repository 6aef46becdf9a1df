"""What an overview says of a queue that goes on while it is read, one batch of commands after another."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, cast

import attrs
import pytest

from rediq_trio.spec.lifecycle import State
from rediq_trio.spec.messages import Relations
from rediq_trio.store.redis.connection.gateway import Gateway
from rediq_trio.store.redis.overview import read_overview
from tests.conformance.bench import Q, new
from tests.redis.conftest import Behind


@attrs.frozen
class Interrupted:
    """A gateway on which something happens after each batch of reads."""

    gateway: Gateway
    happens: Callable[[], Awaitable[object]]

    async def read_each(self, commands: Sequence[tuple[Any, ...]]) -> list[Any]:
        replies = await self.gateway.read_each(commands)
        await self.happens()
        return replies


@pytest.mark.parametrize(
    ("relations", "state"),
    [(Relations(limit_key="k"), State.PENDING), (Relations(group="g"), State.GROUPED)],
)
async def test_tasks_that_stand_still_are_counted_while_others_come(
    behind: Behind, relations: Relations, state: State
) -> None:
    await behind.bench.store.enqueue(Q, [new("stands", relations=relations)])
    number = 0

    async def more_come() -> None:
        nonlocal number
        number += 3
        later = [new(str(number + n), delay_ms=1000) for n in range(3)]
        await behind.bench.store.enqueue(Q, later)

    gateway = cast("Gateway", Interrupted(behind.gateway, more_come))
    _, (counts,) = await read_overview(gateway, behind.keys, [Q])
    assert counts.sizes[state] == 1


async def test_a_server_has_memory(behind: Behind) -> None:
    [server] = await behind.bench.store.server_memory()
    assert (server.used > 0, server.most) == (True, 0)
