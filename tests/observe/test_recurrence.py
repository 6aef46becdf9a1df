from __future__ import annotations

import datetime as dt
from itertools import pairwise

import pytest

from rediq_trio import ConfigError, Cron, Every
from rediq_trio.observe.recurrence import in_words, next_ticks
from rediq_trio.schedules.admin import ScheduleInfo

NOW = dt.datetime(2026, 11, 29, 12, 0, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("* * * * *", "every minute"),
        ("*/1 * * * *", "every minute"),
        ("*/5 * * * *", "every 5 minutes"),
        ("7 * * * *", "at minute 7 of each hour"),
        ("0 * * * *", "every hour, on the hour"),
        ("0,15,30 * * * *", "at minutes 0, 15 and 30 of each hour"),
        ("0 2 * * *", "every day at 02:00"),
        ("0 8,12 * * *", "every day at 08:00 and 12:00"),
        ("0 */2 * * *", "every 2 hours"),
        ("0 */1 * * *", "every hour"),
        ("5 */3 * * *", "every 3 hours at minute 5"),
        ("5 9-17 * * 1-5", "hourly from 09:05 to 17:05, Monday to Friday"),
        ("30 8 * * 1", "Mondays at 08:30"),
        ("30 8 * * mon-fri", "Monday to Friday at 08:30"),
        ("0 0 * * 7", "Sundays at 00:00"),
        ("30 8 * jan sat,sun", "Sundays and Saturdays in January at 08:30"),
        ("0 0 1 * *", "on the 1st of each month at 00:00"),
        ("0 0 1,15 * *", "on the 1st and 15th of each month at 00:00"),
        ("0 0 * 6 *", "every day in June at 00:00"),
        ("@daily", "every day at 00:00"),
        ("@yearly", "on the 1st of January at 00:00"),
    ],
)
def test_lines_that_people_write_have_words(line: str, words: str) -> None:
    assert in_words(Cron(line)) == words


@pytest.mark.parametrize(
    "line",
    [
        "*/7 * * * *",  # the last step of an hour is shorter
        "0 */5 * * *",
        "*/10 9-17 * * *",
        "0,30 8 * * *",
        "0 0 13 * 5",  # either day matches
        "0 0 L * *",
        "0 0 1-7 * *",
        "0 0 * 1-3 *",
        "0 1,2,3,4,5 * * *",
    ],
)
def test_a_line_without_plain_words_has_none(line: str) -> None:
    assert in_words(Cron(line)) is None


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.5, "every 0.5 seconds"), (1, "every second"), (45, "every 45 seconds"), (60, "every minute"),
        (90, "every 90 seconds"), (300, "every 5 minutes"), (7200, "every 2 hours"), (86_400, "every day"),
        (604_800, "every week"),
    ],
)  # fmt: skip
def test_an_interval_is_said_in_its_largest_unit(seconds: float, words: str) -> None:
    assert in_words(Every(seconds)) == words


def info(when: Every | Cron | None, next_run: dt.datetime | None = None) -> ScheduleInfo:
    return ScheduleInfo(
        name="a", queue="q", type="t", when=when, description="", paused=next_run is None,
        next_run=next_run, last_run=None, last_task_id=None, owner=None,
    )  # fmt: skip


def test_the_next_ticks_begin_with_the_one_that_is_expected() -> None:
    overdue = NOW - dt.timedelta(minutes=5)
    ticks = next_ticks(info(Every(60), overdue), NOW, 3)
    assert ticks[0] == overdue
    assert all((b - a).total_seconds() == 60 for a, b in pairwise(ticks))
    assert len(ticks) == 3


def test_a_paused_schedule_has_the_ticks_after_a_resume() -> None:
    assert next_ticks(info(Every(60)), NOW, 1) == [NOW + dt.timedelta(minutes=1)]


def test_a_schedule_that_this_version_cannot_read_has_no_next_ticks() -> None:
    with pytest.raises(ConfigError, match="cannot read when the schedule a ticks"):
        next_ticks(info(None), NOW, 1)
