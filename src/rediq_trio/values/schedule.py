"""When a recurring task is due: the ticks of `Every` and `Cron`, and the missed ones.

A recurrence is a pure function from one instant to the next tick, so every worker computes
the same ticks, and one of them wins each. Stored instants are milliseconds since the Unix
epoch; no tick is before it.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any, Literal, get_args
from zoneinfo import ZoneInfo

import attrs

from rediq_trio._errors import ConfigError
from rediq_trio.values import bounds, cron

CatchUp = Literal["skip", "once", "all"]
"""What happens to ticks that passed while no worker ran."""
Overlap = Literal["allow", "skip"]
"""What happens to a tick while the task of the tick before it is not finished."""

MIN_INTERVAL = 0.1
"""The shortest interval of `Every`, in seconds."""
MAX_DUE = 10_000
"""Maximum number of ticks that `due_ticks` returns."""

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MILLISECOND = dt.timedelta(milliseconds=1)
# A datetime ends with the year 9999, and a tick is searched up to 50 years ahead.
_LAST_MS = (dt.datetime(9000, 1, 1, tzinfo=dt.UTC) - _EPOCH) // _MILLISECOND


def _choice(kind: Any) -> bounds.Validator:
    """Return a validator that accepts the values of a `Literal` only."""
    choices: tuple[str, ...] = get_args(kind)

    def validate(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
        if value not in choices:
            raise ConfigError.of(attribute.name, value, " or ".join(map(repr, choices)))

    return validate


def _interval(value: bounds.Duration) -> float:
    seconds = bounds.to_seconds(value)
    # Ticks are whole milliseconds; 0.1 + 0.2 is meant as 0.3. What is no number, the validator refuses.
    return round(seconds, 3) if type(seconds) is float else seconds


def _check_timezone(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
    bound = "a time zone of the IANA database, such as 'UTC' or 'Europe/Paris'"
    # "localtime" is a file of some systems, another zone on each.
    if not isinstance(value, str) or value == "localtime":
        raise ConfigError.of(attribute.name, value, bound)
    try:
        ZoneInfo(value)
    except (LookupError, ValueError, OSError) as error:  # unknown; no path; a folder
        raise ConfigError.of(attribute.name, value, bound) from error


def _tidy(line: str) -> str:
    # A value that is no text is left to the validator.
    return " ".join(line.split()) if isinstance(line, str) else line


@attrs.frozen
class Every:
    """Tick at each multiple of `seconds` since the Unix epoch.

    So all workers agree, and a restart does not move the ticks: `Every(3600)` ticks on the
    hour in UTC. An interval that does not divide a day ticks at other times each day.
    """

    seconds: float = attrs.field(
        converter=_interval, validator=bounds.seconds(MIN_INTERVAL, bounds.MAX_DELAY)
    )
    """Seconds between two ticks, 0.1 to 1 year, rounded to milliseconds."""
    catch_up: CatchUp = attrs.field(default="skip", kw_only=True, validator=_choice(CatchUp))
    """Which missed ticks fire: only one that is just late, the latest, or all (see `due_ticks`)."""
    overlap: Overlap = attrs.field(default="allow", kw_only=True, validator=_choice(Overlap))
    """Whether a tick enqueues a task while the task of the tick before it is not finished."""

    def next_after(self, moment: dt.datetime) -> dt.datetime:
        """Return the first tick after an aware datetime, in UTC; `ConfigError` after the year 9000."""
        return _next_after(self, moment)

    def next_ms(self, after_ms: int) -> int | None:
        """Return the first tick after that millisecond; None after the year 9000."""
        if after_ms > _LAST_MS:
            return None
        return (max(after_ms, -1) // self._interval_ms + 1) * self._interval_ms

    def last_ms(self, since_ms: int, until_ms: int) -> int | None:
        """Return the last tick from `since_ms` to `until_ms`, both included; None for none."""
        tick = until_ms // self._interval_ms * self._interval_ms
        return tick if tick >= max(since_ms, 0) else None

    @property
    def _interval_ms(self) -> int:
        return round(self.seconds * 1000)


@attrs.frozen
class Cron:
    """Tick at the times of a cron line, in the local time of a time zone.

    Changes of daylight saving are handled as in Debian's cron. A line with fixed minutes and
    hours (`30 2 * * *`) fires once on every day it names: at the first occurrence if its time
    is repeated, and right after the gap if its time is skipped, where all times of one gap are
    one tick. A line whose minute or hour starts with `*` follows the clock: `*/15 * * * *`
    fires every quarter of an hour through both changes, while `* 2 * * *` does not fire on
    the day without a 2 o'clock hour, and fires for two hours on the day with two.
    """

    line: str = attrs.field(converter=_tidy, validator=cron.check_line)
    """Minute, hour, day of month, month, day of week; or `@hourly`, `@daily` and so on."""
    timezone: str = attrs.field(default="UTC", validator=_check_timezone)
    """The name of an IANA time zone."""
    catch_up: CatchUp = attrs.field(default="skip", kw_only=True, validator=_choice(CatchUp))
    """Which missed ticks fire: only one that is just late, the latest, or all (see `due_ticks`)."""
    overlap: Overlap = attrs.field(default="allow", kw_only=True, validator=_choice(Overlap))
    """Whether a tick enqueues a task while the task of the tick before it is not finished."""

    def __attrs_post_init__(self) -> None:
        cron.check_fires(self.line, ZoneInfo(self.timezone))

    def next_after(self, moment: dt.datetime) -> dt.datetime:
        """Return the first tick after an aware datetime, in UTC; `ConfigError` after the year 9000."""
        return _next_after(self, moment)

    def next_ms(self, after_ms: int) -> int | None:
        """Return the first tick after that millisecond; None after the year 9000."""
        if after_ms > _LAST_MS:
            return None
        tick = cron.next_tick(self.line, ZoneInfo(self.timezone), _instant(max(after_ms, -1)))
        return None if tick is None else _ms(tick)

    def last_ms(self, since_ms: int, until_ms: int) -> int | None:
        """Return the last tick from `since_ms` to `until_ms`, both included; None for none."""
        since_ms, until_ms = max(since_ms, 0), min(until_ms, _LAST_MS)
        if since_ms > until_ms:
            return None
        since, until = _instant(since_ms), _instant(until_ms)
        tick = cron.last_tick(self.line, ZoneInfo(self.timezone), since, until)
        return None if tick is None else _ms(tick)


Recurrence = Every | Cron


@attrs.frozen
class DueTicks:
    """The ticks that fire now, and the next one."""

    ticks: tuple[int, ...]
    """Milliseconds since the Unix epoch, the oldest first."""
    next_ms: int | None
    """The next expected tick; with "all" it may be due already."""


def due_ticks(when: Recurrence, since_ms: int, now_ms: int, *, limit: int = 100) -> DueTicks:
    """Return which ticks from the expected one (`since_ms`) until now fire now.

    - "all": each of them, the oldest first, at most `limit` (1 to 10,000) at a time.
    - "once": the latest one, however old.
    - "skip": the latest one if it is at most `MISSED_AFTER` seconds old.

    Ticks that are left out do not fire later, except with "all". Nothing is due before
    `since_ms`, even if the clock went back. The cost does not depend on the number of ticks
    that are left out. A new or changed schedule starts at its `next_ms` of the present.
    """
    bounds.check_number("limit", limit, 1, MAX_DUE, integer=True)
    if when.catch_up == "all":
        ticks: list[int] = []
        tick = when.next_ms(since_ms - 1)
        while tick is not None and tick <= now_ms and len(ticks) < limit:
            ticks.append(tick)
            tick = when.next_ms(tick)
        return DueTicks(tuple(ticks), tick)
    oldest = since_ms
    if when.catch_up == "skip":
        oldest = max(since_ms, now_ms - round(bounds.MISSED_AFTER * 1000))
    latest = when.last_ms(oldest, now_ms)
    return DueTicks(() if latest is None else (latest,), when.next_ms(max(since_ms - 1, now_ms)))


def pack_recurrence(when: Recurrence) -> list[object]:
    """Return a recurrence as plain data."""
    return [type(when).__name__.lower(), *attrs.astuple(when)]


def unpack_recurrence(data: Sequence[Any]) -> Recurrence:
    """Return the recurrence of plain data; raise `ConfigError` for anything else."""
    match data:
        case ["every", seconds, catch_up, overlap]:
            return Every(seconds, catch_up=catch_up, overlap=overlap)
        case ["cron", line, timezone, catch_up, overlap]:
            return Cron(line, timezone, catch_up=catch_up, overlap=overlap)
        case _:
            raise ConfigError.of("when", data, "a schedule that this version can read")


def describe_schedule(when: Recurrence) -> str:
    """Return a short description: `every 30 s`, `cron "0 2 * * *" Europe/Paris`."""
    if isinstance(when, Cron):
        return f'cron "{when.line}" {when.timezone}'
    whole = int(when.seconds)
    return f"every {whole if whole == when.seconds else when.seconds} s"


def _next_after(when: Recurrence, moment: dt.datetime) -> dt.datetime:
    bounds.check_instant("moment", moment)
    tick = when.next_ms((moment - _EPOCH) // _MILLISECOND)
    if tick is None:
        raise ConfigError.of("moment", moment, "before the year 9000")
    return _instant(tick)


def _instant(ms: int) -> dt.datetime:
    return _EPOCH + ms * _MILLISECOND


def _ms(instant: dt.datetime) -> int:
    return (instant - _EPOCH) // _MILLISECOND
