"""Spreads simulations over processes, and returns what they found in the order of their numbers.

Whoever asks cannot tell how many processes there were: the first number that failed is the same.
"""

from __future__ import annotations

import json
import math
import multiprocessing
import os
import time
from collections.abc import Callable, Generator, Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

import attrs

from rediq_trio._errors import RediqError

MAX_JOBS = 256
"""The highest number of processes."""
NumberFound = dict[str, Any]
WorkOnNumber = Callable[[int], NumberFound]


@attrs.define(eq=False)
class _Job:
    process: BaseProcess
    numbers: Sequence[int]
    """What it works on, in this order."""
    answered: int = 0
    is_done: bool = False
    """Whether it has said that it takes no more."""


def run_in_processes(
    work: WorkOnNumber, numbers: Sequence[int], jobs: int, until: float = math.inf
) -> Generator[tuple[int, NumberFound]]:
    """Yield each number with what `work` returns for it, which JSON must hold, in the order given.

    The processes are forked, so that nothing need be sent to them. From `until` on, an instant of
    `time.monotonic`, they begin no more. They are ended when the generator is closed. Raises
    `RediqError` if one of them ends by itself.
    """
    running = _start(work, numbers, jobs, until)
    processes = [job.process for job in running.values()]
    ahead: dict[int, NumberFound] = {}
    left = iter(numbers)
    wanted = next(left, None)
    try:
        while running:
            _receive(running, ahead)
            while wanted in ahead:
                yield wanted, ahead.pop(wanted)
                wanted = next(left, None)
        # After `until`, one process may have come further than another.
        for number in sorted(ahead, key=numbers.index):
            yield number, ahead[number]
    finally:
        for process in processes:
            process.kill()
            process.join()


def _start(
    work: WorkOnNumber, numbers: Sequence[int], jobs: int, until: float
) -> dict[Any, _Job]:
    context = multiprocessing.get_context("fork")
    running: dict[Any, _Job] = {}  # by the end of a pipe, whose type differs by version
    for job in range(min(jobs, len(numbers))):
        ours, theirs = context.Pipe(duplex=False)
        part = numbers[job::jobs]
        process = context.Process(target=_work_on, args=(work, part, theirs, until), daemon=True)
        process.start()
        theirs.close()
        running[ours] = _Job(process, part)
    return running


def _receive(running: dict[Any, _Job], ahead: dict[int, NumberFound]) -> None:
    """Wait for answers, and note them by their numbers."""
    for end in wait(list(running)):
        assert isinstance(end, Connection)
        job = running[end]
        try:
            found: NumberFound | None = json.loads(end.recv_bytes())
        except EOFError:
            del running[end]
            job.process.join()
            if not job.is_done:
                raise RediqError(
                    f"a process of --jobs or jobs= ended with status {job.process.exitcode} while it "
                    f"worked on {job.numbers[job.answered]}: run it again with one, to see why"
                ) from None
            continue
        if found is None:
            job.is_done = True
        else:
            ahead[job.numbers[job.answered]] = found
            job.answered += 1


def _work_on(work: WorkOnNumber, numbers: Sequence[int], end: Connection, until: float) -> None:
    # Ctrl-C goes to a whole group of processes. Our parent ends us, without a traceback of ours.
    os.setpgid(0, 0)
    try:
        for number in numbers:
            if time.monotonic() >= until:
                break
            end.send_bytes(json.dumps(work(number)).encode())
        end.send_bytes(b"null")
    except BrokenPipeError:
        return  # the parent was killed
