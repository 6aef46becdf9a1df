"""Numbers that several processes work on, and what comes back in their order."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from contextlib import closing
from typing import Any

import pytest

from rediq_trio._errors import RediqError
from rediq_trio.testing.simulated.processes import run_in_processes


def square(number: int) -> dict[str, Any]:
    if number % 2 == 0:
        time.sleep(0.05)  # the process with the odd numbers is far ahead
    return {"square": number * number}


def test_what_is_found_comes_in_the_order_of_the_numbers() -> None:
    numbers = range(7, 19)
    found = list(run_in_processes(square, numbers, 3))
    assert found == [(number, {"square": number * number}) for number in numbers]
    assert list(run_in_processes(square, [5, 2], 8)) == [(5, {"square": 25}), (2, {"square": 4})]


def test_nothing_is_begun_after_the_end_and_what_was_found_is_in_order() -> None:
    found = [n for n, _ in run_in_processes(square, range(10**6), 2, time.monotonic() + 0.5)]
    assert found == sorted({*found})
    assert 0 < len(found) < 10**6
    assert list(run_in_processes(square, range(9), 2, time.monotonic() - 1)) == []


def test_a_process_that_ends_by_itself_is_an_error_with_its_number() -> None:
    def die(number: int) -> dict[str, Any]:
        if number == 4:
            os._exit(3)
        if number == 5:
            os.kill(os.getpid(), signal.SIGKILL)
        return {}

    with pytest.raises(RediqError, match="ended with status 3 while it worked on 4"):
        list(run_in_processes(die, [0, 1, 2, 3, 4], 2))
    with pytest.raises(RediqError, match="ended with status -9 while it worked on 5"):
        list(run_in_processes(die, [1, 2, 3, 5], 2))


def test_the_processes_are_ended_with_the_generator_and_are_not_of_the_terminal_s_group() -> None:
    def groups(number: int) -> dict[str, Any]:
        if number > 1:
            time.sleep(600)
        return {"group": os.getpgrp()}

    before = {*multiprocessing.active_children()}
    with closing(run_in_processes(groups, range(4), 2)) as results:
        (_, first), (_, second) = next(results), next(results)
        started = {*multiprocessing.active_children()} - before
        assert len({first["group"], second["group"], os.getpgrp()}) == 3
    assert len(started) == 2
    assert not any(process.is_alive() for process in started)
