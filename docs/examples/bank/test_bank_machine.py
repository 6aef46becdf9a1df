"""A state machine: transfers come in, and Hypothesis breaks servers and connections around them."""

from bank import Bank
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import rule
from repaired import make_app

import rediq_trio as rediq
from rediq_trio.testing import QueueMachine


class BankMachine(QueueMachine):
    def make_app(self) -> rediq.App:
        self.bank = Bank()
        return make_app(self.bank)

    @rule(amount=st.integers(1, 50))
    def transfer(self, amount: int) -> None:
        self.enqueue(self.app.handler("bank:transfer").task(amount))

    def at_rest(self) -> None:
        assert len(self.bank.moved) == len(set(self.bank.moved)), "a transfer was carried out twice"


TestBank = BankMachine.TestCase
TestBank.settings = settings(TestBank.settings, max_examples=20, stateful_step_count=10)
