"""run_dash: the screen, what it reads, and what it does, in one thread.

Textual runs on a loop of asyncio that is a task of Trio, the kind that the connections to Redis run on:
so a key, a view that arrives and an act never run at the same time, and nothing is locked.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Awaitable, Callable

import attrs
import trio

from rediq_trio._errors import RediqError
from rediq_trio._errors.nursery import unwrapped_errors
from rediq_trio.client import Client
from rediq_trio.dash.board import Board
from rediq_trio.dash.ground import Ground
from rediq_trio.dash.question import EditTask, StartedAct
from rediq_trio.dash.terminal import DashApp
from rediq_trio.observe.sampler import sampling
from rediq_trio.observe.type_steps import WAITS_OVER, read_type_steps
from rediq_trio.store.redis.connection.event_loop import as_trio, open_loop
from rediq_trio.tasks.for_each import try_each
from rediq_trio.values.hiding import Hiding

VIEW_EVERY = 0.8
"""Seconds between two readings of all queues: a change is seen within a second."""
SERIES_EVERY = 10.0
"""Seconds between two readings of the series, whose steps are 10 s."""
SERIES_QUEUES = 60
"""Queues whose series are read."""
CLOCK_EVERY = 1.0
LAST_HOUR = dt.timedelta(hours=1)


@attrs.frozen(kw_only=True)
class DashOptions:
    """What the user of the screen chose."""

    where: str
    environment: str = ""
    read_only: bool = False
    ground: Ground
    hide: Hiding
    edit: EditTask | None = None
    """Edits a task; None if nothing can be edited from this screen."""


@attrs.define(eq=False)
class _Running:
    """The actors of the screen."""

    client: Client
    """Reads."""
    acting: Client
    """Changes, for the person at the terminal."""
    board: Board
    app: DashApp
    hide: Hiding
    acts: trio.MemoryReceiveChannel[StartedAct]
    wanted: trio.Event = attrs.field(factory=trio.Event)
    """Is set when another page is shown."""
    reading: trio.CancelScope | None = None
    act: trio.CancelScope | None = None

    def read_now(self) -> None:
        """Read the page that is shown now, whatever is being read."""
        self.wanted.set()
        if self.reading is not None:
            self.reading.cancel()

    def stop_act(self) -> None:
        """Stop the act that goes on, if any."""
        if self.act is not None:
            self.act.cancel()

    async def run_views(self) -> None:
        async with sampling(self.client, every=VIEW_EVERY) as sampler:
            with sampler.views() as views:
                async for view in views:
                    self.board.see(view)
                    self.app.canvas.paint()

    async def run_pages(self) -> None:
        """Read the page that is shown, again and again."""
        while True:
            self.wanted = trio.Event()
            with trio.CancelScope() as self.reading:
                if not self.board.away and not (self.board.frozen and self.board.page.was_shown):
                    await self._read_page()
            self.reading = None
            self.app.canvas.paint()
            with trio.move_on_after(VIEW_EVERY):
                await self.wanted.wait()

    async def _read_page(self) -> None:
        page = self.board.page
        try:
            await page.read(self.client, self.hide)
        except RediqError as error:
            page.missing = " ".join(str(error).split())
        else:
            page.missing, page.was_shown, page.reads = "", True, page.reads + 1

    async def run_series(self) -> None:
        while True:
            view = self.board.view
            if view is not None and not self.board.away and not self.board.frozen:
                busiest = sorted(view.queues, key=lambda each: (-each.tasks, each.name))
                names = [each.name for each in busiest[:SERIES_QUEUES]]
                found, _ = await try_each(
                    names, lambda name: self.client.queue(name).series(LAST_HOUR)
                )
                self.board.series = found or self.board.series
                await self._read_waits([name for name in names if name in found])
                self.app.canvas.paint()
            await trio.sleep(SERIES_EVERY if self.board.series else CLOCK_EVERY / 2)

    async def _read_waits(self, names: list[str]) -> None:
        found, _ = await try_each(
            names, lambda name: read_type_steps(self.client, name, WAITS_OVER)
        )
        waits = {name: steps.lately(WAITS_OVER).wait for name, steps in found.items()}
        self.board.waits = {name: wait.p95 for name, wait in waits.items() if wait is not None}

    async def run_clock(self) -> None:
        """Draw once a second, for what is said relative to now."""
        while True:
            await trio.sleep(CLOCK_EVERY)
            self.app.canvas.paint()

    async def run_acts(self) -> None:
        """Do what the keys asked for, one after another."""
        async for work in self.acts:
            with trio.CancelScope() as self.act:
                try:
                    self.board.answer(await work(self.acting))
                except RediqError as error:
                    notes = getattr(error, "__notes__", ())
                    self.board.say(". ".join((str(error).rstrip("."), *notes)), refused=True)
            if self.act.cancelled_caught:
                self.board.say(f"stopped: {self.board.said}")
            self.act = None
            self.read_now()
            self.app.canvas.paint()


async def run_dash(
    client: Client, acting: Client, options: DashOptions, stop: Callable[[], Awaitable[object]]
) -> None:
    """Show the screen until its user leaves it, or until `stop` returns.

    `acting` is the client that changes are made with. The terminal is as it was when this returns or
    raises, also when it is cancelled.
    """
    send, receive = trio.open_memory_channel[StartedAct](16)

    def start(work: StartedAct) -> None:
        try:
            send.send_nowait(work)
        except trio.WouldBlock:
            board.say("16 acts wait already", refused=True)

    board = Board(
        start=start, changed=lambda: running.read_now(), copy=lambda text: app.copy_to_clipboard(text),
        where=options.where, environment=options.environment, read_only=options.read_only,
    )  # fmt: skip
    async with unwrapped_errors(), open_loop():
        app = DashApp(board, options.ground)
        running = _Running(client, acting, board, app, options.hide, receive)
        board.stop = running.stop_act
        if (edit := options.edit) is not None:
            board.edit = lambda task_id: lambda by: edit(by, task_id, app.suspended, options.hide)
        async with trio.open_nursery() as nursery:
            for actor in (
                running.run_views, running.run_pages, running.run_series, running.run_clock, running.run_acts,
            ):  # fmt: skip
                nursery.start_soon(_guarded, app, actor)
            nursery.start_soon(_leave_on, app, stop)
            await as_trio(app.run_async)()
            nursery.cancel_scope.cancel()
        if app.error is not None:
            raise app.error


async def _guarded(app: DashApp, actor: Callable[[], Awaitable[None]]) -> None:
    """Run an actor; an error of it ends the screen first."""
    try:
        await actor()
    except Exception as error:
        app.fail(error)


async def _leave_on(app: DashApp, stop: Callable[[], Awaitable[object]]) -> None:
    await stop()
    app.exit()
