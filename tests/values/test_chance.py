"""Random numbers and the time of day: the operating system's, or those of a simulation."""

from __future__ import annotations

import datetime as dt
import os
import socket
import time
from random import Random

from rediq_trio.values.chance import (
    entropy,
    host_and_pid,
    moment,
    randrange,
    simulated,
    threads,
    uniform,
    utc_now,
    wall,
)
from tests.seeded import seeded


def test_outside_a_simulation_they_are_the_operating_systems() -> None:
    assert simulated() is None
    assert threads()
    assert host_and_pid() == (socket.gethostname(), os.getpid())
    assert 1 <= uniform(1, 2) <= 2
    assert {randrange(2) for _ in range(100)} == {0, 1}
    assert len(entropy(8)) == 8
    assert entropy(16) != entropy(16)
    before = time.time_ns()
    at, drawn = moment(8)
    assert before <= at <= wall() * 1e9 + 1e6
    assert len(drawn) == 8
    assert abs(utc_now().timestamp() - time.time()) < 60
    assert utc_now().tzinfo is dt.UTC


def test_in_a_simulation_they_are_its_own() -> None:
    with seeded(7) as simulation:
        assert simulated() is simulation
        assert not threads()
        assert host_and_pid() == ("simulated", 1)
        twin = Random(7)
        assert uniform(1, 2) == twin.uniform(1, 2)
        assert randrange(1000) == twin.randrange(1000)
        assert entropy(8) == twin.randbytes(8)
        assert utc_now() == dt.datetime(2026, 1, 2, 12, tzinfo=dt.UTC)
        assert wall() == utc_now().timestamp()
        assert moment(8) == (wall() * 1_000_000_000, twin.randbytes(8))
    assert simulated() is None
