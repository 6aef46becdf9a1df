"""The schedules of all queues."""

from __future__ import annotations

from collections.abc import Sequence

from rediq_trio.client import Client
from rediq_trio.dash.pages.page import KeyAct, ScreenPage
from rediq_trio.dash.pages.queue_rows import ago, at_clock, until
from rediq_trio.dash.pages.task import TaskDetailPage
from rediq_trio.dash.question import AskedQuestion
from rediq_trio.dash.seen import Seen
from rediq_trio.dash.text import Column, ScreenLine, TableRow, TextSpan, line
from rediq_trio.observe.words import counted, shown
from rediq_trio.schedules.admin import ScheduleInfo
from rediq_trio.values.chance import utc_now
from rediq_trio.values.hiding import Hiding


class SchedulesPage(ScreenPage):
    """When each schedule ticks, and did last."""

    name = "Schedules"
    columns = (
        Column("SCHEDULE", 18),
        Column("WHEN"),
        Column("TYPE", 16),
        Column("QUEUE", 12, since=110),
        Column("OWNER", 14, since=110),
        Column("LAST", 10, right=True),
        Column("NEXT", 9, right=True),
    )
    sorts = ("name", "next")
    least_below = 3

    def __init__(self) -> None:
        super().__init__()
        self.schedules: list[ScheduleInfo] = []

    async def read(self, client: Client, hide: Hiding) -> None:
        self.schedules = await client.schedules().list()

    def head(self, seen: Seen, width: int) -> list[ScreenLine]:
        if not self.schedules:
            return [line(" No schedule." if self.was_shown else " reading"), line()]
        paused = sum(each.paused for each in self.schedules)
        return [line(f" {counted(len(self.schedules), 'schedule')}, {paused} paused"), line()]

    def rows(self, seen: Seen) -> list[TableRow]:
        found = self.schedules
        if self.sort:
            found = sorted(
                found, key=lambda each: (each.next_run is None, each.next_run or utc_now(), each.name)
            )
        return [_row(each) for each in found]

    def _here(self, seen: Seen) -> ScheduleInfo | None:
        key = self.here(self.shown_rows(seen))
        return next((each for each in self.schedules if each.name == key), None)

    def below(self, seen: Seen, width: int, room: int) -> list[ScreenLine]:
        if (schedule := self._here(seen)) is None:
            return []
        at = "" if schedule.next_run is None else f", next at {at_clock(schedule.next_run)}"
        owner = f", declared by {schedule.owner}" if schedule.owner else ""
        text = f"{schedule.type} in {schedule.queue}, {schedule.description}{at}{owner}"
        found = [line(), line(TextSpan(f" {schedule.name}: ", "strong"), text)]
        if schedule.last_task_id is not None:
            found.append(line(TextSpan(f"   last task {schedule.last_task_id}", "second")))
        return found[:room]

    def acts(self, seen: Seen) -> Sequence[KeyAct]:
        return (
            KeyAct("r", "run now", self._run),
            KeyAct("p", "pause", self._pause),
            KeyAct("D", "remove", self._remove),
        )

    def _run(self, seen: Seen) -> None:
        if (schedule := self._here(seen)) is None:
            return
        name = schedule.name

        async def run(client: Client) -> str:
            return f"enqueued {shown((await client.schedules().trigger(name)).id)}"

        seen.start(run)

    def _pause(self, seen: Seen) -> None:
        if (schedule := self._here(seen)) is None:
            return
        name, paused = schedule.name, schedule.paused

        async def change(client: Client) -> str:
            schedules = client.schedules()
            await (schedules.resume(name) if paused else schedules.pause(name))
            return f"{'resumed' if paused else 'paused'} {shown(name)}"

        seen.start(change)

    def _remove(self, seen: Seen) -> None:
        if (schedule := self._here(seen)) is None:
            return
        name = schedule.name

        async def change(client: Client) -> str:
            await client.schedules().remove(name)
            return f"removed {shown(name)}"

        again = (
            "The app that declares it adds it again when a worker starts." if schedule.owner else ""
        )
        lines = tuple(text for text in ("Removes 1 schedule; its tasks stay.", again) if text)
        seen.question = AskedQuestion(
            f"Remove {shown(name, 40)}?", lines, f"Remove {shown(name, 30)}", change
        )

    def enter(self, seen: Seen) -> ScreenPage | None:
        schedule = self._here(seen)
        if schedule is None or schedule.last_task_id is None:
            return None
        return TaskDetailPage(schedule.last_task_id)


def _row(each: ScheduleInfo) -> TableRow:
    at = utc_now()
    late = each.next_run is not None and each.next_run < at
    following = (
        "paused" if each.paused else "-" if each.next_run is None else f"in {until(each.next_run)}"
    )
    return TableRow(
        each.name,
        (
            TextSpan(each.name),
            TextSpan(each.description),
            TextSpan(each.type, "second"),
            TextSpan(each.queue, "second"),
            TextSpan(each.owner or "-", "faint"),
            TextSpan("-" if each.last_run is None else f"{ago(each.last_run)} ago", "second"),
            TextSpan(following, "paused" if each.paused else "warning" if late else ""),
        ),
        TextSpan("‖", "paused") if each.paused else TextSpan(" "),
    )
