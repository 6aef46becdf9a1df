"""`rediq demo --web`: a Redis, two workers with a story, and the page with `--write`."""

from __future__ import annotations

import logging
import sys

import trio

import rediq_trio as rediq
from rediq_trio.cli.operate.person import person
from rediq_trio.cli.statuses import DONE
from rediq_trio.cli.stop_signals import stop_signals
from rediq_trio.cli.web.story import STORY_QUEUES, Story
from rediq_trio.web import asgi

CONCURRENCY = 6
"""Tasks that each of the two workers runs at once."""
KEY_PREFIX = "rediq-demo"


async def run_web_demo(url: str, port: int) -> int:
    """Serve the page of a story until a signal; return the status. Raises `ConfigError` without the extra."""
    asgi("memory://")  # raises without the extra
    from rediq_trio.web.access.deciding import Access
    from rediq_trio.web.site.application import Site
    from rediq_trio.web.site.page import Right
    from rediq_trio.web.site.serving import listen, serve_site, url_of

    story = Story()
    access = Access(open_to=Right.CHANGE, local_only=True, name=person())
    with listen("127.0.0.1", port) as listener:
        async with (
            stop_signals() as (stop, nursery),
            rediq.serve(
                story.app, url, queues=list(STORY_QUEUES), concurrency=CONCURRENCY, key_prefix=KEY_PREFIX,
                shutdown_grace=0,
            ) as server,
            Site(server.client, name="demo", color="b", access=access) as site,
        ):  # fmt: skip
            nursery.start_soon(story.tell, server.client)
            where = url_of("127.0.0.1", listener)
            print(
                f"rediq: {where} shows a story that goes on; Ctrl-C ends it with its Redis",
                file=sys.stderr,
                flush=True,
            )
            await serve_site(site, listener, stop.asked.wait)
    return DONE


def run(url: str, port: int) -> int:
    """Run the demo; return its status."""
    logging.getLogger("rediq_trio").setLevel(logging.CRITICAL)  # the page tells what fails
    return trio.run(run_web_demo, url, port)
