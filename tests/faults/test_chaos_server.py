"""The fault bench's own server."""

from __future__ import annotations

import random
import time
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import redis
import trio
from redis.backoff import NoBackoff
from redis.retry import Retry

from rediq_trio.store.embedded import find_server
from tests.chaos.faults import cause_one, may_meet
from tests.chaos.ground import Ground
from tests.chaos.observe import Observer
from tests.chaos.outages import JUMPS, OUTAGES
from tests.chaos.server import Redis, server_folder

COMMANDS = 300_000
FLUSH = "script-flush"
PAIRS = [
    pytest.param(pair, marks=[] if FLUSH in pair else [pytest.mark.slow], id="+".join(pair))
    for pair in combinations([kind.kind for kind in (*OUTAGES, *JUMPS)], 2)
    if may_meet(*pair)
]
"""Those with the fault that was found to meet another one are tried each time."""

pytestmark = pytest.mark.usefixtures("embedded_server")


def refusal(port: int) -> str:
    """Ask until a server that starts refuses for what it is doing; give its words."""
    give_up = time.monotonic() + 30
    with redis.Redis(port=port, retry=Retry(NoBackoff(), 0)) as client:
        while time.monotonic() < give_up:
            try:
                client.config_set("maxmemory", "0")
            except redis.ConnectionError:
                continue
            except redis.ResponseError as error:
                return str(error)
            return "it has read its file already"
    return "it never answered"


@pytest.mark.slow
async def test_what_a_server_refuses_while_it_loads_is_asked_again() -> None:
    """Found by a run in which the server crashed and was to be full at the same time."""
    server = Redis(server_folder(), find_server())
    try:
        await server.start()
        with redis.Redis(port=server.port) as client:
            client.config_set("appendfsync", "no")
            # Single commands: while it loads them it looks up after each thousand.
            for start in range(0, COMMANDS, 10_000):
                pipeline = client.pipeline(transaction=False)
                for n in range(start, start + 10_000):
                    pipeline.set(f"key {n}", "value")
                pipeline.execute()
        await server.kill()
        server.launch()
        refused = await trio.to_thread.run_sync(refusal, server.port)
        assert "during loading" in refused
        assert await server.ask("CONFIG", "SET", "maxmemory", "123mb") in ("OK", True)
        assert (await server.ask("CONFIG", "GET", "maxmemory"))["maxmemory"] == str(123 * 2**20)
    finally:
        server.discard()


@pytest.mark.parametrize("pair", PAIRS)
async def test_faults_of_the_server_bear_each_other(pair: tuple[str, str], tmp_path: Path) -> None:
    """Found by a run in which scripts were to be flushed while the server was gone."""
    server = Redis(server_folder(), find_server())
    observer = Observer(tmp_path, "driver")
    try:
        await server.start_able_to_jump()
        unused: Any = None
        ground = Ground(tmp_path, observer, unused, random.Random(1), "", lease=0.6)
        ground.redis = server
        with trio.fail_after(60):
            async with trio.open_nursery() as nursery:
                for kind in pair:
                    nursery.start_soon(cause_one, ground, kind)
        assert ground.faults == dict.fromkeys(pair, 1)
        assert await server.ask("PING") is True
        assert (await server.ask("CONFIG", "GET", "maxmemory"))["maxmemory"] == "0"
    finally:
        server.discard()
        observer.close()


async def test_what_is_asked_of_a_server_that_is_gone_waits_for_it() -> None:
    server = Redis(server_folder(), find_server())
    try:
        await server.start()
        await server.kill()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(server.ask, "CONFIG", "SET", "maxmemory", "123mb")
            await trio.sleep(0.2)
            await server.start()
        assert (await server.ask("CONFIG", "GET", "maxmemory"))["maxmemory"] == str(123 * 2**20)
    finally:
        server.discard()
