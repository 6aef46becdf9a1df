"""The loop on Trio, and asyncio beside it: each test has a process that has imported nothing yet."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import rediq_trio
from tests.servers import Server

BEFORE = """
import asyncio, asyncio.runners, sys, threading
import trio
import rediq_trio as rediq

def changed():
    "Give the attributes of asyncio's modules that are not as they were, and those that are new."
    return sorted(
        f"{name}.{attribute}"
        for name, module in list(sys.modules.items()) if name in was
        for attribute, value in vars(module).items()
        if was[name].get(attribute) is not value and attribute != "__warningregistry__"
    )

async def loop_name():
    await asyncio.sleep(0)
    return type(asyncio.get_running_loop()).__name__

async def round_trip(also=trio.lowlevel.checkpoint):
    async with rediq.connect(sys.argv[1], key_prefix=sys.argv[2]) as client:
        handle = await client.enqueue(rediq.Task("t"))
        assert (await handle.info()).state is rediq.State.PENDING
        return await also()

usual = asyncio.run(loop_name())
was = {n: dict(vars(m)) for n, m in sys.modules.items() if n.split(".")[0] == "asyncio"}
"""


def run(program: str, server: Server, prefix: str) -> list[str]:
    """Run a program after the lines above; return the lines that it prints."""
    done = subprocess.run(
        [sys.executable, "-c", BEFORE + program, server.url, prefix],
        env={**os.environ, "PYTHONPATH": str(Path(rediq_trio.__file__).parents[1])},
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_connecting_leaves_asyncio_as_it_was(redis_server: Server) -> None:
    program = """
async def meanwhile():
    return await trio.to_thread.run_sync(asyncio.run, loop_name())

assert trio.run(round_trip, meanwhile) == usual
assert "trio_asyncio" in sys.modules
assert asyncio.run(loop_name()) == usual
fresh = asyncio.new_event_loop()
fresh.close()
print(type(fresh).__name__ == usual, changed())
"""
    assert run(program, redis_server, "as-it-was") == ["True []"]


def test_an_asyncio_handler_runs_on_the_usual_loop(redis_server: Server) -> None:
    program = """
app = rediq.App()

@app.task("aio")
def aio() -> str:
    return asyncio.run(loop_name())

async def main():
    async with rediq.serve(app, sys.argv[1], key_prefix=sys.argv[2]) as server:
        return await (await server.client.enqueue(aio.task())).result(timeout=60)

print(trio.run(main) == usual, changed())
"""
    assert run(program, redis_server, "aio-handler") == ["True []"]


def test_names_that_newer_pythons_have_not_are_lent_for_the_import(redis_server: Server) -> None:
    program = """
events = asyncio.events
if hasattr(events, "BaseDefaultEventLoopPolicy"):
    events._BaseDefaultEventLoopPolicy = events.BaseDefaultEventLoopPolicy
    del events.BaseDefaultEventLoopPolicy
if hasattr(asyncio, "AbstractChildWatcher"):
    del asyncio.AbstractChildWatcher
was = {n: dict(vars(m)) for n, m in sys.modules.items() if n.split(".")[0] == "asyncio"}
trio.run(round_trip)
print(changed())
"""
    assert run(program, redis_server, "newer") == ["[]"]


def test_a_program_that_imports_trio_asyncio_later_can_use_it(redis_server: Server) -> None:
    program = """
trio.run(round_trip)
import trio_asyncio

async def main():
    async with trio_asyncio.open_loop():
        await round_trip()
        return await trio_asyncio.aio_as_trio(loop_name)()

print(trio.run(main), changed())
"""
    assert run(program, redis_server, "later") == ["TrioLoop []"]


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="trio-asyncio cannot be imported by itself")
def test_a_program_that_has_imported_trio_asyncio_keeps_its_asyncio(redis_server: Server) -> None:
    program = """
import trio_asyncio
was = {n: dict(vars(m)) for n, m in sys.modules.items() if n.split(".")[0] == "asyncio"}

async def main():
    async with trio_asyncio.open_loop():
        await round_trip()
        return type(asyncio.get_running_loop()).__name__ == "TrioEventLoop"

print(trio.run(main), trio.run(round_trip), changed())
"""
    assert run(program, redis_server, "earlier") == ["True None []"]


def test_on_a_host_loop_of_asyncio_that_loop_stays_the_running_one(redis_server: Server) -> None:
    program = """
async def host():
    loop = asyncio.get_running_loop()
    done = loop.create_future()
    seen = set()

    def tick(call):
        seen.add(asyncio.get_running_loop() is loop)
        call()
        seen.add(asyncio.get_running_loop() is loop)

    trio.lowlevel.start_guest_run(
        round_trip,
        run_sync_soon_threadsafe=lambda call: loop.call_soon_threadsafe(tick, call),
        done_callback=done.set_result,
    )
    (await done).unwrap()
    return seen, asyncio.current_task() is not None

print(asyncio.run(host()), changed())
"""
    assert run(program, redis_server, "guest") == ["({True}, True) []"]
