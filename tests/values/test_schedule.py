"""Schedules: which instants they name, through changes of the clock, and what of missed ticks."""

import datetime as dt
import itertools
import time
from collections.abc import Iterator
from typing import Any
from zoneinfo import ZoneInfo

import attrs
import msgpack
import pytest
from cronsim import CronSim
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rediq_trio._errors import ConfigError
from rediq_trio.values.bounds import MAX_DELAY, MISSED_AFTER
from rediq_trio.values.schedule import (
    Cron,
    DueTicks,
    Every,
    Recurrence,
    describe_schedule,
    due_ticks,
    pack_recurrence,
    unpack_recurrence,
)

PARIS, NEW_YORK, LORD_HOWE = "Europe/Paris", "America/New_York", "Australia/Lord_Howe"
HAVANA = "America/Havana"
"""Its clock goes from 00:00 to 01:00 and from 01:00 back to 00:00."""
TROLL = "Antarctica/Troll"
"""Its clock moves by two hours."""
CHANGES = {
    # The last second before the clock goes forward, and before it goes back, in UTC.
    PARIS: ("2026-03-29T00:59:59", "2026-10-25T00:59:59"),
    NEW_YORK: ("2026-03-08T06:59:59", "2026-11-01T05:59:59"),
    LORD_HOWE: ("2026-10-03T15:29:59", "2026-04-04T14:59:59"),
    HAVANA: ("2026-03-08T04:59:59", "2026-11-01T04:59:59"),
    TROLL: ("2026-03-29T00:59:59", "2026-10-25T00:59:59"),
}
EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000


def utc(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC)


def ms(moment: dt.datetime) -> int:
    return (moment - EPOCH) // dt.timedelta(milliseconds=1)


def walk(when: Recurrence, moment: dt.datetime) -> Iterator[dt.datetime]:
    while True:
        moment = when.next_after(moment)
        yield moment


def shown(line: str, timezone: str, date: str) -> list[str]:
    """Give what the local clock shows at each tick of a day, with its offset from UTC."""
    zone, day = ZoneInfo(timezone), dt.date.fromisoformat(date)
    start = dt.datetime.combine(day, dt.time(), zone) - dt.timedelta(seconds=1)
    local = (tick.astimezone(zone) for tick in walk(Cron(line, timezone), start))
    return [f"{t:%H:%M%z}" for t in itertools.takewhile(lambda t: t.date() == day, local)]


# What a line names, for the lines that the tests make up: the text of a field and its numbers.

Field = tuple[str, frozenset[int]]


def field(low: int, high: int, names: str = "") -> st.SearchStrategy[Field]:
    def named(number: int, by_name: bool) -> str:
        return names.split()[number - low] if names and by_name else str(number)

    def alone(number: int, by_name: bool) -> Field:
        return named(number, by_name), frozenset({number})

    def spell(bounds: list[int], step: int, by_name: bool) -> Field:
        first, last = min(bounds), max(bounds)
        span = f"{named(first, by_name)}-{named(last, by_name)}"
        # cronsim reads 5-5/2 as it reads 5/2: from 5 to the end.
        if first == last:
            return alone(first, by_name)
        if step == 1:
            return span, frozenset(range(first, last + 1))
        return f"{span}/{step}", frozenset(range(first, last + 1, step))

    numbers = st.integers(low, high)
    one = st.builds(alone, numbers, st.booleans())
    span = st.builds(
        spell, st.lists(numbers, min_size=2, max_size=2), st.integers(1, high), st.booleans()
    )
    several = st.lists(one | span, min_size=2, max_size=3).map(
        lambda parts: (
            ",".join(p[0] for p in parts),
            frozenset[int]().union(*(p[1] for p in parts)),
        )
    )
    steps = st.integers(1, high).map(lambda n: (f"*/{n}", frozenset(range(low, high + 1, n))))
    every = st.just(("*", frozenset(range(low, high + 1))))
    return every | every | one | span | several | steps


MONTHS = "jan feb mar apr may jun jul aug sep oct nov dec"
WEEKDAYS = "Sun Mon TUE wed thu fri sat"
made_up = st.tuples(
    field(0, 59), field(0, 23), field(1, 31), field(1, 12, MONTHS), field(0, 6, WEEKDAYS)
)
zones = st.sampled_from([*CHANGES, "UTC", "Asia/Kolkata"])


