"""What is seen from outside: a worker's CPU and memory, its handlers' notes, Redis's commands."""

from __future__ import annotations

import os
import socket
import struct
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs

from benchmarks.peers.inside.adapter import HEAD, STAMP
from benchmarks.server import Bench

TICK = 1 / os.sysconf("SC_CLK_TCK")


def session(leaders: Iterable[int]) -> list[int]:
    """Give the ids of all processes in the sessions of these."""
    wanted = {str(leader) for leader in leaders}
    found = []
    for path in Path("/proc").iterdir():
        if path.name.isdigit():
            fields = _stat(path)
            if len(fields) > 3 and fields[3] in wanted:
                found.append(int(path.name))
    return found


def _stat(path: Path) -> list[str]:
    try:
        # The name in brackets may hold anything.
        return (path / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def cpu(pids: Iterable[int]) -> float:
    """Give the seconds of CPU that processes have used, to a hundredth."""
    stats = [_stat(Path(f"/proc/{pid}")) for pid in pids]
    return sum(int(fields[11]) + int(fields[12]) for fields in stats if fields) * TICK


def fine_cpu(pids: Iterable[int]) -> float:
    """Give the same to a microsecond, without the threads that have ended."""
    used = 0
    for pid in pids:
        for path in Path(f"/proc/{pid}/task").glob("*/schedstat"):
            try:
                used += int(path.read_text().split()[0])
            except (OSError, IndexError):
                continue  # a thread that has just ended
    return used / 1e9


def resident(pids: Iterable[int]) -> float:
    """Give the MiB of memory that processes have resident, added up."""
    kib = 0
    for pid in pids:
        try:
            lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        except OSError:
            continue
        kib += sum(int(line.split()[1]) for line in lines if line.startswith("VmRSS:"))
    return kib / 1024


def tallied(folder: Path) -> tuple[int, float | None]:
    """Give how many handlers have ended in all processes, and when the first one started."""
    count, first = 0, None
    for path in folder.glob("*.tally"):
        data = path.read_bytes()
        if len(data) == HEAD.size:
            ended, began = HEAD.unpack(data)
            count += ended
            first = began if first is None else min(first, began)
    return count, first


def stamps(folder: Path) -> dict[int, float]:
    """Give when each task's handler first started."""
    found: dict[int, float] = {}
    for path in folder.glob("*.stamps"):
        data = path.read_bytes()
        for number, at in struct.iter_unpack(
            STAMP.format, data[: len(data) // STAMP.size * STAMP.size]
        ):
            found[number] = min(at, found.get(number, at))
    return found


def unsettled(bench: Bench, left: Sequence[Sequence[str]]) -> int:
    """Give how many tasks Redis still holds, by the commands that an adapter named."""
    pipe: Any = bench.raw.pipeline(transaction=False)
    for command in left:
        pipe.execute_command(*command)
    return sum(_number(answer) for answer in pipe.execute())


def _number(answer: Any) -> int:
    if isinstance(answer, dict):  # XPENDING, as redis-py gives it
        return int(answer["pending"])
    return int(answer[0] if isinstance(answer, list) else answer or 0)


@attrs.define
class Commands:
    """Commands that Redis ran: those that clients sent, and those inside their scripts."""

    sent: int = 0
    inside: int = 0


@contextmanager
def count_commands(bench: Bench) -> Iterator[Commands]:
    """Count what Redis runs while the block lasts, other than for the benchmark."""
    seen = Commands()
    own = f" {bench.raw.client_info()['addr']}] ".encode()
    host, port = bench.url.split("//")[1].split(":")
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(b"MONITOR\r\n")
        connection.recv(5)  # +OK
        reader = threading.Thread(target=_read, args=(connection, own, seen))
        reader.start()
        try:
            yield seen
            time.sleep(0.05)  # until it has told the last ones
        finally:
            connection.shutdown(socket.SHUT_RD)
            reader.join()


def _read(connection: socket.socket, own: bytes, seen: Commands) -> None:
    rest = b""
    while True:
        try:
            got = connection.recv(1 << 18)
        except OSError:
            return
        if not got:
            return
        *lines, rest = (rest + got).split(b"\r\n")
        for line in lines:
            head = line[:60]
            if b" lua] " in head:
                seen.inside += 1
            elif own not in head and b"] " in head:
                seen.sent += 1
