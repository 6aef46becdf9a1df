"""Transfers between two accounts, with a bug: a server that dies at a bad moment pays twice."""

from bank import Bank

import rediq_trio as rediq


def make_app(bank: Bank) -> rediq.App:
    app = rediq.App("bank")

    @app.task("bank:transfer")
    async def transfer(amount: int) -> str:
        me = rediq.current_task().id
        if await bank.is_done(me):
            return "it was done before"
        await bank.move(me, amount)
        await bank.mark_done(me)
        return f"moved {amount}"

    return app
