"""Interrupts a transfer at each of its checkpoints, and prints what this changed."""

from bank import Bank
from transfers import make_app

from rediq_trio.testing import Trial, crash_everywhere


def make() -> Trial:
    bank = Bank()
    app = make_app(bank)
    return Trial(app, app.handler("bank:transfer").task(10), lambda: (bank.balance, bank.moved))


print(crash_everywhere(make))
