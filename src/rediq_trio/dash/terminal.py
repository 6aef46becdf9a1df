"""The terminal, by Textual: it draws the lines of a frame, and passes on keys and clicks.

Textual never sees text of a task but as cells that are drawn: no markup is read. What goes wrong here ends
the screen first, and is raised by `run_dash` once the terminal is as it was.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any, ClassVar

import trio
from rich.segment import Segment
from textual.app import App, ComposeResult
from textual.events import Click, Key, MouseScrollDown, MouseScrollUp, Paste, Resize
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget

from rediq_trio.dash.board import Board
from rediq_trio.dash.driver import DashDriver, is_behind
from rediq_trio.dash.frame import DrawnScreen, draw
from rediq_trio.dash.ground import Ground
from rediq_trio.dash.palette import ASCII, Palette
from rediq_trio.dash.text import ScreenLine
from rediq_trio.store.redis.connection.event_loop import as_trio


class Canvas(Widget):
    """One widget as large as the screen."""

    can_focus = True

    def __init__(self, board: Board, ground: Ground) -> None:
        super().__init__()
        self.board = board
        self.ground = ground
        self.palette = Palette(colors=ground.colors, light=ground.light)
        self.frame = DrawnScreen(())
        self.failed: Callable[[BaseException], None] = lambda _: None
        self.is_behind: Callable[[], bool] = lambda: False
        self._strips: list[Strip] = []

    def paint(self) -> None:
        """Draw the board anew, unless the terminal has not taken what was drawn before."""
        if self.is_behind():
            return
        try:
            width, height = self.size.width, self.size.height
            if width and height:
                self.frame = draw(self.board, width, height)
                self._strips = [
                    self._strip(n, each, width) for n, each in enumerate(self.frame.lines)
                ]
        except Exception as error:
            self.failed(error)
        self.refresh()

    def _strip(self, number: int, spans: ScreenLine, width: int) -> Strip:
        here, (first, last) = number == self.frame.cursor, self.frame.stale
        modal = self.board.help or self.board.question is not None
        away = first <= number < last
        segments = [
            Segment(
                self._encoded(span.text),
                self.palette.style(
                    span.role, cursor=here and not modal, away=away, changed=span.changed
                ),
            )
            for span in spans
        ]
        return Strip(segments, width)

    def _encoded(self, text: str) -> str:
        if self.ground.unicode:
            return text
        return text.translate(ASCII).encode("ascii", "replace").decode("ascii")

    def render_lines(self, crop: Region) -> list[Strip]:
        blank = Strip.blank(self.size.width)
        strips = [
            self._strips[y] if y < len(self._strips) else blank for y in range(crop.y, crop.bottom)
        ]
        return [strip.crop(crop.x, crop.right) for strip in strips]


class DashApp(App[None], inherit_bindings=False):
    """The application: a canvas, and nothing of Textual's own keys."""

    ENABLE_COMMAND_PALETTE: ClassVar[bool] = False
    CSS = "Screen { background: ansi_default; } Canvas { width: 100%; height: 100%; }"

    def __init__(self, board: Board, ground: Ground) -> None:
        super().__init__(driver_class=DashDriver, ansi_color=True)
        self.board = board
        self.canvas = Canvas(board, ground)
        self.canvas.failed = self.fail
        self.canvas.is_behind = lambda: is_behind(self._driver)
        self.error: BaseException | None = None

    def compose(self) -> ComposeResult:
        yield self.canvas

    @asynccontextmanager
    async def suspended(self) -> AsyncGenerator[None]:
        """Leave the terminal to another program, as it was before this one, while the block lasts.

        What is drawn meanwhile is dropped.
        """
        mode = self.suspend()
        mode.__enter__()
        try:
            yield
        finally:

            async def take_again() -> None:
                mode.__exit__(None, None, None)  # it starts threads that need the loop of asyncio

            with trio.CancelScope(shield=True):
                await as_trio(take_again)()

    def fail(self, error: BaseException) -> None:
        """End the screen; the error is kept for whoever started it."""
        if self.error is None:
            self.error = error
        self.exit()

    def on_mount(self) -> None:
        self.canvas.paint()

    def on_key(self, event: Key) -> None:
        event.stop()
        self._do(self.board.press, event.key, event.character)

    def on_paste(self, event: Paste) -> None:
        event.stop()
        self._do(self.board.paste, event.text)

    def on_resize(self, event: Resize) -> None:
        self.call_after_refresh(self.canvas.paint)

    def on_mouse_scroll_down(self, event: MouseScrollDown) -> None:
        self._do(self.board.press, "down", None)

    def on_mouse_scroll_up(self, event: MouseScrollUp) -> None:
        self._do(self.board.press, "up", None)

    def on_click(self, event: Click) -> None:
        frame = self.canvas.frame
        if event.y == 1:
            for n, (first, last) in enumerate(frame.tabs):
                if first <= event.x < last:
                    self._do(self.board.show_tab, n)
        elif frame.rows_from <= event.y < frame.rows_to:
            self._do(self.board.click, frame.top + event.y - frame.rows_from)

    def _do(self, work: Callable[..., None], *arguments: Any) -> None:
        try:
            work(*arguments)
        except Exception as error:
            self.fail(error)
            return
        if self.board.left:
            self.exit()
        self.canvas.paint()
