from __future__ import annotations

import datetime as dt
import math
import unicodedata

import pytest

from rediq_trio.observe import words

NOW = dt.datetime(2026, 11, 29, 2, 50, 21, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"), (0.0004, "0 ms"), (0.003, "3 ms"), (0.9994, "999 ms"), (0.9996, "1.0 s"),
        (1, "1.0 s"), (2.44, "2.4 s"),
        (9.94, "9.9 s"), (9.96, "10 s"), (59.4, "59 s"), (59.6, "1 min"), (200, "3 min 20 s"),
        (599, "9 min 59 s"), (600, "10 min"), (3599, "1 h"), (7500, "2 h 5 min"), (86_399, "1 d"),
        (90_000, "1 d 1 h"), (10 * 86_400, "10 d"), (1e9, "11,574 d"), (-3, "-3.0 s"),
        (math.inf, "for ever"), (math.nan, "unknown"),
    ],
)  # fmt: skip
def test_a_duration_has_one_or_two_units(seconds: float, text: str) -> None:
    assert words.duration(seconds) == text


def test_durations_are_never_shorter_when_they_are_longer() -> None:
    units = {"ms": 0.001, "s": 1, "min": 60, "h": 3600, "d": 86_400}
    before = 0.0
    for step in range(1, 400):
        pieces = words.duration(0.0005 * 1.05**step).replace(",", "").split()
        said = sum(
            float(number) * units[unit]
            for number, unit in zip(pieces[::2], pieces[1::2], strict=True)
        )
        assert said >= before
        assert said == pytest.approx(0.0005 * 1.05**step, rel=0.06, abs=0.0006)
        before = said


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("90s", 90), ("5m", 300), ("5min", 300), ("2h", 7200), ("1d", 86_400),
     ("1w", 604_800), ("250ms", 0.25), ("1.5h", 5400), (" 3 s ", 3)],
)  # fmt: skip
def test_a_duration_is_read_as_people_write_it(text: str, seconds: float) -> None:
    assert words.read_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "soon", "-1", "1y", "1h30m", "nan", "inf", "1e3", "ms"])
def test_another_duration_is_refused_with_what_is_accepted(text: str) -> None:
    with pytest.raises(ValueError, match="must be a duration like 90, 250ms, 30s, 5m, 2h or 1d"):
        words.read_duration(text)


@pytest.mark.parametrize(
    ("number", "text"),
    [(1, "1st"), (2, "2nd"), (3, "3rd"), (4, "4th"), (11, "11th"), (12, "12th"), (113, "113th"),
     (21, "21st"), (412, "412th"), (9_002, "9,002nd")],
)  # fmt: skip
def test_ordinals(number: int, text: str) -> None:
    assert words.ordinal(number) == text


@pytest.mark.parametrize(
    ("per_second", "text"),
    [(0, "0/s"), (1234.4, "1,234/s"), (9.96, "10/s"), (1.46, "1.5/s"), (0.94, "56/min"),
     (1 / 60, "1/min"), (1 / 3600, "1/h")],
)  # fmt: skip
def test_rates_have_the_unit_that_fits(per_second: float, text: str) -> None:
    assert words.rate(per_second) == text


def test_counts_have_their_thousands_apart() -> None:
    assert words.count(12_345) == "12,345"
    assert [words.counted(n, "task") for n in (0, 1, 12_345)] == [
        "0 tasks",
        "1 task",
        "12,345 tasks",
    ]
    assert words.counted(2, "entry", "entries") == "2 entries"
    assert words.percent(0.374) == "37 %"


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0 B"), (512, "512 B"), (1000, "1.0 KiB"), (1536, "1.5 KiB"), (64 * 2**20, "64 MiB"),
     (5000 * 2**30, "5000 GiB")],
)  # fmt: skip
def test_sizes_are_in_powers_of_1024(number: int, text: str) -> None:
    assert words.size(number) == text


def test_an_instant_is_in_utc_with_how_far_it_is() -> None:
    zone = dt.timezone(dt.timedelta(hours=5))
    assert words.instant(NOW.astimezone(zone)) == "2026-11-29 02:50:21"
    assert words.when(None, NOW) == "-"
    past = NOW - dt.timedelta(minutes=3)
    assert words.when(past, NOW) == "2026-11-29 02:47:21 (3 min ago)"
    assert words.relative(NOW + dt.timedelta(seconds=40), NOW) == "in 40 s"
    assert words.relative(NOW + dt.timedelta(seconds=0.4), NOW) == "now"


def test_no_character_reaches_a_terminal_that_it_would_obey() -> None:
    bad = ("Cc", "Cs", "Zl", "Zp")
    obeyed = [chr(n) for n in range(0x110000) if unicodedata.category(chr(n)) in bad]
    # What turns the direction of text, and is not seen.
    obeyed += [
        *"\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff\u200b"
    ]
    obeyed += [*"\ufff9\ufffa\ufffb\U000e0001\U000e0041"]
    for character in obeyed:
        text = words.shown(f"a{character}b")
        assert text.isprintable(), character.encode("unicode_escape")
        assert text.startswith("a\\")
    assert words.shown("\x1b[31m\n\u202e") == r"\x1b[31m\n\u202e"
    assert words.shown("naïve 日本 🎉 [bold]") == "naïve 日本 🎉 [bold]"


def test_longer_text_is_cut() -> None:
    assert words.shown("abcdef", 6) == "abcdef"
    assert words.shown("abcdefg", 6) == "abcde…"
    assert words.shown("\x1b" * 9, 2) == r"\x1b…"
