"""The CPU of a command that only looks, against that of importing what it needs of others."""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
from collections.abc import Sequence

import trio

import rediq_trio as rediq
from benchmarks.operate.rows import RUNS, Row
from benchmarks.scaling.stage import Stage

BARE = ("-c", "import redis, trio, msgpack, attrs")


async def commands(stage: Stage) -> list[Row]:
    """Measure the help and a list of queues, each in turn with the bare imports."""
    stage.empty()
    async with rediq.connect(stage.bench.url) as client:
        await client.enqueue(rediq.Task("noop", {}, queue="bench"))
    chosen = {
        "bare": BARE,
        "rediq --help": ("-m", "rediq_trio", "--help"),
        "rediq queue list": ("-m", "rediq_trio", "queue", "list", "--url", stage.bench.url),
    }
    found: dict[str, list[float]] = {name: [] for name in chosen}
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        for run in range(RUNS + 1):
            for name, arguments in chosen.items():
                seconds = await trio.to_thread.run_sync(_cpu, arguments, folder)
                if run:  # the first one compiles
                    found[name].append(seconds)
    bare = statistics.median(found.pop("bare"))
    return [
        Row(f"`{name}` against the bare imports", statistics.median(values) / bare, "", 1.6,
            note=f"CPU {statistics.median(values):.2f} s, {bare:.2f} s")
        for name, values in found.items()
    ]  # fmt: skip


def _cpu(arguments: Sequence[str], compiled: str) -> float:
    """Run Python and return the seconds of CPU that it used."""
    changed = {"PYTHONPYCACHEPREFIX": compiled, "PYTHONDONTWRITEBYTECODE": ""}
    quiet = [(os.POSIX_SPAWN_OPEN, fd, os.devnull, os.O_RDWR, 0) for fd in (0, 1, 2)]
    child = os.posix_spawn(
        sys.executable, [sys.executable, *arguments], os.environ | changed, file_actions=quiet
    )
    _, status, used = os.wait4(child, 0)
    if os.waitstatus_to_exitcode(status):
        raise SystemExit(f"python {' '.join(arguments)} failed")
    return used.ru_utime + used.ru_stime
