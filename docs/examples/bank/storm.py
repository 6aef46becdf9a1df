"""Many transfers, and what has to hold after servers and connections broke meanwhile."""

from collections.abc import Callable
from random import Random

from bank import Bank

import rediq_trio as rediq
from rediq_trio.testing import Scenario, SimulatedFleet, Work


def draw_transfers(random: Random) -> list[Work]:
    times = [round(random.uniform(0, 60), 1) for _ in range(10)]
    return [Work("bank:transfer", {"amount": 10}, {"max_crashes": 20}, at=at) for at in times]


STORM = Scenario(work=draw_transfers)


class BankStory:
    """A new bank for each run."""

    def __init__(self, make_app: Callable[[Bank], rediq.App]) -> None:
        self.make_app = make_app
        self.bank = Bank()

    def make(self) -> rediq.App:
        self.bank = Bank()
        return self.make_app(self.bank)

    def no_transfer_is_made_twice(self, fleet: SimulatedFleet) -> None:
        assert len(self.bank.moved) == len(set(self.bank.moved)), self.bank.moved