def names_time(fields: tuple[Field, ...], local: dt.datetime) -> bool:
    minute, hour, day, month, weekday = (numbers for _, numbers in fields)
    days = [local.day in day, local.isoweekday() % 7 in weekday]
    either = not fields[2][0].startswith("*") and not fields[4][0].startswith("*")
    return (
        local.minute in minute
        and local.hour in hour
        and local.month in month
        and (any(days) if either else all(days))
    )


def brute_ticks(
    fields: tuple[Field, ...], timezone: str, start: dt.datetime, stop: dt.datetime
) -> list[dt.datetime]:
    """Try every minute from `start` on, as the rules say."""
    zone, minute = ZoneInfo(timezone), dt.timedelta(minutes=1)
    follows_clock = fields[0][0].startswith("*") or fields[1][0].startswith("*")
    ticks: list[dt.datetime] = []
    before = (start - minute).astimezone(zone).replace(tzinfo=None)
    while start < stop:
        local = start.astimezone(zone)
        bare = local.replace(tzinfo=None, fold=0)
        if follows_clock:
            fires = names_time(fields, bare)
        else:
            # Everything that the clock passed since the minute before, unless it went back.
            passed = [bare - n * minute for n in range(max(0, (bare - before) // minute))]
            fires = local.fold == 0 and any(names_time(fields, each) for each in passed)
        if fires:
            ticks.append(start)
        before, start = bare, start + minute
    return ticks


def build(fields: tuple[Field, ...], timezone: str) -> Cron | None:
    try:
        return Cron(" ".join(text for text, _ in fields), timezone)
    except ConfigError as error:
        if "fires at least once" not in str(error):
            raise
        return None


moments = st.one_of(
    st.sampled_from([utc(change) for pair in CHANGES.values() for change in pair]).flatmap(
        lambda change: st.integers(-2 * 86_400, 86_400).map(
            lambda seconds: change + dt.timedelta(seconds=seconds)
        )
    ),
    st.datetimes(dt.datetime(1970, 1, 1), dt.datetime(2099, 1, 1), timezones=st.just(dt.UTC)),
)


@given(made_up, zones, moments)
@settings(max_examples=150, deadline=None)
def test_a_cron_line_fires_at_the_minutes_that_it_names_and_at_no_other(
    fields: tuple[Field, ...], timezone: str, moment: dt.datetime
) -> None:
    when = build(fields, timezone)
    if when is None:
        return
    start = moment.replace(second=0, microsecond=0)
    stop = start + dt.timedelta(days=1, hours=3)
    expected = brute_ticks(fields, timezone, start, stop)
    second = dt.timedelta(seconds=1)
    found = list(itertools.takewhile(lambda t: t < stop, walk(when, start - second)))
    assert found == expected
    # And backwards, from each tick and from just before the next.
    for tick, following in itertools.pairwise([*expected, stop]):
        assert when.last_ms(ms(start), ms(tick)) == ms(tick)
        assert when.last_ms(ms(start), ms(following) - 1) == ms(tick)
    assert when.last_ms(ms(start), ms(expected[0] if expected else stop) - 1) is None


@given(made_up, st.sampled_from([PARIS, NEW_YORK]), moments)
@settings(max_examples=150, deadline=None)
def test_where_the_clock_moves_by_an_hour_cronsim_agrees(
    fields: tuple[Field, ...], timezone: str, moment: dt.datetime
) -> None:
    when = build(fields, timezone)
    if when is None:
        return
    by_cronsim = (
        t.astimezone(dt.UTC) for t in CronSim(when.line, moment.astimezone(ZoneInfo(timezone)))
    )
    # In the doubled hour it may begin with ticks of the first one.
    later = itertools.dropwhile(lambda t: t <= moment, by_cronsim)
    assert list(itertools.islice(walk(when, moment), 40)) == list(itertools.islice(later, 40))


everys = st.builds(Every, st.integers(100, int(MAX_DELAY) * 1000).map(lambda n: n / 1000))


@given(everys | st.sampled_from([Cron("*/7 * * * *", LORD_HOWE), Cron("@weekly")]), moments)
def test_ticks_ascend_strictly_and_the_next_is_the_first_that_follows(
    when: Recurrence, moment: dt.datetime
) -> None:
    first, second = itertools.islice(walk(when, moment), 2)
    assert moment < first < second
    assert when.next_after(first - dt.timedelta(milliseconds=1)) == first
    assert when.last_ms(0, ms(first) - 1) in (None, when.last_ms(0, ms(moment)))


@given(everys, st.integers(0, 4_000_000_000_000))
def test_an_interval_ticks_at_its_multiples_since_the_epoch(when: Every, moment: int) -> None:
    tick, interval = when.next_ms(moment), round(when.seconds * 1000)
    assert tick is not None
    assert tick % interval == 0
    assert moment < tick <= moment + interval


# Changes of the clock


@pytest.mark.parametrize(
    ("timezone", "date", "line", "ticks"),
    [
        (PARIS, "2026-03-29", "30 2 * * *", ["03:00+0200"]),
        (PARIS, "2026-03-29", "0,30 2 * * *", ["03:00+0200"]),
        (PARIS, "2026-03-29", "30 2,3 * * *", ["03:00+0200", "03:30+0200"]),
        (PARIS, "2026-03-29", "0 3 * * *", ["03:00+0200"]),
        (PARIS, "2026-03-29", "0 2-4 * * *", ["03:00+0200", "04:00+0200"]),
        (NEW_YORK, "2026-03-08", "30 2 * * *", ["03:00-0400"]),
        (LORD_HOWE, "2026-10-04", "15 2 * * *", ["02:30+1100"]),
        (LORD_HOWE, "2026-10-04", "45 2 * * *", ["02:45+1100"]),
        (HAVANA, "2026-03-08", "@daily", ["01:00-0400"]),
    ],
)
def test_a_time_of_the_day_in_a_skipped_hour_fires_once_right_after_the_gap(
    timezone: str, date: str, line: str, ticks: list[str]
) -> None:
    assert shown(line, timezone, date) == ticks


@pytest.mark.parametrize(
    ("timezone", "date", "line", "ticks"),
    [
        (PARIS, "2026-10-25", "30 2 * * *", ["02:30+0200"]),
        (PARIS, "2026-10-25", "0 2,3 * * *", ["02:00+0200", "03:00+0100"]),
        (NEW_YORK, "2026-11-01", "30 1 * * *", ["01:30-0400"]),
        (LORD_HOWE, "2026-04-05", "45 1 * * *", ["01:45+1100"]),
        (LORD_HOWE, "2026-04-05", "15 1 * * *", ["01:15+1100"]),
        (HAVANA, "2026-11-01", "@daily", ["00:00-0400"]),
    ],
)
def test_a_time_of_the_day_in_a_doubled_hour_fires_at_its_first_occurrence_only(
    timezone: str, date: str, line: str, ticks: list[str]
) -> None:
    assert shown(line, timezone, date) == ticks


def test_from_within_the_second_of_two_hours_a_time_of_the_day_is_that_of_the_next_day() -> None:
    second_time = utc("2026-10-25T01:10:00")
    when = Cron("30 2 * * *", PARIS)
    assert when.next_after(second_time) == utc("2026-10-26T01:30:00")
    assert when.last_ms(0, ms(second_time)) == ms(utc("2026-10-25T00:30:00"))


@pytest.mark.parametrize("timezone", CHANGES)
@pytest.mark.parametrize("change", [0, 1])
def test_a_line_of_every_quarter_keeps_its_rhythm_through_both_changes(
    timezone: str, change: int
) -> None:
    start = utc(CHANGES[timezone][change]) - dt.timedelta(hours=3)
    ticks = list(itertools.islice(walk(Cron("*/15 * * * *", timezone), start), 24))
    assert {b - a for a, b in itertools.pairwise(ticks)} == {dt.timedelta(minutes=15)}


@pytest.mark.parametrize("timezone", [PARIS, NEW_YORK])
@pytest.mark.parametrize("change", [0, 1])
def test_an_hourly_line_keeps_its_rhythm_where_the_clock_moves_by_an_hour(
    timezone: str, change: int
) -> None:
    start = utc(CHANGES[timezone][change]) - dt.timedelta(hours=3)
    ticks = list(itertools.islice(walk(Cron("@hourly", timezone), start), 8))
    assert {b - a for a, b in itertools.pairwise(ticks)} == {dt.timedelta(hours=1)}


def test_an_hourly_line_follows_a_clock_that_moves_by_half_an_hour() -> None:
    forward = shown("0 * * * *", LORD_HOWE, "2026-10-04")
    assert forward[:4] == ["00:00+1030", "01:00+1030", "03:00+1100", "04:00+1100"]
    back = shown("45 * * * *", LORD_HOWE, "2026-04-05")
    assert back[:4] == ["00:45+1100", "01:45+1100", "01:45+1030", "02:45+1030"]


def test_a_line_with_a_wildcard_never_fires_in_a_skipped_hour_and_twice_in_a_doubled_one() -> None:
    assert shown("*/30 2 * * *", PARIS, "2026-03-29") == []
    twice = ["02:00+0200", "02:30+0200", "02:00+0100", "02:30+0100"]
    assert shown("*/30 2 * * *", PARIS, "2026-10-25") == twice
    assert shown("0 */2 * * *", PARIS, "2026-03-29")[:3] == [
        "00:00+0100",
        "04:00+0200",
        "06:00+0200",
    ]


def test_the_second_of_two_hours_is_found_though_the_next_match_by_date_is_a_year_off() -> None:
    ticks = walk(Cron("*/30 2 25 10 *", PARIS), utc("2026-10-25T00:30:00"))
    assert next(ticks) == utc("2026-10-25T01:00:00")
    assert next(ticks) == utc("2026-10-25T01:30:00")
    assert next(ticks) == utc("2027-10-25T00:00:00")


def test_the_half_hour_after_a_gap_of_half_an_hour_is_not_lost() -> None:
    ticks = shown("*/10 3 * * *", LORD_HOWE, "2026-10-04")
    assert ticks == [f"03:{minute}0+1100" for minute in range(6)]


def test_a_daily_line_stays_at_its_local_time_across_a_change() -> None:
    ticks = itertools.islice(walk(Cron("0 9 * * *", PARIS), utc("2026-03-28T00:00:00")), 2)
    assert list(ticks) == [utc("2026-03-28T08:00:00"), utc("2026-03-29T07:00:00")]


@pytest.mark.parametrize("when", [Every(60), Cron("* * * * *", PARIS), Cron("0-59 2 1 1 *", PARIS)])
@pytest.mark.parametrize("span", [0, 1, 500, 999])
def test_between_two_ticks_there_is_no_last_one(when: Recurrence, span: int) -> None:
    tick = ms(utc("2026-01-01T01:10:00"))
    for start in (tick + 1, tick + 1_000, tick + 30_500, tick + MINUTE - 1 - span):
        assert when.last_ms(start, start + span) is None
    assert when.last_ms(tick, tick + span) == tick


# What a line says


def test_where_both_days_are_restricted_either_may_match() -> None:
    ticks = itertools.islice(walk(Cron("0 0 13 * fri"), utc("2026-03-01T00:00:00")), 5)
    assert [tick.day for tick in ticks] == [6, 13, 20, 27, 3]
    ticks = itertools.islice(walk(Cron("0 0 10 * fri"), utc("2026-03-01T00:00:00")), 3)
    assert [tick.day for tick in ticks] == [6, 10, 13]


def test_where_a_day_starts_with_a_star_both_must_match() -> None:
    ticks = itertools.islice(walk(Cron("0 0 */2 * fri"), utc("2026-03-01T00:00:00")), 3)
    assert [tick.day for tick in ticks] == [13, 27, 3]


@pytest.mark.parametrize("weekday", ["0", "7", "sun", "SUN", "Sun"])
def test_sunday_has_five_spellings(weekday: str) -> None:
    when = Cron(f"0 0 * * {weekday}")
    assert when.next_after(utc("2026-03-02T00:00:00")) == utc("2026-03-08T00:00:00")


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("@yearly", "0 0 1 1 *"), ("@annually", "0 0 1 jan *"), ("@monthly", "0 0 1 * *"),
        ("@weekly", "0 0 * * sun"), ("@daily", "0 0 * * *"), ("@midnight", "0 0 * * *"),
        ("@hourly", "0 * * * *"), ("@Daily", "0 0 * * *"),
    ],
)  # fmt: skip
def test_a_name_is_short_for_a_line(name: str, line: str) -> None:
    start = utc("2026-02-03T04:05:06")
    short, long = walk(Cron(name, PARIS), start), walk(Cron(line, PARIS), start)
    assert list(itertools.islice(short, 5)) == list(itertools.islice(long, 5))


def test_cronsim_s_last_and_nth_days_are_understood() -> None:
    start = utc("2026-02-03T00:00:00")
    assert Cron("0 0 L * *").next_after(start) == utc("2026-02-28T00:00:00")
    assert Cron("0 0 LW * *").next_after(start) == utc("2026-02-27T00:00:00")
    assert Cron("0 0 * * 5L").next_after(start) == utc("2026-02-27T00:00:00")
    assert Cron("0 0 * * mon#2").next_after(start) == utc("2026-02-09T00:00:00")


def test_space_in_a_line_does_not_matter() -> None:
    assert Cron("  0\t2  * * * ") == Cron("0 2 * * *")


def test_29_february_is_waited_for_over_a_century_that_has_none() -> None:
    ticks = walk(Cron("0 0 29 2 *"), utc("2095-01-01T00:00:00"))
    assert [next(ticks).year for _ in range(2)] == [2096, 2104]


# What is refused


@pytest.mark.parametrize(
    ("line", "bad"),
    [
        ("60 * * * *", "its minute is '60'"),
        ("0 24 * * *", "its hour is '24'"),
        ("0 0 0 * *", "its day-of-month is '0'"),
        ("0 0 32 * *", "its day-of-month is '32'"),
        ("0 0 * 13 *", "its month is '13'"),
        ("0 0 * foo *", "its month is 'foo'"),
        ("0 0 * * 8", "its day-of-week is '8'"),
        ("0 0 * * sat-sun", "its day-of-week is 'sat-sun'"),
        ("*/0 * * * *", "its minute is '\\*/0'"),
        ("1,,2 * * * *", "its minute is '1,,2'"),
        ("5-1 * * * *", "its minute is '5-1'"),
        ("* * * *", "minute hour day-of-month month day-of-week"),
        ("0 * * * * *", "the 5 fields"),
        ("", "the 5 fields"),
        ("@reboot", "@yearly"),
        ("0 " * 200, "at most 256"),
        (None, "a cron line"),
        (["0 2 * * *"], "a cron line"),
        ("0 0 30 2 *", "fires at least once"),
        ("0 0 31 2,4,6,9,11 *", "fires at least once"),
        ("0 0 */20 * mon#5", "fires at least once"),
    ],
)
def test_a_bad_line_is_refused_and_its_bad_field_named(line: Any, bad: str) -> None:
    with pytest.raises(ConfigError, match=f"^line=.*must be.*{bad}") as caught:
        Cron(line)
    assert len(str(caught.value)) < 300


def test_a_line_that_names_skipped_hours_only_never_fires() -> None:
    line = "* 2 * 3 sun#2"
    Cron(line, "UTC")
    with pytest.raises(ConfigError, match="fires at least once"):
        Cron(line, NEW_YORK)


@given(st.text(max_size=30) | st.lists(st.text("0123456789*/-,#LWl@²", min_size=1, max_size=6),
       min_size=5, max_size=5).map(" ".join))  # fmt: skip
@example("1#2/3 * * * 5L/2")
@example("0 0 L/2 * 1#2/3")
@settings(deadline=None)
def test_any_text_is_a_line_or_an_error_of_the_configuration(line: str) -> None:
    try:
        when = Cron(line, PARIS)
    except ConfigError:
        return
    moment = utc("2026-01-01T00:00:00")
    assert when.next_after(moment) > moment


@pytest.mark.parametrize(
    "name",
    [
        "Mars/Olympus", "", "europe/../etc", "/etc/passwd", "America", "localtime", "Europe/Paris ",
        "a" * 5000, "\0", "\udc80", "tzdata.zi", None, 1,
    ],
)  # fmt: skip
def test_an_unknown_time_zone_is_refused(name: Any) -> None:
    with pytest.raises(ConfigError, match=r"^timezone=.*must be a time zone of the IANA database"):
        Cron("@daily", name)


@pytest.mark.parametrize(
    "seconds",
    [0, 0.099, -1, MAX_DELAY + 1, float("nan"), float("inf"), "1", True, None, 0.0994],
)
def test_an_interval_out_of_its_bounds_is_refused(seconds: Any) -> None:
    with pytest.raises(ConfigError, match=r"^seconds="):
        Every(seconds)


@pytest.mark.parametrize("field", ["catch_up", "overlap"])
@pytest.mark.parametrize("value", ["never", "", None, True, ["skip"]])
def test_an_unknown_option_is_refused_by_name(field: str, value: Any) -> None:
    options: Any = {field: value}
    with pytest.raises(ConfigError, match=f"^{field}=.*'skip'"):
        Every(1, **options)
    with pytest.raises(ConfigError, match=f"^{field}=.*'skip'"):
        Cron("@daily", **options)


def test_a_moment_without_a_zone_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"^moment="):
        Every(1).next_after(dt.datetime(2026, 1, 1))


