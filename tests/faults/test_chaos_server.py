"""The fault bench's own server."""

from __future__ import annotations

import time

import redis
import trio
from redis.backoff import NoBackoff
from redis.retry import Retry

from benchmarks.chaos.server import Redis, server_folder
from rediq_trio.store.embedded import find_server

COMMANDS = 300_000


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
