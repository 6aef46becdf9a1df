"""Lines of the screen: escaped, cut, filled, and drawn over one another."""

from __future__ import annotations

import pytest

from rediq_trio.dash.palette import ASCII, STATE_MARKS, TEXT_ROLES, Palette
from rediq_trio.dash.text import (
    Column,
    TableRow,
    TextSpan,
    apart,
    averaged,
    bar,
    between,
    cut,
    fitted,
    heads,
    line,
    short,
    sparkline,
    table_row,
    under,
    width_of,
)
from rediq_trio.spec.lifecycle import State


def text_of(spans: tuple[TextSpan, ...]) -> str:
    return "".join(span.text for span in spans)


def test_a_span_shows_control_characters_as_escapes() -> None:
    assert TextSpan("a\x1b]0;x\x07\u202e\x9b\n").text == r"a\x1b]0;x\x07\u202e\x9b\n"


@pytest.mark.parametrize(
    ("text", "cells", "found"),
    [("abc", 3, "abc"), ("abcd", 3, "ab…"), ("日本語", 6, "日本語"), ("日本語", 5, "日本…"), ("日本語", 4, "日…"),
     ("abc", 0, ""), ("a\x1bb", 3, "a\\…")],
)  # fmt: skip
def test_a_text_is_cut_to_its_cells(text: str, cells: int, found: str) -> None:
    assert cut(text, cells) == found


@pytest.mark.parametrize("cells", [0, 1, 2, 5, 9, 30])
def test_a_fitted_line_has_exactly_its_cells(cells: int) -> None:
    made = fitted(line(TextSpan("日本語", "dead"), "abc", TextSpan("tail", "faint")), cells)
    assert width_of(made) == cells
    assert all(span.role in ("dead", "faint", "") for span in made)


def test_what_is_cut_keeps_its_role_and_ends_there() -> None:
    assert fitted(line(TextSpan("abcdef", "dead"), "x"), 4) == line(TextSpan("abc…", "dead"))


def test_two_texts_stand_at_both_ends() -> None:
    assert text_of(apart(line("left"), line("right"), 12)) == "left   right"
    assert text_of(apart(line("a long one"), line("right"), 12)) == "a long…right"
    assert text_of(apart(line("left"), line("much too wide"), 12)) == "left        "


def test_a_box_is_drawn_over_the_middle() -> None:
    made = under([line("abcdefgh"), line("12日4567"), line("xyz")], [line("##")], 8)
    assert [text_of(each) for each in made] == ["abcdefgh", "12 ##567", "xyz"]


def test_half_of_a_wide_character_is_a_space() -> None:
    assert text_of(between(line("a日b"), 0, 2)) == "a "
    assert text_of(between(line("a日b"), 2, 4)) == " b"


def test_a_sparkline_has_eight_steps_of_its_own_scale() -> None:
    assert sparkline([0, 1, 2, 3, 4, 5, 6, 7], 8) == "▁▂▃▄▅▆▇█"
    assert sparkline([0, 50, 100], 5) == "  ▁▄█"
    assert sparkline([0, 0], 2) == "▁▁"
    assert sparkline([], 3) == "   "
    assert sparkline([-5, 10], 2) == "▁█"


def test_more_numbers_than_columns_are_averaged() -> None:
    assert averaged([1, 3, 5, 7, 9, 11], 3) == [2, 6, 10]
    assert averaged([1, 2, 3, 4, 5], 2) == [1.5, 4]
    assert averaged([1, 2], 3) == [1, 2]


@pytest.mark.parametrize(
    ("share", "found"),
    [(0, "░░░░░░░░░░"), (0.5, "█████░░░░░"), (0.505, "█████░░░░░"), (0.51, "█████▏░░░░"), (1, "██████████"),
     (7, "██████████"), (-1, "░░░░░░░░░░")],
)  # fmt: skip
def test_a_bar_shows_a_share_to_an_eighth(share: float, found: str) -> None:
    assert bar(share) == found


@pytest.mark.parametrize(
    ("number", "cells", "found"),
    [(0, 7, "0"), (1204, 7, "1,204"), (999_999, 7, "999,999"), (1_204_567, 7, "1,205 k"), (56_287, 4, "56 k"),
     (123_456_789, 6, "123 M"), (3_210_000_000, 4, "3 G")],
)  # fmt: skip
def test_a_number_takes_no_more_than_its_room(number: int, cells: int, found: str) -> None:
    assert short(number, cells) == found


COLUMNS = (
    Column("NAME", 6),
    Column("N", 5, right=True),
    Column("REST"),
    Column("FAR", 4, since=100),
)


def test_columns_keep_their_places_and_leave_where_there_is_no_room() -> None:
    row = TableRow(
        "k",
        (TextSpan("emails-long"), TextSpan("12", "dead"), TextSpan("what is left"), TextSpan("x")),
        TextSpan("△", "warning"),
    )
    assert text_of(heads(COLUMNS, 30)) == "   NAME       N REST          "[:29].rstrip().ljust(29)
    drawn = table_row(row, COLUMNS, 30, here=True, chosen=False)
    assert text_of(drawn) == "▌△ email…    12 what is left  "
    assert TextSpan("    12", "dead").role in {span.role for span in drawn}
    assert text_of(table_row(row, COLUMNS, 30, here=False, chosen=True))[:4] == " × e"
    assert "x" in text_of(table_row(row, COLUMNS, 100, here=False, chosen=False))
    assert width_of(table_row(row, COLUMNS, 100, here=False, chosen=False)) == 100


def test_every_state_has_a_mark_a_letter_and_a_color_of_its_own() -> None:
    assert set(STATE_MARKS) == set(State)
    assert {state.value for state in State} <= TEXT_ROLES
    marks, letters = zip(*STATE_MARKS.values(), strict=True)
    assert len(set(marks)) == len(set(letters)) == len(State)
    assert [mark.translate(ASCII) for mark in marks] == [*letters]


def test_without_colors_only_bold_and_reverse_remain() -> None:
    palette = Palette(colors="none")
    for role in sorted(TEXT_ROLES):
        style = palette.style(role)
        assert style.color is None
        assert style.bgcolor is None
    assert palette.style("bad").bold
    assert palette.style("", cursor=True).reverse


def test_with_sixteen_colors_no_ground_is_set() -> None:
    palette = Palette(colors="standard")
    assert all(palette.style(role).bgcolor is None for role in sorted(TEXT_ROLES))
    assert palette.style("dead").color is not None


def test_what_is_shown_while_redis_is_away_is_faint() -> None:
    palette = Palette()
    assert palette.style("dead", away=True) == palette.style("faint")
    assert palette.style("bad", away=True) == palette.style("bad")
    assert Palette(light=True).style("dead") != palette.style("dead")