@pytest.mark.parametrize("when", [Every(1), Cron("@daily")])
def test_ticks_begin_with_the_epoch_and_end_with_the_year_9000(when: Recurrence) -> None:
    assert when.next_ms(-(10**20)) == 0
    assert when.next_ms(10**20) is None
    assert when.last_ms(-(10**20), -1) is None
    assert when.last_ms(0, 10**20) is not None
    with pytest.raises(ConfigError, match=r"^moment=.*year 9000"):
        when.next_after(utc("9001-01-01T00:00:00"))


# What of missed ticks


def test_all_fires_each_due_tick_the_oldest_first_and_keeps_the_rest() -> None:
    when = Every(1, catch_up="all")
    assert due_ticks(when, 5_000, 9_999, limit=3) == DueTicks((5_000, 6_000, 7_000), 8_000)
    assert due_ticks(when, 8_000, 9_999, limit=3) == DueTicks((8_000, 9_000), 10_000)


@pytest.mark.parametrize("when", [Every(60), Cron("* * * * *")])
def test_once_fires_the_latest_due_tick_however_old(when: Recurrence) -> None:
    when = attrs.evolve(when, catch_up="once")
    assert due_ticks(when, MINUTE, DAY + 59_000) == DueTicks((DAY,), DAY + MINUTE)
    yearly = Cron("@yearly", catch_up="once")
    assert due_ticks(yearly, 0, 300 * DAY) == DueTicks((0,), 365 * DAY)


