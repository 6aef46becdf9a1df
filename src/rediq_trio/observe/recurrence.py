"""When a schedule ticks, in words, and its next ticks.

The words are for the lines that people write; any other cron line has none, and is shown as it is.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

from rediq_trio._errors import ConfigError
from rediq_trio.observe.words import counted, ordinal
from rediq_trio.schedules.admin import ScheduleInfo
from rediq_trio.values.cron import fields_of
from rediq_trio.values.schedule import Cron, Every

LISTED_MAX = 4
"""Times, days or months that are named one by one, at most."""
DAYS = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")
MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October",
    "November", "December",
)  # fmt: skip
_UNITS = ((604_800, "week"), (86_400, "day"), (3600, "hour"), (60, "minute"), (1, "second"))


def in_words(when: Every | Cron) -> str | None:
    """Return when a schedule ticks: "every 5 minutes", "every day at 02:00"; None without words for it.

    The words leave out the time zone, which is that of the schedule.
    """
    return _interval(when.seconds) if isinstance(when, Every) else _cron_in_words(when.line)


def _interval(seconds: float) -> str:
    if seconds != int(seconds):
        return f"every {seconds} seconds"
    each, unit = next(pair for pair in _UNITS if seconds % pair[0] == 0)
    number = int(seconds) // each
    return f"every {unit}" if number == 1 else f"every {number:,} {unit}s"


def _cron_in_words(line: str) -> str | None:
    minute, hour, day, month, weekday = fields_of(line)
    time, days = _time(minute, hour), _days(day, month, weekday)
    if time is None or days is None:
        return None
    if time.startswith("at ") and _numbers(hour) is not None:
        return f"{days or 'every day'} {time}"  # it names times of the day
    return f"{time}, {days}" if days else time


def _time(minute: str, hour: str) -> str | None:
    """Return the times of a day; None without words for them."""
    step, minutes, hours = _step(minute, 60), _numbers(minute), _numbers(hour)
    if hour == "*" and (step or minute == "*"):
        return "every minute" if step in (None, 1) else f"every {step} minutes"
    if minutes is None:
        return None
    if hour == "*":
        at = f"minute{'s' if len(minutes) > 1 else ''} {_and([str(one) for one in minutes])}"
        return "every hour, on the hour" if minutes == [0] else f"at {at} of each hour"
    if len(minutes) > 1:
        return None
    if hours is not None:
        return f"at {_and([f'{one:02}:{minutes[0]:02}' for one in hours])}"
    if (every := _step(hour, 24)) is not None:
        at = "" if minutes == [0] else f" at minute {minutes[0]}"
        return f"every {counted(every, 'hour') if every > 1 else 'hour'}{at}"
    if (ends := _range(hour)) is not None:
        return f"hourly from {ends[0]:02}:{minutes[0]:02} to {ends[1]:02}:{minutes[0]:02}"
    return None


def _days(day: str, month: str, weekday: str) -> str | None:
    """Return the days of a line, "" for every day; None without words for them."""
    months = "" if month == "*" else _names(month, MONTHS, 1)
    if months is None or (day != "*" and weekday != "*"):
        return None
    if weekday != "*":
        names = _weekdays(weekday)
        return names and (f"{names} in {months}" if months else names)
    if day != "*":
        numbers = _numbers(day)
        if numbers is None:
            return None
        return f"on the {_and([ordinal(one) for one in numbers])} of {months or 'each month'}"
    return f"every day in {months}" if months else ""


def _weekdays(field: str) -> str | None:
    plain = _named(field, DAYS, 0)
    if (ends := _range(plain)) is not None:
        return f"{DAYS[ends[0] % 7]} to {DAYS[ends[1] % 7]}"
    numbers = _numbers(plain)
    return None if numbers is None else _and([f"{DAYS[one % 7]}s" for one in numbers])


def _names(field: str, names: Sequence[str], first: int) -> str | None:
    numbers = _numbers(_named(field, names, first))
    return None if numbers is None else _and([names[one - first] for one in numbers])


def _named(field: str, names: Sequence[str], first: int) -> str:
    """Return a field with the names that it may have in place of numbers as numbers."""
    field = field.lower()
    for number, name in enumerate(names, first):
        field = field.replace(name[:3].lower(), str(number))
    return field


def _numbers(field: str) -> list[int] | None:
    parts = field.split(",")
    if len(parts) > LISTED_MAX or not all(part.isdecimal() for part in parts):
        return None
    return sorted({int(part) for part in parts})


def _range(field: str) -> tuple[int, int] | None:
    first, dash, last = field.partition("-")
    return (int(first), int(last)) if dash and first.isdecimal() and last.isdecimal() else None


def _step(field: str, whole: int) -> int | None:
    """Return the step of a field like "*/5"; None for one that does not divide the hour or the day."""
    start, slash, step = field.partition("/")
    number = int(step) if start == "*" and slash and step.isdecimal() else 0
    return number if number and whole % number == 0 else None


def _and(words: Sequence[str]) -> str:
    return " and ".join([*([", ".join(words[:-1])] if words[:-1] else []), words[-1]])


def next_ticks(info: ScheduleInfo, now: dt.datetime, number: int) -> list[dt.datetime]:
    """Return the next ticks in order; of a paused schedule, those after a resume.

    A tick that is overdue is the first. Raises `ConfigError` if this version cannot read when it ticks.
    """
    if info.when is None:
        raise ConfigError(f"this version cannot read when the schedule {info.name} ticks")
    at, ticks = info.next_run or now, [info.next_run] if info.next_run else []
    while len(ticks) < number:
        at = info.when.next_after(at)
        ticks.append(at)
    return ticks
