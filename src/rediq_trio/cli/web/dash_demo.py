"""`rediq demo --dash`: the story of `rediq demo --web`, looked at in the terminal."""

from __future__ import annotations

import logging

import trio

import rediq_trio as rediq
from rediq_trio.cli.dash import check_terminal, server_words, show_screen
from rediq_trio.cli.statuses import DONE
from rediq_trio.cli.web.demo import CONCURRENCY, KEY_PREFIX
from rediq_trio.cli.web.story import STORY_QUEUES, Story
from rediq_trio.store.urls import scheme_of, without_secrets


async def run_dash_demo(url: str) -> int:
    """Show the screen of a story until it is left; return the status."""
    story = Story()
    is_own = scheme_of(url) == "embedded"
    where = "a Redis of its own" if is_own else server_words(without_secrets(url))
    async with (
        rediq.serve(
            story.app, url, queues=list(STORY_QUEUES), concurrency=CONCURRENCY, key_prefix=KEY_PREFIX,
            shutdown_grace=0,
        ) as server,
        trio.open_nursery() as nursery,
    ):  # fmt: skip
        nursery.start_soon(story.tell, server.client)
        await show_screen(server.client, where=where, environment="demo")
        nursery.cancel_scope.cancel()
    return DONE


def run_in_terminal(url: str) -> int:
    """Run the demo in this terminal; return its status. Raises `ConfigError` where there is none."""
    check_terminal()
    logging.getLogger("rediq_trio").setLevel(logging.CRITICAL)  # the screen tells what fails
    return trio.run(run_dash_demo, url)