@pytest.mark.parametrize("when", [Every(3600), Cron("@hourly")])
def test_skip_fires_a_tick_that_is_late_but_none_that_was_missed(when: Recurrence) -> None:
    late = round(MISSED_AFTER * 1000)
    assert due_ticks(when, HOUR, 5 * HOUR + late) == DueTicks((5 * HOUR,), 6 * HOUR)
    assert due_ticks(when, HOUR, 5 * HOUR + late + 1) == DueTicks((), 6 * HOUR)


def test_skip_fires_the_latest_tick_of_a_short_interval() -> None:
    assert due_ticks(Every(1), 5_000, 9_999) == DueTicks((9_000,), 10_000)


@pytest.mark.parametrize("catch_up", ["skip", "once", "all"])
def test_nothing_is_due_before_the_expected_tick_even_if_the_clock_went_back(catch_up: Any) -> None:
    for when in (Every(60, catch_up=catch_up), Cron("* * * * *", catch_up=catch_up)):
        assert due_ticks(when, DAY, DAY - 1) == DueTicks((), DAY)
        assert due_ticks(when, DAY, DAY - HOUR) == DueTicks((), DAY)
        assert due_ticks(when, DAY, DAY) == DueTicks((DAY,), DAY + MINUTE)


def test_a_tick_that_was_expected_under_another_schedule_is_only_a_lower_bound() -> None:
    assert due_ticks(Every(60, catch_up="once"), 90_000, 119_999) == DueTicks((), 2 * MINUTE)
    assert due_ticks(Cron("@hourly", catch_up="all"), 90_000, HOUR) == DueTicks((HOUR,), 2 * HOUR)


