"""A tool that works for a person, and the audit of what they did."""

import trio

import rediq_trio as rediq


async def main() -> None:
    async with rediq.connect("memory://") as client:
        await client.enqueue_many([rediq.Task("send", queue="mail") for _ in range(3)])

        ada = client.acting(who="ada", tool="shop-admin", where="192.0.2.7")
        await ada.queue("mail").pause("the mail server is down")
        await ada.queue("mail").flush()
        await ada.mark("version 1.3")

        for entry in await client.audit(newest=False):
            print(entry.who, entry.what, dict(entry.selection), entry.count, entry.outcome)
        for mark in await client.marks():
            print(mark.by, mark.text)


trio.run(main)
