"""Run one Lua script by hand, on a private server like that of embedded://."""

import redis
import trio

import rediq_trio as rediq
from rediq_trio.store.embedded import open_embedded
from rediq_trio.store.redis.keys import Keys
from rediq_trio.store.redis.scripts import load_scripts

NOW = 2_000_000_000_000  # ARGV 1 of most scripts: the time in ms; '' is the server's


async def main() -> None:
    async with open_embedded(None) as url:
        async with rediq.connect(url) as client:
            await client.enqueue(rediq.Task("email:send", queue="emails", id="first"))

        server = redis.Redis.from_url(url)
        script = load_scripts()["cancel"]
        keys = Keys("rediq").of("emails", script.keys)
        print(script.sections["ARGV"])
        print("answer:", server.eval(script.source, len(keys), *keys, NOW, "first", "", ""))
        for name in ("pending", "cancelled"):
            (key,) = Keys("rediq").of("emails", (name,))
            print(name, server.zrange(key, 0, -1))


trio.run(main)