@pytest.mark.parametrize("limit", [0, 10_001, 1.5, True])
def test_a_limit_out_of_its_bounds_is_refused(limit: Any) -> None:
    with pytest.raises(ConfigError, match=r"^limit="):
        due_ticks(Every(1), 0, 0, limit=limit)


@pytest.mark.parametrize(
    "when",
    [
        Every(0.1), Every(0.1, catch_up="once"), Every(0.1, catch_up="all"),
        Cron("* * * * *", LORD_HOWE), Cron("* * * * *", LORD_HOWE, catch_up="once"),
        Cron("0-59 2 * * *", PARIS, catch_up="once"), Cron("* * * * *", catch_up="all"),
    ],
)  # fmt: skip
def test_the_work_does_not_grow_with_the_ticks_that_were_missed(when: Recurrence) -> None:
    years = 30 * 366 * DAY  # up to ten thousand million ticks
    began = time.process_time()
    due = due_ticks(when, 0, years, limit=10)
    assert time.process_time() - began < 1
    assert due.next_ms is not None


schedules = (
    st.builds(Every, st.sampled_from([0.1, 0.7, 1, 7, 60, 90, 3600]),
              catch_up=st.sampled_from(["skip", "once", "all"]))
    | st.builds(Cron, st.sampled_from(["* * * * *", "*/7 * * * *", "0-59 1,2 * * *", "@hourly", "5 2 * * *"]),
                zones, catch_up=st.sampled_from(["skip", "once", "all"]))
)  # fmt: skip


