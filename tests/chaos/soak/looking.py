"""What the soak looks at, now and then: the worker, the producer, and Redis."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Mapping
from typing import Any

import attrs
import redis
import trio

from benchmarks.server import Bench
from tests.chaos.soak.own import look_at_self

CARDS = {
    "string": "STRLEN",
    "list": "LLEN",
    "set": "SCARD",
    "zset": "ZCARD",
    "hash": "HLEN",
    "stream": "XLEN",
}
"""How to count what a key of each type holds."""
COUNTED_AS_ONE = ":meta"
"""What the key ends with whose fields are names that the library knows: each queue's totals and
settings, which are there from their first use on. It counts as one."""
LEFT_OUT = (
    *(b":series", b":types", b"{statistics}/sizes", b"{statistics}/used"),
    *(b"{workflows}/records", b"{workflows}/order", b"{workflows}/checks"),
)
"""What the keys end with that grow with time, up to a bound. By a field every five or ten minutes up to
some hundred: a queue's series, which begins with the first sample that a worker takes, and its
statistics by type; the sizes of both have a field for each queue. By a field for each workflow: their
records, which are first looked at ten minutes after they were written. That they go then, and that no
more than 10,000 stay, is for the tests of the sweeper and of the specification."""
ANSWERS_WITHIN = 30.0
"""Seconds that the worker has to say how it is."""


@attrs.frozen
class Look:
    """All figures at one instant, by name."""

    at: float
    """Seconds, of the monotonic clock."""
    figures: Mapping[str, int]
    holds: Mapping[str, int]
    """For each key of Redis how much it holds."""
    grown: tuple[tuple[str, int], ...] = ()
    """The types of which the worker has more objects than at its first look, and how many more."""


@attrs.define(eq=False)
class Looker:
    """Looks. Owns the pipes of the worker."""

    bench: Bench
    worker: subprocess.Popen[str]

    async def look(self, *, types: bool = False) -> Look:
        """Take all figures; `types` has the worker compare its objects with those of the first time."""
        with trio.fail_after(ANSWERS_WITHIN):
            asked = "types" if types else "look"
            said = await trio.to_thread.run_sync(lambda: self._ask(asked), abandon_on_cancel=True)
        grown = said.pop("grown", [])
        own = look_at_self(objects=False)
        holds, store = await trio.to_thread.run_sync(self._read_redis)
        figures = {
            **{f"worker {name}": value for name, value in said.items()},
            **{f"producer {name}": value for name, value in own.items()},
            **store,
        }
        return Look(time.monotonic(), figures, holds, tuple((name, many) for name, many in grown))

    def _ask(self, asked: str) -> dict[str, Any]:
        assert self.worker.stdin is not None
        assert self.worker.stdout is not None
        self.worker.stdin.write(asked + "\n")
        self.worker.stdin.flush()
        said = self.worker.stdout.readline()
        if not said:
            raise RuntimeError(f"the worker ended with status {self.worker.wait()}")
        found: dict[str, Any] = json.loads(said)
        return found

    def _read_redis(self) -> tuple[dict[str, int], dict[str, int]]:
        raw = self.bench.raw
        raw.execute_command("MEMORY", "PURGE")
        holds = count_members(raw)
        memory, clients = raw.info("memory"), raw.info("clients")
        found = {
            "redis used_kib": int(memory["used_memory"]) // 1024,
            "redis keys": len(holds),
            "redis members": sum(holds.values()),
            "redis clients": int(clients["connected_clients"]),
        }
        return holds, found


def count_members(raw: redis.Redis) -> dict[str, int]:
    """Return how much each key holds; strings, and `COUNTED_AS_ONE`, count as one. `LEFT_OUT` are."""
    keys = sorted(key for key in raw.scan_iter(count=1000) if not key.endswith(LEFT_OUT))
    pipeline = raw.pipeline(transaction=False)
    for key in keys:
        pipeline.type(key)
    kinds = [kind.decode() for kind in pipeline.execute()]
    for key, kind in zip(keys, kinds, strict=True):
        pipeline.execute_command(CARDS[kind] if kind != "none" else "EXISTS", key)
    counts = pipeline.execute()
    found: dict[str, int] = {}
    for key, kind, count in zip(keys, kinds, counts, strict=True):
        name = key.decode("utf-8", "replace")
        if count:
            found[name] = 1 if kind == "string" or name.endswith(COUNTED_AS_ONE) else count
    return found
