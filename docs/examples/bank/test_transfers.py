"""Tests of transfers in simulated time: `pytest test_transfers.py`."""

import datetime as dt
from collections.abc import Callable

import pytest
from bank import Bank
from transfers import make_app

import rediq_trio as rediq
from rediq_trio.testing import Simulation


@pytest.fixture
def bank() -> Bank:
    return Bank()


@pytest.fixture
def app(bank: Bank) -> rediq.App:
    return make_app(bank)


def test_a_transfer_moves_money(
    rediq_sim: Callable[..., Simulation], app: rediq.App, bank: Bank
) -> None:
    sim = rediq_sim(app)
    handle = sim.enqueue(app.handler("bank:transfer").task(10))
    assert handle.result() == "moved 10"
    assert bank.balance == {"ann": 90, "bob": 110}


def test_a_delayed_transfer_waits_until_it_is_due(
    rediq_sim: Callable[..., Simulation], app: rediq.App, bank: Bank
) -> None:
    sim = rediq_sim(app)
    sim.enqueue(app.handler("bank:transfer").task(10), delay=dt.timedelta(minutes=10))
    sim.assert_enqueued("bank:transfer", amount=10, state="scheduled", within=dt.timedelta(minutes=15))
    sim.advance(dt.timedelta(minutes=9))
    assert bank.moved == []
    sim.advance(dt.timedelta(minutes=2))
    assert len(bank.moved) == 1


def test_another_server_takes_over_when_one_dies(
    rediq_sim: Callable[..., Simulation], app: rediq.App, bank: Bank
) -> None:
    sim = rediq_sim(app, servers=2)
    handle = sim.enqueue(app.handler("bank:transfer").task(10))
    sim.kill("w0")
    assert handle.result() == "moved 10"
    assert len(bank.moved) == 1