@given(
    schedules,
    moments.map(ms),
    st.lists(st.integers(-MINUTE, MINUTE) | st.integers(-HOUR, 4 * HOUR), max_size=12),
    st.integers(1, 20),
)
@settings(deadline=None)
def test_however_often_it_looks_no_tick_fires_twice_and_with_all_none_is_missed(
    when: Recurrence, start: int, steps: list[int], limit: int
) -> None:
    expected = when.next_ms(start)
    assert expected is not None
    first, now, fired = expected, start, list[int]()
    for step in steps:
        now += step
        due = due_ticks(when, expected, now, limit=limit)
        assert due.next_ms is not None
        assert all(expected <= tick <= now for tick in due.ticks)
        assert len(due.ticks) <= (limit if when.catch_up == "all" else 1)
        assert due.next_ms > max(due.ticks, default=-1)
        if when.catch_up != "all":
            assert due.next_ms > now
        fired += due.ticks
        expected = due.next_ms
    assert fired == sorted(set(fired))
    ticks = itertools.takewhile(lambda t: t < expected, walk_ms(when, first))
    if when.catch_up == "all":
        assert fired == list(ticks)
    else:
        assert all(when.last_ms(tick, tick) == tick for tick in fired)


def walk_ms(when: Recurrence, first: int) -> Iterator[int]:
    tick: int | None = first
    while tick is not None:
        yield tick
        tick = when.next_ms(tick)


