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
        concurrency=100, drains=20_000, sends=5_000, bulk=60_000,
        settings="Trio, concurrency 100, prefetch adapts",
    ),
    Peer(
        name="streaq (trio)", adapter="streaq", variant="trio",
        requires=("streaq", "trio", "uvloop", "hiredis"), shown=("streaq", "coredis", "trio"),
        concurrency=100, drains=1_000, sends=2_000, bulk=10_000,
        settings="Trio, concurrency 100, prefetch 100, silent, ttl 0",
    ),
    Peer(
        name="streaq (uvloop)", adapter="streaq", variant="asyncio",
        requires=("streaq", "trio", "uvloop", "hiredis"), shown=("streaq", "coredis", "uvloop"),
        concurrency=100, drains=1_200, sends=2_000, bulk=10_000,
        settings="asyncio on uvloop, concurrency 100, prefetch 100, silent, ttl 0",
    ),
)  # fmt: skip
