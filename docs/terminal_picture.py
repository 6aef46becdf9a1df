"""The picture of the terminal: `python -m docs.terminal_picture` writes it.

It shows `rediq dash` as it is, on a private Redis with the story of `rediq demo --dash`, after a minute of it.
Textual draws it as SVG; the faces that its style would load from elsewhere are left out.
"""

from __future__ import annotations

import argparse
import re
from functools import partial
from pathlib import Path

import trio

import rediq_trio as rediq
from rediq_trio.cli.web.demo import CONCURRENCY, KEY_PREFIX
from rediq_trio.cli.web.story import STORY_QUEUES, Story
from rediq_trio.dash import run
from rediq_trio.dash.board import Board
from rediq_trio.dash.ground import Ground
from rediq_trio.dash.terminal import DashApp
from rediq_trio.store.redis.connection.event_loop import as_trio, open_loop
from rediq_trio.values.hiding import Hiding

HERE = Path(__file__).parent / "images" / "terminal.svg"
SECONDS = 75.0
"""How long the story goes on before the picture."""
SIZE_MAX = 60_000
"""Bytes of the picture."""


def smaller(svg: str) -> str:
    """Return a picture that loads nothing from elsewhere, keeps its spaces and has no empty texts."""
    svg = re.sub(r"@font-face\s*\{[^}]*\}", "", svg).replace("Fira Code", "monospace")
    svg = re.sub(r"<text[^>]*>\s*</text>", "", svg)
    svg = re.sub(r"terminal-\d+-", "t-", svg)
    return re.sub(r"\n\s+", "\n", svg.replace("<svg ", '<svg xml:space="preserve" ', 1))


async def picture(seconds: float, width: int, height: int) -> str:
    """Return the screen as SVG, after so many seconds of the story."""
    send, receive = trio.open_memory_channel[run.StartedAct](1)
    story = Story()
    async with (
        rediq.serve(
            story.app, "embedded://", queues=list(STORY_QUEUES), concurrency=CONCURRENCY,
            key_prefix=KEY_PREFIX, shutdown_grace=0,
        ) as server,
        open_loop(),
        trio.open_nursery() as nursery,
    ):  # fmt: skip
        board = Board(
            start=send.send_nowait, changed=lambda: None, copy=lambda _: None,
            where="cache-1:6379", environment="production",
        )  # fmt: skip
        app = DashApp(board, Ground("truecolor", light=False, unicode=True))
        running = run._Running(server.client, server.client, board, app, Hiding(), receive)
        nursery.start_soon(story.tell, server.client)
        nursery.start_soon(partial(as_trio(app.run_async), headless=True, size=(width, height)))
        await trio.sleep(1)
        for actor in (running.run_views, running.run_pages, running.run_series):
            nursery.start_soon(actor)
        await trio.sleep(seconds)
        app.canvas.paint()
        await trio.sleep(0.5)
        svg = app.export_screenshot(title="rediq dash", simplify=True)
        nursery.cancel_scope.cancel()
    return smaller(svg)


def main() -> None:
    """Write the picture."""
    parser = argparse.ArgumentParser(description="Write the picture of the terminal.")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="how long the story goes on")
    parser.add_argument("--file", type=Path, default=HERE, help="where to write it")
    options = parser.parse_args()
    svg = trio.run(picture, options.seconds, 100, 30)
    if (size := len(svg.encode())) > SIZE_MAX:
        raise SystemExit(f"the picture has {size:,} bytes, at most {SIZE_MAX:,}")
    options.file.write_text(svg, "utf-8")
    print(f"wrote {options.file.name}, {size:,} bytes")


if __name__ == "__main__":
    main()
