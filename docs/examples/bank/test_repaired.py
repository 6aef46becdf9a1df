"""A test of the repaired transfers: whatever interrupts one, it is carried out once."""

from bank import Bank
from repaired import make_app

from rediq_trio.testing import Trial, crash_everywhere


def make() -> Trial:
    bank = Bank()
    app = make_app(bank)
    return Trial(app, app.handler("bank:transfer").task(10), lambda: (bank.balance, bank.moved))


def test_an_interruption_changes_nothing() -> None:
    report = crash_everywhere(make)
    assert report, report
