"""Who is compared: what each peer needs, how it runs best, and what it promises."""

from __future__ import annotations

from pathlib import Path

import attrs

ADAPTERS = Path(__file__).parent / "adapters"
OWN = "rediq-trio"
"""The name under which the library itself runs."""


@attrs.frozen(kw_only=True)
class Peer:
    """One queue, at its best settings."""

    name: str
    adapter: str
    requires: tuple[str, ...]
    """What pip installs into its environment; nothing for the library itself."""
    shown: tuple[str, ...] = ()
    """The packages whose versions are shown beside its figures."""
    variant: str = ""
    concurrency: int
    naps: int = 1000
    """Concurrency for tasks that sleep."""
    drains: int
    """Roughly the no-op tasks a second that one worker process does; with `sends` and `bulk` it
    decides how many tasks a measurement has, so that each takes about as long."""
    sends: int
    bulk: int
    bulk_callers: int = 1
    """Callers that make the bulk calls, each one after another: two where that is quicker than one."""
    settings: str
    """How it was set up, for the reader."""
    promise: str = "at least once"

    @property
    def program(self) -> Path:
        """The adapter's file."""
        return ADAPTERS / f"{self.adapter}.py"


ROSTER = (
    Peer(
        name=OWN, adapter="rediq", requires=(), shown=("rediq-trio", "trio", "redis", "hiredis"),
        concurrency=100, drains=20_000, sends=5_000, bulk=80_000, bulk_callers=2,
        settings="Trio, concurrency 100, prefetch adapts; two callers of bulk",
    ),
    Peer(
        name="streaq (trio)", adapter="streaq", variant="trio",
        requires=("streaq", "trio", "uvloop", "hiredis"), shown=("streaq", "coredis", "trio"),
        concurrency=100, drains=1_300, sends=5_000, bulk=20_000,
        settings="Trio, concurrency 100, prefetch 100, silent, ttl 0",
    ),
    Peer(
        name="streaq (uvloop)", adapter="streaq", variant="asyncio",
        requires=("streaq", "trio", "uvloop", "hiredis"), shown=("streaq", "coredis", "uvloop"),
        concurrency=100, drains=1_600, sends=5_000, bulk=20_000,
        settings="asyncio on uvloop, concurrency 100, prefetch 100, silent, ttl 0",
    ),
    Peer(
        name="saq", adapter="saq", requires=("saq[redis,hiredis]", "typing-extensions", "uvloop"),
        shown=("saq", "redis", "uvloop"),
        concurrency=100, drains=3_500, sends=8_000, bulk=11_000,
        settings="uvloop, concurrency 100, ttl -1; no bulk call, so 100 callers",
    ),
    Peer(
        name="arq", adapter="arq", requires=("arq", "uvloop", "hiredis"), shown=("arq", "redis", "uvloop"),
        concurrency=100, drains=3_000, sends=6_000, bulk=8_000,
        settings="uvloop, max_jobs 100, poll_delay 10 ms, keep_result 0; no bulk call, so 100 callers",
    ),
    Peer(
        name="taskiq-redis", adapter="taskiq", requires=("taskiq", "taskiq-redis", "uvloop", "hiredis"),
        shown=("taskiq", "taskiq-redis", "redis", "uvloop"),
        concurrency=100, drains=5_500, sends=5_000, bulk=5_000,
        settings="streams, uvloop, 100 async tasks, prefetch 100; no bulk call, so 100 callers",
    ),
    Peer(
        name="dramatiq", adapter="dramatiq", requires=("dramatiq[redis]", "hiredis"),
        shown=("dramatiq", "redis"),
        concurrency=8, naps=256, drains=9_000, sends=9_000, bulk=9_000,
        settings="8 threads, queue_prefetch 1,000, only Retries; no bulk call, so one caller",
    ),
    Peer(
        name="huey", adapter="huey", requires=("huey", "redis", "hiredis"), shown=("huey", "redis"),
        concurrency=4, naps=256, drains=7_000, sends=12_000, bulk=20_000, promise="at most once",
        settings="4 threads, blocking pop; no bulk call, so one caller",
    ),
    Peer(
        name="rq", adapter="rq", requires=("rq", "hiredis"), shown=("rq", "redis"),
        concurrency=1, naps=1, drains=600, sends=3_000, bulk=10_000,
        settings="SimpleWorker, one job at a time, result_ttl 0",
    ),
    Peer(
        name="celery", adapter="celery", requires=("celery[redis]", "hiredis"),
        shown=("celery", "kombu", "redis"),
        concurrency=2, naps=256, drains=1_700, sends=3_000, bulk=4_000, variant="threads",
        settings="acks_late, 2 threads (prefork does less), prefetch multiplier 100; no bulk call, so one caller",
    ),
    Peer(
        name="bullmq", adapter="bullmq", requires=("bullmq", "redis<8", "uvloop", "hiredis"),
        shown=("bullmq", "redis", "uvloop"),
        concurrency=50, drains=3_500, sends=8_000, bulk=35_000, bulk_callers=2,
        settings="Python port, uvloop, concurrency 50, removeOnComplete; two callers of bulk",
    ),
    Peer(
        name="docket", adapter="docket", requires=("pydocket", "uvloop", "hiredis"),
        shown=("pydocket", "redis", "uvloop"),
        concurrency=1000, drains=2_500, sends=5_000, bulk=20_000, bulk_callers=2,
        settings="uvloop, concurrency 1,000, execution_ttl 0; two callers of bulk",
    ),
)  # fmt: skip