# Plain data

options = {
    "catch_up": st.sampled_from(["skip", "once", "all"]),
    "overlap": st.sampled_from(["allow", "skip"]),
}
whens = st.builds(
    Every, st.integers(100, 10**9).map(lambda n: n / 1000) | st.integers(1, 10**6), **options
) | st.builds(
    Cron, st.sampled_from(["0 2 * * *", "@daily", "*/5 8-18 * jan mon-fri"]), zones, **options
)


@given(whens)
def test_a_schedule_comes_back_as_it_was_sent(when: Recurrence) -> None:
    codec: Any = msgpack  # it carries no types
    assert unpack_recurrence(codec.unpackb(codec.packb(pack_recurrence(when)))) == when


@pytest.mark.parametrize(
    "data",
    [
        [], ["every"], ["every", 1, "skip"], ["every", 1, "skip", "allow", 1], ["cron", "@daily"],
        ["month", 1, "skip", "allow"], "every", None, {"every": 1}, 7,
    ],
)  # fmt: skip
def test_data_of_another_shape_is_refused(data: Any) -> None:
    with pytest.raises(ConfigError, match=r"^when=.*this version can read"):
        unpack_recurrence(data)


@pytest.mark.parametrize(
    ("data", "field"),
    [
        (["every", "1", "skip", "allow"], "seconds"),
        (["every", 1, "often", "allow"], "catch_up"),
        (["every", 1, "skip", 0], "overlap"),
        (["cron", "x", "UTC", "skip", "allow"], "line"),
        (["cron", b"@daily", "UTC", "skip", "allow"], "line"),
        (["cron", "@daily", "Nowhere", "skip", "allow"], "timezone"),
    ],
)
def test_data_with_a_bad_value_is_refused_by_name(data: list[object], field: str) -> None:
    with pytest.raises(ConfigError, match=f"^{field}="):
        unpack_recurrence(data)


def test_a_schedule_is_described_in_a_few_words() -> None:
    assert describe_schedule(Every(30)) == "every 30 s"
    assert describe_schedule(Every(3600.0)) == "every 3600 s"
    assert describe_schedule(Every(0.125)) == "every 0.125 s"
    assert describe_schedule(Cron("0 2 * * *", PARIS)) == 'cron "0 2 * * *" Europe/Paris'
    assert describe_schedule(Cron("@daily")) == 'cron "@daily" UTC'
