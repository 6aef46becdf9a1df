"""Fuzz a worker with payloads that were written into Redis past the library.

    python -m tests.chaos.fuzz --payloads 100000 [--seed S] [--server PATH]

Each payload is put in the place of a sound one, next to as many again that stay sound. A
worker, a process of its own, runs them all. Fails when the worker ends, when a task neither
runs, nor is dead with a reason, nor is left to the newer version that it says it is of, when
a sound one is disturbed, when an invariant is violated, or when the worker's memory grows beyond `MEMORY`.
"""

from __future__ import annotations

import argparse
import datetime as dt
import random
import re
import subprocess
import sys
import time
import uuid
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

import attrs
import trio

import rediq_trio as rediq
from benchmarks.payloads import Maker
from benchmarks.server import Bench, run_server
from rediq_trio import PayloadError
from rediq_trio.spec.ids import pack_id
from rediq_trio.spec.stored_format import RECORD_FIELDS
from rediq_trio.store.redis.keys import Keys
from rediq_trio.tasks.task_info import make_task_info
from rediq_trio.wire.batch_envelope import is_batch, open_batch, open_member
from rediq_trio.wire.envelope import NewerEnvelope, open_envelope, unpack_value
from rediq_trio.wire.packing import pack_for_lua, unpack

QUEUE = "fuzz"
_ENVELOPE = RECORD_FIELDS.index("envelope")
SHARE = 10
"""One sound task comes to so many harmed ones."""
MEMORY = 600
"""MiB that the worker may take."""
STALLED = 60.0
"""Seconds without any progress after which a run has failed."""
PAGE = 1000


@attrs.frozen
class Point:
    """Something that is structured."""

    x: int
    y: int = 0


app = rediq.App()


@app.task("sound")
async def sound(n: int) -> int:
    return n


@app.task("any")
async def take_any(value: Any = None) -> Any:
    return value


@app.task("one")
async def take_one(value: bytes) -> int:
    return len(value)


@app.task("typed")
async def take_typed(when: dt.datetime, ids: list[uuid.UUID], amount: Decimal, point: Point) -> str:
    return f"{when} {len(ids)} {amount} {point}"


@app.aggregator("g")
async def put_together(tasks: list[rediq.Task[Any]]) -> None: ...


async def serve(url: str) -> None:
    """Run the worker until standard input closes."""
    async with rediq.serve(
        app, url, queues=[QUEUE], concurrency=50, max_payload=1024 * 1024, unknown_type_patience=0
    ):
        print("ready", flush=True)
        await trio.to_thread.run_sync(sys.stdin.read, abandon_on_cancel=True)


@attrs.define
class Findings:
    """What came of a run."""

    ran: int = 0
    dead: Counter[str] = attrs.field(factory=Counter)
    newer: int = 0
    """Payloads that look as if a newer version wrote them: the worker returns them to the queue."""
    wrong: list[str] = attrs.field(factory=list)
    seconds: float = 0.0
    worst_mib: float = 0.0

    def lines(self, payloads: int) -> list[str]:
        """Return the report."""
        died = sum(self.dead.values())
        return [
            f"{payloads:,} payloads in {self.seconds:.1f} s: {payloads / self.seconds:,.0f}/s",
            f"ran {self.ran:,}, dead {died:,}, left to a newer version {self.newer:,}; "
            f"worker's peak memory {self.worst_mib:.0f} MiB",
            *(f"  {count:8,}  {reason}" for reason, count in self.dead.most_common()),
            *(f"WRONG: {said}" for said in self.wrong[:20]),
        ]


_REASONS = (
    "envelope cannot be decoded", "envelope has version", "payload cannot be decoded", "nested deeper",
    "payload: key", "backoff policy", "batch cannot be decoded", "no handler is named", "of at most",
    "the payload has no", "which it does not take", "does not fit", "is encrypted", " is no ",
    "not as it should be", "keyword arguments", "deadline", "timeout", "must be", "TypeError",
    "bytes packed", "and no aggregator", "not allowed",
)  # fmt: skip


def reason_of(error: str) -> str:
    """Return an error's text without the parts that differ for each task."""
    for part in _REASONS:
        if part in error:
            member = "member: " if "member " in error else ""
            return f"{member}{part.strip()}"
    return re.sub(r"['\"].*", "...", error)[:60] or "(none)"


