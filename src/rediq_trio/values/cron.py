"""The instants of a cron line in a time zone.

`cronsim` parses the line and walks the calendar in local time without a zone; this module
adds the zone. (cronsim 2.8 knows zones, but moves in steps of an hour: it loses ticks where
the clock moves by half an hour, in Australia/Lord_Howe, and in a repeated hour it may return
a tick before the instant in question.)

The rules are Debian's, cron(8), "Daylight Saving Time and other time changes":

- If the minute or the hour starts with `*`, the line fires whenever the local clock shows a
  matching time: never in a skipped hour, twice in a repeated one.
- Any other line names times of the day, and each fires once: in a repeated hour at its first
  occurrence, and in a skipped hour at the first instant after the gap, where all skipped
  times are one tick.
- If neither day field starts with `*`, either may match; otherwise both must.
"""

from __future__ import annotations

import datetime as dt
from bisect import bisect_left
from typing import Any
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from rediq_trio._errors import ConfigError, quote

MAX_LINE = 256
"""Maximum characters of a cron line."""
SEARCH_SPAN = dt.timedelta(days=50 * 366)
"""How far ahead a tick is searched: 50 years, as in cronsim."""

_CRON_FIELDS = ("minute", "hour", "day-of-month", "month", "day-of-week")
_NICKNAMES = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_SECOND = dt.timedelta(seconds=1)
_DAY = dt.timedelta(days=1)
# The rules of daylight saving do not change after 2038, so a line that does not fire in the
# 50 years from here never fires.
_REFERENCE = dt.datetime(2050, 1, 1, tzinfo=dt.UTC)


def check_line(_: object, attribute: object, line: Any) -> None:
    """Validate a cron line; raise `ConfigError` that names the bad field."""
    if not isinstance(line, str) or len(line) > MAX_LINE:
        raise ConfigError.of("line", line, f"a cron line of at most {MAX_LINE} characters")
    fields = fields_of(line)
    if len(fields) != len(_CRON_FIELDS):
        bound = f"the 5 fields {' '.join(_CRON_FIELDS)}, or one of {' '.join(_NICKNAMES)}"
        raise ConfigError.of("line", line, bound)
    try:
        CronSim(" ".join(fields), _wall(_REFERENCE))
    except CronSimError as error:
        name = str(error).removeprefix("Bad ")
        if name not in _CRON_FIELDS:
            raise ConfigError.of("line", line, f"a cron line ({error})") from error
        if name == "day-of-month" and _readable(" ".join((*fields[:3], "*", "*"))):
            raise _never(line) from error
        field = quote(fields[_CRON_FIELDS.index(name)])
        raise ConfigError.of("line", line, f"a cron line; its {name} is {field}") from error


def check_fires(line: str, zone: ZoneInfo) -> None:
    """Raise `ConfigError` for a line that never fires, such as `0 0 30 2 *`."""
    if next_tick(line, zone, _REFERENCE) is None:
        raise _never(line)


def next_tick(line: str, zone: ZoneInfo, after: dt.datetime) -> dt.datetime | None:
    """Return the first tick after an instant in UTC; None if there is none in 50 years."""
    start = after.replace(microsecond=0) + _SECOND
    return _seek(line, zone, start, start + SEARCH_SPAN)


def last_tick(
    line: str, zone: ZoneInfo, since: dt.datetime, until: dt.datetime
) -> dt.datetime | None:
    """Return the last tick from `since` to `until`, both included and in UTC; None for none.

    The search goes back from `until`, so its cost does not depend on the number of ticks.
    """
    tick = _seek(line, zone, until.replace(microsecond=0), since)
    return None if tick is None or tick < since else tick


def _seek(line: str, zone: ZoneInfo, start: dt.datetime, stop: dt.datetime) -> dt.datetime | None:
    """Return the first tick on the way from `start` to `stop`, both included."""
    fields = fields_of(line)
    follows_clock = any(field.startswith("*") for field in fields[:2])
    seek = _seek_rhythm if follows_clock else _seek_time_of_day
    return seek(" ".join(fields), zone, start, stop)


def _seek_rhythm(
    line: str, zone: ZoneInfo, start: dt.datetime, stop: dt.datetime
) -> dt.datetime | None:
    """Seek a tick of a line that follows the local clock, from one offset change to the next."""
    back = stop < start
    step = -_SECOND if back else _SECOND
    while start >= stop if back else start <= stop:
        offset = _offset(zone, start)
        wall = next(CronSim(line, _wall(start + offset - step), reverse=back), None)
        if wall is None:
            return None
        tick = wall.replace(tzinfo=dt.UTC) - offset
        edge = _last_alike(zone, start, max(tick, stop) if back else min(tick, stop))
        if edge == tick:
            return tick
        start = edge + step
    return None


def _seek_time_of_day(
    line: str, zone: ZoneInfo, start: dt.datetime, stop: dt.datetime
) -> dt.datetime | None:
    """Seek a tick of a line that names times of the day."""
    back = stop < start
    # Local times and their instants ascend together, so the ticks from `start` on are those of
    # the local times after the one just before `start`. On the way back, begin at the latest
    # local time that was ever shown: in a repeated hour, the end of its first occurrence.
    if back:
        latest = start.astimezone(zone).replace(fold=0).utcoffset()
        assert latest is not None
        wall = _wall(start + latest + _SECOND)
    else:
        wall = _wall((start - _SECOND).astimezone(zone))
    for local in CronSim(line, wall, reverse=back):
        tick = _instant(zone, local)
        if tick <= start if back else tick >= start:
            return tick if back or tick <= stop else None
    return None


def _instant(zone: ZoneInfo, wall: dt.datetime) -> dt.datetime:
    """Return the first instant at which the local clock shows that time, or has passed it."""
    tick = wall.replace(tzinfo=zone).astimezone(dt.UTC)
    if _wall(tick.astimezone(zone)) == wall:
        return tick
    # The clock skips it: the two readings of such a time lie before and after the gap (PEP 495).
    before = wall.replace(tzinfo=zone, fold=1).astimezone(dt.UTC)
    return _last_alike(zone, before, tick) + _SECOND


def _last_alike(zone: ZoneInfo, start: dt.datetime, stop: dt.datetime) -> dt.datetime:
    """Return the last second from `start` to `stop` before the zone's offset changes.

    Searched by days, as no zone changes twice within a day, and then by bisection.
    """
    offset = _offset(zone, start)
    day, second = (_DAY, _SECOND) if start < stop else (-_DAY, -_SECOND)

    def differs(seconds: int) -> bool:
        return _offset(zone, start + seconds * second) != offset

    while start != stop:
        near = stop if abs(stop - start) < _DAY else start + day
        if _offset(zone, near) != offset:
            first = bisect_left(range(abs(near - start) // _SECOND + 1), True, key=differs)
            return start + (first - 1) * second
        start = near
    return stop


def _offset(zone: ZoneInfo, instant: dt.datetime) -> dt.timedelta:
    offset = instant.astimezone(zone).utcoffset()
    assert offset is not None
    return offset


def _wall(moment: dt.datetime) -> dt.datetime:
    """Return the local time without its zone."""
    return moment.replace(tzinfo=None, fold=0)


def fields_of(line: str) -> list[str]:
    """Return the fields of a line, those that a nickname such as `@daily` stands for too."""
    return _NICKNAMES.get(line.lower(), line).split()


def _readable(line: str) -> bool:
    try:
        CronSim(line, _wall(_REFERENCE))
    except CronSimError:
        return False
    return True


def _never(line: str) -> ConfigError:
    return ConfigError.of("line", line, "a cron line that fires at least once in 50 years")
