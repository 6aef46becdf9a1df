"""What `rediq doctor` judges, from what a server says of itself and from a few times."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from statistics import median
from types import MappingProxyType
from typing import Literal

import attrs

from rediq_trio.observe.finders import MEMORY_USED_MAX
from rediq_trio.observe.words import duration, percent, shown, size
from rediq_trio.store.opening import OLDEST_SERVER, version_parts

LATENCY_MAX = 0.05
"""Seconds that a round trip may take: each task takes some of them."""
CLOCK_APART_MAX = 1.0
"""Seconds by which the clocks may differ: times that people give are those of their machine."""

Info = Mapping[str, str]
"""What a server says of itself, by its names."""


@attrs.frozen
class Diagnosis:
    """One line: what was looked at, what was found, and what to do about it."""

    name: str
    state: Literal["ok", "wrong", "unknown"]
    """"unknown" if it could not be looked at, which another line may explain."""
    text: str
    next_step: str = ""


def ok(name: str, text: str) -> Diagnosis:
    """Return a line about what is as it should be."""
    return Diagnosis(name, "ok", text)


def wrong(name: str, text: str, next_step: str) -> Diagnosis:
    """Return a line about what must be changed."""
    return Diagnosis(name, "wrong", text, next_step)


def unknown(name: str, why: str) -> Diagnosis:
    """Return a line about what could not be looked at."""
    return Diagnosis(name, "unknown", why)


def judge_version(info: Info) -> Diagnosis:
    version = info.get("redis_version", "0.0")
    product = "Valkey" if "valkey_version" in info else "Redis"
    text = f"{product} {shown(info.get('valkey_version', version))}"
    if version_parts(version) < OLDEST_SERVER:
        return wrong("version", text, "use Redis 6.2 or later, or Valkey")
    return ok("version", text)


def judge_role(info: Info) -> Diagnosis:
    if info.get("redis_mode") == "sentinel":
        return wrong(
            "role", "a Sentinel, which has no tasks", "use redis+sentinel://host:port/service"
        )
    if info.get("role") == "slave":
        master = f"{info.get('master_host', '?')}:{info.get('master_port', '?')}"
        return wrong(
            "role", f"a replica of {shown(master)}, which takes no writes",
            "name its master in the URL, or follow it with redis+sentinel:// or redis+cluster://",
        )  # fmt: skip
    if info.get("loading", "0") != "0":
        return wrong("role", "a master that still loads its data", "wait until it has")
    replicas = info.get("connected_slaves", "0")
    return ok("role", "a master" + (f" with {replicas} replicas" if replicas != "0" else ""))


def judge_eviction(info: Info) -> Diagnosis:
    policy = shown(info.get("maxmemory_policy", "noeviction"))
    if policy == "noeviction":
        return ok("eviction", policy)
    drops = "any key, so also tasks" if policy.startswith("allkeys") else "keys with a TTL"
    return wrong(
        "eviction", f"maxmemory-policy is {policy}: a full memory drops {drops}",
        "CONFIG SET maxmemory-policy noeviction, and set it in the server's configuration file",
    )  # fmt: skip


def judge_memory(info: Info) -> Diagnosis:
    used, most = int(info.get("used_memory", "0")), int(info.get("maxmemory", "0"))
    if not most:
        return ok("memory", f"{size(used)} used; no maxmemory is set")
    text = f"{size(used)} of {size(most)} used ({percent(used / most)})"
    if used > most * MEMORY_USED_MAX:
        return wrong(
            "memory", f"{text}: when it is full, enqueues are refused",
            "raise maxmemory, or shorten retention and dead_retention",
        )  # fmt: skip
    return ok("memory", text)


def judge_persistence(info: Info, save: str | None) -> Diagnosis:
    """Judge what a restart would lose; `save` is the setting of that name, None if it is not known."""
    name, restart = "persistence", "CONFIG SET appendonly yes, and set it in the server's configuration file"
    if info.get("aof_enabled") == "1":
        if info.get("aof_last_write_status", "ok") != "ok":
            return wrong(
                name, "the append-only file cannot be written", "look at the disk of the server"
            )
        return ok(name, "append-only file")
    if info.get("rdb_last_bgsave_status", "ok") != "ok":
        return wrong(
            name, "no append-only file, and the last snapshot failed",
            f"look at the disk of the server, and {restart}",
        )  # fmt: skip
    if save is None:
        return wrong(
            name, "no append-only file; whether snapshots are made cannot be seen without "
            "+config|get", restart,
        )  # fmt: skip
    if save:
        return wrong(
            name, f"snapshots only (save {shown(save)}): a restart loses what came after the last one",
            restart,
        )  # fmt: skip
    return wrong(name, "none: a restart loses every task", restart)


def judge_latency(seconds: Sequence[float]) -> Diagnosis:
    typical = median(seconds)
    text = f"{_milliseconds(typical)} (median of {len(seconds)}), {_milliseconds(max(seconds))} at most"
    if typical > LATENCY_MAX:
        return wrong(
            "latency", text, "run workers nearer to the server; look at its load and the network"
        )
    return ok("latency", text)


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:.1f} ms" if seconds < 0.1 else duration(seconds)


def judge_clock(apart: float) -> Diagnosis:
    """Judge by how many seconds the server's clock is ahead of ours; negative if it is late."""
    if abs(apart) <= CLOCK_APART_MAX:
        return ok("clock", f"differs from this machine's by {duration(abs(apart))}")
    how = "ahead of" if apart > 0 else "later than"
    return wrong(
        "clock", f"the server's is {duration(abs(apart))} {how} this machine's: a run_at comes wrong by "
        "as much", "synchronize both machines with NTP",
    )  # fmt: skip


_OF_INFO: Mapping[str, Callable[[Info], Diagnosis]] = MappingProxyType(
    {
        "version": judge_version,
        "role": judge_role,
        "eviction": judge_eviction,
        "memory": judge_memory,
    }
)


def judge_server(info: Info) -> Iterator[Diagnosis]:
    """Yield the lines about what a server says of itself."""
    for name, judge in _OF_INFO.items():
        try:
            yield judge(info)
        except ValueError as error:
            yield unknown(name, f"the server says what cannot be read: {shown(str(error))}")