class Run:
    """One run on one server."""

    def __init__(self, bench: Bench, payloads: int, seed: int) -> None:
        self._bench = bench
        self._count = payloads
        self._maker = iter(Maker(seed))
        self._draw = random.Random(seed)
        self._keys = Keys("rediq").of(QUEUE, ("records", "payloads"))
        self._sound: dict[str, int] = {}
        self._harmed: dict[str, bytes] = {}
        self._newer: set[str] = set()
        self.found = Findings()

    async def main(self) -> Findings:
        """Write, run, and look at what came of it."""
        async with rediq.connect(self._bench.url) as client:
            queue = client.queue(QUEUE)
            await queue.pause()
            await self._write(client)
            worker = _start_worker(self._bench.url)
            assert worker.stdout is not None
            try:
                await trio.to_thread.run_sync(worker.stdout.readline)
                begun = time.perf_counter()
                await queue.resume()
                await self._watch(queue, worker)
                self.found.seconds = time.perf_counter() - begun
                if worker.poll() is None:
                    self.found.worst_mib = _peak(worker.pid)
            finally:
                assert worker.stdin is not None
                worker.stdin.close()
                worker.stdout.close()
                status = await trio.to_thread.run_sync(worker.wait)
            if status:
                self.found.wrong.append(f"the worker ended with status {status}")
            await self._judge(client)
            self.found.wrong += [str(each) for each in await queue.check()]
        if self.found.worst_mib > MEMORY:
            self.found.wrong.append(f"the worker took {self.found.worst_mib:.0f} MiB")
        return self.found

    async def _write(self, client: rediq.Client) -> None:
        left = self._count
        while left:
            many = min(left, PAGE)
            left -= many
            numbers = range(len(self._sound), len(self._sound) + max(1, many // SHARE))
            options: dict[str, Any] = {"queue": QUEUE, "max_retry": 0, "retention": 86_400}
            tasks = [rediq.Task("sound", {"n": n}, **options) for n in numbers]
            tasks += [rediq.Task("sound", {"n": -1}, **options) for _ in range(many)]
            handles = await client.enqueue_many(self._draw.sample(tasks, len(tasks)))
            # `sample` shuffles: which one is which, its payload says.
            owns = [handle.id.partition("/")[2] for handle in handles]
            raws = self._bench.raw.hmget(self._keys[0], [pack_id(own) for own in owns])  # type: ignore[misc]
            pipeline = self._bench.raw.pipeline(transaction=False)
            for own, raw in zip(owns, raws, strict=True):
                record = unpack(raw, texts=False)
                n = _number(record[_ENVELOPE])
                if n >= 0:
                    self._sound[own] = n
                    continue
                self._harmed[own] = harm = next(self._maker)
                if is_newer(harm):
                    self._newer.add(own)
                record[_ENVELOPE] = harm
                pipeline.hset(self._keys[0], pack_id(own), pack_for_lua(record))  # type: ignore[arg-type]
                if not harm:  # in the record that says: it is elsewhere
                    pipeline.hset(self._keys[1], pack_id(own), harm)  # type: ignore[arg-type]
            pipeline.execute()

    async def _watch(self, queue: rediq.Queue, worker: subprocess.Popen[bytes]) -> None:
        last, since = -1, time.perf_counter()
        while worker.poll() is None:
            stats = await queue.stats()
            left = stats.pending + stats.active + stats.retry + stats.scheduled
            if left == len(self._newer) == stats.scheduled:
                return
            if left != last:
                last, since = left, time.perf_counter()
            if time.perf_counter() - since > STALLED:
                self.found.wrong.append(f"{left} tasks are left, and nothing moves")
                return
            await trio.sleep(0.05)

    async def _judge(self, client: rediq.Client) -> None:
        ids = [*self._sound, *self._harmed]
        for start in range(0, len(ids), PAGE):
            part = ids[start : start + PAGE]
            records = await client._store.get(QUEUE, part)
            for own, record in zip(part, records, strict=True):
                self._judge_one(own, None if record is None else make_task_info(QUEUE, record))

    def _judge_one(self, own: str, info: rediq.TaskInfo | None) -> None:
        if info is None:
            self.found.wrong.append(f"{own} is gone")
        elif own in self._sound:
            if info.state is not rediq.State.COMPLETED or info.result != self._sound[own]:
                self.found.wrong.append(f"{own}: a sound task is {info.state}: {info.error}")
        elif own in self._newer and (info.state, info.attempt) == (rediq.State.SCHEDULED, 0):
            self.found.newer += 1
        elif info.state is rediq.State.COMPLETED:
            self.found.ran += 1
        elif info.state is rediq.State.DEAD and info.error:
            self.found.dead[reason_of(info.error)] += 1
        else:
            said = f"{own} is {info.state}, reason {info.error!r}: {self._harmed[own][:200].hex()}"
            self.found.wrong.append(said)


def _start_worker(url: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.chaos.fuzz", "--serve", url],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=Path(__file__).resolve().parents[2],
    )


def is_newer(envelope: bytes) -> bool:
    """Return whether a payload, or the first unreadable member of a batch, looks like a newer version's."""
    try:
        if is_batch(envelope):
            for member in open_batch(envelope).members:
                open_member(member)
        else:
            open_envelope(envelope)
    except NewerEnvelope:
        return True
    except PayloadError:
        pass
    return False


def _number(envelope: bytes) -> int:
    """Return the number that a sound task carries."""
    n: int = unpack_value(open_envelope(envelope).payload)["n"]
    return n


def _peak(pid: int) -> float:
    (line,) = re.findall(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text("utf-8"))
    return int(line) / 1024


def fuzz(payloads: int, seed: int, server: str | None = None) -> Findings:
    """Run a worker on a server of its own against so many payloads."""
    with run_server(server, unix=True) as bench:
        return trio.run(Run(bench, payloads, seed).main)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--payloads", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=random.randrange(10**9))
    parser.add_argument("--server", help="the redis-server to run")
    parser.add_argument("--serve", metavar="URL", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve:
        trio.run(serve, given.serve)
        return 0
    print(f"seed {given.seed}", flush=True)
    found = fuzz(given.payloads, given.seed, given.server)
    print("\n".join(found.lines(given.payloads)))
    return 1 if found.wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
